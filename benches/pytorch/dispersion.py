"""Dispersion beyond the cut-off, between all pairs of a molecule: formulas and constants of src/student/dispersion.rs.

    E = Σ_{i<j} t(r) p(r)      p = −C6 (1/(r⁶ + R⁶) + Q/(r⁸ + R⁸))      t = x³ (10 − 15x + 6x²), x = 5 r/r_c − 4 in [0, 1]
"""

import torch

HARTREE_EV, BOHR_ANG = 27.211386, 0.529177211
A1, A2_BOHR, S8 = 0.566, 3.128, 0.3908
# √C6 and √(⟨r⁴⟩/⟨r²⟩) of an element, atomic units.
ATOMS = {1: (1.76, 2.00735), 6: (4.69, 3.10493), 7: (4.16, 2.71175), 8: (3.39, 2.59362), 9: (2.67, 2.38825),
         15: (12.32, 4.29728), 16: (11.26, 4.04109), 17: (9.51, 3.72932), 35: (13.01, 4.59090)}


class Dispersion:
    """Constants of a molecule's pairs i < j."""

    def __init__(self, student, numbers):
        self.cutoff_ang = student.config["cutoff_ang"]
        i, j = torch.triu_indices(len(numbers), len(numbers), 1)
        c, rho = torch.tensor([ATOMS[n] for n in numbers], dtype=torch.float64).T
        ratio = 3.0 * rho[i] * rho[j]
        radius_ang = BOHR_ANG * (A1 * torch.sqrt(ratio) + A2_BOHR)
        self.i, self.j = i.to(student.device), j.to(student.device)
        constants = HARTREE_EV * BOHR_ANG**6 * c[i] * c[j], S8 * ratio * BOHR_ANG**2, radius_ang**6, radius_ang**8
        self.constants = [table.to(student.device, student.dtype) for table in constants]

    def energies(self, x):
        """Energies of molecules (B) in eV, f64, from positions (B, N, 3)."""
        c6, ratio, r6_ang, r8_ang = self.constants
        square = (x[:, self.j] - x[:, self.i]).square().sum(-1)
        p = -c6 * (1.0 / (square**3 + r6_ang) + ratio / (square**4 + r8_ang))
        t = torch.clamp(torch.sqrt(square) * (5.0 / self.cutoff_ang) - 4.0, 0.0, 1.0)
        return (t * t * t * (10.0 - 15.0 * t + 6.0 * t * t) * p).double().sum(1)
