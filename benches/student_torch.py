"""The student in PyTorch, eager, forces by autograd: what `cargo bench --bench student` is compared with.

    python benches/student_torch.py tests/data/tiny.safetensors [--check tests/data/tiny.golden.json] [--threads 2]

Same weights, same formulas (distill/distill/model.py), batches of equal molecules; the least of many steps.
"""

import argparse
import json
import math
import time

import torch
from safetensors import safe_open

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35)


class Student:
    def __init__(self, path, dtype):
        with safe_open(path, framework="pt") as file:
            self.config = json.loads(file.metadata()["architecture"])
            self.repulsion = file.metadata()["repulsion"]
            self.w = {name: file.get_tensor(name).to(dtype) for name in file.keys()}

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def mlp(self, name, x):
        return self.linear(f"{name}.out", torch.nn.functional.silu(self.linear(f"{name}.hidden", x)))

    def gate(self, name, z, x):
        if not self.config["gates"]:
            return x
        g = self.w[name][z]
        return x * (g if x.dim() == 2 else g[:, None])

    def norm(self, x):
        return torch.sqrt((x * x).sum(1) + self.config["norm_epsilon"])

    def density(self, name, z, cell, edges):
        """Sums of edges (E, C, K) by receiver and element, times the weights: (N, C, F)."""
        n, c, k = len(z), *edges.shape[1:]
        sums = edges.new_zeros(n * len(ELEMENTS), c, k).index_add(0, cell, edges)
        sums = sums.view(n, len(ELEMENTS), c, k).transpose(1, 2).reshape(n, c, -1)
        return self.gate(f"density.gate_{name}", z, sums @ self.w[f"density.{name}"])

    def core(self, r, z, i, j):
        """1 − s(r / r_sw) of the pairs, 1 without a core."""
        if not self.config.get("core"):
            return 1.0
        radius_ang = json.loads(self.repulsion)["covalent_radius_ang"]
        radius_ang = r.new_tensor([radius_ang[str(number)] for number in ELEMENTS])
        y = (r / (radius_ang[z[i]] + radius_ang[z[j]])).clamp(max=1.0)
        return y**3 * (10 - 15 * y + 6 * y * y)

    def energy(self, z, x, i, j):
        """Learnt energy of all atoms; repulsion and reference energies are left out, to PyTorch's advantage."""
        config, rc = self.config, self.config["cutoff_ang"]
        d = x[j] - x[i]
        r = d.norm(dim=-1)
        u = d / r[:, None]
        k = torch.arange(1, config["radial"] + 1, dtype=x.dtype)
        envelope = math.sqrt(2 / rc) * 0.5 * (1 + torch.cos(math.pi / rc * r)) / r * self.core(r, z, i, j)
        basis = torch.sin(k * (math.pi / rc) * r[:, None]) * envelope[:, None]
        cell = i * len(ELEMENTS) + z[j]
        q = self.w["embedding"][z] + self.density("scalar", z, cell, basis[:, None])[:, 0]
        v = self.density("vector", z, cell, u[..., None] * basis[:, None])
        t = None
        if config["tensor"]:
            a, b, c = u.unbind(1)
            s = math.sqrt(3)
            y = torch.stack([s * a * b, s * b * c, s * c * a, s / 2 * (a * a - b * b), 1.5 * c * c - 0.5], 1)
            t = self.density("tensor", z, cell, y[..., None] * basis[:, None])
        for layer in range(1, config["layers"] + 1):
            if layer > 1:
                name = f"message{layer}"
                messages = self.mlp(f"{name}.phi", q)[j] * (basis @ self.w[f"{name}.filter"])
                a, b, c = messages.chunk(3, -1)
                dq = torch.zeros_like(q).index_add(0, i, a)
                dv = torch.zeros_like(v).index_add(0, i, b[:, None] * u[..., None] + c[:, None] * v[j])
                q = q + self.gate(f"{name}.gate_scalar", z, dq)
                v = v + self.gate(f"{name}.gate_vector", z, dv)
            name, last = f"update{layer}", layer == config["layers"]
            mix_u, mix_v = (v @ self.w[f"{name}.mix"]).chunk(2, -1)
            inputs = [q, self.norm(mix_v)] + ([self.norm(t)] if layer == 1 and t is not None else [])
            a, c, *b = self.mlp(name, torch.cat(inputs, -1)).chunk(2 if last else 3, -1)
            q = q + a + c * (mix_u * mix_v).sum(1)
            if not last:
                v = v + b[0][:, None] * mix_u
        return self.mlp("readout", q).sum()

    def forces(self, z, x, i, j):
        x = x.detach().requires_grad_(True)
        return -torch.autograd.grad(self.energy(z, x, i, j), x)[0]


def pairs(x, cutoff_ang):
    r = torch.cdist(x, x)
    return torch.nonzero((r < cutoff_ang) & ~torch.eye(len(x), dtype=bool), as_tuple=True)


def cloud(atoms):
    random, x = torch.Generator().manual_seed(1), []
    while len(x) < atoms:
        new = torch.randn(3, generator=random) * 1.1 * (atoms / 8) ** (1 / 3)
        if all((new - old).norm() > 1.0 for old in x):
            x.append(new)
    return torch.stack(x)


def check(student, path):
    """Forces of structures without close atoms must be those of the golden file, but for the repulsion."""
    for row in json.load(open(path))["structures"]:
        z = torch.tensor([ELEMENTS.index(number) for number in row["numbers"]])
        x = torch.tensor(row["positions_ang"], dtype=torch.float64)
        forces = student.forces(z, x, *pairs(x, student.config["cutoff_ang"]))
        difference = (forces - torch.tensor(row["forces_ev_ang"], dtype=torch.float64)).abs().max()
        print(f"{row['name']:40s} largest difference {difference:.1e} eV/Å")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--check")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        return check(Student(arguments.weights, torch.float64), arguments.check)
    student = Student(arguments.weights, torch.float32)
    print("atoms  edges  replicas  molecule-steps/s")
    for atoms, elements in ((12, 2), (21, 3)):
        x = cloud(atoms)
        z = torch.arange(atoms) % elements
        i, j = pairs(x, student.config["cutoff_ang"])
        for replicas in (1, 16):
            offset = (torch.arange(replicas) * atoms)[:, None]
            batch = (z.repeat(replicas), x.repeat(replicas, 1), (i + offset).flatten(), (j + offset).flatten())
            least = math.inf
            for _ in range(200 // replicas + 20):
                start = time.perf_counter()
                student.forces(*batch)
                least = min(least, time.perf_counter() - start)
            print(f"{atoms:5d}  {len(i):5d}  {replicas:8d}  {replicas / least:16.0f}", flush=True)


if __name__ == "__main__":
    main()
