"""Structures for the evaluations, made once on a CPU with RDKit: `python -m distill.prepare valid.smi valid_large.smi --out evaluation`.

Molecules come from lists that no student was trained on.  What is written travels to a machine without RDKit.

    conformers.npz  --count molecules with three or more rotatable bonds, up to 12 MMFF94 minima of each
    torsions.npz    --count rotatable bonds, one a molecule, 24 angles: everything else relaxed by MMFF94
    minima.npz      --count molecules, one MMFF94 minimum each (minima, frequencies)
    dimers.npz      pairs of molecules, closest contact 1.7–4 Å (half hydrogen-bonded) and 4–8 Å
    chemistry.npz   the scans of scans.py
    apart.npz       pairs of molecules drawn apart to 12 Å
    stability.npz   600 molecules, one MMFF94 minimum each
    floppy.npz      a chain of 60 atoms with 17 rotatable bonds
"""

import argparse
import pathlib
import random

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdMolDescriptors
from rdkit.Chem import rdForceFieldHelpers as mmff

from . import scans, special
from .molecules import ELEMENTS, read_smiles
from .structures import Structures

ROTATABLE = Chem.MolFromSmarts("[!$(*#*)&!D1]-&!@[!$(*#*)&!D1]")
ANGLES_DEG = np.arange(-180, 180, 15)
ATOMS_MAX = 64
FLOPPY = "COCCOCCOCCNC(=O)CCCCC(=O)OCCCCC"


def molecules_of(paths, seed):
    """[(name, RDKit molecule with hydrogens)] within the student's domain, shuffled once by the seed."""
    rows = [f"{path.stem}:{line}:{smiles}" for path in paths for line, smiles in read_smiles(path)]
    random.Random(seed).shuffle(rows)
    for name in rows:
        molecule = Chem.MolFromSmiles(name.split(":", 2)[2])
        if molecule is None or "." in name or Chem.GetFormalCharge(molecule):
            continue
        molecule = Chem.AddHs(molecule)
        inside = {atom.GetAtomicNum() for atom in molecule.GetAtoms()} <= set(ELEMENTS)
        if inside and 3 <= molecule.GetNumAtoms() <= ATOMS_MAX and mmff.MMFFHasAllMoleculeParams(molecule):
            yield name, molecule


def embedded(molecule, count, seed=7):
    """MMFF94 minima from ETKDGv3, duplicates within 0.3 Å of heavy atoms left out: [(N, 3)]."""
    settings = AllChem.ETKDGv3()
    settings.randomSeed, settings.pruneRmsThresh, settings.maxIterations = seed, 0.3, 50
    found = list(AllChem.EmbedMultipleConfs(molecule, count, settings))
    mmff.MMFFOptimizeMoleculeConfs(molecule, maxIters=1000)
    return [molecule.GetConformer(k).GetPositions() for k in found]


def numbers_of(molecule):
    return np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8)


def bonds_of(molecule):
    return np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]).reshape(-1, 2)


def conformers(molecules, count):
    groups = {}
    for name, molecule in molecules:
        if rdMolDescriptors.CalcNumRotatableBonds(molecule) >= 3:
            found = embedded(molecule, 24)[:12]
            if len(found) >= 4:
                groups[name] = [(numbers_of(molecule), x, 0, 0) for x in found]
        if len(groups) == count:
            break
    return groups


