"""Speed on a CPU against atoms and replicas, and PyTorch eager beside it with the same weights, in one run.

    python benches/cpu_speed.py target/release/mdrun models/default.safetensors --name "AMD EPYC 9R14" [--out benches/results]

Steps of mdrun are energy, forces and a Langevin step; PyTorch does energy and forces by autograd of all replicas in one
batch, with its pairs listed once.  Both use all cores.  They take turns in short windows, and the fastest of each counts:
on a shared machine it is the only steady figure.  Straight alkanes give sizes from 11 to 98 atoms of one kind of molecule.
benches/plots.py draws the JSON, which is named by the hardware and, unless it is `default`, the student.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile
import time

import torch

from pytorch.molecules import FILES, read
from pytorch.pairs import EdgeList
from pytorch.student import Student

CARBONS = (3, 6, 10, 16, 24, 32)
REPLICAS = {"benzene": (1, 2, 4, 16, 64, 256, 1000), "aspirin": (1, 4, 16, 64, 256, 1000), "loratadine": (1, 4, 16, 64, 256)}
PYTORCH_REPLICAS = (1, 4, 16, 64)


def alkane(carbons):
    """(symbols, positions in Å) of a straight chain: C–C 1.53 Å and 112°, C–H 1.09 Å."""
    half, atoms = math.radians(112 / 2), []
    step, rise = 1.53 * math.sin(half), 1.53 * math.cos(half)
    out, side = 1.09 * math.cos(math.radians(54)), 1.09 * math.sin(math.radians(54))
    for n in range(carbons):
        up = 1 if n % 2 else -1
        x, y = n * step, up * rise / 2
        atoms += [("C", (x, y, 0.0)), ("H", (x, y + up * out, side)), ("H", (x, y + up * out, -side))]
        for end, along in ((0, -1), (carbons - 1, 1)):
            if n == end:
                atoms.append(("H", (x + along * 1.09 * math.sin(half), y - up * 1.09 * math.cos(half), 0.0)))
    return atoms


def write_xyz(path, atoms):
    lines = [f"{symbol} {x:.4f} {y:.4f} {z:.4f}" for symbol, (x, y, z) in atoms]
    path.write_text(f"{len(atoms)}\n\n" + "\n".join(lines) + "\n")
    return path


def mdrun(program, weights, path, replicas, seconds):
    words = [program, "bench", path, "--model", weights, "--device", "cpu", "--json"]
    words += ["--replicas", str(replicas), "--seconds", str(seconds)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)[0]["molecule_steps_per_s"]


def pytorch(student, path, replicas, seconds):
    numbers, columns, _ = read(path)
    start = columns[:, :3].float()
    pairs, batch, least = EdgeList(student, numbers, start, replicas, skin_ang=0.0), start.repeat(replicas, 1, 1), math.inf
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or least == math.inf:
        begin = time.perf_counter()
        student.energies_and_forces(batch, pairs)
        least = min(least, time.perf_counter() - begin)
    return replicas / least


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("weights")
    parser.add_argument("--name", required=True, help="the CPU's model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent / "results")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    student, best = Student(arguments.weights), {}

    def keep(rate, molecule, atoms, replicas, mode):
        key = (molecule, atoms, replicas, mode)
        best[key] = max(best.get(key, 0.0), rate)

    with tempfile.TemporaryDirectory() as folder:
        files = {name: FILES[name] for name in REPLICAS}
        for carbons in CARBONS:
            name = f"C{carbons}H{2 * carbons + 2}"
            files[name] = write_xyz(pathlib.Path(folder) / f"{name}.xyz", alkane(carbons))
        for turn in range(arguments.rounds):
            for molecule, path in files.items():
                atoms = int(pathlib.Path(path).read_text().split()[0])
                for replicas in REPLICAS.get(molecule, (1, 16)):
                    rate = mdrun(arguments.program, arguments.weights, path, replicas, arguments.seconds)
                    keep(rate, molecule, atoms, replicas, "mdrun")
                for replicas in PYTORCH_REPLICAS if molecule in REPLICAS else (1, 16):
                    rate = pytorch(student, path, replicas, arguments.seconds)
                    keep(rate, molecule, atoms, replicas, "eager")
            print(f"round {turn + 1} of {arguments.rounds}", flush=True)
    rows = [
        {"molecule": molecule, "atoms": atoms, "replicas": replicas, "mode": mode, "precision": "default", "molecule_steps_per_s": round(rate, 1)}
        for (molecule, atoms, replicas, mode), rate in sorted(best.items(), key=lambda item: (item[0][1], item[0]))
    ]
    hardware = {"name": arguments.name, "cores": cores}
    data = {"hardware": hardware, "torch": torch.__version__, "weights": pathlib.Path(arguments.weights).name, "rows": rows}
    word = "_".join(arguments.name.lower().replace("(", "").replace(")", "").replace(",", "").split())
    student = pathlib.Path(arguments.weights).stem
    path = arguments.out / f"cpu_speed_{'' if student == 'default' else student + '_'}{word}.json"
    text = json.dumps(data | {"rows": []}, indent=1)
    path.write_text(text.replace('"rows": []', '"rows": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]") + "\n")
    print(path)


if __name__ == "__main__":
    main()
