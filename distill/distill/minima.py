"""Minima and harmonic frequencies: `python -m distill.minima student.safetensors --out minima.json`.

The teacher's minimum nearest to each start, and from there the student's own: how far apart, and how stiff.
Frequencies are compared in their order; imaginary ones count as negative.  With --reference the teacher's part is made
once: `python -m distill.minima --reference minima-teacher.npz` makes it alone.
"""

import argparse

import numpy as np

from . import fields, reference
from .frequencies import frequencies
from .minimise import minimise
from .report import errors, finish
from .shape import rmsd
from .structures import Structures


def minimum_of(field, structures, log=print):
    """Positions, which of them converged, and frequencies there, with how many each structure has."""
    found, _, converged = minimise(field, structures, log=log)
    each = [frequencies(field, found.numbers[found.atoms(k)], found.positions[found.atoms(k)]) for k in range(len(found))]
    return {
        "positions": found.positions, "converged": converged,
        "frequencies": np.concatenate(each), "count": np.array([len(values) for values in each]),
    }  # fmt: skip


def teacher_part(arguments, begin):
    """`teacher …` and `member …` arrays; the member starts from the teacher's minima, as a student does."""
    parts, start = {}, begin
    for who, field in fields.teachers(arguments).items():
        found = minimum_of(field, start)
        start = begin.moved(found["positions"])
        parts |= {f"{who} {name}": values for name, values in found.items()}
    return parts


def compared(exact, own, structures):
    """(RMSD of every minimum, frequency errors by molecule) and which molecules count: both converged."""
    a, b = (structures.moved(part["positions"]) for part in (exact, own))
    distance = np.array([rmsd(a.positions[a.atoms(k)], b.positions[b.atoms(k)]) for k in range(len(a))])
    split = lambda part: np.split(part["frequencies"], np.cumsum(part["count"])[:-1])
    return distance, [y - x for x, y in zip(split(exact), split(own))], np.flatnonzero(exact["converged"] & own["converged"])


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "minima", optional=True)
    reference.add_argument(parser)
    arguments = parser.parse_args(words)
    begin = Structures.read(arguments.structures)
    begin = begin.take(begin.group < (arguments.groups or len(begin.names)))
    part = reference.kept(arguments.reference, lambda: teacher_part(arguments, begin))
    if not arguments.student:
        return
    of = lambda who: {name.split(" ", 1)[1]: values for name, values in part.items() if name.startswith(who)}
    exact = of("teacher")
    found = {"student": minimum_of(fields.Student(arguments.student), begin.moved(exact["positions"]))}
    if "member positions" in part:
        found["member"] = of("member")

    shape, stiffness = {}, {}
    details = {"molecules": begin.names[begin.group], "teacher converged": exact["converged"]}
    for who, own in found.items():
        distance, by_molecule, both = compared(exact, own, begin)
        shape[who] = errors(distance[both])
        stiffness[who] = errors(np.concatenate([by_molecule[k] for k in both]))
        details |= {f"{who} converged": own["converged"], f"{who} rmsd_ang": distance}
        details[f"{who} frequency MAE per molecule"] = [np.abs(values).mean() for values in by_molecule]
        imaginary = np.split(own["frequencies"] < -5, np.cumsum(own["count"])[:-1])
        details[f"{who} imaginary"] = [int(values.sum()) for values in imaginary]
    finish(arguments.out, "Å and cm⁻¹", {"minima, RMSD in Å": shape, "frequencies, cm⁻¹": stiffness}, details)


if __name__ == "__main__":
    main()
