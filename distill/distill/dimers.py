"""Interaction energies of pairs of molecules: `python -m distill.dimers student.safetensors --out dimers.json`.

    E_int = E(AB) − E(A) − E(B), each molecule as it is in the pair

by the closest contact, 1.7–4 Å and 4–8 Å.  A student of finite cut-off sees nothing beyond it, so the second bin also
says how much that costs; the zero predictor says how much there is to get right.
"""

import argparse

import numpy as np

from . import fields
from .report import EV_KCAL_MOL, errors, finish
from .structures import Structures

WALL_KCAL_MOL = 10.0


def interaction_kcal_mol(field, pairs):
    whole = field(pairs)[0]
    return EV_KCAL_MOL * (whole - field(pairs.parts(False))[0] - field(pairs.parts(True))[0])


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "dimers")
    parser.add_argument("--each", type=int, help="only the first pairs of each bin")
    arguments = parser.parse_args(words)
    pairs = Structures.read(arguments.structures)
    within = np.arange(len(pairs)) - np.searchsorted(pairs.group, pairs.group)
    pairs = pairs.take(within < (arguments.each or len(pairs)))
    energies = {who: interaction_kcal_mol(field, pairs) for who, field in fields.opened(arguments).items()}
    energies["zero"] = np.zeros(len(pairs))
    exact, table = energies["teacher"], {}
    for group, name in enumerate(pairs.names):
        rows = pairs.group == group
        table[name] = {who: errors((e - exact)[rows]) for who, e in energies.items() if who != "teacher" and rows.any()}
    touching = (exact < WALL_KCAL_MOL) & (pairs.group == 0)  # pairs far up the repulsive wall say little about contacts
    table[f"{pairs.names[0]}, below {WALL_KCAL_MOL:g} kcal/mol"] = {
        who: errors((e - exact)[touching]) for who, e in energies.items() if who != "teacher" and touching.any()
    }
    finish(arguments.out, "kcal/mol", table, {"contact_ang": pairs.value, "group": pairs.group} | energies)


if __name__ == "__main__":
    main()
