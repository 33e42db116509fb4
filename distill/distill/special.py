"""Structures that dynamics visits too rarely: one function a kind, each returning positions, or None if it did not work.

Molecules are (numbers, positions, bonds) with numpy arrays; a pair of molecules is one structure, the second after
the first.
"""

import numpy as np

from .shards import COVALENT_RADIUS, KINDS

TRIALS = 12
# Chances of an element of a molecule to be the one squeezed: so all nine are about equally often (tests/test_sample.py).
RARITY = {1: 2, 6: 3, 7: 3, 8: 3, 9: 10, 15: 6, 16: 5, 17: 13, 35: 12}
HYDROGEN_BONDING = (7, 8, 9, 16, 17)  # donors X of X-H, and acceptors


def random_rotation(rng):
    """A uniformly distributed rotation matrix, from a random unit quaternion."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_about(axis, angle):
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def rotation_onto(source, target, rng):
    """A rotation that takes the direction of `source` to that of `target`, with a random spin about it."""
    source, target = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis, c = np.cross(source, target), source @ target
    if np.linalg.norm(axis) < 1e-6:
        across = np.cross(source, rng.normal(size=3))
        turn = np.eye(3) if c > 0 else rotation_about(across, np.pi)
    else:
        turn = rotation_about(axis, np.arccos(np.clip(c, -1, 1)))
    return rotation_about(target, rng.uniform(0, 2 * np.pi)) @ turn


def tilted(direction, angle_max, rng):
    """`direction` turned by at most angle_max about a random axis across it."""
    across = np.cross(direction, rng.normal(size=3))
    return rotation_about(across, rng.uniform(0, angle_max)) @ direction


def distances(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def neighbours(n, bonds):
    table = [[] for _ in range(n)]
    for i, j in bonds:
        table[i].append(int(j))
        table[j].append(int(i))
    return table


def side(table, i, j):
    """The atoms on j's side of the bond i-j, as a mask, or None if the bond is in a ring."""
    seen, todo = {j}, [k for k in table[j] if k != i]
    while todo:
        k = todo.pop()
        if k == i:
            return None
        if k not in seen:
            seen.add(k)
            todo.extend(table[k])
    mask = np.zeros(len(table), bool)
    mask[list(seen)] = True
    return mask


def outward(molecule, table, atom, angle_max, rng):
    """A direction in which an atom is open: away from its neighbours, tilted by at most angle_max."""
    around = molecule[1][table[atom]] - molecule[1][atom]
    away = -around.sum(0) if len(around) else rng.normal(size=3)
    if np.linalg.norm(away) < 0.4:  # a planar or a tetrahedral centre: across the plane of two neighbours, or anywhere
        away = np.cross(around[0], around[1]) if len(around) == 3 else rng.normal(size=3)
    return tilted(away / np.linalg.norm(away), angle_max, rng)


def rattled(molecule, rng):
    _, positions, _ = molecule
    sigma = rng.choice([0.0, 1.0], p=[0.15, 0.85]) * rng.uniform(0.02, 0.1)
    return positions + sigma * rng.normal(size=positions.shape)


def torsion(molecule, rng):
    """One to three single, acyclic bonds turned by any angle, if no two atoms on different sides then overlap."""
    numbers, positions, bonds = molecule
    table = neighbours(len(numbers), bonds)
    length = np.linalg.norm(positions[bonds[:, 0]] - positions[bonds[:, 1]], axis=-1)
    radii = COVALENT_RADIUS[numbers]
    # Double bonds are shorter than 0.9 of the sum of the single-bond radii; conjugated single bonds are longer.
    single = length > 0.9 * radii[bonds].sum(-1)
    candidates = [(i, j) for (i, j), s in zip(bonds, single) if s and len(table[i]) > 1 and len(table[j]) > 1]
    candidates = [(i, j, mask) for i, j in candidates if (mask := side(table, i, j)) is not None]
    if not candidates:
        return None
    near = bonded_within(table, 2)
    for _ in range(TRIALS):
        x = positions.copy()
        for k in rng.permutation(len(candidates))[: rng.integers(1, 4)]:
            i, j, mask = candidates[k]
            turn = rotation_about(x[j] - x[i], rng.uniform(-np.pi, np.pi))
            x[mask] = (x[mask] - x[j]) @ turn.T + x[j]
        gap = distances(x, x) - radii[:, None] - radii[None]
        if gap[~near].min(initial=np.inf) > 0.5:
            return x + rng.choice([0.0, 0.03]) * rng.normal(size=x.shape)
    return None


