"""Dispersion of two atoms by D3 with the damping of Becke and Johnson (10.1002/jcc.21759), its C6 one product a pair of elements.

    E = −C6 (1 / (r⁶ + R⁶) + s8 · 3 ρ_i ρ_j / (r⁸ + R⁸))        R = a1 √(3 ρ_i ρ_j) + a2        C6 = c_i c_j

a1, a2 and s8 are the teacher's, ρ is the published √(⟨r⁴⟩/⟨r²⟩) of the element.  D3's C6 depend on how an atom is bound; c² is
the mean of pairs of one element 5 Å and more apart in `valid`.  C6 of single pairs have standard deviations of up to 11 % (two
carbons), and products are up to 5 % too large among H, C, N and O, up to 11 % (F with S) otherwise.
"""

import numpy as np

from . import repulsion

HARTREE_EV = 27.211386
A1, A2_BOHR, S8 = 0.566, 3.128, 0.3908
# c = √C6 and ρ in atomic units, by element: H C N O F P S Cl Br
ROOT_C6 = {1: 1.76, 6: 4.69, 7: 4.16, 8: 3.39, 9: 2.67, 15: 12.32, 16: 11.26, 17: 9.51, 35: 13.01}
RHO_BOHR = {1: 2.00735, 6: 3.10493, 7: 2.71175, 8: 2.59362, 9: 2.38825, 15: 4.29728, 16: 4.04109, 17: 3.72932, 35: 4.59090}


def pair_tables(elements):
    """(C6 in eV Å⁶, s8 · 3 ρ_i ρ_j in Å², R in Å) of every element pair: three (E, E) arrays."""
    root_c6 = np.array([ROOT_C6[int(e)] for e in elements])
    rho = np.array([RHO_BOHR[int(e)] for e in elements])
    ratio = 3.0 * rho[:, None] * rho[None]
    bohr = repulsion.BOHR_ANG
    c6 = HARTREE_EV * bohr**6 * root_c6[:, None] * root_c6[None]
    return c6, S8 * ratio * bohr**2, bohr * (A1 * np.sqrt(ratio) + A2_BOHR)


def pair_energy(r, c6, ratio, radius):
    """Energy of one pair in eV; all arguments may be arrays of one shape."""
    return -c6 * (1.0 / (r**6 + radius**6) + ratio / (r**8 + radius**8))


def switched_energy(r, c6, ratio, radius, cutoff_ang):
    """The same as the student has it: nothing below 4/5 of the cut-off, where the network sees the pair well, whole from
    the cut-off on, with two continuous derivatives."""
    return (1.0 - repulsion.switch(5.0 * r / cutoff_ang - 4.0)) * pair_energy(r, c6, ratio, radius)
