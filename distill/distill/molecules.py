"""Stage 1: SMILES to three-dimensional structures.

Each molecule is embedded with ETKDGv3 (10.1021/acs.jcim.0c00025) and relaxed with MMFF94
(10.1002/(SICI)1096-987X(199604)17:5/6<490::AID-JCC1>3.0.CO;2-P).  The list is shuffled once by seed and
cut into shards; a shard that is already on disk is not made again, so the stage resumes by itself.

A shard is an .npz of flat arrays over M molecules and A atoms:

    line       (M,)   int32    line of the molecule in the .smi file, from 0
    first      (M+1,) int32    first atom of each molecule
    numbers    (A,)   uint8    atomic numbers
    positions  (A, 3) float32  Å
    bonds_first (M+1,), bonds (B, 2) int32   covalent bonds, atom indices within the molecule
"""

import argparse
import contextlib
import multiprocessing
import pathlib
import random

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35)


def embed(task):
    """One molecule to (line, numbers, positions, bonds), or None if it cannot be embedded or is outside the domain."""
    line, smiles, seed, atoms_max = task
    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    molecule = Chem.AddHs(molecule)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8)
    neutral = Chem.GetFormalCharge(molecule) == 0
    if not (2 <= len(numbers) <= atoms_max and neutral and set(numbers.tolist()) <= set(ELEMENTS)):
        return None
    settings = AllChem.ETKDGv3()
    settings.randomSeed = (seed * 1_000_003 + line) & 0x7FFFFFFF
    settings.maxIterations = 50
    if AllChem.EmbedMolecule(molecule, settings) != 0:
        return None
    try:
        AllChem.MMFFOptimizeMolecule(molecule, maxIters=200)
    except (ValueError, RuntimeError):  # no parameters for an atom: the teacher's dynamics relax it instead
        pass
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()], np.int32)
    positions = molecule.GetConformer().GetPositions().astype(np.float32)
    return line, numbers, positions - positions.mean(0), bonds


def read_smiles(path):
    """The first column of every line that is not empty and not a comment, with its line number."""
    with open(path) as file:
        rows = [(line, text.split()) for line, text in enumerate(file)]
    return [(line, words[0]) for line, words in rows if words and not words[0].startswith("#")]


def pack(results):
    """Molecules to the flat arrays of a shard."""
    lines, numbers, positions, bonds = zip(*results)
    starts = lambda parts: np.cumsum([0, *map(len, parts)]).astype(np.int32)
    return dict(
        line=np.array(lines, np.int32),
        first=starts(numbers),
        numbers=np.concatenate(numbers),
        positions=np.concatenate(positions),
        bonds_first=starts(bonds),
        bonds=np.concatenate([b.reshape(-1, 2) for b in bonds]),
    )


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("smiles", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard-size", type=int, default=4000)
    parser.add_argument("--limit", type=int, help="use only the first molecules of the shuffled list")
    parser.add_argument("--atoms-max", type=int, default=64)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args(words)

    rows = read_smiles(arguments.smiles)
    random.Random(arguments.seed).shuffle(rows)
    rows = rows[: arguments.limit]
    arguments.out.mkdir(parents=True, exist_ok=True)
    size = arguments.shard_size
    with multiprocessing.Pool(arguments.processes) if arguments.processes > 1 else contextlib.nullcontext() as pool:
        for shard, start in enumerate(range(0, len(rows), size)):
            path = arguments.out / f"{arguments.smiles.stem}-{shard:03d}.npz"
            if path.exists():
                continue
            tasks = [(line, smiles, arguments.seed, arguments.atoms_max) for line, smiles in rows[start : start + size]]
            made = pool.imap_unordered(embed, tasks, chunksize=16) if pool else map(embed, tasks)
            results = [r for r in made if r is not None]
            results.sort(key=lambda r: r[0])
            partial = path.with_suffix(".partial.npz")
            np.savez_compressed(partial, **pack(results))
            partial.rename(path)
            print(f"{path.name}: {len(results)} of {len(tasks)} molecules", flush=True)


if __name__ == "__main__":
    main()