def bonded_within(table, bonds_max):
    """Pairs of atoms (n, n) at most `bonds_max` bonds apart, themselves included."""
    step = np.eye(len(table), dtype=bool)
    adjacent = step.copy()
    for i, others in enumerate(table):
        adjacent[i, others] = True
    for _ in range(bonds_max):
        step = step @ adjacent
    return step


def stretched(molecule, rng):
    """One bond at 0.8 to 1.35 of its length: the lighter side moves, or in a ring the two atoms alone."""
    numbers, positions, bonds = molecule
    if not len(bonds):
        return None
    i, j = bonds[rng.integers(len(bonds))]
    mask = side(neighbours(len(numbers), bonds), i, j)
    shift = (rng.uniform(0.8, 1.35) - 1) * (positions[j] - positions[i])
    x = positions.copy()
    if mask is None:
        x[i] -= 0.5 * shift
        x[j] += 0.5 * shift
    elif 2 * mask.sum() <= len(numbers):
        x[mask] += shift
    else:
        x[~mask] -= shift
    return x + rng.uniform(0, 0.03) * rng.normal(size=x.shape)


def approach(first, second, rng):
    """Two molecules whose one pair of atoms, its elements drawn evenly, is closest for its radii, bonded or nearly so."""
    numbers, other = first[0], second[0]
    table, other_table = neighbours(len(numbers), first[2]), neighbours(len(other), second[2])
    i = rng.choice(np.flatnonzero(numbers == rng.choice(np.unique(numbers))))
    j = rng.choice(np.flatnonzero(other == rng.choice(np.unique(other))))
    # From well inside a bond to where frames of contacts begin; for two hydrogens these are 1 Å apart.
    target = rng.uniform(0.55, 1.6) * (COVALENT_RADIUS[numbers[i]] + COVALENT_RADIUS[other[j]]) + rng.uniform(0, 0.6)
    rest = COVALENT_RADIUS[numbers][:, None] + COVALENT_RADIUS[other][None]
    for _ in range(4 * TRIALS):
        direction = outward(first, table, i, np.radians(60), rng)
        turn = rotation_onto(outward(second, other_table, j, np.radians(60), rng), -direction, rng)
        x = (second[1] - second[1][j]) @ turn.T + first[1][i] + target * direction
        gap = distances(first[1], x) - rest
        gap[i, j] = np.inf
        if gap.min() > max(0.4, target - rest[i, j] - 0.1):
            return np.concatenate([first[1], x])
    return None


def squeezed(first, second, rng):
    """Two molecules pushed into each other until one pair of atoms is at 0.3 to 1 of its covalent distance, all others
    farther by their own measure; the rarer an element, the more often it is the one."""
    i, j = (rng.choice(len(numbers), p=_rarity(numbers)) for numbers, _, _ in (first, second))
    tables = neighbours(len(first[0]), first[2]), neighbours(len(second[0]), second[2])
    rest = COVALENT_RADIUS[first[0]][:, None] + COVALENT_RADIUS[second[0]][None]
    fraction = rng.uniform(0.3, 1.0)
    for _ in range(4 * TRIALS):
        direction = outward(first, tables[0], i, np.radians(60), rng)
        turn = rotation_onto(outward(second, tables[1], j, np.radians(60), rng), -direction, rng)
        x = (second[1] - second[1][j]) @ turn.T + first[1][i] + fraction * rest[i, j] * direction
        others = distances(first[1], x) / rest
        others[i, j] = np.inf
        if others.min() > fraction + 0.05:
            return np.concatenate([first[1], x])
    return None


def _rarity(numbers):
    """(N,) chances with which atoms are drawn: an element by how rare it is, its atoms evenly."""
    elements, inverse, count = np.unique(numbers, return_inverse=True, return_counts=True)
    weight = np.array([RARITY.get(int(z), 1) for z in elements])[inverse] / count[inverse]
    return weight / weight.sum()


