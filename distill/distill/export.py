"""Stage 5: a trained student to models/<name>.safetensors, and its golden file models/<name>.golden.json.

    python -m distill.export student.npz --name default --frames 'labels/valid-*.npz' --accuracy evaluation.json \\
        --data '...' --out ../models

The only writer of either file.  Activation ranges are the largest magnitudes over the given frames: what an engine
in half precision has to hold.  With --uncertainty the student also says how far off it may be.  Golden energies and forces are computed in float64 from the float32 tensors as stored.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from . import checkpoint, dataset, format, model, uncertainty

TEACHER = "AIMNet2 wB97M-D3, ensemble of four (10.1039/D4SC08572H), MIT licence"
LICENCE = "MIT OR Apache-2.0"
GOLDEN_DECIMALS = 10
NUMBER_OF_SYMBOL = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "P": 15, "S": 16, "Cl": 17, "Br": 35}


def activation_ranges(parameters, config, frames, padded_sizes, batch=64):
    """Name of an activation → largest magnitude over the real atoms of the frames."""

    @jax.jit
    def largest(parameters, positions, species):
        def one(x, z):
            _, seen, _ = model.activations(parameters, config, x, z)
            real = z >= 0
            return {name: jnp.where(real.reshape(-1, *[1] * (a.ndim - 1)), jnp.abs(a), 0).max() for name, a in seen.items()}

        return {name: value.max() for name, value in jax.vmap(one)(positions, species).items()}

    ranges = {}
    for bucket in dataset.buckets(frames, padded_sizes, np.zeros(len(model.ELEMENTS))):
        for start in range(0, len(bucket.frame), batch):
            rows = np.minimum(np.arange(start, start + batch), len(bucket.frame) - 1)
            found = largest(parameters, bucket.positions[rows], bucket.species[rows].astype(np.int32))
            ranges = {name: max(float(value), ranges.get(name, 0.0)) for name, value in found.items()}
    return {name: float(f"{value:.3g}") for name, value in ranges.items()}


def read_xyz(path):
    """[(name, numbers (N,), positions (N, 3) in Å)] of a file of several frames."""
    lines, structures = pathlib.Path(path).read_text().splitlines(), []
    while lines:
        count = int(lines[0])
        rows = [line.split() for line in lines[2 : 2 + count]]
        numbers = np.array([NUMBER_OF_SYMBOL[row[0]] for row in rows])
        structures.append((lines[1], numbers, np.array([row[1:4] for row in rows], float)))
        lines = lines[2 + count :]
    return structures


def golden(parameters, config, reference_energy_ev, structures):
    """Energies (eV, reference energies included), forces and, if any, expected errors (eV/Å) of structures, in float64."""
    if not jax.config.jax_enable_x64:
        raise RuntimeError("golden values need jax_enable_x64")
    parameters = {name: jnp.asarray(value, jnp.float64) for name, value in parameters.items()}
    size = max(len(numbers) for _, numbers, _ in structures)
    evaluate = jax.jit(lambda x, z: model.energy_and_forces(parameters, config, x[None], z[None]))
    force_error = jax.jit(lambda x, z: model.force_error(parameters, model.scalars(parameters, config, x, z), z >= 0))
    rows = []
    for name, numbers, positions in structures:
        count = len(numbers)
        species = np.full(size, model.PADDING)
        species[:count] = dataset.SPECIES_OF_NUMBER[numbers]
        padded = np.pad(positions, ((0, size - count), (0, 0)))
        energy, forces = evaluate(padded, species)
        reference = reference_energy_ev[species[:count]].sum()
        rows.append({
            "name": name,
            "numbers": numbers.tolist(),
            "positions_ang": positions.tolist(),
            "energy_ev": round(float(energy[0]) + float(reference), GOLDEN_DECIMALS),
            "forces_ev_ang": np.round(np.asarray(forces)[0, :count], GOLDEN_DECIMALS).tolist(),
        })
        if "uncertainty.hidden.bias" in parameters:
            rows[-1]["force_error_ev_ang"] = round(float(force_error(padded, species)), GOLDEN_DECIMALS)
    return rows


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of train; its averaged weights are exported")
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("../models"))
    parser.add_argument("--frames", nargs="+", required=True, help="labelled shards for the activation ranges")
    parser.add_argument("--frames-max", type=int, default=2000)
    parser.add_argument("--accuracy", type=pathlib.Path, help="the .json that evaluate wrote")
    parser.add_argument("--uncertainty", help="what uncertainty wrote for this student")
    parser.add_argument("--structures", default="golden_structures.xyz")
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--data", default="", help="a sentence on the training frames and their source")
    parser.add_argument("--licence", default=LICENCE)
    arguments = parser.parse_args(words)

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    state, config, settings, extra = checkpoint.load(arguments.checkpoint)
    parameters, reference = state["average"], np.array(extra["reference_energy_ev"])
    frames = dataset.load(arguments.frames)
    chosen = np.flatnonzero(dataset.sizes(frames) <= 64)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), arguments.frames_max)).astype(int)]
    metadata = {
        "name": arguments.name,
        "teacher": arguments.teacher,
        "data": arguments.data,
        "licence": arguments.licence,
        "trained_samples": str(int(state["samples"])),
        "optimiser": settings.optimiser,
        "activation_ranges": json.dumps(activation_ranges(parameters, config, dataset.subset(frames, chosen), [24, 64])),
        "accuracy": arguments.accuracy.read_text() if arguments.accuracy else "{}",
    }
    if arguments.uncertainty:
        readout, metadata["uncertainty"] = uncertainty.load(arguments.uncertainty, parameters, config)
        parameters = parameters | readout
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{arguments.name}.safetensors"
    digest = format.write(path, parameters, config, reference, metadata)

    stored, config, reference, _ = format.read(path)  # what an engine will read, not what was in memory
    rows = golden(stored, config, reference, read_xyz(arguments.structures))
    document = {"model": arguments.name, "tensors_sha256": digest, "precision": "float64", "structures": rows}
    (arguments.out / f"{arguments.name}.golden.json").write_text(json.dumps(document, indent=None) + "\n")
    print(f"{path}: {sum(v.size for v in stored.values()):,d} parameters, tensors {digest[:12]}")


if __name__ == "__main__":
    main()
