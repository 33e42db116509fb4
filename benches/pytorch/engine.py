"""mdrun, called as a user calls it: forces by `mdrun eval`, speeds by `mdrun bench`."""

import json
import pathlib
import statistics
import subprocess
import tempfile

from . import molecules

PRECISIONS = ("mixed", "single")


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


def bench(program, molecule, model, device, counts, seconds, *arguments):
    """Rows of `mdrun bench` as it prints them."""
    words = [program, "bench", molecules.find(molecule)[1], "--model", model, "--device", device, "--json", "--seconds", seconds]
    return json.loads(run([*words, "--replicas", ",".join(map(str, counts)), *arguments], timeout_s=60))


def profile(program, molecule, model, device, replicas, arguments=()):
    """The stages of a step, each with its time in one step: [{"stage", "step_us"}, …]."""
    [row] = bench(program, molecule, model, device, [replicas], 0.05, "--profile", *arguments)
    return row["stages"]


def rows(program, molecule, model, device, precision, often, seconds):
    """Medians, a row for every batch; `often` is {replicas: measurements}, `model` what --model takes."""
    name, _ = molecules.find(molecule)
    results = bench(program, molecule, model, device, [count for count, times in often.items() for _ in range(times)], seconds,
                    "--precision", precision)
    for count in often:
        of_count = [row for row in results if row["replicas"] == count]
        rate = statistics.median(row["molecule_steps_per_s"] for row in of_count)
        yield {"molecule": name, "atoms": of_count[0]["atoms"], "mode": "mdrun", "student": pathlib.Path(str(model)).stem,
               "precision": precision, "layout": "", "replicas": count, "measurements": len(of_count),
               "step_s": count / rate, "molecule_steps_per_s": rate}
