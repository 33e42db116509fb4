"""Harmonic frequencies of one molecule at its minimum; `minima` compares them.

Hessians are central differences of analytic forces in f64: with h = 0.002 Å the error is h²/6 of the force's third
derivative, some 10⁻⁵ of a force constant.  Rigid motions are projected out, not sorted away.
"""

import numpy as np

from .shape import rigid_motions
from .shards import starts
from .structures import Structures

DISPLACEMENT_ANG = 0.002
MASS_U = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 15: 30.974, 16: 32.06, 17: 35.45, 35: 79.904}
WAVENUMBER_PER_CM = 521.470898  # √(eV/Å²/u) / 2πc in cm⁻¹


def hessian(field, numbers, positions):
    """(3N, 3N) in eV/Å²; both displacements of every coordinate are one batch."""
    n = len(numbers)
    moves = DISPLACEMENT_ANG * np.concatenate([np.eye(3 * n), -np.eye(3 * n)]).reshape(6 * n, n, 3)
    count = np.zeros(6 * n, int)
    batch = Structures(
        starts(np.full(6 * n, n)), np.tile(numbers, 6 * n), (positions + moves).reshape(-1, 3),
        count, count.astype(float), count, np.array([""]),
    )  # fmt: skip
    force = field(batch)[1].reshape(2, 3 * n, 3 * n)
    second = (force[1] - force[0]) / (2 * DISPLACEMENT_ANG)
    return 0.5 * (second + second.T)


def frequencies(field, numbers, positions):
    """Wavenumbers in cm⁻¹, ascending, without the rigid motions."""
    mass = np.array([MASS_U[int(z)] for z in numbers])
    weight = 1 / np.sqrt(np.repeat(mass, 3))
    rigid = rigid_motions(positions, mass)
    inner = np.linalg.qr(np.concatenate([rigid, np.eye(3 * len(numbers))], 1))[0][:, rigid.shape[1] : 3 * len(numbers)]
    values = np.linalg.eigvalsh(inner.T @ (weight[:, None] * hessian(field, numbers, positions) * weight) @ inner)
    return WAVENUMBER_PER_CM * np.sign(values) * np.sqrt(np.abs(values))
