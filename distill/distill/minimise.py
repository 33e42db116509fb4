"""Local minima of many structures at once: L-BFGS (Liu and Nocedal, 10.1007/BF01589116) with a limit on every step.

There is no line search.  A step that raises the energy is taken back, and the structure goes on by steepest descent with
half the step limit, which grows again as steps succeed.  Flat arrays: sums over a structure's atoms are segment sums,
and only structures that have not converged are evaluated.
"""

import numpy as np

MEMORY = 12
STEP_MAX_ANG = 0.15
FIRST_CURVATURE_EV_ANG2 = 30.0  # 1/this is the first step per force
SLACK_EV = 1e-9  # rounding of energies of 10⁵ eV


def minimise(field, structures, force_max_ev_ang=2e-4, steps_max=1500, log=None):
    """(structures at their minima, energies (M,), whether converged (M,))."""
    m, owner = len(structures), structures.owner
    total = lambda a, b: np.bincount(owner, (a * b).sum(-1), minlength=m)
    largest = lambda a: np.sqrt(np.maximum.reduceat((a * a).sum(-1), structures.first[:-1]))
    x = structures.positions.copy()
    energy, force = field(structures)
    memory = []  # (s, y, 1/(s·y) or zero), the newest first
    scale, limit = np.full(m, 1 / FIRST_CURVATURE_EV_ANG2), np.full(m, STEP_MAX_ANG)
    active = largest(force) > force_max_ev_ang
    for step in range(steps_max):
        if not active.any():
            break
        move = _direction(force, memory, scale, owner, total)
        uphill = total(move, force) <= 0
        move = np.where(uphill[owner, None], scale[owner, None] * force, move)
        move *= (active * np.minimum(1, limit / np.maximum(largest(move), 1e-30)))[owner, None]
        trial_energy, trial_force = energy.copy(), force.copy()
        chosen = np.flatnonzero(active)
        atoms = active[owner]
        trial_energy[chosen], trial_force[atoms] = field(structures.moved(x + move).take(chosen))
        better = active & (trial_energy <= energy + SLACK_EV)
        worse = active & ~better

        y = force - trial_force
        curvature = total(move, y)
        good = better & (curvature > 1e-12)
        memory = [(move, y, np.where(good, 1 / np.where(good, curvature, 1), 0)), *memory[: MEMORY - 1]]
        for _, _, inverse in memory:
            inverse[worse] = 0
        scale = np.where(good, curvature / np.maximum(total(y, y), 1e-30), scale)
        limit = np.clip(np.where(worse, 0.5 * limit, 1.2 * limit), 1e-6, STEP_MAX_ANG)
        x = np.where(better[owner, None], x + move, x)
        force = np.where(better[owner, None], trial_force, force)
        energy = np.where(better, trial_energy, energy)
        active = (largest(force) > force_max_ev_ang) & (limit > 2e-6)
        if log and step % 100 == 99:
            log(f"  {step + 1} steps, {int(active.sum())} of {m} not yet at their minimum")
    return structures.moved(x), energy, largest(force) <= force_max_ev_ang


def _direction(force, memory, scale, owner, total):
    """The two loops of L-BFGS: the inverse Hessian that the memory implies, times the force."""
    q, alphas = force.copy(), []
    for s, y, inverse in memory:
        alphas.append(inverse * total(s, q))
        q -= alphas[-1][owner, None] * y
    q *= scale[owner, None]
    for (s, y, inverse), alpha in zip(reversed(memory), reversed(alphas)):
        q += (alpha - inverse * total(y, q))[owner, None] * s
    return q
