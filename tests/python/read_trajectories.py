"""Reads what an output folder holds and compares it with `expected.json` in it.

Frame counts, time axes, coordinates, elements, bonds, energies and forces, through MDAnalysis,
mdtraj and ASE. Called by tests/trajectories.rs; fails with the first thing that is not as expected.
"""

import csv
import json
import sys
import warnings
from pathlib import Path

import ase.data
import ase.io
import MDAnalysis
import mdtraj
import numpy as np

# Single precision of coordinates below 10 Å, and nine digits of text.
DCD_TOLERANCE_ANG = 1e-6
XYZ_TOLERANCE_ANG = 1e-8


def read_mdanalysis(folder, expected):
    topology = folder / f"{expected['molecule']}.pdb"
    universe = MDAnalysis.Universe(str(topology), str(folder / f"{expected['label']}.dcd"))
    positions_ang = np.array(expected["positions_ang"])
    assert len(universe.trajectory) == len(positions_ang)
    assert universe.trajectory.n_atoms == len(expected["numbers"])
    for index, frame in enumerate(universe.trajectory):
        time_ps = index * expected["frame_fs"] / 1000
        assert abs(frame.time - time_ps) < 1e-6 * max(time_ps, 1), (frame.time, time_ps)
        assert np.abs(frame.positions - positions_ang[index]).max() < DCD_TOLERANCE_ANG
    assert frame.dimensions is None
    symbols = [ase.data.chemical_symbols[number] for number in expected["numbers"]]
    assert [element.capitalize() for element in universe.atoms.elements] == symbols
    bonds = {tuple(sorted(bond.indices)) for bond in universe.atoms.bonds}
    assert bonds == {tuple(bond) for bond in expected["bonds"]}
    assert expected["label"] in universe.trajectory._file.header["remarks"]


def read_mdtraj(folder, expected):
    topology = str(folder / f"{expected['molecule']}.pdb")
    path = str(folder / f"{expected['label']}.dcd")
    trajectory = mdtraj.load(path, top=topology)
    positions_nm = np.array(expected["positions_ang"]) / 10
    assert trajectory.xyz.shape == positions_nm.shape
    assert np.abs(trajectory.xyz - positions_nm).max() < DCD_TOLERANCE_ANG
    numbers = [atom.element.atomic_number for atom in trajectory.topology.atoms]
    assert numbers == expected["numbers"]
    bonds = {tuple(sorted((a.index, b.index))) for a, b in trajectory.topology.bonds}
    assert bonds == {tuple(bond) for bond in expected["bonds"]}


def read_ase(folder, expected):
    frames = ase.io.read(folder / f"{expected['label']}.xyz", ":")
    positions_ang = np.array(expected["positions_ang"])
    assert len(frames) == len(positions_ang)
    for index, frame in enumerate(frames):
        assert frame.numbers.tolist() == expected["numbers"]
        assert np.abs(frame.positions - positions_ang[index]).max() < XYZ_TOLERANCE_ANG
        energy_ev = expected["first_energy_ev"] + index * expected["frame_energy_ev"]
        assert frame.get_potential_energy() == energy_ev
        assert np.abs(frame.get_forces() - expected["force_ev_per_ang"]).max() < 1e-9
        assert not frame.pbc.any()
        assert frame.info["step"] == index * expected["interval_steps"]
        assert frame.info["time_fs"] == index * expected["frame_fs"]
        assert frame.info["replica"] == expected["label"]


def read_log(folder, trajectories):
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    frames = len(trajectories[0]["positions_ang"])
    assert len(rows) == frames * len(trajectories)
    for row, expected in zip(rows, trajectories):
        assert row["replica"] == expected["label"]
        boltzmann_ev_per_k = 8.617333262e-5
        freedom = 3 * len(expected["numbers"])
        temperature_k = 2 * float(row["kinetic_eV"]) / (freedom * boltzmann_ev_per_k)
        assert abs(float(row["temperature_K"]) / temperature_k - 1) < 1e-9
    last = rows[-1]
    assert float(last["time_fs"]) == (frames - 1) * trajectories[-1]["frame_fs"]


def main():
    # A free molecule has no box, and a first start no temperature factors: readers remark on it.
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    trajectories = json.loads((folder / "expected.json").read_text())
    for expected in trajectories:
        for read in (read_mdanalysis, read_mdtraj, read_ase):
            read(folder, expected)
    read_log(folder, trajectories)


main()
