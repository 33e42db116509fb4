"""Minima and harmonic frequencies: `python -m distill.minima student.safetensors --out minima.json`.

The teacher's minimum nearest to each start, and from there the student's own: how far apart, and how stiff.
Frequencies are compared in their order; imaginary ones count as negative.
"""

import argparse

import numpy as np

from . import fields
from .frequencies import frequencies
from .minimise import minimise
from .report import errors, finish
from .shape import rmsd
from .structures import Structures


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fields.add_arguments(parser, "minima")
    parser.add_argument("--no-frequencies", action="store_true")
    arguments = parser.parse_args(words)
    begin = Structures.read(arguments.structures)
    begin = begin.take(begin.group < (arguments.groups or len(begin.names)))
    opened = fields.opened(arguments)
    exact, _, converged = minimise(opened["teacher"], begin, log=print)
    spectrum = lambda who, s: [frequencies(opened[who], s.numbers[s.atoms(k)], s.positions[s.atoms(k)]) for k in range(len(s))]
    wanted = not arguments.no_frequencies
    reference = spectrum("teacher", exact) if wanted else None

    shape, stiffness, details = {}, {}, {"molecules": begin.names[begin.group], "teacher converged": converged}
    for who in ("student", "member"):
        if who not in opened:
            continue
        own, _, reached = minimise(opened[who], exact, log=print)
        both = np.flatnonzero(converged & reached)
        distance = [rmsd(own.positions[own.atoms(k)], exact.positions[exact.atoms(k)]) for k in range(len(own))]
        details |= {f"{who} converged": reached, f"{who} rmsd_ang": distance}
        shape[who] = errors(np.array(distance)[both])
        if wanted:
            found = spectrum(who, own)
            stiffness[who] = errors(np.concatenate([found[k] - reference[k] for k in both]))
            details[f"{who} frequency MAE per molecule"] = [np.abs(a - b).mean() for a, b in zip(found, reference)]
            details[f"{who} imaginary"] = [int((f < -5).sum()) for f in found]
    table = {"minima, RMSD in Å": shape} | ({"frequencies, cm⁻¹": stiffness} if wanted else {})
    finish(arguments.out, "Å and cm⁻¹", table, details)


if __name__ == "__main__":
    main()
