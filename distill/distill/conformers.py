"""Conformer energies: `python -m distill.conformers student.safetensors --out conformers.json`.

Every start is brought to a minimum of the teacher; minima closer than 0.1 kcal/mol in energy and 0.1 Å in shape are one.
Molecules whose distinct minima span at least 2 kcal/mol count.  The error of a relative energy is

    |[E_s(i) − mean_i E_s] − [E_t(i) − mean_i E_t]|      mean over the molecule's minima

with E_s either at the teacher's minima, or at the student's own, reached from there.  With --reference the teacher's part
is made once: `python -m distill.conformers --reference conformers-teacher.npz` makes it alone.
"""

import argparse

import numpy as np

from . import fields, reference
from .minimise import minimise
from .report import EV_KCAL_MOL, errors, finish
from .shape import rmsd
from .structures import Structures

SAME_KCAL_MOL, SAME_ANG = 0.1, 0.1
SPAN_KCAL_MOL = 2.0
STEPS_MAX = 1000  # the few that take longer are left out


def distinct(structures, energies, converged):
    """Indices of minima that differ, by group; groups that span too little are left out."""
    groups = {}
    for group in np.unique(structures.group):
        kept = []
        members = np.flatnonzero((structures.group == group) & converged)
        for k in members[np.argsort(energies[members])]:
            near = lambda o: (energies[k] - energies[o]) * EV_KCAL_MOL < SAME_KCAL_MOL
            same = lambda o: rmsd(structures.positions[structures.atoms(k)], structures.positions[structures.atoms(o)])
            if not any(near(o) and same(o) < SAME_ANG for o in kept):
                kept.append(k)
        if len(kept) > 1 and (energies[kept[-1]] - energies[kept[0]]) * EV_KCAL_MOL >= SPAN_KCAL_MOL:
            groups[group] = kept
    return groups


def relative_errors(found, exact, groups):
    """All errors of the groups' centred energies, in kcal/mol."""
    centred = lambda e, rows: e[rows] - e[rows].mean()
    return np.concatenate([centred(found, rows) - centred(exact, rows) for rows in groups]) * EV_KCAL_MOL


def teacher_part(arguments, structures):
    """The teacher's minima; of the member, energies at those that count and at its own minima from there."""
    field = fields.teachers(arguments)
    at_minima, energies, converged = minimise(field["teacher"], structures, steps_max=STEPS_MAX, log=print)
    part = {"positions": at_minima.positions, "energies": energies, "converged": converged}
    kept = kept_of(at_minima, part)
    if "member" in field and len(kept):
        chosen = at_minima.take(kept)
        _, own, reached = minimise(field["member"], chosen, steps_max=STEPS_MAX, log=print)
        part |= {"member there": field["member"](chosen)[0], "member own": own, "member converged": reached}
    return part


def kept_of(at_minima, part):
    """The minima that count."""
    groups = distinct(at_minima, part["energies"], part["converged"])
    return np.concatenate([*groups.values(), []]).astype(int)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "conformers", optional=True)
    reference.add_argument(parser)
    arguments = parser.parse_args(words)
    structures = Structures.read(arguments.structures)
    structures = structures.take(structures.group < (arguments.groups or len(structures.names)))
    part = reference.kept(arguments.reference, lambda: teacher_part(arguments, structures))
    if not arguments.student:
        return
    at_minima = structures.moved(part["positions"])
    kept = kept_of(at_minima, part)
    if not len(kept):
        raise SystemExit(f"no molecule's minima span {SPAN_KCAL_MOL} kcal/mol")
    chosen, exact = at_minima.take(kept), part["energies"][kept]
    groups = np.unique(chosen.group)
    rows = [np.flatnonzero(chosen.group == group) for group in groups]

    student = fields.Student(arguments.student)
    _, own, reached = minimise(student, chosen, steps_max=STEPS_MAX, log=print)
    found = {"student": (student(chosen)[0], own, reached)}
    if "member own" in part:
        found["member"] = tuple(part[f"member {name}"] for name in ("there", "own", "converged"))
    table = {"at the teacher's minima": {}, "at own minima": {}}
    details = {"molecules": chosen.names[groups], "minima": [len(r) for r in rows], "converged": part["converged"].mean()}
    for who, (there, own, reached) in found.items():
        table["at the teacher's minima"][who] = errors(relative_errors(there, exact, rows))
        table["at own minima"][who] = errors(relative_errors(own, exact, rows))
        details[f"{who} by molecule"] = [np.abs(relative_errors(there, exact, [r])).mean() for r in rows]
        details[f"{who} converged"] = reached.mean()
    zero = relative_errors(np.zeros(len(exact)), exact, rows)
    table["at the teacher's minima"]["mean predictor"] = errors(zero)
    finish(arguments.out, "kcal/mol", table, details)


if __name__ == "__main__":
    main()
