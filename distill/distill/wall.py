"""Labels of two molecules pushed into each other, where a teacher of bonds and contacts is no guide.

Inside covalent distances AIMNet2's energy turns over and falls: none of the 45 pairs of elements rises all the way, and
a student that learns that has holes that atoms fall into.  From 0.95 down to 0.7 of the sum of two covalent radii its
label therefore gives way to that of two molecules that meet as bare atoms do in a collision,

    E = w E_teacher(AB) + (1 − w) [E_teacher(A) + E_teacher(B) + Σ_{i∈A, j∈B} ZBL(r_ij)]
    w = Π_{i∈A, j∈B} step((r_ij / (R_i + R_j) − 0.7) / 0.25)

with ZBL as in repulsion.py but not switched off, and step rising from 0 to 1 with two vanishing derivatives at both ends.
Where they meet the two agree to a fifth or so (tests/test_wall.py has what is left of dips).  Forces are the gradient.
"""

import dataclasses

import torch

from . import repulsion
from .shards import COVALENT_RADIUS

INNER, OUTER = 0.7, 0.95  # of the sum of the covalent radii
CLOSEST_ANG = 1e-3  # of two atoms at one place


def step(x):
    x = x.clamp(0, 1)
    return x * x * x * (10 - 15 * x + 6 * x * x)


def between(positions, numbers, first):
    """(ZBL energy of all pairs between two molecules (B,) in eV, the teacher's weight w (B,)) of positions (B, N, 3)."""
    real = numbers > 0
    across = (first.unsqueeze(-1) & ~first.unsqueeze(-2)) & (real.unsqueeze(-1) & real.unsqueeze(-2))
    d = positions.unsqueeze(-2) - positions.unsqueeze(-3)
    r = d.square().sum(-1).masked_fill(~across, 1.0).clamp_min(CLOSEST_ANG**2).sqrt()
    radius = torch.as_tensor(COVALENT_RADIUS, dtype=r.dtype)[numbers]
    z = numbers.to(r.dtype)
    root = z.clamp_min(1) ** 0.23
    screening_ang = 0.88534 * repulsion.BOHR_ANG / (root.unsqueeze(-1) + root.unsqueeze(-2))
    x = r / screening_ang
    phi = sum(c * torch.exp(-k * x) for c, k in zip(repulsion.AMPLITUDES, repulsion.EXPONENTS))
    zbl = repulsion.COULOMB_EV_ANG * z.unsqueeze(-1) * z.unsqueeze(-2) / r * phi
    fraction = r / (radius.unsqueeze(-1) + radius.unsqueeze(-2)).clamp_min(1e-3)
    weight = step((fraction - INNER) / (OUTER - INNER)).masked_fill(~across, 1.0)
    return zbl.masked_fill(~across, 0.0).sum((-1, -2)), weight.flatten(1).prod(-1)


def over(teacher, positions, numbers, split, labels):
    """The labels with the wall put in: `split` (B,) atoms of each structure are its first molecule, 0 leaves it as it is."""
    first = torch.arange(numbers.shape[1]) < torch.as_tensor(split).unsqueeze(-1)
    chosen = torch.as_tensor(split) > 0
    chosen[chosen.clone()] = between(positions[chosen].double(), numbers[chosen], first[chosen])[1] < 1
    if not chosen.any():
        return labels
    x, z, first = positions[chosen].double().requires_grad_(True), numbers[chosen], first[chosen]
    zbl, weight = between(x, z, first)
    of_zbl, of_weight = (torch.autograd.grad(value.sum(), x, retain_graph=True)[0] for value in (zbl, weight))
    zbl, weight = zbl.detach(), weight.detach()
    parts = [teacher.label(positions[chosen], z * mask) for mask in (first, ~first)]
    values = dict(vars(labels))
    for member in ("", "_member"):
        energies, forces = values.get(f"energies{member}"), values.get(f"forces{member}")
        if energies is None:
            continue
        apart_ev = zbl + sum(getattr(part, f"energies{member}") for part in parts)
        apart_force = sum(getattr(part, f"forces{member}").double() for part in parts) - of_zbl
        w, wide = weight, weight.view(-1, 1, 1)
        excess = (energies[chosen] - apart_ev).view(-1, 1, 1)
        energies, forces = energies.clone(), forces.clone()
        forces[chosen] = (wide * forces[chosen].double() + (1 - wide) * apart_force - excess * of_weight).to(forces.dtype)
        energies[chosen] = w * energies[chosen] + (1 - w) * apart_ev
        values |= {f"energies{member}": energies, f"forces{member}": forces}
    if values.get("spread") is not None:
        values["spread"] = values["spread"].clone()
        values["spread"][chosen] *= weight.to(values["spread"].dtype)
    return dataclasses.replace(labels, **values)
