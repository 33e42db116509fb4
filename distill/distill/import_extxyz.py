"""Your own labelled extended XYZ to a shard that `train` reads: `python -m distill.import_extxyz in.xyz out.npz`.

Every frame needs an energy in eV and forces in eV/Å; those under other names are named by --energy and --forces.
Positions are stored in steps of 1/2048 Å, which displaces an atom by at most 0.0003 Å from where it was labelled.
"""

import argparse
import pathlib

import numpy as np

from .shards import KINDS, QUANTUM_ANG, centred, starts, write


def labels(atoms, energy_name, forces_name):
    """The energy and forces of one frame: from its calculator, where ASE puts those of the standard names, or by name."""
    results = atoms.calc.results if atoms.calc is not None else {}
    energy = results.get(energy_name, atoms.info.get(energy_name))
    forces = results.get(forces_name, atoms.arrays.get(forces_name))
    if energy is None or forces is None:
        raise ValueError(f"no '{energy_name}' or no '{forces_name}' among {[*results, *atoms.info, *atoms.arrays]}")
    return energy, forces


def main(words=None):
    from ase.io import iread

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("xyz", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--energy", default="energy")
    parser.add_argument("--forces", default="forces")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="K", help="noted with every frame")
    arguments = parser.parse_args(words)

    numbers, positions, energies, forces = [], [], [], []
    for frame, atoms in enumerate(iread(arguments.xyz, index=":")):
        try:
            energy, force = labels(atoms, arguments.energy, arguments.forces)
        except ValueError as error:
            raise SystemExit(f"{arguments.xyz}, frame {frame}: {error}")
        middle, half_width = centred(atoms.positions[None], atoms.numbers[None])
        quanta = np.rint(middle[0] / QUANTUM_ANG)
        if np.abs(quanta).max() > 32767:
            raise SystemExit(f"{arguments.xyz}, frame {frame}: {2 * half_width[0]:.0f} Å wide, more than 16 bits hold")
        numbers.append(atoms.numbers)
        positions.append(quanta)
        energies.append(energy)
        forces.append(force)
    n = len(energies)
    write(
        arguments.out,
        first=starts([len(part) for part in numbers]).astype(np.int32),
        numbers=np.concatenate(numbers).astype(np.uint8),
        positions=np.concatenate(positions).astype(np.int16),
        energies=np.array(energies, np.float64),
        forces=np.concatenate(forces).astype(np.float32),
        kind=np.full(n, KINDS.index("dynamics"), np.uint8),
        temperature_K=np.full(n, arguments.temperature, np.float32),
        line=np.arange(n, dtype=np.int32),
        partner=np.full(n, -1, np.int32),
    )
    print(f"{arguments.out}: {n} frames")


if __name__ == "__main__":
    main()
