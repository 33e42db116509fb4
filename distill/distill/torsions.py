"""Torsion profiles: `python -m distill.torsions student.safetensors --out torsions.json`.

Single points along scans in which all else was relaxed by MMFF94, so that teacher and student see the same structures.
The error of a profile is the root mean square over its points, both profiles having mean zero; points more than
20 kcal/mol above the teacher's lowest are left out.
"""

import argparse

import numpy as np

from . import fields
from .report import EV_KCAL_MOL, errors, finish
from .structures import Structures

HIGHEST_KCAL_MOL = 20.0


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "torsions")
    arguments = parser.parse_args(words)
    structures = Structures.read(arguments.structures)
    structures = structures.take(structures.group < (arguments.groups or len(structures.names)))
    energies = {who: field(structures)[0] * EV_KCAL_MOL for who, field in fields.opened(arguments).items()}
    energies["mean predictor"] = np.zeros(len(structures))

    profiles, rmse = {}, {who: [] for who in energies if who != "teacher"}
    for group in np.unique(structures.group):
        rows = np.flatnonzero(structures.group == group)
        exact = energies["teacher"][rows]
        low = exact - exact.min() < HIGHEST_KCAL_MOL
        profiles[structures.names[group]] = {"angle_deg": structures.value[rows]} | {
            who: e[rows] - e[rows][np.argmin(exact)] for who, e in energies.items()
        }
        for who, values in rmse.items():
            difference = energies[who][rows][low] - exact[low]
            values.append(np.sqrt(((difference - difference.mean()) ** 2).mean()))
    finish(arguments.out, "kcal/mol", {"RMSE of a profile": {who: errors(v) for who, v in rmse.items()}}, profiles)


if __name__ == "__main__":
    main()
