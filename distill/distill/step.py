"""One training step, compiled whole: differentiate twice, clip, update, average.

What differs from run to run, the number of frames and the schedule, is no part of it: a training that goes on with
more frames, or begins its decay, finds its steps compiled.

Loss, with a the atoms of the batch and A a constant (so that every atom of the data weighs the same, whatever
the bucket):

    [ Σ_a h(|ΔF_a|; δ) / s_a + w Σ_molecules h(|ΔE|; δ) / max_a s_a ] / A        h(x; δ) = √(x² + δ²) − δ,  s_a = 1 + |F_a| / F_0

The norm of an atom's force error grows linearly, so hot frames do not own the capacity as they do with squares; where
the forces themselves are far beyond those of bonds, on the walls between atoms, it is their relative error that counts.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from . import model, optimiser
from .schedule import Schedule

SOFTENING = 0.01  # δ, in eV/Å and eV: below it the loss is quadratic
HARD_EV_ANG = 10.0  # F_0
CLIP = 3.0  # a gradient longer than this many times its running average is shortened


@dataclasses.dataclass(frozen=True)
class Settings:
    """Constants of a training, beside the student's Config."""

    optimiser: str = "muon"
    schedule: Schedule = Schedule()
    pairs: int = 384 * 24 * 24  # padded atom pairs of a batch; molecules of a batch = pairs / N²
    average: float = 0.9995  # decay of the averaged weights

    def batch(self, size, frames):
        return max(1, min(frames, 8 * round(self.pairs / size**2 / 8) or 1))


def init(key, config, settings):
    """Everything that changes during a training, as one flat tree of arrays."""
    parameters = model.init(key, config)
    return {
        "parameters": parameters,
        "average": {name: value.copy() for name, value in parameters.items()},
        "moments": optimiser.init(settings.optimiser, parameters, config.channels),
        "step": jnp.zeros((), jnp.int32),
        "samples": jnp.zeros((), jnp.int32),
        "gradient_norm": jnp.zeros((), jnp.float32),
    }


def soft(x2):
    """h of a squared length."""
    return jnp.sqrt(x2 + SOFTENING**2) - SOFTENING


@functools.partial(jax.jit, static_argnums=3)
def take(arrays, order, start, batch):
    """Frames order[start : start + batch] of a bucket's arrays."""
    rows = jax.lax.dynamic_slice(order, (start,), (batch,))
    return tuple(array[rows] for array in arrays)


def make(config, settings):
    """step(state, schedule as an array, frames of one bucket) → (state, metrics)."""
    atoms_reference = settings.pairs / 24.0 * 0.8  # atoms in a batch of the 24-atom bucket, four fifths full

    def loss(parameters, weight, positions, species, energy, forces):
        e, f = model.energy_and_forces(parameters, config, positions, species)
        real = species >= 0
        scale = 1.0 + jnp.sqrt((forces**2).sum(-1)) / HARD_EV_ANG
        force_terms = jnp.where(real, soft(((f - forces) ** 2).sum(-1)) / scale, 0.0).sum()
        energy_terms = (soft((e - energy) ** 2) / scale.max(-1)).sum()
        force_mae = jnp.where(real[..., None], jnp.abs(f - forces), 0.0).sum() / (3 * real.sum())
        return (force_terms + weight * energy_terms) / atoms_reference, (force_mae, jnp.abs(e - energy).mean())

    def step(state, schedule, frames):
        positions, species, energy, forces = frames
        schedule = Schedule(*schedule)
        samples = state["samples"].astype(jnp.float32)
        weight = schedule.weight_of_energy(samples)
        (_, errors), gradients = jax.value_and_grad(loss, has_aux=True)(
            state["parameters"], weight, positions, species.astype(jnp.int32), energy, forces
        )

        # Batches of different buckets differ in length by their atoms; a batch that is not finite is passed over.
        norm = jnp.sqrt(sum((g * g).sum() for g in gradients.values()))
        finite = jnp.isfinite(norm)
        mean = jnp.where(state["step"] == 0, norm, state["gradient_norm"])
        factor = jnp.minimum(1.0, CLIP * mean / jnp.maximum(norm, 1e-12))
        gradients = {name: jnp.where(finite, factor * g, 0.0) for name, g in gradients.items()}
        mean = jnp.where(finite, 0.99 * mean + 0.01 * jnp.minimum(norm, CLIP * mean), mean)

        count = state["step"] + 1
        age = count.astype(jnp.float32)
        directions, moments = optimiser.update(settings.optimiser, gradients, state["moments"], count, config.channels)
        rate = schedule.learning_rate(samples)
        parameters = {name: value - rate * directions[name] for name, value in state["parameters"].items()}
        keep = jnp.minimum(settings.average, (1.0 + age) / (10.0 + age))
        average = {name: keep * a + (1.0 - keep) * parameters[name] for name, a in state["average"].items()}
        new = {
            "parameters": parameters,
            "average": average,
            "moments": moments,
            "step": count,
            "samples": state["samples"] + len(energy),
            "gradient_norm": mean,
        }
        return new, jnp.stack([*errors, finite.astype(jnp.float32)])

    return jax.jit(step, donate_argnums=0)
