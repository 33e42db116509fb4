"""How far two structures of the same atoms are apart, and what motions of a structure change nothing."""

import numpy as np


def rmsd(a, b):
    """Å, over all atoms, after the best rotation and translation (Kabsch, 10.1107/S0567739476001873)."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    s[-1] *= np.sign(np.linalg.det(u @ vt))
    return np.sqrt(max(0.0, ((a * a).sum() + (b * b).sum() - 2 * s.sum()) / len(a)))


def rigid_motions(positions, mass):
    """An orthonormal basis (3N, 6, or 5 of a linear molecule) of translations and rotations, mass-weighted."""
    x = positions - np.average(positions, axis=0, weights=mass)
    root = np.sqrt(mass)[:, None]
    moves = [root * axis for axis in np.eye(3)] + [root * np.cross(axis, x) for axis in np.eye(3)]
    u, s, _ = np.linalg.svd(np.array(moves).reshape(6, -1).T, full_matrices=False)
    return u[:, s > 1e-6 * s[0]]
