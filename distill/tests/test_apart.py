"""Two molecules drawn apart: what lies between them, against closed forms, and how they are placed."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="MOLECULES DRAWN APART ARE NOT TESTED: torch is not installed (requirements.txt has it)")

from distill import apart, dispersion, model, scans
from distill.report import EV_KCAL_MOL
from distill.structures import Structures

HARTREE_KCAL_MOL, BOHR_ANG = 627.5095, 0.529177211


def pair_of_diatomics(apart_ang, length_ang=0.9):
    """HF and OH in line, the bonds along the way from one to the other."""
    x = np.array([0.0, length_ang, apart_ang, apart_ang + length_ang])
    positions = np.stack([x, 0 * x, 0 * x], -1)
    return Structures.of({"pair": [(np.array([1, 9, 8, 1]), positions, apart_ang, 2)]})


def test_far_apart_dipoles_and_inverse_sixth_powers_are_left():
    far, length, charge = 200.0, 0.9, 0.4
    ends = charge * np.array([1.0, -1.0])
    coulomb, d3 = apart.between(pair_of_diatomics(far, length), ends, ends)
    # Two dipoles in line: −2 k μ² / R³, and the next term of the expansion is 2 (length / R)² of it.
    expected = -2 * 14.399645 * (charge * length) ** 2 / far**3 * EV_KCAL_MOL
    assert coulomb[0] == pytest.approx(expected, rel=3 * (length / far) ** 2)
    # −Σ C6 / r⁶ in atomic units; eighth powers add s8 3 ρρ' / r² < 0.4 · 3 · 7 bohr² / r² of it, damping less still.
    c = {z: dispersion.ROOT_C6[z] for z in (1, 8, 9)}
    first, second = ((0.0, c[1]), (length, c[9])), ((far, c[8]), (far + length, c[1]))
    powers = sum(a * b / ((y - x) / BOHR_ANG) ** 6 for x, a in first for y, b in second)
    nearest = (far - length) / BOHR_ANG
    assert d3[0] == pytest.approx(-powers * HARTREE_KCAL_MOL, rel=9 / nearest**2 + 1e-6)


def test_dispersion_is_damped_as_published():
    """D3(BJ) in atomic units (10.1002/jcc.21759), with C8 = 3 C6 ρ ρ' and R0 = √(C8 / C6)."""
    r = np.array([0.0, 1.5, 3.0, 6.0])
    carbon, oxygen = (list(model.ELEMENTS).index(z) for z in (6, 8))
    ours = dispersion.pair_energy(r, *(table[carbon, oxygen] for table in dispersion.pair_tables(model.ELEMENTS)))
    c6, rho2, bohr = 4.69 * 3.39, 3.10493 * 2.59362, r / BOHR_ANG
    c8 = 3 * c6 * rho2
    radius = 0.566 * np.sqrt(c8 / c6) + 3.128
    published = -c6 / (bohr**6 + radius**6) - 0.3908 * c8 / (bohr**8 + radius**8)
    np.testing.assert_allclose(ours * EV_KCAL_MOL, published * HARTREE_KCAL_MOL, rtol=1e-6)
    assert (np.diff(ours) > 0).all()  # it only ever attracts, and is finite where atoms meet


def test_molecules_are_drawn_apart_as_they_are():
    for name, points in scans.apart().items():
        pairs = Structures.of({name: points})
        for which in (False, True):
            x = pairs.parts(which).positions.reshape(len(pairs), -1, 3)
            shape = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
            np.testing.assert_allclose(shape, np.broadcast_to(shape[0], shape.shape), atol=1e-12, err_msg=name)
        closest = np.array([r.min() for r in apart.distances(pairs)])
        assert (np.diff(closest) > 0).all() and closest[0] < 3.1 and closest[-1] > 2 * model.Config().cutoff_ang, name