def torsions(molecules, count):
    groups = {}
    for name, molecule in molecules:
        bonds = molecule.GetSubstructMatches(ROTATABLE)
        if not bonds or not embedded(molecule, 1):
            continue
        i, j = bonds[len(groups) % len(bonds)]
        across = lambda a, b: next(n.GetIdx() for n in molecule.GetAtomWithIdx(a).GetNeighbors() if n.GetIdx() != b)
        quadruple = across(i, j), i, j, across(j, i)
        points = []
        for angle in ANGLES_DEG:
            turned = Chem.Mol(molecule)
            Chem.rdMolTransforms.SetDihedralDeg(turned.GetConformer(), *quadruple, float(angle))
            force_field = mmff.MMFFGetMoleculeForceField(turned, mmff.MMFFGetMoleculeProperties(turned))
            force_field.MMFFAddTorsionConstraint(*quadruple, False, float(angle), float(angle), 500.0)
            force_field.Minimize(maxIts=2000)
            points.append((numbers_of(molecule), turned.GetConformer().GetPositions(), angle, 0))
        groups[f"{name}:{i}-{j}"] = points
        if len(groups) == count:
            break
    return groups


def minima(molecules, count):
    groups = {}
    for name, molecule in molecules:
        if molecule.GetNumAtoms() <= 48 and (found := embedded(molecule, 1)):
            groups[name] = [(numbers_of(molecule), found[0], 0, 0)]
        if len(groups) == count:
            break
    return groups


def dimers(molecules, count, rng):
    """Two groups, near and far; `value` is the closest contact in Å."""
    pool = []
    for _, molecule in molecules:
        if molecule.GetNumAtoms() <= 22 and (found := embedded(molecule, 1)):
            pool.append((numbers_of(molecule), found[0], bonds_of(molecule)))
        if len(pool) == 60:
            break
    groups = {"1.7–4 Å": [], "4–8 Å": []}
    while min(map(len, groups.values())) < count:
        first, second = (pool[k] for k in rng.choice(len(pool), 2))
        bonded = rng.random() < 0.5
        x = (special.hydrogen_bond if bonded else special.contact)(first, second, rng)
        if x is None:
            continue
        n = len(first[0])
        if rng.random() < 0.5:  # drawn apart along the line between the middles
            line = x[n:].mean(0) - x[:n].mean(0)
            x[n:] += rng.uniform(1.0, 5.0) * line / np.linalg.norm(line)
        closest = special.distances(x[:n], x[n:]).min()
        name = "1.7–4 Å" if 1.7 <= closest < 4 else "4–8 Å" if 4 <= closest < 8 else None
        if name and len(groups[name]) < count:
            groups[name].append((np.concatenate([first[0], second[0]]), x, closest, n))
    return groups


def floppy():
    molecule = Chem.AddHs(Chem.MolFromSmiles(FLOPPY))
    return {FLOPPY: [(numbers_of(molecule), embedded(molecule, 1)[0], 0, 0)]}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smiles", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("evaluation"))
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--dimers", type=int, default=500, help="of each bin")
    parser.add_argument("--molecules", type=int, default=600, help="for the stability test")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(words)
    RDLogger.DisableLog("rdApp.*")
    arguments.out.mkdir(parents=True, exist_ok=True)
    molecules = lambda: molecules_of(arguments.smiles, arguments.seed)
    makers = {
        "conformers": lambda: conformers(molecules(), arguments.count),
        "torsions": lambda: torsions(molecules(), arguments.count),
        "minima": lambda: minima(molecules(), arguments.count),
        "chemistry": scans.all_scans,
        "apart": scans.apart,
        "floppy": floppy,
        "dimers": lambda: dimers(molecules(), arguments.dimers, np.random.default_rng(arguments.seed)),
    }
    for name, make in makers.items():
        path = arguments.out / f"{name}.npz"
        if not path.exists():
            made = Structures.of(make())
            made.write(path)
            print(f"{path}: {len(made.names)} groups, {len(made)} structures", flush=True)
    path = arguments.out / "stability.npz"
    if not path.exists():
        chosen = {}
        for name, molecule in molecules():
            if found := embedded(molecule, 1):
                chosen[name] = [(numbers_of(molecule), found[0], 0, 0)]
            if len(chosen) == arguments.molecules:
                break
        Structures.of(chosen).write(path)
        print(f"{path}: {len(chosen)} molecules")


if __name__ == "__main__":
    main()
