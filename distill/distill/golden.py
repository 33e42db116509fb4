"""Two dozen structures of our own, on which every engine must reproduce the float64 energies and forces.

    python -m distill.golden golden_structures.xyz

All nine elements, 3 to 64 atoms, rings, conjugation, pairs of molecules in contact; relaxed by MMFF94
and then rattled by 0.05 Å, so that no force vanishes by symmetry.
"""

import argparse

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

STRUCTURES = {
    "water": "O",
    "hydrogen sulfide": "S",
    "ammonia": "N",
    "phosphine": "P",
    "methyl bromide": "CBr",
    "chlorodifluoromethane": "FC(F)Cl",
    "formic acid": "OC=O",
    "acetonitrile": "CC#N",
    "cyclopropane": "C1CC1",
    "ethanol": "CCO",
    "malonaldehyde": "O=CC=CO",
    "benzene": "c1ccccc1",
    "dimethyl sulfoxide": "CS(=O)C",
    "nitrobenzene": "c1ccccc1[N+](=O)[O-]",
    "trimethyl phosphate": "COP(=O)(OC)OC",
    "bromochlorofluoromethyl thiophene": "c1ccsc1C(F)(Cl)Br",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "alanine dipeptide": "CC(=O)NC(C)C(=O)NC",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "sulfanilamide": "NS(=O)(=O)c1ccc(N)cc1",
    "naphthyl chloride": "Clc1cccc2ccccc12",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "water dimer": "O.O",
    "benzene and hydrogen fluoride": "c1ccccc1.F",
    "triglycine with diphenylphosphine oxide": "NCC(=O)NCC(=O)NCC(=O)O.O=[PH](c1ccccc1)c1ccccc1",
    "icosanediol": "OCCCCCCCCCCCCCCCCCCCCO",
}
RATTLE_ANG = 0.05
CONTACT_ANG = 2.0


def embed(smiles, random):
    """(symbols, positions) of one structure; parts of a pair are set CONTACT_ANG apart along x."""
    symbols, positions = [], np.zeros((0, 3))
    for part in smiles.split("."):
        molecule = Chem.AddHs(Chem.MolFromSmiles(part))
        AllChem.EmbedMolecule(molecule, randomSeed=7)
        if AllChem.MMFFHasAllMoleculeParams(molecule):
            AllChem.MMFFOptimizeMolecule(molecule, maxIters=1000)
        x = molecule.GetConformer().GetPositions()
        x = x - x.mean(0)
        if len(positions):
            shift = 0.0
            distance = lambda: np.linalg.norm(positions[:, None] - (x + [shift, 0, 0])[None], axis=-1).min()
            while distance() < CONTACT_ANG:
                shift += 0.01
            x = x + [shift, 0, 0]
        positions = np.concatenate([positions, x])
        symbols += [atom.GetSymbol() for atom in molecule.GetAtoms()]
    positions = positions + RATTLE_ANG * random.normal(size=positions.shape)
    return symbols, positions - positions.mean(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    arguments = parser.parse_args()
    random = np.random.default_rng(7)
    with open(arguments.out, "w") as file:
        for name, smiles in STRUCTURES.items():
            symbols, positions = embed(smiles, random)
            print(f"{len(symbols):3d} {name}")
            file.write(f"{len(symbols)}\n{name}\n")
            file.writelines(f"{s:2s} {x:11.6f} {y:11.6f} {z:11.6f}\n" for s, (x, y, z) in zip(symbols, positions))


if __name__ == "__main__":
    main()
