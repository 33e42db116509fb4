"""Which molecules run how often, how hot, and which of them are put into special frames."""

import numpy as np

from . import special
from .shards import KINDS

# (share, lowest, highest) in K.
TEMPERATURES_K = ((10, 150, 250), (45, 300, 300), (25, 450, 600), (10, 800, 1000))
# Not every molecule has a proton that could move within it: of "proton shift" a third cannot be made.
SPECIAL_SHARES = {"rattled": 20, "torsion": 20, "stretched": 15, "approach": 25, "contact": 14, "hydrogen bond": 14,
                  "proton shift": 20, "shared proton": 10, "squeezed": 25, "proton exchange": 10}  # fmt: skip
# Replicas of a molecule with this element: rare ones, and those whose many bonding states take the most learning (P, S).
ELEMENT_WEIGHTS = {15: 6, 16: 2, 35: 2, 17: 2, 9: 2}
# (atoms at most, replicas): there are few small molecules, a loss by atom counts each for little, and they share least.
SIZE_WEIGHTS = ((6, 8), (8, 4), (12, 2))


def draw_replicas(molecules, rng, temperatures_k=None, element_weights=ELEMENT_WEIGHTS, size_weights=SIZE_WEIGHTS):
    """(molecule, temperature) of every replica: all molecules at all given temperatures, or at drawn ones, rare
    elements and small molecules more often."""
    everyone = np.arange(len(molecules))
    if temperatures_k:
        return np.tile(everyone, len(temperatures_k)), np.repeat(np.float32(temperatures_k), len(everyone))
    weight = np.ones(len(molecules), int)
    owner = np.repeat(everyone, molecules.sizes)
    for atoms_max, copies in size_weights:
        small = molecules.sizes <= atoms_max
        weight[small] = np.maximum(weight[small], copies)
    for element, copies in element_weights.items():
        has = np.bincount(owner[molecules.numbers == element], minlength=len(molecules)) > 0
        weight[has] = np.maximum(weight[has], copies)
    replica = np.repeat(everyone, weight)
    share, low, high = np.array(TEMPERATURES_K, float).T
    band = rng.choice(len(share), size=len(replica), p=share / share.sum())
    return replica, rng.uniform(low[band], high[band]).astype(np.float32)


def draw_special(molecules, replica, n_frames, rng, shares=SPECIAL_SHARES):
    """(kind, molecule, partner or -1) for each special frame; partners are small, and donors find acceptors."""
    n = len(molecules)
    sizes, owner = molecules.sizes, np.repeat(np.arange(n), molecules.sizes)
    polar = np.isin(molecules.numbers, special.HYDROGEN_BONDING)
    accepts = np.bincount(owner[polar], minlength=n) > 0
    bond_owner = np.repeat(np.arange(n), np.diff(molecules.bonds_first))
    ends = molecules.bonds + molecules.first[bond_owner][:, None]
    donor_bond = (polar[ends] & (molecules.numbers[ends[:, ::-1]] == 1)).any(-1)
    donates = np.bincount(bond_owner[donor_bond], minlength=n) > 0

    small, medium = replica[sizes[replica] <= 18], replica[sizes[replica] <= 32]
    medium = medium if len(medium) else replica
    small = small if len(small) else medium
    rows = []
    for name, share in shares.items():
        kind = np.full(round(n_frames * share / sum(shares.values())), KINDS.index(name))
        if name in special.SINGLE:
            able = replica[donates[replica]] if name == "proton shift" else replica
            if not len(able):
                continue
            first, second = rng.choice(able, len(kind)), np.full(len(kind), -1)
        elif name == "proton exchange":
            able = np.array([k for k in np.unique(small) if special.exchange_sites(*molecules.one(k)[::2])], int)
            able = small[np.isin(small, able)]
            if not len(able):
                continue
            first, second = rng.choice(able, len(kind)), rng.choice(able, len(kind))
        elif name == "squeezed":
            # Half of them so that every element is met, half as molecules come: a list of hydrides squeezes each with each.
            by_element = [_by_element(molecules, small, owner, len(kind), rng) for _ in range(2)]
            evenly = rng.random(len(kind)) < 0.5
            first, second = (np.where(evenly, rng.choice(small, len(kind)), drawn) for drawn in by_element)
        else:
            pool = np.where(rng.random(len(kind)) < 0.75, 0, 1)
            hydrogen = name in ("hydrogen bond", "shared proton")
            first = _draw((small, medium), pool, donates if hydrogen else None, rng)
            second = _draw((small, medium), pool, accepts if hydrogen else None, rng)
            if first is None or second is None:
                continue
        rows.append(np.stack([kind, first, second], 1))
    return np.concatenate(rows)


def _by_element(molecules, pool, owner, count, rng):
    """Molecules of the pool that have an element drawn evenly among those that any of them has."""
    having = [np.bincount(owner[molecules.numbers == z], minlength=len(molecules)) > 0 for z in np.unique(molecules.numbers)]
    pools = [part for has in having if len(part := pool[has[pool]])]
    return np.array([rng.choice(pools[k]) for k in rng.integers(len(pools), size=count)], int)


def _draw(pools, which, allowed, rng):
    """One of pools[which[k]] for each k, among the allowed; None if nothing is."""
    if allowed is not None:
        pools = [pool[allowed[pool]] for pool in pools]
    if not len(pools[1]):
        return None
    small, medium = (pool if len(pool) else pools[1] for pool in pools)
    return np.where(which == 0, rng.choice(small, len(which)), rng.choice(medium, len(which)))


def table(text):
    """`16=2,15=6` or `approach=40` → dict."""
    pairs = (item.split("=") for item in text.split(","))
    return {int(key) if key.isdigit() else key: int(value) for key, value in pairs}
