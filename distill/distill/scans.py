"""One-dimensional scans through chemistry that students get wrong: {name: [(numbers, positions, coordinate, split)]}.

Rigid, from geometries made by RDKit here and written by `prepare`: what is compared is energy along the same path.
"""

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

from .molecules import ELEMENTS
from .shards import COVALENT_RADIUS
from .special import bonded_within, neighbours, rotation_about, rotation_onto

HYDRIDES = {1: "[H][H]", 6: "C", 7: "N", 8: "O", 9: "F", 15: "P", 16: "S", 17: "Cl", 35: "Br"}
RINGS = {
    "cyclopropane": "C1CC1", "oxirane": "C1CO1", "aziridine": "C1CN1", "thiirane": "C1CS1", "cyclopropene": "C1C=C1",
    "cyclobutane": "C1CCC1", "oxetane": "C1COC1", "azetidine": "C1CNC1", "2-azetidinone": "C1CNC1=O",
    "cyclobutanone": "C1CCC1=O", "norbornane": "C1CC2CCC1C2", "norbornene": "C1=CC2CCC1C2", "quinuclidine": "C1CN2CCC1CC2",
    "bicyclo[1.1.0]butane": "C1C2C1C2", "bicyclo[1.1.1]pentane": "C1C2CC1C2", "spiropentane": "C1CC12CC2",
    "adamantane": "C1C2CC3CC1CC(C2)C3", "cubane": "C12C3C4C1C5C4C3C25",
}  # fmt: skip


def embed(smiles):
    """(numbers, MMFF94 positions, bonds)."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=7) != 0:
        AllChem.EmbedMolecule(molecule, randomSeed=7, useRandomCoords=True)
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.uint8)
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]).reshape(-1, 2)
    return numbers, molecule.GetConformer().GetPositions(), bonds


def flat(positions):
    """Positions turned so that their best plane is z = 0."""
    x = positions - positions.mean(0)
    return x @ np.linalg.svd(x)[2].T


def hydroxyl(numbers, bonds):
    """(O, H) of the first O–H."""
    table = neighbours(len(numbers), bonds)
    return next((i, j) for i in np.flatnonzero(numbers == 8) for j in table[i] if numbers[j] == 1)


def proton_transfer_malonaldehyde(gap_ang):
    """The enol's H along the line between its oxygens, gap_ang apart; 0.5 is the middle."""
    numbers, x, bonds = embed("O=C\\C=C/O")
    o, h = hydroxyl(numbers, bonds)
    (other,) = (k for k in np.flatnonzero(numbers == 8) if k != o)
    x = close_ring(numbers, x, o, other, bonds, gap_ang)
    line = x[other] - x[o]
    return [(numbers, replaced(x, h, x[o] + t * line), t * gap_ang, 0) for t in np.linspace(0.36, 0.64, 21)]


def close_ring(numbers, x, o, other, bonds, gap_ang):
    """The two ends bent towards each other within their planar chain until the oxygens are gap_ang apart."""
    table = neighbours(len(numbers), bonds)
    carbon = {end: next(k for k in table[end] if numbers[k] == 6) for end in (o, other)}
    (middle,) = set(table[carbon[o]]) & set(table[carbon[other]])
    x = flat(x)
    x[:, 2] = 0.0
    best = None
    for bend in np.linspace(-0.6, 0.6, 241):  # both C–C–O angles by the same amount
        y = x.copy()
        for end, sign in ((o, 1), (other, -1)):
            along = np.cross(x[carbon[end]] - x[middle], x[end] - x[carbon[end]])
            moving = [end] + [k for k in table[end] if numbers[k] == 1]
            y[moving] = (x[moving] - x[carbon[end]]) @ rotation_about(along, bend).T + x[carbon[end]]
        error = abs(np.linalg.norm(y[o] - y[other]) - gap_ang)
        best = min(best or (np.inf, None), (error, y.tolist()))
    return np.array(best[1])


def replaced(x, index, position):
    y = x.copy()
    y[index] = position
    return y


def acid_dimer(smiles, gap_ang):
    """(numbers, positions, O, H of the first molecule): a monomer and its inversion image, two hydrogen bonds."""
    numbers, x, bonds = embed(smiles)
    o, h = hydroxyl(numbers, bonds)
    table = neighbours(len(numbers), bonds)
    carbon = next(k for k in table[o] if numbers[k] == 6)
    acceptor = next(k for k in table[carbon] if numbers[k] == 8 and k != o)
    # With the inversion centre c, O–H···O' has O' = 2c − acceptor; c lies in the plane, and both gaps are the same.
    chain = x[acceptor] - x[o]
    across = 0.5 * (x[o] + x[acceptor]) - x[carbon]
    across -= (across @ chain) / (chain @ chain) * chain
    across /= np.linalg.norm(across)
    centre = 0.5 * (x[o] + x[acceptor]) + 0.5 * gap_ang * across
    x = replaced(x, h, x[o] + 0.98 * across)
    return np.tile(numbers, 2), np.concatenate([x, 2 * centre - x]), int(o), int(h), len(numbers)


