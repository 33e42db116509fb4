"""All closed-shell neutral molecules of few atoms, as a .smi list: `python -m distill.tiny tiny.smi --without valid.smi`.

Lists of drug-like molecules hold few of two to eight atoms, and a student meets each element's simplest neighbours only
there.  Every graph of up to three heavy atoms, and of four among C, N and O, that has the usual valences counts.
"""

import argparse
import itertools
import pathlib

from rdkit import Chem, RDLogger

from .molecules import ELEMENTS, read_smiles

VALENCE = {6: 4, 7: 3, 8: 2, 9: 1, 15: 3, 16: 2, 17: 1, 35: 1}
HEAVY = tuple(z for z in ELEMENTS if z > 1)
SECOND_ROW = (6, 7, 8)
# Oxides of phosphorus and sulfur, and what does not follow from the valences above.
MORE = ("[H][H]", "CS(C)=O", "CS(=O)=O", "OS=O", "O=S=O", "OP=O", "CP=O", "OP(O)=O", "OS(=O)O", "FS(F)=O", "FP(F)(F)=O", "ClP(Cl)(Cl)=O",
        "C[SH]=O", "N[SH]=O", "OP(=O)=O", "O=S(=O)=O", "OS(=O)(=O)O", "CP(C)=O", "FS(F)(F)F", "FP(F)(F)(F)F")  # fmt: skip

TRIPLETS = ("O=O", "O=S", "S=S")  # ground states that are no closed shells


def graphs(numbers):
    """Canonical SMILES of every way to bond these heavy atoms to one molecule, hydrogens filling what is left."""
    pairs = list(itertools.combinations(range(len(numbers)), 2))
    for orders in itertools.product(range(4), repeat=len(pairs)):
        used = [sum(order for pair, order in zip(pairs, orders) if k in pair) for k in range(len(numbers))]
        if any(u > VALENCE[z] for u, z in zip(used, numbers)):
            continue
        molecule = Chem.RWMol()
        for z in numbers:
            molecule.AddAtom(Chem.Atom(z))
        for (i, j), order in zip(pairs, orders):
            if order:
                molecule.AddBond(i, j, Chem.BondType.values[order])
        if len(Chem.GetMolFrags(molecule)) == 1 and Chem.SanitizeMol(molecule, catchErrors=True) == 0:
            yield Chem.MolToSmiles(molecule)


def all_molecules(atoms_max):
    """Canonical SMILES of molecules of 2 to atoms_max atoms, sorted."""
    RDLogger.DisableLog("rdApp.*")
    heavy = [combination for n in (1, 2, 3) for combination in itertools.combinations_with_replacement(HEAVY, n)]
    heavy += itertools.combinations_with_replacement(SECOND_ROW, 4)
    found = {smiles for numbers in heavy for smiles in graphs(numbers)} | {canonical(smiles) for smiles in MORE}
    found -= set(TRIPLETS)
    count = lambda smiles: Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()
    return sorted(smiles for smiles in found if 2 <= count(smiles) <= atoms_max)


def canonical(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    return Chem.MolToSmiles(molecule, isomericSmiles=False) if molecule else None


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--without", type=pathlib.Path, nargs="*", default=[], help="lists whose molecules are left out")
    parser.add_argument("--atoms-max", type=int, default=8)
    arguments = parser.parse_args(words)
    without = {canonical(smiles) for path in arguments.without for _, smiles in read_smiles(path)}
    molecules = [smiles for smiles in all_molecules(arguments.atoms_max) if smiles not in without]
    arguments.out.write_text("".join(f"{smiles}\n" for smiles in molecules))
    print(f"{arguments.out}: {len(molecules)} molecules")


if __name__ == "__main__":
    main()
