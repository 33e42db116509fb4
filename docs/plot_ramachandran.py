"""Where alanine dipeptide has been: the density of its two backbone angles over all replicas of a run.

    cargo run --release -- inputs/quickstart/config.toml
    python docs/plot_ramachandran.py quickstart.out docs/ramachandran.png

Needs numpy, mdtraj and matplotlib.
"""

import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mdtraj
import numpy as np


def heavy_chain(topology):
    """Atom indices of phi = C-N-CA-C and psi = N-CA-C-N, found by bonds: the file names atoms by element alone."""
    bonded = {atom.index: [] for atom in topology.atoms}
    for one, other in topology.bonds:
        bonded[one.index].append(other.index)
        bonded[other.index].append(one.index)
    symbol = lambda index: topology.atom(index).element.symbol
    neighbours = lambda index, what: [n for n in bonded[index] if symbol(n) == what]
    is_carbonyl = lambda index: symbol(index) == "C" and any(len(bonded[o]) == 1 for o in neighbours(index, "O"))
    for alpha in bonded:
        carbonyls = [c for c in neighbours(alpha, "C") if is_carbonyl(c)]
        if symbol(alpha) == "C" and carbonyls and neighbours(alpha, "N"):
            (nitrogen,), (after,) = neighbours(alpha, "N"), carbonyls
            (before,) = [c for c in neighbours(nitrogen, "C") if is_carbonyl(c)]
            (last,) = neighbours(after, "N")
            return [[before, nitrogen, alpha, after], [nitrogen, alpha, after, last]]
    raise ValueError("no peptide in this topology")


def main():
    folder, picture = pathlib.Path(sys.argv[1]), sys.argv[2]
    paths = sorted(folder.glob("alanine-dipeptide-*.dcd"))
    replicas = [mdtraj.load(path, top=folder / "alanine-dipeptide.pdb") for path in paths]
    angles = np.degrees(mdtraj.compute_dihedrals(mdtraj.join(replicas), heavy_chain(replicas[0].topology)))
    density, phi, psi = np.histogram2d(*angles.T, bins=72, range=[[-180, 180]] * 2)

    figure, axis = plt.subplots(figsize=(4.6, 4.0), constrained_layout=True)
    shown = np.ma.masked_equal(density.T, 0)
    mesh = axis.pcolormesh(phi, psi, shown, cmap="viridis", norm=matplotlib.colors.LogNorm(vmin=1))
    axis.set(xlabel="φ, degrees", ylabel="ψ, degrees", aspect="equal", xlim=(-180, 180), ylim=(-180, 180))
    axis.set_xticks(range(-180, 181, 90))
    axis.set_yticks(range(-180, 181, 90))
    figure.colorbar(mesh, ax=axis, label="frames in a bin of 5° × 5°")
    figure.savefig(picture, dpi=140)
    print(f"wrote {picture}: {len(angles)} frames of {len(replicas)} replicas")
    print(f"  φ from {angles[:, 0].min():.0f} to {angles[:, 0].max():.0f}, mean {angles[:, 0].mean():.0f} degrees")


if __name__ == "__main__":
    main()
