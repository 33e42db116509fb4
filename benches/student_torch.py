"""The student in PyTorch, eager, forces by autograd: what `cargo bench --bench student` is compared with.

    python benches/student_torch.py tests/data/tiny.safetensors [--check tests/data/tiny.golden.json] [--threads 2]

Same weights, same formulas (pytorch/student.py), batches of equal molecules; the least of many steps.
"""

import argparse
import math
import time

import torch

from pytorch import check
from pytorch.pairs import EdgeList
from pytorch.student import Student


def cloud(atoms):
    random, x = torch.Generator().manual_seed(1), []
    while len(x) < atoms:
        new = torch.randn(3, generator=random) * 1.1 * (atoms / 8) ** (1 / 3)
        if all((new - old).norm() > 1.0 for old in x):
            x.append(new)
    return torch.stack(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--check")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        return print(f"largest difference {check.golden(arguments.weights, arguments.check):.1e} eV/Å")
    student = Student(arguments.weights)
    print("atoms  edges  replicas  molecule-steps/s")
    for atoms, elements in ((12, 2), (21, 3)):
        x = cloud(atoms)
        numbers = [student.elements[atom % elements] for atom in range(atoms)]
        for replicas in (1, 16):
            pairs = EdgeList(student, numbers, x, replicas, skin_ang=0.0)
            batch, least = x.repeat(replicas, 1, 1), math.inf
            for _ in range(200 // replicas + 20):
                start = time.perf_counter()
                student.energies_and_forces(batch, pairs)
                least = min(least, time.perf_counter() - start)
            print(f"{atoms:5d}  {len(pairs.i) // replicas:5d}  {replicas:8d}  {replicas / least:16.0f}", flush=True)


if __name__ == "__main__":
    main()
