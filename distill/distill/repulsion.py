"""Short-range repulsion under the learnt energy: ZBL, switched off inside the covalent distance.

    E = Σ_{i<j} s(r / r_sw) · (k_e z_i z_j / r) · φ(r / a)        r_sw = r_cov,i + r_cov,j
    φ(x) = Σ_n c_n exp(−d_n x),   a = 0.8854 a_0 / (z_i^0.23 + z_j^0.23)

Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (1985); covalent radii: 10.1039/b801115j.
s falls from 1 at r = 0 to 0 at r_sw with two vanishing derivatives at both ends, so the term is C2 and leaves
the distances of ordinary bonds almost to the network.  Nothing here is learnt: two atoms pushed closer than
any training frame still repel.
"""

import jax.numpy as jnp
import numpy as np

COVALENT_RADIUS_ANG = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 15: 1.07, 16: 1.05, 17: 1.02, 35: 1.20}
COULOMB_EV_ANG = 14.399645  # e² / 4πε₀
BOHR_ANG = 0.529177211
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
EXPONENTS = (3.19980, 0.94229, 0.40290, 0.20162)


def pair_tables(elements):
    """(switch distance, charge product in eV·Å, screening length) of every element pair: three (E, E) arrays."""
    z = np.array(elements, float)
    radius = np.array([COVALENT_RADIUS_ANG[int(e)] for e in elements])
    screening = 0.88534 * BOHR_ANG / (z[:, None] ** 0.23 + z[None] ** 0.23)
    return radius[:, None] + radius[None], COULOMB_EV_ANG * z[:, None] * z[None], screening


def switch(x):
    """1 at x ≤ 0, 0 at x ≥ 1, with two continuous derivatives: 1 − 10x³ + 15x⁴ − 6x⁵."""
    x = jnp.clip(x, 0.0, 1.0)
    return 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


def pair_energy(r, switch_ang, charge, screening_ang):
    """Energy of one pair in eV; all arguments may be arrays of one shape."""
    x = r / screening_ang
    phi = sum(c * jnp.exp(-d * x) for c, d in zip(AMPLITUDES, EXPONENTS))
    return switch(r / switch_ang) * charge / r * phi