def proton_transfer_dimer(smiles, gap_ang=2.6):
    """Both protons move at once, from O–H of one molecule to that of the other."""
    numbers, x, o, h, n = acid_dimer(smiles, gap_ang)
    axis = (x[h] - x[o]) / np.linalg.norm(x[h] - x[o])
    points = []
    for r in np.linspace(0.92, gap_ang - 0.92, 21):
        y = replaced(x, h, x[o] + r * axis)
        points.append((numbers, replaced(y, n + h, x[n + o] - r * axis), r, 0))
    return points


def ammonia_inversion():
    """The hydrogens' plane passes through N at a fixed N–H of 1.012 Å; `coordinate` is N's height in Å."""
    numbers, points = np.array([7, 1, 1, 1], np.uint8), []
    for height in np.linspace(-0.6, 0.6, 25):
        radius, angles = np.sqrt(1.012**2 - height**2), 2 * np.pi * np.arange(3) / 3
        ring = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(3)], 1)
        points.append((numbers, np.concatenate([[[0, 0, height]], ring]), height, 0))
    return points


def wag(smiles):
    """Both hydrogens of an NH2 turned out of the plane about the axis through N across the bond to its carbon, degrees."""
    numbers, x, bonds = embed(smiles)
    table = neighbours(len(numbers), bonds)
    n = next(k for k in np.flatnonzero(numbers == 7) if sum(numbers[table[k]] == 1) == 2)
    hydrogens = [k for k in table[n] if numbers[k] == 1]
    carbon = next(k for k in table[n] if numbers[k] != 1)
    back = (x[n] - x[carbon]) / np.linalg.norm(x[n] - x[carbon])
    across = x[hydrogens[0]] - x[hydrogens[1]]
    across -= (across @ back) * back
    across /= np.linalg.norm(across)
    points = []
    for angle in np.arange(-60, 61, 5):
        turn = rotation_about(across, np.radians(angle))
        y = x.copy()
        for k, side in zip(hydrogens, (1, -1)):  # planar first: 118° between N–H and N–C
            y[k] = x[n] + 1.01 * turn @ (0.469 * back + side * 0.883 * across)
        points.append((numbers, y, angle, 0))
    return points


def hydrogen_bond(donor, acceptor, distances_ang=np.arange(1.5, 8.01, 0.25)):
    """H of the donor's first X–H pointed at the acceptor's first O or N; `coordinate` is H···A in Å."""
    numbers, x, bonds = embed(donor)
    other, y, other_bonds = embed(acceptor)
    h = next(j for i, j in bonds.tolist() + bonds[:, ::-1].tolist() if numbers[j] == 1 and numbers[i] in (7, 8, 9))
    (heavy,) = neighbours(len(numbers), bonds)[h]
    a = int(np.flatnonzero(np.isin(other, (7, 8)))[0])
    around = y[neighbours(len(other), other_bonds)[a]] - y[a]
    axis = (x[h] - x[heavy]) / np.linalg.norm(x[h] - x[heavy])
    y = (y - y[a]) @ rotation_onto(-around.sum(0), -axis, np.random.default_rng(0)).T
    return pair(numbers, x, other, lambda r: y + x[h] + r * axis, distances_ang)


def stack(first, second, slip_ang):
    """Two flat rings face to face, the second slipped; `coordinate` is the distance of their planes in Å."""
    numbers, x, _ = embed(first)
    other, y, _ = embed(second)
    return pair(numbers, flat(x), other, lambda r: flat(y) + [slip_ang, 0, r], np.arange(3.0, 9.01, 0.25))


def pair(numbers, x, other, place, distances_ang):
    both = np.concatenate([numbers, other])
    return [(both, np.concatenate([x, place(r)]), r, len(numbers)) for r in distances_ang]


def approach(first, second):
    """Two hydrides with their open sides towards each other; `coordinate` is r over the sum of covalent radii.

    The second is turned about their axis so that no two other atoms come closer than they must: of two methanes face to
    face the hydrogens would otherwise pass at 0.2 Å, and that collision, not the carbons', would be what is scanned.
    """
    (a, x), (b, y) = (open_side(z) for z in (first, second))
    y = y @ rotation_onto(np.array([0, 0, 1.0]), np.array([0, 0, -1.0]), np.random.default_rng(0)).T
    fractions = np.round(np.arange(0.3, 1.0001, 0.02), 2)
    axis = np.array([0, 0, COVALENT_RADIUS[first] + COVALENT_RADIUS[second]])
    meeting = np.linalg.norm(x, axis=-1)[:, None] + np.linalg.norm(y, axis=-1) < 1e-6

    def room(angle):
        """The least distance of two other atoms on the way."""
        way = y @ rotation_about(axis, angle).T + axis * fractions[:, None, None]
        return np.linalg.norm(x[:, None] - way[:, None], axis=-1)[:, ~meeting].min().round(6)

    y = y @ rotation_about(axis, max(np.radians(np.arange(0, 360, 10)), key=room)).T
    return pair(a, x, b, lambda fraction: y + fraction * axis, fractions)


