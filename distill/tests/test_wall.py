"""The wall between two molecules: its gradient, where it begins, and what of the teacher is left."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="THE WALL IS NOT TESTED: torch is not installed (requirements.txt has it)")

from distill import special, wall
from distill.teacher import Labels

WATER = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
NUMBERS = torch.tensor([[8, 1, 1, 8, 1, 1, 0]])


class Springs:
    """A teacher: every pair of atoms joined by a spring of 0.5 eV/Å² and 2 Å."""

    def label(self, positions, numbers):
        x = positions.double().detach().requires_grad_(True)
        pair = (numbers > 0).unsqueeze(-1) & (numbers > 0).unsqueeze(-2) & ~torch.eye(numbers.shape[1], dtype=torch.bool)
        r = (x.unsqueeze(-2) - x.unsqueeze(-3)).square().sum(-1).masked_fill(~pair, 4.0).sqrt()
        energies = 0.125 * ((r - 2) ** 2).sum((-1, -2))
        (gradient,) = torch.autograd.grad(energies.sum(), x)
        return Labels(energies.detach(), -gradient, spread=torch.ones(len(numbers)))


def two_waters(distance_ang):
    """O…O apart by so much, the hydrogens of both behind."""
    turn = np.diag([-1.0, -1.0, 1.0])
    second = WATER @ special.rotation_about(np.array([0.2, 1.0, 0.3]), 0.4).T @ turn + [-distance_ang, -0.1, 0.05]
    return torch.from_numpy(np.concatenate([WATER, second, np.zeros((1, 3))]))[None]


def labelled(positions, split=3):
    labels = Springs().label(positions, NUMBERS)
    return wall.over(Springs(), positions, NUMBERS, np.array([split]), labels)


def test_forces_are_the_gradient():
    for distance_ang in (0.9, 1.1, 1.2):
        x = two_waters(distance_ang)
        forces, h = labelled(x).forces[0], 1e-5
        for atom, axis in ((0, 0), (3, 0), (4, 1), (1, 2)):
            moves = []
            for sign in (1, -1):
                moved = x.clone()
                moved[0, atom, axis] += sign * h
                moves.append(labelled(moved).energies[0])
            # central differences of a function of some 100 eV, rounded at 1e-14 of that: 1e-7 eV/Å
            assert forces[atom, axis].item() == pytest.approx(-(moves[0] - moves[1]).item() / (2 * h), rel=1e-6, abs=1e-5)


def test_it_begins_at_its_outer_edge_and_is_alone_inside_the_inner_one():
    contact_ang = 2 * 0.66
    for fraction, weight in ((0.96, 1.0), (0.69, 0.0)):
        x = two_waters(fraction * contact_ang)
        gap = torch.linalg.norm(x[0, 0] - x[0, 3]).item() / contact_ang
        assert (gap > wall.OUTER) == (weight == 1.0) and (gap < wall.INNER) == (weight == 0.0)
        plain, found = Springs().label(x, NUMBERS), labelled(x)
        apart = [Springs().label(x, NUMBERS * mask) for mask in (torch.tensor([[1, 1, 1, 0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1, 1, 1, 1]]))]
        zbl, found_weight = wall.between(x, NUMBERS, torch.tensor([[True] * 3 + [False] * 4]))
        expected = plain.energies if weight else apart[0].energies + apart[1].energies + zbl
        assert found_weight.item() == pytest.approx(weight, abs=1e-12)
        assert found.energies.item() == pytest.approx(expected.item(), rel=1e-12)
        assert found.spread.item() == weight


def test_single_molecules_are_left_alone():
    x = two_waters(0.9)
    assert labelled(x, split=0).energies.item() == Springs().label(x, NUMBERS).energies.item()
    assert labelled(x).energies.item() > 10 + Springs().label(x, NUMBERS).energies.item()


def test_zbl_is_that_of_the_student():
    """Two bare atoms inside the switch, where repulsion.py times 1/switch is the same."""
    from distill import repulsion

    x = torch.tensor([[[0.0, 0, 0], [0.7, 0, 0]]], dtype=torch.float64)
    ours, _ = wall.between(x, torch.tensor([[6, 8]]), torch.tensor([[True, False]]))
    switch_ang, charge, screening_ang = (table[1, 3] for table in repulsion.pair_tables((1, 6, 7, 8)))
    theirs = repulsion.pair_energy(0.7, switch_ang, charge, screening_ang) / repulsion.switch(0.7 / switch_ang)
    assert ours.item() == pytest.approx(float(theirs), rel=1e-5)  # theirs is in single precision
