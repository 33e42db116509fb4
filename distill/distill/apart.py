"""Two molecules drawn apart: `python -m distill.apart student.safetensors --out apart.json`.

Interaction energies along the way, beside what a network of finite cut-off cannot see: the Coulomb energy of the charges
that the teacher gives either molecule alone, and dispersion (dispersion.py), both between all their atoms.
"""

import argparse

import numpy as np

from . import dispersion, fields, model
from .dataset import SPECIES_OF_NUMBER
from .dimers import interaction_kcal_mol
from .report import EV_KCAL_MOL, errors, finish
from .repulsion import COULOMB_EV_ANG
from .structures import Structures


def charges(teacher, structures):
    """Charges (A,) in e of the atoms of every structure by itself."""
    found, tensor = np.zeros(len(structures.numbers)), teacher.torch.from_numpy
    for atoms in map(structures.atoms, range(len(structures))):
        x, z = structures.positions[atoms], structures.numbers[atoms].astype(np.int64)
        found[atoms] = teacher.teacher.label(tensor(x)[None], tensor(z)[None]).charges[0]
    return found


def distances(pairs):
    """(n, m) of the atoms of the first molecule from those of the second, Å, for every pair."""
    for k in range(len(pairs)):
        x, n = pairs.positions[pairs.atoms(k)], pairs.split[k]
        yield np.linalg.norm(x[:n, None] - x[None, n:], axis=-1)


def between(pairs, first_charges, second_charges):
    """(Coulomb energy, dispersion) between the two molecules of each pair, kcal/mol, of all their atoms."""
    first, second, found = pairs.parts(False), pairs.parts(True), []
    tables = dispersion.pair_tables(model.ELEMENTS)
    for k, r in enumerate(distances(pairs)):
        a, b = first.atoms(k), second.atoms(k)
        coulomb = COULOMB_EV_ANG * first_charges[a][:, None] * second_charges[b] / r
        z, w = SPECIES_OF_NUMBER[first.numbers[a]], SPECIES_OF_NUMBER[second.numbers[b]]
        of_pairs = [table[z][:, w] for table in tables]
        found.append((coulomb.sum(), dispersion.pair_energy(r, *of_pairs).sum()))
    return EV_KCAL_MOL * np.array(found).T


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "apart")
    arguments = parser.parse_args(words)
    pairs = Structures.read(arguments.structures)
    pairs = pairs.take(pairs.group < (arguments.groups or len(pairs.names)))
    opened = fields.opened(arguments)
    energies = {who: interaction_kcal_mol(field, pairs) for who, field in opened.items()}
    if "member" in opened:  # other teachers need not have charges
        of_both = (charges(opened["teacher"], pairs.parts(which)) for which in (False, True))
        energies["Coulomb"], energies["dispersion"] = between(pairs, *of_both)
        energies["both"] = energies["Coulomb"] + energies["dispersion"]
    energies["zero"] = np.zeros(len(pairs))
    closest = np.array([r.min() for r in distances(pairs)])
    cutoff_ang, exact, table = opened["student"].config.cutoff_ang, energies["teacher"], {}
    for group, name in enumerate(pairs.names):
        rows = (pairs.group == group) & (closest >= cutoff_ang)
        if rows.any():
            differences = {who: (e - exact)[rows] for who, e in energies.items() if who != "teacher"}
            table[f"{name}, from {cutoff_ang:g} Å on"] = {who: errors(d) for who, d in differences.items()}
    places = {"coordinate_ang": pairs.value, "closest_ang": closest, "group": pairs.group}
    finish(arguments.out, "kcal/mol", table, places | energies)
    shown = [who for who in energies if who != "zero"]
    print("\n| molecules | closest atoms, Å | " + " | ".join(shown) + " |\n| --- | ---: |" + " ---: |" * len(shown))
    for k, name in enumerate(pairs.names[pairs.group]):
        print(f"| {name} | {closest[k]:.1f} | " + " | ".join(f"{round(energies[who][k], 2) + 0.0:.2f}" for who in shown) + " |")


if __name__ == "__main__":
    main()
