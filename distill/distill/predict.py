"""Energies and forces of a set of frames by a student, and the errors of any prediction."""

import functools

import jax
import numpy as np

from . import dataset, model


@functools.lru_cache(maxsize=None)
def compiled(config):
    return jax.jit(lambda parameters, x, z: model.energy_and_forces(parameters, config, x, z.astype(np.int32)))


def predict(parameters, config, buckets, frames, pairs=600 * 24 * 24):
    """(energies (M,) above the reference energies, forces (A, 3)) in the order of the frames; NaN where left out."""
    count = dataset.sizes(frames)
    energies, forces = np.full(len(count), np.nan), np.full((frames["first"][-1], 3), np.nan, np.float32)
    for bucket in buckets:
        batch = max(1, min(len(bucket.frame), pairs // bucket.size**2))
        for start in range(0, len(bucket.frame), batch):
            rows = np.minimum(np.arange(start, start + batch), len(bucket.frame) - 1)  # one shape: repeat the last
            e, f = compiled(config)(parameters, bucket.positions[rows], bucket.species[rows])
            chosen = bucket.frame[rows]
            energies[chosen] = e
            real = np.arange(bucket.size)[None] < count[chosen][:, None]
            target = frames["first"][:-1][chosen][:, None] + np.arange(bucket.size)[None]
            forces[target[real]] = np.asarray(f)[real]
    return energies, forces


def errors(frames, energy_error, force_error, chosen):
    """Errors over the frames of a mask: meV/Å by component, meV by molecule."""
    atoms = np.repeat(chosen, dataset.sizes(frames))
    f = force_error[atoms].astype(np.float64) * 1e3
    e = energy_error[chosen] * 1e3
    return {
        "frames": int(chosen.sum()),
        "force_mae": float(np.abs(f).mean()),
        "force_rmse": float(np.sqrt((f * f).mean())),
        "energy_mae": float(np.abs(e).mean()),
        "energy_rmse": float(np.sqrt((e * e).mean())),
    }


def by_temperature(frames, energy_error, force_error):
    """The errors of thermal frames at each temperature, of the special kinds, and of all."""
    thermal, temperature = frames["kind"] == 0, frames["temperature_K"]
    baths = np.unique(temperature[thermal])
    if len(baths) <= 6:
        groups = {f"{t:g} K": thermal & (temperature == t) for t in baths}
    else:
        edges = (0, 275, 400, 700, 2000)
        groups = {f"{a}–{b} K": thermal & (a <= temperature) & (temperature < b) for a, b in zip(edges, edges[1:])}
    groups |= {"special": ~thermal, "all": np.ones(len(thermal), bool)}
    return {name: errors(frames, energy_error, force_error, g) for name, g in groups.items() if g.any()}
