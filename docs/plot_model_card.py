"""The pictures of a model card: errors by temperature and size, torsion profiles, parity on labelled frames.

    python docs/plot_model_card.py models/default.safetensors docs --torsions torsions.json --frames 'labels/valid-*.npz'

They are called docs/model_card_default_errors.svg and so on.  The errors come from the accuracy in the file's own
metadata; --torsions is what distill.torsions wrote of the student.  Parity needs labelled frames and the packages of
distill/requirements.txt.  Without --torsions or --frames that picture is not made.  Needs numpy and matplotlib.
"""

import argparse
import json
import pathlib
import struct
import sys
import textwrap

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams |= {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "mdrun", "axes.spines.top": False,
                        "axes.spines.right": False, "figure.constrained_layout.use": True}
import matplotlib.pyplot as plt
import numpy as np

BLUE, GREY = "#2a6f97", "#b0b0b0"


def accuracy(model):
    with open(model, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["accuracy"])


def plot_errors(results, path):
    """Force MAE of the student beside one member of the teacher's ensemble."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), sharey=True, width_ratios=(4, 8))
    for axis, grouping in zip(axes, ("temperature", "size")):
        labels, student, member = [], [], []
        for name in results:
            for row, value in results[name]["student"][grouping].items():
                if row == "all":
                    continue
                labels.append(row.replace(" atoms", "") + ("\nlarge" if name == "valid_large" else ""))
                student.append(value["force_mae"])
                member.append(results[name]["member"][grouping][row]["force_mae"])
        place = np.arange(len(labels))
        axis.bar(place - 0.2, student, 0.4, color=BLUE, label="student")
        axis.bar(place + 0.2, member, 0.4, color=GREY, label="one teacher member")
        axis.set_xticks(place, labels, fontsize=8)
        axis.set_xlabel({"temperature": "temperature", "size": "atoms"}[grouping])
    axes[0].set_ylabel("force MAE, meV/Å")
    axes[0].margins(y=0.25)
    axes[1].legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}")


def plot_torsions(path_json, path):
    """Profiles of four bonds, by rank of the student's error: lower quartile, median, 95 % and the worst."""
    profiles = json.loads(path_json.read_text())["details"]

    def rmse(profile):  # as distill/distill/torsions.py has it
        teacher, student = np.array(profile["teacher"]), np.array(profile["student"])
        low = teacher - teacher.min() < 20.0
        return (student - teacher)[low].std()

    ranked = sorted(profiles, key=lambda name: rmse(profiles[name]))
    ranks = [round(share * (len(ranked) - 1)) for share in (0.25, 0.5, 0.95, 1.0)]
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.6))
    for axis, rank in zip(axes, ranks):
        profile = profiles[ranked[rank]]
        axis.plot(profile["angle_deg"], profile["teacher"], color=GREY, lw=2.5, label="teacher")
        axis.plot(profile["angle_deg"], profile["student"], color=BLUE, lw=1.0, label="student")
        smiles = "\n".join(textwrap.wrap(ranked[rank].split(":")[2], 26))
        axis.set_title(f"{smiles}\n{rank + 1} of {len(ranked)}: {rmse(profile):.2f} kcal/mol", fontsize=6)
        axis.set_xticks([-180, 0, 180])
        axis.set_xlabel("dihedral, °")
    axes[0].set_ylabel("energy, kcal/mol")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}: {', '.join(ranked[rank] for rank in ranks)}")


def plot_parity(model, patterns, count, path):
    """Forces and energies of `count` frames, drawn evenly, against the teacher's ensemble."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "distill"))
    import jax
    from distill import dataset, format
    from distill.predict import errors, predict

    jax.config.update("jax_default_matmul_precision", "highest")
    parameters, config, reference_energy_ev = format.read_any(model)
    frames = dataset.load(patterns)
    chosen = np.flatnonzero(dataset.sizes(frames) <= 64)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(count, len(chosen))).astype(int)]
    frames = dataset.subset(frames, chosen)
    buckets = dataset.buckets(frames, [24, 48, 64], reference_energy_ev)
    energies, forces = predict(parameters, config, buckets, frames)
    residual = frames["energies"] - dataset.composition(frames) @ reference_energy_ev
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4))
    for axis, true, found, what in (
        (axes[0], frames["forces"].ravel(), forces.ravel(), "force component, eV/Å"),
        (axes[1], residual, energies, "energy above the composition's, eV"),
    ):
        low, high = min(true.min(), found.min()), max(true.max(), found.max())
        axis.plot([low, high], [low, high], color=GREY, lw=0.8)
        axis.plot(true, found, ".", ms=2, alpha=0.4, color=BLUE, mew=0)
        axis.set(xlabel=f"teacher, {what}", ylabel="student", aspect="equal")
    figure.savefig(path, dpi=130)
    found = errors(frames, energies - residual, forces - frames["forces"], np.ones(len(chosen), bool))
    print(f"wrote {path}: {found}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, help="folder")
    parser.add_argument("--torsions", type=pathlib.Path, help="the .json of distill.torsions")
    parser.add_argument("--frames", nargs="+", help="glob patterns of labelled shards")
    parser.add_argument("--count", type=int, default=400, help="frames of the parity")
    arguments = parser.parse_args()
    path = lambda picture: arguments.out / f"model_card_{arguments.model.stem}_{picture}"
    plot_errors(accuracy(arguments.model), path("errors.svg"))
    if arguments.torsions:
        plot_torsions(arguments.torsions, path("torsions.svg"))
    if arguments.frames:
        plot_parity(arguments.model, arguments.frames, arguments.count, path("parity.png"))


if __name__ == "__main__":
    main()
