"""Candidate students at equal samples: same frames, seed and schedule; one table of error against operations.

    python -m distill.compare --samples 3e6 --train 'labels/train-*.npz' --valid 'labels/valid-*.npz' --out compare

Each candidate is trained through a warm-up (2 %), a constant rate and a linear decay to zero from 60 %.  Only
molecules of up to 32 atoms and two bucket sizes, so that compilation stays short.  --only picks by name; finished
candidates found in the .json are not trained again.
"""

import argparse
import dataclasses
import json
import pathlib

import jax

from . import cost, dataset, step
from .model import Config
from .schedule import Schedule
from .step import Settings
from .train import Trainer, logger, read_frames, run


def student(channels=128, layers=2, radial=16, tensor=True, gates=True, first="density", core=False):
    return Config(channels, layers, radial, first=first, tensor=tensor, gates=gates, tensor_channels=channels // 2, core=core)


PLAIN = {"tensor": False, "gates": False}
CANDIDATES = {
    "painn F128 L2 K16": (student(first="painn", **PLAIN), "adam"),
    "painn F128 L2 K20": (student(first="painn", radial=20, **PLAIN), "adam"),
    "density F128 L2 K16": (student(**PLAIN), "adam"),
    "density F128 L2 K16 gates": (student(tensor=False), "adam"),
    "density F128 L2 K16 gates tensor": (student(), "adam"),
    "density F128 L2 K16 gates tensor, muon": (student(), "muon"),
    "density F128 L2 K16 gates tensor core, muon": (student(core=True), "muon"),
    "density F64 L2 K16 gates tensor core, muon": (student(64, core=True), "muon"),
    "density F96 L2 K16 gates tensor core, muon": (student(96, core=True), "muon"),
    "density F192 L2 K16 gates tensor core, muon": (student(192, core=True), "muon"),
    "density F64 L3 K16 gates tensor core, muon": (student(64, 3, core=True), "muon"),
    "density F128 L3 K16 gates tensor core, muon": (student(128, 3, core=True), "muon"),
    "density F128 L2 K32 gates tensor core, muon": (student(radial=32, core=True), "muon"),
    "density F128 L2 K16 gates tensor, soap": (student(), "soap"),
    "density F128 L2 K32 gates tensor": (student(radial=32), "adam"),
    "density F64 L2 K16 gates tensor": (student(64), "adam"),
    "density F96 L2 K16 gates tensor": (student(96), "adam"),
    "density F192 L2 K16 gates tensor": (student(192), "adam"),
    "density F96 L3 K16 gates tensor": (student(96, 3), "adam"),
    "density F128 L3 K16 gates tensor": (student(128, 3), "adam"),
    "density F64 L3 K16 gates tensor": (student(64, 3), "adam"),
    "density F128 L1 K16 gates tensor": (student(128, 1), "adam"),
}


def train_one(config, optimiser, arguments, frames, valid):
    """One candidate's row of the table."""
    total = arguments.samples
    schedule = Schedule(arguments.rate, 0.02 * total, 0.6 * total, total)
    settings = Settings(optimiser, schedule, arguments.pairs, average=0.999)
    reference_energy_ev, buckets, valid_buckets = frames[1], frames[2], valid[1]
    state = step.init(jax.random.PRNGKey(arguments.seed), config, settings)
    trainer = Trainer(config, settings, buckets, state, arguments.seed)
    history, samples_per_s = run(
        trainer, valid[0], valid_buckets, reference_energy_ev, arguments.minutes_each, total / 10, total / 4, total,
        logger(None), lambda state: None,
    )
    samples, table = history[-1]
    return {
        "parameters": sum(value.size for value in trainer.state["parameters"].values()),
        "optimiser": optimiser,
        "samples": samples,
        "samples_per_s": round(samples_per_s),
        "compile_s": round(trainer.compile_s, 1),
        **cost.table(config),
        "valid": table,
        "config": dataclasses.asdict(config),
    }


def markdown(rows):
    """Errors are meV/Å (MAE / RMSE) and meV a molecule; operations are millions in one forward pass."""
    groups = list(dict.fromkeys(name for row in rows.values() for name in row["valid"]))
    head = ["student", "parameters", *(f"{kind} M, {size}" for size in cost.EXAMPLES for kind in ("products", "lanes"))]
    head += [f"F {name}" for name in groups] + [f"E {name}" for name in groups] + ["samples/s", "compile s"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name, row in rows.items():
        operations = [f"{row[f'{kind}_million, {size}']:.2f}" for size in cost.EXAMPLES for kind in ("matrix", "lane")]
        valid = lambda pattern: [pattern.format(**row["valid"][g]) if g in row["valid"] else "–" for g in groups]
        cells = [name, f"{row['parameters']:,d}", *operations, *valid("{force_mae:.1f} / {force_rmse:.1f}")]
        cells += [*valid("{energy_mae:.1f}"), f"{row['samples_per_s']:,d}", f"{row['compile_s']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--valid", nargs="+", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="stem of the .json and .md written")
    parser.add_argument("--samples", type=float, default=3e6)
    parser.add_argument("--minutes-each", type=float, default=1e9)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--pairs", type=int, default=384 * 24 * 24)
    parser.add_argument("--buckets", default="24,32")
    parser.add_argument("--valid-frames", type=int, default=4000)
    parser.add_argument("--only", nargs="+", help="names of candidates, or parts of names")
    parser.add_argument("--optimiser", choices=("adam", "muon", "soap"), help="instead of each candidate's own")
    parser.add_argument("--precision", choices=("tensorfloat32", "highest"), default="tensorfloat32")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    jax.config.update("jax_default_matmul_precision", arguments.precision)
    padded = sorted(int(size) for size in arguments.buckets.split(","))
    frames, valid = read_frames(arguments.train, padded[-1]), read_frames(arguments.valid, padded[-1], arguments.valid_frames)
    reference_energy_ev = dataset.fit_reference_energies(frames)
    frames = (frames, reference_energy_ev, dataset.buckets(frames, padded, reference_energy_ev))
    valid = (valid, dataset.buckets(valid, padded, reference_energy_ev))
    print("buckets", {b.size: len(b.frame) for b in frames[2]}, "validation", {b.size: len(b.frame) for b in valid[1]})

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    record, document = arguments.out.with_suffix(".json"), arguments.out.with_suffix(".md")
    rows = json.loads(record.read_text()) if record.exists() else {}
    for name, (config, optimiser) in CANDIDATES.items():
        if arguments.only and not any(part in name for part in arguments.only) or name in rows:
            continue
        print(f"--- {name}", flush=True)
        rows[name] = train_one(config, arguments.optimiser or optimiser, arguments, frames, valid)
        record.write_text(json.dumps(rows, indent=1))
        document.write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