def contact(first, second, rng):
    """Two molecules at random orientations, their closest contact 1.7 to 4 Å, or 2.4 to 4 Å between heavy atoms."""
    middle, other = first[1] - first[1].mean(0), (second[1] - second[1].mean(0)) @ random_rotation(rng).T
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    heavy = (first[0] > 1)[:, None] & (second[0] > 1)[None]
    target = rng.uniform(1.7, 4.0)
    needed = np.where(heavy, max(target, 2.4), target)
    # Pair by pair, the shift along `direction` at which the distance falls to `needed`: the largest comes first.
    apart = other[None] - middle[:, None]
    along = apart @ direction
    across2 = (apart * apart).sum(-1) - along * along
    touch = np.where(needed**2 > across2, np.sqrt(np.maximum(needed**2 - across2, 0)) - along, -np.inf).max()
    if not np.isfinite(touch):
        return None
    return np.concatenate([middle, other + touch * direction])


def donors_of(numbers, bonds):
    """(X, H) of every hydrogen on N, O, F, S or Cl."""
    return [(i, j) for pair in bonds for i, j in (pair, pair[::-1]) if numbers[j] == 1 and numbers[i] in HYDROGEN_BONDING]


def proton_shift(molecule, rng):
    """A hydrogen on its way from the N, O, F, S or Cl that it is on to another one of the molecule within its reach."""
    numbers, positions, bonds = molecule
    polar = np.flatnonzero(np.isin(numbers, HYDROGEN_BONDING))
    ways = [
        (i, j, k) for i, j in donors_of(numbers, bonds) for k in polar
        if k != i and np.linalg.norm(positions[k] - positions[j]) < 2.5
    ]  # fmt: skip
    if not ways:
        return None
    i, j, k = ways[rng.integers(len(ways))]
    # Not along the straight line but over where it is, as the atoms between X and Y ask for.
    f = rng.uniform(0.1, 1.0)
    x = positions.copy()
    radii = COVALENT_RADIUS[numbers]
    arrived = positions[j] - positions[k]
    arrived *= rng.uniform(0.95, 1.2) * (radii[j] + radii[k]) / np.linalg.norm(arrived)
    x[j] = (1 - f) * positions[j] + f * (positions[k] + arrived)
    return x + rng.uniform(0, 0.04) * rng.normal(size=x.shape)


def shared_proton(first, second, rng):
    """A hydrogen on N, O, F, S or Cl of the first between that and an N, O, F, S or Cl of the second."""
    numbers, positions, bonds = first
    other_table = neighbours(len(second[0]), second[2])
    donors = donors_of(numbers, bonds)
    acceptors = np.flatnonzero(np.isin(second[0], HYDROGEN_BONDING))
    if not donors or not len(acceptors):
        return None
    radius, other_radius = COVALENT_RADIUS[numbers], COVALENT_RADIUS[second[0]]
    for _ in range(TRIALS):
        i, j = donors[rng.integers(len(donors))]
        k = acceptors[rng.integers(len(acceptors))]
        bond = positions[j] - positions[i]
        bond = tilted(bond / np.linalg.norm(bond), np.radians(10), rng)
        moved = positions.copy()
        moved[j] = positions[i] + rng.uniform(0.95, 1.5) * (radius[i] + radius[j]) * bond
        lone_pair = outward(second, other_table, k, np.radians(60), rng)
        x = (second[1] - second[1][k]) @ rotation_onto(lone_pair, -bond, rng).T
        x = x + moved[j] + rng.uniform(0.95, 1.5) * (radius[j] + other_radius[k]) * bond
        gap = distances(moved, x) - radius[:, None] - other_radius[None]
        gap[[i, j], k] = np.inf
        if gap.min() > 0.7:
            return np.concatenate([moved, x])
    return None


def exchange_sites(numbers, bonds):
    """(X, H, C, Y) of every H–X–C=Y or H–X–C–Y with X and Y among N, O and S: acids, amides and the like."""
    table = neighbours(len(numbers), bonds)
    polar = lambda k: numbers[k] in (7, 8, 16)
    return [
        (x, h, c, y) for x, h in donors_of(numbers, bonds) if polar(x)
        for c in table[x] if numbers[c] in (6, 15, 16)
        for y in table[c] if y != x and polar(y) and len(table[y]) < 3
    ]  # fmt: skip


