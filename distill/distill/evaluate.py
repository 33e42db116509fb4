"""Stage 4: a student's errors on labelled frames of molecules that it never saw.

    python -m distill.evaluate student.npz --set valid='labels/valid-*.npz' --set valid_large='labels/valid_large-*.npz' \\
        --out evaluation

Writes evaluation.json and evaluation.md.  Beside the student stand one member of the teacher's ensemble, where the
shards hold its labels, and a zero predictor (no forces; the energy of the composition alone): what is left to learn,
and what is as good as the teacher knows itself.  Other evaluations are functions of the same kind: frames and a
prediction in, a dict of rows out.
"""

import argparse
import json
import pathlib

import jax
import numpy as np

from . import dataset, format
from .model import ELEMENTS
from .predict import by_temperature, errors, predict
from .shards import KINDS

SYMBOLS = dict(zip(ELEMENTS, ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br")))
SIZE_EDGES = (3, 9, 17, 25, 33, 49, 65)


def by_size(frames, energy_error, force_error):
    size, rows = dataset.sizes(frames), {}
    for low, high in zip(SIZE_EDGES, SIZE_EDGES[1:]):
        chosen = (low <= size) & (size < high)
        if chosen.any():
            rows[f"{low}–{high - 1} atoms"] = errors(frames, energy_error, force_error, chosen)
    return rows


def by_kind(frames, energy_error, force_error):
    return {
        name: errors(frames, energy_error, force_error, frames["kind"] == kind)
        for kind, name in enumerate(KINDS)
        if (frames["kind"] == kind).any()
    }


def by_element(frames, _, force_error):
    """Force errors of the atoms of each element; `frames` counts those that hold it."""
    rows, owner = {}, np.repeat(np.arange(len(frames["kind"])), dataset.sizes(frames))
    for number, symbol in SYMBOLS.items():
        chosen = frames["numbers"] == number
        if chosen.any():
            f = force_error[chosen].astype(np.float64) * 1e3
            rows[symbol] = {
                "frames": len(np.unique(owner[chosen])),
                "force_mae": float(np.abs(f).mean()),
                "force_rmse": float(np.sqrt((f * f).mean())),
            }
    return rows


GROUPINGS = {"temperature": by_temperature, "kind": by_kind, "size": by_size, "element": by_element}


def predictions(student, frames, padded_sizes):
    """Predictor → (energy error (M,) in eV, force error (A, 3) in eV/Å) against the labels."""
    parameters, config, reference_energy_ev = student
    buckets = dataset.buckets(frames, padded_sizes, reference_energy_ev)
    residual = frames["energies"] - dataset.composition(frames) @ reference_energy_ev
    energies, forces = predict(parameters, config, buckets, frames)
    found = {"student": (energies - residual, forces - frames["forces"])}
    if "forces_member" in frames:
        member = frames["forces_member"].astype(np.float32) - frames["forces"]
        found["member"] = (frames["energies_member"] - frames["energies"], member)
    return found | {"zero": (-residual, -frames["forces"])}


def evaluate_set(student, frames, padded_sizes):
    """Predictor → grouping → row → errors."""
    found = predictions(student, frames, padded_sizes)
    return {who: {name: group(frames, *pair) for name, group in GROUPINGS.items()} for who, pair in found.items()}


def markdown(results):
    """One table for each set and grouping: forces in meV/Å (MAE / RMSE), energies in meV a molecule (MAE)."""
    lines = ["Forces in meV/Å (MAE / RMSE by component), energies in meV per molecule (MAE)."]
    for set_name, by_predictor in results.items():
        for grouping in GROUPINGS:
            who = list(by_predictor)
            lines += ["", f"### {set_name}, by {grouping}", ""]
            lines += ["| | frames | " + " | ".join(f"forces, {w} | energy, {w}" for w in who) + " |"]
            lines += ["| --- |" + " ---: |" * (1 + 2 * len(who))]
            for row, first in by_predictor[who[0]][grouping].items():
                cells = [row, f"{first['frames']:,d}"]
                for w in who:
                    value = by_predictor[w][grouping][row]
                    cells.append(f"{value['force_mae']:.1f} / {value['force_rmse']:.1f}")
                    cells.append(f"{value['energy_mae']:.1f}" if "energy_mae" in value else "–")
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", help="a .safetensors student, or a training's checkpoint (its averaged weights)")
    parser.add_argument("--set", action="append", required=True, metavar="NAME=PATTERN", help="may be given many times")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="stem of the .json and .md written")
    parser.add_argument("--buckets", default="16,24,32,48,64")
    arguments = parser.parse_args(words)

    jax.config.update("jax_default_matmul_precision", "highest")
    student = format.read_any(arguments.student)
    padded_sizes = sorted(int(size) for size in arguments.buckets.split(","))
    results = {}
    for item in arguments.set:
        name, _, pattern = item.partition("=")
        frames = dataset.load([pattern])
        frames = dataset.subset(frames, np.flatnonzero(dataset.sizes(frames) <= padded_sizes[-1]))
        results[name] = evaluate_set(student, frames, padded_sizes)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    arguments.out.with_suffix(".md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
