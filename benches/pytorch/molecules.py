"""Structures for timing: XYZ files, and extXYZ with forces as `mdrun eval` writes it."""

import pathlib

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = {
    "benzene": ROOT / "inputs/nve/benzene.xyz",
    "aspirin": ROOT / "benches/molecules/aspirin.xyz",
    "loratadine": ROOT / "benches/molecules/loratadine.xyz",
    # From 9 to 98 atoms; tiles of the engine have room for 128.
    "ethanol": ROOT / "inputs/mixed/ethanol.xyz",
    "ibuprofen": ROOT / "inputs/heat/ibuprofen.xyz",
    "sildenafil": ROOT / "benches/molecules/sildenafil.xyz",
    "imatinib": ROOT / "benches/molecules/imatinib.xyz",
    "ritonavir": ROOT / "benches/molecules/ritonavir.xyz",
}
SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "P": 15, "S": 16, "Cl": 17, "Br": 35}
MASSES_AMU = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 15: 30.974, 16: 32.06, 17: 35.45, 35: 79.904}


def read(path):
    """(atomic numbers, rows of the other columns in f64, comment) of the first frame."""
    count, comment, *lines = pathlib.Path(path).read_text().splitlines()
    rows = [line.split() for line in lines[: int(count)]]
    columns = torch.tensor([[float(word) for word in row[1:]] for row in rows], dtype=torch.float64)
    return [SYMBOLS[row[0]] for row in rows], columns, comment


def find(name):
    """(short name, path) of a known molecule or of a file."""
    return (name, FILES[name]) if name in FILES else (pathlib.Path(name).stem, pathlib.Path(name))