def proton_exchange(first, second, rng):
    """Two molecules in a ring of two hydrogen bonds, X–H···Y and Y···H–X, and both protons on their way, most often at once."""
    sites, others = exchange_sites(*first[::2]), exchange_sites(*second[::2])
    if not sites or not others:
        return None
    for _ in range(TRIALS):
        (x, h, c, y), (x2, h2, c2, y2) = (found[rng.integers(len(found))] for found in (sites, others))
        (a, middle), (b, middle2) = _facing(first[1], x, c, y), _facing(second[1], x2, c2, y2)
        # Their open sides face each other, and each X the other's Y; then a little out of true.
        moved = (second[1] - middle2) @ (a @ np.diag([-1.0, -1.0, 1.0]) @ b.T).T
        moved = moved @ rotation_about(rng.normal(size=3), np.radians(rng.uniform(0, 8))).T
        moved += middle + rng.uniform(2.35, 3.0) * a[:, 0]
        one = first[1].copy()
        part = rng.uniform(0, 0.65)
        for k, (proton, start, end) in enumerate(((h, one[x], moved[y2]), (h2, moved[x2], one[y]))):
            if k and rng.random() < 0.25:
                part = rng.uniform(0, 0.65)
            line = end - start
            shortest = 0.98 / np.linalg.norm(line)
            place = start + (shortest + part * (1 - 2 * shortest)) * line + rng.uniform(0, 0.06) * rng.normal(size=3)
            (moved if k else one)[proton] = place
        # The other hydrogen of an NH₂ may be the one that faces the ring: then the proton would land on it.
        if _nearest_other(first[0], one, h, x) < 0.2 or _nearest_other(second[0], moved, h2, x2) < 0.2:
            continue
        radii = COVALENT_RADIUS[first[0]][:, None] + COVALENT_RADIUS[second[0]][None]
        gap = distances(one, moved) - radii
        gap[h, y2] = gap[y, h2] = np.inf
        if gap.min() > 0.5:
            return np.concatenate([one, moved])
    return None


def _nearest_other(numbers, positions, proton, bonded):
    """How far a molecule's atoms but the one that the proton is bonded to are from it, beyond the sum of the radii; in Å."""
    gap = np.linalg.norm(positions - positions[proton], axis=-1) - COVALENT_RADIUS[numbers] - COVALENT_RADIUS[1]
    return np.delete(gap, [proton, bonded]).min()


def _facing(positions, x, c, y):
    """(axes as columns: outwards between X and Y, from Y to X, across; the middle of X and Y)."""
    along = positions[x] - positions[y]
    along = along / np.linalg.norm(along)
    middle = 0.5 * (positions[x] + positions[y])
    out = middle - positions[c]
    out = out - (out @ along) * along
    out /= max(np.linalg.norm(out), 1e-9)  # of a linear X–C–Y no open side: its molecules overlap
    return np.stack([out, along, np.cross(out, along)], 1), middle


def hydrogen_bond(first, second, rng):
    """A hydrogen on N, O, F, S or Cl of the first pointed at an N, O, F, S or Cl of the second."""
    numbers, positions, bonds = first
    other_table = neighbours(len(second[0]), second[2])
    donors = donors_of(numbers, bonds)
    acceptors = np.flatnonzero(np.isin(second[0], HYDROGEN_BONDING))
    if not donors or not len(acceptors):
        return None
    radii = COVALENT_RADIUS[numbers][:, None] + COVALENT_RADIUS[second[0]][None]
    for _ in range(TRIALS):
        i, j = donors[rng.integers(len(donors))]
        k = acceptors[rng.integers(len(acceptors))]
        bond = positions[j] - positions[i]
        bond = tilted(bond / np.linalg.norm(bond), np.radians(35), rng)
        lone_pair = outward(second, other_table, k, np.radians(70), rng)
        x = (second[1] - second[1][k]) @ rotation_onto(lone_pair, -bond, rng).T
        x = x + positions[j] + rng.uniform(1.4, 2.6) * bond
        gap = distances(positions, x) - radii
        gap[j, k] = np.inf
        if gap.min() > 0.7:
            return np.concatenate([positions, x])
    return None


SINGLE = {"rattled": rattled, "torsion": torsion, "stretched": stretched, "proton shift": proton_shift}
PAIRED = {"approach": approach, "contact": contact, "hydrogen bond": hydrogen_bond, "shared proton": shared_proton,
          "squeezed": squeezed, "proton exchange": proton_exchange}  # fmt: skip


def make(task):
    """A list of (kind, first molecule, second molecule or None), with a seed, to a list of positions or None."""
    rng = np.random.default_rng(task[0])
    results = []
    for kind, first, second in task[1]:
        name = KINDS[kind]
        positions = SINGLE[name](first, rng) if second is None else PAIRED[name](first, second, rng)
        if positions is not None and second is not None:  # monomers are near their minima
            positions = positions + rng.uniform(0, 0.04) * rng.normal(size=positions.shape)
        results.append(None if positions is None else positions.astype(np.float32))
    return results
