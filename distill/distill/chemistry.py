"""Chemistry that students get wrong: `python -m distill.chemistry student.safetensors --out chemistry.json`.

    proton transfer, inversion   error along the scan, and of its barrier: the middle above the lowest point
    ring                         energies of rattled rings of three and four atoms and of cages; distance of the minima
    hydrogen bond, stack         interaction energies, contacts of less than +10 kcal/mol
    approach, bare pair          does the energy rise at every step closer than 0.9 of the covalent radii?

Errors of a scan are root mean squares of profiles with mean zero, over points at most 40 kcal/mol above the lowest.
"""

import argparse

import numpy as np

from . import fields
from .dimers import WALL_KCAL_MOL, interaction_kcal_mol
from .minimise import minimise
from .report import EV_KCAL_MOL, errors, finish
from .shape import rmsd
from .structures import Structures

HIGHEST_KCAL_MOL = {"ring": 80.0, "proton transfer": 40.0, "inversion": 40.0}
CLOSE = 0.9


def rises(energies, fraction):
    """Whether a pair's energy falls strictly with distance inside CLOSE."""
    near = energies[fraction <= CLOSE]
    return bool((np.diff(near) < 0).all())


def barrier(energies):
    return energies[len(energies) // 2] - energies.min()


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "chemistry")
    parser.add_argument("--only", help="only the scans whose names begin so")
    arguments = parser.parse_args(words)
    scans = Structures.read(arguments.structures)
    wanted = [g for g, name in enumerate(scans.names) if name.startswith(arguments.only or "")][: arguments.groups]
    scans = scans.take(np.isin(scans.group, wanted))
    opened = fields.opened(arguments)
    kind_of = np.array([str(name).split(":")[0] for name in scans.names])
    paired = np.isin(kind_of[scans.group], ("hydrogen bond", "stack"))
    energies = {who: field(scans)[0] * EV_KCAL_MOL for who, field in opened.items()}
    for who, field in opened.items():
        if paired.any():
            energies[who][paired] = interaction_kcal_mol(field, scans.take(paired))
    others = [who for who in opened if who != "teacher"]

    profiles, found, rising = {}, {}, {}
    for group in np.unique(scans.group):
        rows, kind, name = np.flatnonzero(scans.group == group), kind_of[group], str(scans.names[group])
        exact = energies["teacher"][rows]
        profiles[name] = {"value": scans.value[rows]} | {who: e[rows] - (0 if paired[rows[0]] else exact.min()) for who, e in energies.items()}
        if kind in ("approach", "bare pair"):
            for who in opened:
                rising.setdefault(kind, {}).setdefault(who, []).append((name, rises(energies[who][rows], scans.value[rows])))
            continue
        low = exact < WALL_KCAL_MOL if paired[rows[0]] else exact - exact.min() < HIGHEST_KCAL_MOL[kind]
        for who in others:
            difference = energies[who][rows][low] - exact[low]
            difference = difference if paired[rows[0]] else difference - difference.mean()
            found.setdefault(f"{kind}, RMSE", {}).setdefault(who, []).append(np.sqrt((difference**2).mean()))
            if kind in ("proton transfer", "inversion"):
                missed = barrier(energies[who][rows]) - barrier(exact)
                found.setdefault(f"{kind}, barrier", {}).setdefault(who, []).append(missed)
    table = {quantity: {who: errors(values) for who, values in by.items()} for quantity, by in found.items()}

    rings = scans.take((kind_of[scans.group] == "ring") & (scans.value == 0))
    if len(rings):
        exact, _, _ = minimise(opened["teacher"], rings)
        own = {who: minimise(opened[who], exact)[0] for who in others}
        distance = lambda a: [rmsd(a.positions[a.atoms(k)], exact.positions[exact.atoms(k)]) for k in range(len(a))]
        table["ring, minima, Å"] = {who: errors(distance(moved)) for who, moved in own.items()}
    fails = {kind: {who: [name for name, good in rows if not good] for who, rows in by.items()} for kind, by in rising.items()}
    finish(arguments.out, "kcal/mol", table, {"profiles": profiles, "does not rise": fails})
    for kind, by in rising.items():
        for who, rows in by.items():
            print(f"{kind}: {who} rises in {sum(good for _, good in rows)} of {len(rows)}: {', '.join(fails[kind][who]) or 'all'}")


if __name__ == "__main__":
    main()