def open_side(element):
    """The element's hydride, its atom at the origin and its hydrogens behind it (z < 0)."""
    numbers, x, bonds = embed(HYDRIDES[element])
    centre = 0 if element == 1 else int(np.flatnonzero(numbers == element)[0])
    around = x - x[centre]
    hydrogens = [k for k in range(len(numbers)) if k != centre]
    away = -around[hydrogens].sum(0)
    if np.linalg.norm(away) < 0.3:  # methane: through the middle of a face
        away = -around[hydrogens[0]]
    return numbers, around @ rotation_onto(away, np.array([0, 0, 1.0]), np.random.default_rng(1)).T


def bare(first, second):
    """The two atoms alone."""
    contact = COVALENT_RADIUS[first] + COVALENT_RADIUS[second]
    numbers = np.array([first, second], np.uint8)
    fractions = np.round(np.arange(0.3, 1.0001, 0.02), 2)
    return [(numbers, np.array([[0, 0, 0], [0, 0, f * contact]]), f, 1) for f in fractions]


def rattled(smiles, rng):
    """A ring's minimum and ten structures rattled by 0.04 Å."""
    numbers, x, _ = embed(smiles)
    moves = [np.zeros_like(x)] + [0.04 * rng.normal(size=x.shape) for _ in range(10)]
    return [(numbers, x + move, k, 0) for k, move in enumerate(moves)]


def antiparallel(smiles, distances_ang):
    """A long molecule beside its inversion image; `coordinate` is the distance of their axes in Å."""
    numbers, x, _ = embed(smiles)
    x = flat(x)
    return pair(numbers, x, numbers, lambda r: -x + [0, r, 0], distances_ang)


def apart():
    """Two molecules drawn apart, from contact to beyond the reach of any cut-off."""
    far = np.arange(3.0, 12.01, 0.5)
    benzene = embed("c1ccccc1")
    return {
        "water, hydrogen-bonded to water": hydrogen_bond("O", "O", far - 1.0),
        "formamide, hydrogen-bonded to water": hydrogen_bond("NC=O", "O", far - 1.0),
        "two acetonitriles, antiparallel": antiparallel("CC#N", far),
        "two benzenes, face to face": pair(benzene[0], flat(benzene[1]), benzene[0], lambda r: flat(benzene[1]) + [0, 0, r], far),
    }


def all_scans():
    rng = np.random.default_rng(5)
    scans = {f"proton transfer: malonaldehyde, O–O {gap} Å": proton_transfer_malonaldehyde(gap) for gap in (2.4, 2.55)}
    for name, smiles in (("formic", "OC=O"), ("acetic", "OC(=O)C")):
        scans[f"proton transfer: {name} acid dimer"] = proton_transfer_dimer(smiles)
    scans["inversion: ammonia"] = ammonia_inversion()
    for name, smiles in (("formamide", "NC=O"), ("acetamide", "NC(=O)C"), ("aniline", "Nc1ccccc1"), ("methylamine", "NC")):
        scans[f"inversion: {name}"] = wag(smiles)
    for donor, acceptor in (("O", "O"), ("CO", "N"), ("O", "CC(=O)NC"), ("CC(=O)NC", "O"), ("F", "O"), ("N", "CC(C)=O")):
        scans[f"hydrogen bond: {donor}…{acceptor}"] = hydrogen_bond(donor, acceptor)
    benzene, pyridine = "c1ccccc1", "c1ccncc1"
    for name, first, second, slip in (
        ("benzene, face to face", benzene, benzene, 0.0), ("benzene, slipped by 1.6 Å", benzene, benzene, 1.6),
        ("pyridine on benzene", benzene, pyridine, 1.6), ("thiophene on benzene", benzene, "c1ccsc1", 1.0),
    ):  # fmt: skip
        scans[f"stack: {name}"] = stack(first, second, slip)
    scans |= {f"ring: {name}": rattled(smiles, rng) for name, smiles in RINGS.items()}
    pairs = [(a, b) for k, a in enumerate(ELEMENTS) for b in ELEMENTS[k:]]
    symbols = dict(zip(ELEMENTS, "H C N O F P S Cl Br".split()))
    scans |= {f"approach: {symbols[a]}–{symbols[b]}": approach(a, b) for a, b in pairs}
    return scans | {f"bare pair: {symbols[a]}–{symbols[b]}": bare(a, b) for a, b in pairs}
