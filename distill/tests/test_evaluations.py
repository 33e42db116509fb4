"""What the evaluations are made of, against closed forms."""

import numpy as np
import pytest

from distill import frequencies, stability
from distill.minimise import minimise
from distill.shape import rmsd
from distill.structures import Structures

STIFFNESS_EV_ANG2, LENGTH_ANG = 30.0, 1.1


def springs(structures):
    """Neighbours in a chain joined by springs: minima at every bond equal to LENGTH_ANG, whatever the angles."""
    energies, forces = np.zeros(len(structures)), np.zeros_like(structures.positions)
    for k in range(len(structures)):
        x = structures.positions[structures.atoms(k)]
        d = np.diff(x, axis=0)
        r = np.linalg.norm(d, axis=-1)
        energies[k] = 0.5 * STIFFNESS_EV_ANG2 * ((r - LENGTH_ANG) ** 2).sum()
        pull = (STIFFNESS_EV_ANG2 * (r - LENGTH_ANG) / r)[:, None] * d
        forces[structures.atoms(k)][:-1] += pull
        forces[structures.atoms(k)][1:] -= pull
    return energies, forces


def chains():
    random = np.random.default_rng(0)
    rows = [(np.full(n, 6), np.cumsum(random.normal(size=(n, 3)), 0), n, 1) for n in (2, 3, 5, 9)]
    return Structures.of({"short": rows[:2], "long": rows[2:]})


def test_structures_are_taken_apart_and_written(tmp_path):
    whole = chains()
    assert whole.group.tolist() == [0, 0, 1, 1] and whole.sizes.tolist() == [2, 3, 5, 9]
    assert whole.parts(False).sizes.tolist() == [1] * 4 and whole.parts(True).sizes.tolist() == [1, 2, 4, 8]
    part = whole.take([2, 0])
    assert part.value.tolist() == [5, 2]
    np.testing.assert_array_equal(part.positions, whole.positions[[*range(5, 10), 0, 1]])
    whole.write(tmp_path / "x.npz")
    np.testing.assert_array_equal(Structures.read(tmp_path / "x.npz").positions, whole.positions)


def test_minimise_reaches_every_minimum():
    found, energies, converged = minimise(springs, chains())
    assert converged.all()
    # A force below 2e-4 eV/Å on springs of 30 eV/Å² leaves k x²/2 below 1e-9 eV a spring.
    assert energies.max() < 1e-8
    np.testing.assert_allclose(springs(found)[1], 0, atol=2e-4)


def test_frequency_of_two_atoms():
    """√(k/μ), and none of the five rigid motions of a line."""
    found = frequencies.frequencies(springs, np.array([6, 8]), np.array([[0, 0, 0], [0, 0.66, 0.88]]))
    reduced = 12.011 * 15.999 / (12.011 + 15.999)
    # central differences: h²/6 of the fourth derivative, which across a stretched spring is of order k/r²
    assert found == pytest.approx([frequencies.WAVENUMBER_PER_CM * np.sqrt(STIFFNESS_EV_ANG2 / reduced)], rel=1e-5)


def test_rmsd_knows_rotations_but_not_reflections():
    random = np.random.default_rng(2)
    x = random.normal(size=(6, 3))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    assert rmsd(x, x @ turn + 3) < 1e-7
    assert rmsd(x, -x) > 0.1


def test_a_broken_bond_counts_after_a_while_and_an_early_end_at_once(tmp_path):
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    trajectory = np.tile(water, (40, 1, 1)).astype(np.float32)
    trajectory[5:8, 1, 0] = 2.0  # 60 fs
    numbers = np.array([8, 1, 1])
    different = stability.changed(trajectory, numbers, water)
    assert np.flatnonzero(different).tolist() == [5, 6, 7] and stability.broken_at(different, 40) is None
    assert stability.broken_at(different, 41) == 40
    trajectory[20:, 1, 0] = 2.0
    assert stability.broken_at(stability.changed(trajectory, numbers, water), 40) == 20

    framed = np.zeros((40, 3, 5), np.float32)
    framed[:, :, 1:-1] = trajectory.transpose(0, 2, 1)
    (tmp_path / "x.dcd").write_bytes(bytes(stability.DCD_HEADER_BYTES) + framed.tobytes())
    np.testing.assert_array_equal(stability.read_dcd(tmp_path / "x.dcd", 3), trajectory)


def test_other_atoms_keep_out_of_the_way_of_those_that_approach():
    """Two methanes face to face: staggered, their hydrogens pass at 1 Å or so; eclipsed they would run through each other."""
    scans = pytest.importorskip("distill.scans")
    for numbers, x, fraction, split in scans.approach(6, 6):
        assert np.linalg.norm(x[split] - x[0]) == pytest.approx(fraction * 1.52)
        hydrogens = np.linalg.norm(x[1:split, None] - x[None, split + 1 :], axis=-1)
        assert hydrogens.min() > 0.85
