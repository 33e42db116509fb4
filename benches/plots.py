"""Pictures of what against_pytorch.py and cpu_speed.py measured: molecule-steps/s against replicas, and against atoms.

    python benches/plots.py benches/results/*.json [--out docs]

Two SVG files for every JSON, named as it is.  Of PyTorch's variants each picture has, at every point, the fastest one of
a family.  Needs matplotlib.
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams |= {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "mdrun", "axes.spines.top": False,
                        "axes.spines.right": False, "figure.constrained_layout.use": True}
import matplotlib.pyplot as plt

FAMILIES = {"compile": "torch.compile", "compile + graph": "torch.compile", "max-autotune": "torch.compile",
            "max-autotune + graph": "torch.compile", "graph": "PyTorch, CUDA graph", "eager": "PyTorch, eager", "TorchSim": "TorchSim"}
STYLES = {"torch.compile": ("#e07a1f", "s"), "PyTorch, CUDA graph": ("#7a5195", "^"), "PyTorch, eager": ("#b0b0b0", "v"),
          "TorchSim": ("#4c9f70", "D")}
OURS = ("#2a6f97", "#7fb2d0", "#14344a")


def family(row):
    if row["mode"] != "mdrun":
        return FAMILIES[row["mode"]]
    student = row.get("student", "default")
    words = ["mdrun", "" if student == "default" else student, "" if row["precision"] == "default" else row["precision"]]
    return ", ".join(filter(None, words))


def fastest(rows, by):
    """{family: {value of `by`: molecule-steps/s of the fastest}}, mdrun first."""
    found = {}
    for row in rows:
        points = found.setdefault(family(row), {})
        points[row[by]] = max(points.get(row[by], 0.0), row["molecule_steps_per_s"])
    return dict(sorted(found.items(), key=lambda item: not item[0].startswith("mdrun")))


def draw(axis, curves):
    ours = iter(OURS)
    for name, points in curves.items():
        colour, marker = STYLES[name] if name in STYLES else (next(ours), "o")
        x = sorted(points)
        # Two points say nothing of what is between them.
        line = "-" if len(x) > 2 else "none"
        axis.loglog(x, [points[at] for at in x], color=colour, marker=marker, markersize=4, linestyle=line, linewidth=1.4, label=name)
    axis.grid(True, which="major", linewidth=0.4, alpha=0.5)


def against_replicas(rows, title, path):
    counts = {}
    for row in rows:
        counts.setdefault(row["molecule"], set()).add(row["replicas"])
    # Molecules that were timed to compare sizes have no curve of their own.
    molecules = [molecule for molecule, replicas in counts.items() if len(replicas) > 2]
    figure, axes = plt.subplots(1, len(molecules), figsize=(2.4 + 2.4 * len(molecules), 3.0), sharey=True, squeeze=False)
    for axis, molecule in zip(axes[0], molecules):
        own = [row for row in rows if row["molecule"] == molecule]
        draw(axis, fastest(own, "replicas"))
        axis.set_title(f"{molecule}, {own[0]['atoms']} atoms", fontsize=9)
        axis.set_xlabel("replicas")
    axes[0][0].set_ylabel("molecule-steps/s")
    curves = {}
    for axis in axes[0]:
        for curve, name in zip(*axis.get_legend_handles_labels()):
            # Not every molecule has all families; a curve that is a line somewhere shows the line.
            if name not in curves or len(curve.get_xdata()) > len(curves[name].get_xdata()):
                curves[name] = curve
    axes[0][-1].legend(curves.values(), curves.keys(), frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def against_atoms(rows, title, path):
    figure, axis = plt.subplots(figsize=(5.4, 3.0))
    draw(axis, fastest(rows, "atoms"))
    atoms = sorted({row["atoms"] for row in rows})
    # Labels of neighbours on the axis must not touch.
    shown = [count for n, count in enumerate(atoms) if n == 0 or count > 1.15 * atoms[n - 1]]
    axis.set_xticks(shown, [str(count) for count in shown])
    axis.minorticks_off()
    axis.set_xlabel("atoms")
    axis.set_ylabel("molecule-steps/s, best batch")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(title, fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=pathlib.Path)
    parser.add_argument("--pictures", default="replicas,atoms")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "docs")
    arguments = parser.parse_args()
    for result in arguments.results:
        data = json.loads(result.read_text())
        cores = data["hardware"].get("cores")
        where = f"{cores} cores of an" if cores else "one"
        title = f"{where} {data['hardware']['name']}, PyTorch {data['torch'].split('+')[0]}, {data['weights']}"
        pictures = {"replicas": against_replicas, "atoms": against_atoms}
        for name in arguments.pictures.split(","):
            path = arguments.out / f"{result.stem}_{name}.svg"
            pictures[name](data["rows"], title, path)
            print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
