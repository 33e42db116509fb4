"""The student in PyTorch, written as a user of PyTorch would write it: tensors, autograd, no kernels of its own.

Weights and formulas are those of distill/distill/model.py and repulsion.py; each stage of the engine is one method, so
that it can be timed alone.  How pairs of atoms lie in memory is left to pairs.py: an array of pairs has the leading shape
P, which is (edges,) in a list and (B, N, N) with all pairs.  B replicas of N atoms, M = B N rows, F channels, K radial
functions, E elements.
"""

import json
import math

import torch
from safetensors import safe_open
from torch.nn.functional import linear, silu


class Student:
    """The network of a safetensors file in f64, f32 or, for products under autocast, fp16."""

    def __init__(self, path, device="cpu", dtype=torch.float32, products=None):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        self.config = json.loads(metadata["architecture"])
        if self.config["first"] != "density":
            raise ValueError(f"{path}: a first layer by {self.config['first']!r} is not written here")
        self.elements = json.loads(metadata["elements"])
        self.repulsion = json.loads(metadata["repulsion"])
        self.reference_ev = tensors.pop("reference_energy").double().to(device)
        self.w = {}
        for name, tensor in tensors.items():
            is_table = "gate" in name or name == "embedding"
            # torch.nn.Linear keeps its matrices as (out, in).
            tensor = tensor if is_table or tensor.dim() == 1 else tensor.T.contiguous()
            self.w[name] = tensor.to(device, dtype if is_table or products is None else products)
        self.harmonic = torch.arange(1, self.config["radial"] + 1, device=device, dtype=dtype)
        self.device, self.dtype = torch.device(device), dtype

    def species(self, numbers):
        """Rows of the tables for atomic numbers."""
        return torch.tensor([self.elements.index(number) for number in numbers], device=self.device)

    def perceptron(self, name, x):
        hidden = silu(linear(x, self.w[f"{name}.hidden.weight"], self.w[f"{name}.hidden.bias"]))
        return linear(hidden, self.w[f"{name}.out.weight"], self.w[f"{name}.out.bias"])

    def gate(self, name, z, x):
        if name not in self.w:
            return x
        gate = self.w[name][z]
        return x * (gate if x.dim() == 2 else gate[:, None])

    def norm(self, x):
        return torch.sqrt((x * x).sum(1) + self.config["norm_epsilon"])

    def geometry(self, x, pairs):
        """r (P), u (P, 3) and who is a pair (P); r is one where there is none, before the root, so that no slope is NaN."""
        d = pairs.differences(x)
        square = (d * d).sum(-1)
        real = square < self.config["cutoff_ang"] ** 2
        if pairs.distinct is not None:
            real = real & pairs.distinct
        r = torch.sqrt(torch.where(real, square, 1.0))
        return r, d / r[..., None], real

    def switch(self, r, pairs):
        """1 − 10x³ + 15x⁴ − 6x⁵, x = r / (sum of covalent radii), clipped to [0, 1]."""
        x = torch.clamp(r / pairs.switch_ang, 0.0, 1.0)
        return 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)

    def radial(self, r, real, pairs):
        """B (P, K) = √(2/r_c) sin(kπr/r_c)/r ½(1 + cos(πr/r_c)), with `core` times 1 − switch."""
        angle = (math.pi / self.config["cutoff_ang"]) * r
        envelope = math.sqrt(2.0 / self.config["cutoff_ang"]) * 0.5 * (1.0 + torch.cos(angle)) / r
        if self.config.get("core"):
            envelope = envelope * (1.0 - self.switch(r, pairs))
        envelope = torch.where(real, envelope, 0.0)
        return torch.sin(angle[..., None] * self.harmonic) * envelope[..., None]

    def directions(self, u):
        """1, u and with `tensor` the traceless part of u ⊗ u: (P, 4) or (P, 9)."""
        parts = [torch.ones_like(u[..., :1]), u]
        if self.config["tensor"]:
            x, y, z = u.unbind(-1)
            s = math.sqrt(3.0)
            second = (s * x * y, s * y * z, s * z * x, 0.5 * s * (x * x - y * y), 1.5 * z * z - 0.5)
            parts.append(torch.stack(second, -1))
        return torch.cat(parts, -1)

    def filters(self, basis):
        """B W of every layer but the first: (P, 3F) each."""
        return [linear(basis, self.w[f"message{layer}.filter"]) for layer in range(2, self.config["layers"] + 1)]

    def density(self, basis, directions, z, pairs):
        """First layer: q (M, F), v (M, 3, F) and t (M, 5, T) or None from sums of B Y by the neighbours' element."""
        with torch.autocast(self.device.type, enabled=False):
            sums = pairs.sums_by_element(directions, basis)  # (M, 9, E K)
        q = linear(sums[:, 0], self.w["density.scalar"])
        v = linear(sums[:, 1:4], self.w["density.vector"])
        q = self.w["embedding"][z] + self.gate("density.gate_scalar", z, q)
        v = self.gate("density.gate_vector", z, v)
        if not self.config["tensor"]:
            return q, v, None
        return q, v, self.gate("density.gate_tensor", z, linear(sums[:, 4:], self.w["density.tensor"]))

    def message(self, layer, q, v, u, filters, z, pairs):
        """q += g Σ_j a, v += g' Σ_j (b u + c v_j), with a, b, c = φ(q_j) ⊙ filters."""
        name = f"message{layer}"
        a, b, c = (pairs.of_senders(self.perceptron(f"{name}.phi", q)) * filters).chunk(3, -1)
        dv = pairs.sums(b[..., None, :] * u[..., :, None] + c[..., None, :] * pairs.of_senders(v))
        q = q + self.gate(f"{name}.gate_scalar", z, pairs.sums(a))
        return q, v + self.gate(f"{name}.gate_vector", z, dv)

    def update(self, layer, q, v, t):
        """q += a + c ⊙ (U·V), v += b ⊙ U, with a, c, b = σ(q, |V|, |t|); the last layer has no b, the later ones no t."""
        name, last = f"update{layer}", layer == self.config["layers"]
        mix_u, mix_v = linear(v, self.w[f"{name}.mix"]).chunk(2, -1)
        inputs = [q, self.norm(mix_v)] + ([self.norm(t)] if layer == 1 and t is not None else [])
        a, c, *b = self.perceptron(name, torch.cat(inputs, -1)).chunk(2 if last else 3, -1)
        q = q + a + c * (mix_u * mix_v).sum(1)
        return q, v if last else v + b[0][:, None] * mix_u

    def readout(self, q):
        """Energy of every atom (M)."""
        return self.perceptron("readout", q)[:, 0]

    def repel(self, r, real, pairs):
        """Half the repulsion of every pair (P): ½ s(r / r_sw) (q / r) Σ c exp(−d r / l)."""
        x = r / pairs.screening_ang
        terms = zip(self.repulsion["amplitudes"], self.repulsion["exponents"])
        phi = sum(amplitude * torch.exp(-exponent * x) for amplitude, exponent in terms)
        return torch.where(real, 0.5 * self.switch(r, pairs) * pairs.charge_ev_ang / r * phi, 0.0)

    def disperse(self, x, pairs):
        """Dispersion of replicas (B), which is between all atoms of a molecule; zero without the word in the file."""
        return 0.0 if pairs.dispersion is None else pairs.dispersion.energies(x)

    def energies(self, x, pairs):
        """Energies of replicas (B) in eV, f64, from positions (B, N, 3) in Å."""
        replicas, atoms, _ = x.shape
        z = pairs.species.repeat(replicas)
        r, u, real = self.geometry(x, pairs)
        basis = self.radial(r, real, pairs)
        q, v, t = self.density(basis, self.directions(u), z, pairs)
        for layer in range(1, self.config["layers"] + 1):
            if layer > 1:
                filters = linear(basis, self.w[f"message{layer}.filter"])
                q, v = self.message(layer, q, v, u, filters, z, pairs)
            q, v = self.update(layer, q, v, t)
        of_atoms = self.readout(q).view(replicas, atoms).double().sum(1)
        of_pairs = pairs.sums(self.repel(r, real, pairs)).view(replicas, atoms).double().sum(1)
        return of_atoms + of_pairs + self.disperse(x, pairs) + self.reference_ev[pairs.species].sum()

    def energies_and_forces(self, x, pairs):
        """Energies (B) in eV and forces (B, N, 3) in eV/Å by autograd."""
        x = x.detach().requires_grad_(True)
        energies = self.energies(x, pairs)
        return energies.detach(), -torch.autograd.grad(energies.sum(), x)[0]
