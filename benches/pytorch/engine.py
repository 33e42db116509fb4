"""mdrun, called as a user calls it: forces by `mdrun eval`, speeds by `mdrun bench`."""

import json
import pathlib
import statistics
import subprocess
import tempfile

from . import molecules
from .measure import REPETITIONS


def run(arguments, timeout_s=120):
    done = subprocess.run([str(word) for word in arguments], capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-500:]}")
    return done.stdout


def forces(program, path, weights, device, arguments=()):
    """(energy in eV, forces in eV/Å) of a structure file's first frame."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "forces.extxyz"
        run([program, "eval", path, "--model", weights, "--device", device, "--out", out, *arguments])
        _, columns, comment = molecules.read(out)
    energy = next(word for word in comment.split() if word.startswith("energy="))
    return float(energy.removeprefix("energy=")), columns[:, 3:6]


def precisions(program, command):
    """Arguments of every precision that a command offers; none where it has one precision only."""
    offered = "--precision" in run([program, command, "--help"])
    return {name: ["--precision", name] for name in ("mixed", "single")} if offered else {"default": []}


# Of the f32 kernels' speeds these say enough.
SINGLE = (1, 64, 4096)


def profile(program, molecule, weights, device, replicas):
    """The stages of a step, each with its time in one step: [{"stage", "step_us"}, …]."""
    _, path = molecules.find(molecule)
    [row] = json.loads(run([program, "bench", path, "--model", weights, "--device", device, "--json", "--seconds", 0.1,
                            "--replicas", replicas, "--profile"]))
    return row["stages"]


def rows(program, molecule, weights, device, batches, seconds):
    """Medians of five, a row for every batch and precision."""
    name, path = molecules.find(molecule)
    for precision, arguments in precisions(program, "bench").items():
        if precision == "single":
            batches = [count for count in batches if count in SINGLE]
        repeated = ",".join(str(count) for count in batches for _ in range(REPETITIONS))
        results = json.loads(run([program, "bench", path, "--model", weights, "--device", device, "--json", "--seconds", seconds,
                                  "--replicas", repeated, *arguments]))
        for count in batches:
            of_count = [row for row in results if row["replicas"] == count]
            rate = statistics.median(row["molecule_steps_per_s"] for row in of_count)
            yield {"molecule": name, "atoms": of_count[0]["atoms"], "mode": "mdrun", "precision": precision,
                   "layout": "", "replicas": count, "step_s": count / rate, "molecule_steps_per_s": rate}
