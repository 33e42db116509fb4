"""Markdown tables of what against_pytorch.py measured, as README.md, docs/performance.md and kernels/README.md have them.

    python benches/markdown_tables.py benches/results/against_pytorch_nvidia_h200.json
"""

import argparse
import json
import pathlib

from pytorch.report import FAMILIES, best, described, useful

PEERS = {"torch.compile": "torch.compile", "CUDA graph": "PyTorch, whole steps in a CUDA graph", "eager": "PyTorch, eager",
         "TorchSim": "TorchSim"}


def number(value):
    return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def of(rows, molecule, keep):
    return [row for row in rows if row["molecule"] == molecule and keep(row)]


def is_ours(row, precision="mixed", student="default"):
    return row["mode"] == "mdrun" and row["precision"] == precision and row["student"] == student


def students(rows):
    return dict.fromkeys(row["student"] for row in rows if row["mode"] == "mdrun")


def side_by_side(rows, names):
    """Everybody at the best of several batches; how much slower than mdrun in brackets."""
    ours = {name: best(of(rows, name, is_ours)) for name in names}
    lines = [["mdrun, mixed precision", *(number(row and row["molecule_steps_per_s"]) for row in ours.values())]]
    for student in students(rows):
        for precision in ("mixed", "single"):
            if (student, precision) != ("default", "mixed"):
                found = [best(of(rows, name, lambda row: is_ours(row, precision, student))) for name in names]
                if any(found):
                    words = "" if student == "default" else f", student `{student}`"
                    lines.append([f"mdrun, {precision} precision{words}", *(number(row and row["molecule_steps_per_s"]) for row in found)])
    for family, label in PEERS.items():
        cells, precisions = [], []
        for name in names:
            row = best(of(rows, name, lambda row: FAMILIES.get(row["mode"]) == family))
            cells.append("–" if row is None else number(row["molecule_steps_per_s"]))
            if row and ours[name]:
                cells[-1] += f" ({ours[name]['molecule_steps_per_s'] / row['molecule_steps_per_s']:.1f} ×)"
                precisions.append(f"{described(row)}, {row['replicas']} replicas")
        lines.append([label, *cells])
        yield f"<!-- {label}: {'; '.join(precisions)} -->"
    yield from table(["", *names], lines)


def sweep(rows, names):
    for name in names:
        own = of(rows, name, lambda row: True)
        counts = sorted({row["replicas"] for row in own})
        lines = []
        for student in students(rows):
            for precision in ("mixed", "single"):
                at = {row["replicas"]: row for row in own if is_ours(row, precision, student)}
                if at:
                    label = f"mdrun, {precision}" + ("" if student == "default" else f", {student}")
                    lines.append([label, *(number(at[n]["molecule_steps_per_s"]) if n in at else "–" for n in counts)])
        for family, label in PEERS.items():
            at = {n: best([row for row in own if FAMILIES.get(row["mode"]) == family and row["replicas"] == n]) for n in counts}
            if any(at.values()):
                lines.append([label, *(number(row and row["molecule_steps_per_s"]) for row in at.values())])
        yield ""
        yield from table([f"{name}, replicas", *(f"{n:,}" for n in counts)], lines)


def sizes(rows):
    """Every molecule at its best batch."""
    found = sorted({(row["atoms"], row["molecule"]) for row in rows if row["mode"] == "mdrun"})
    lines = []
    for atoms, name in found:
        cells = [best(of(rows, name, lambda row: is_ours(row, "mixed", student))) for student in students(rows)]
        lines.append([name, str(atoms), *(number(row and row["molecule_steps_per_s"]) for row in cells)])
    yield from table(["molecule", "atoms", *(f"{student}, mixed" for student in students(rows))], lines)


def stages(case):
    def cell(line, key):
        values = [line.get(way, {}).get(key) for way in ("forward_ns", "backward_ns")]
        return "–" if values == [None, None] else " / ".join("–" if value is None else f"{value:.0f}" for value in values)

    def ratio(line):
        ways = [line.get(way, {}) for way in ("forward_ns", "backward_ns")]
        if "the design's start, forward" in line:
            return f"(the design's start: {line['the design' + chr(39) + 's start, forward']} forward)"
        sums = [sum(way.get(key) or 0.0 for way in ways) for key in ("PyTorch", "mdrun mixed")]
        return f"{sums[0] / sums[1]:.1f}" if all(sums) else "–"

    yield f"{case['molecule']} × {case['replicas']}, ns a molecule, forward / backward"
    yield ""
    lines = []
    for line in case["stages"]:
        if "ns" in line:
            yield f"<!-- {line['stage']}: {line['ns']:.1f} ns, of that {line['rest_ns']} -->"
            continue
        share = line.get("share of mdrun mixed")
        lines.append([line["stage"].strip(), cell(line, "PyTorch"), cell(line, "mdrun mixed"), ratio(line),
                      "–" if share is None else f"{100 * share:.0f} %", cell(line, "mdrun single")])
    yield from table(["stage", "PyTorch", "mdrun, mixed", "ratio, both ways", "of the step", "mdrun, single"], lines)


def yardsticks(data, names):
    ceilings = {name: max(shapes.values()) for name, shapes in data["ceilings"].items() if isinstance(shapes, dict)}
    yield f"copy {data['ceilings']['copy, TB/s']:.2f} TB/s; products in TFLOP/s: " + ", ".join(f"{k} {v:.0f}" for k, v in ceilings.items())
    operations, lines = data["useful operations of a step"], []
    for name in names:
        top = best(of(data["rows"], name, is_ours))
        if top and name in operations:
            tflops, percent = useful(top, operations, ceilings)
            lines.append([name, f"{1e-6 * operations[name]:.1f}", f"{tflops:.1f}", f"{percent:.1f} %"])
    yield from table(["", "MFLOP a step", "useful TFLOP/s", "of the fp16 ceiling"], lines)


def start(data):
    begun = data["where the design began"]
    lines = [[f"{row['replicas']:,}", number(row["structures_per_s"]), f"{100 * row['backward_share']:.0f} %"] for row in begun["batches"]]
    yield from table([f"{begun['molecule']}, eager PyTorch in f32, structures at a time", "structures/s", "backward"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=pathlib.Path)
    data = json.loads(parser.parse_args().result.read_text())
    names = [name for name in ("benzene", "aspirin", "loratadine") if any(row["molecule"] == name for row in data["rows"])]
    parts = {"side by side": lambda: side_by_side(data["rows"], names), "yardsticks": lambda: yardsticks(data, names),
             "where the design began": lambda: start(data), "replicas": lambda: sweep(data["rows"], names),
             "sizes": lambda: sizes(data["rows"])}
    parts |= {f"stages, {case['molecule']}": (lambda case=case: stages(case)) for case in data["stages"]}
    for title, lines in parts.items():
        print(f"\n## {title}\n")
        try:
            print("\n".join(lines()))
        except (KeyError, TypeError, ValueError) as missing:
            print(f"not measured ({missing!r})")
    for note in data["notes"]:
        print(f"<!-- {note['note'][:300]} -->")


if __name__ == "__main__":
    main()
