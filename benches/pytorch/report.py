"""Tables of results, and what they are compared with."""

# One H200, 128 channels, two layers: the least that is wanted and what is aimed at.
MOLECULE_STEPS_PER_S = {"benzene": (1_300_000, 4_000_000), "aspirin": (600_000, 1_800_000), "loratadine": (120_000, 400_000)}
SINGLE_BENZENE = (250_000, 500_000)
RATIOS = {"torch.compile": (3, 9), "CUDA graph": (12, 35), "TorchSim": (12, 35), "eager": (None, None)}
LATENCY_S = (70e-6, 25e-6)
USEFUL_PERCENT = (4, 12)
FAMILIES = {"compile": "torch.compile", "compile + graph": "torch.compile", "max-autotune": "torch.compile",
            "max-autotune + graph": "torch.compile", "graph": "CUDA graph", "TorchSim": "TorchSim", "eager": "eager"}


def described(row):
    student = row["student"] if row.get("student", "default") != "default" else ""
    return ", ".join(filter(None, (row["mode"], student, row["precision"], row["layout"])))


def best(rows):
    return max(rows, key=lambda row: row["molecule_steps_per_s"], default=None)


def speeds(rows):
    """Molecule-steps/s of every variant (lines) and batch (columns), a table a molecule."""
    for molecule in dict.fromkeys(row["molecule"] for row in rows):
        own = [row for row in rows if row["molecule"] == molecule]
        counts = sorted({row["replicas"] for row in own})
        yield f"\n{molecule}, {own[0]['atoms']} atoms: molecule-steps/s by replicas"
        yield f"{'':40s}" + "".join(f"{count:>11d}" for count in counts)
        for name in dict.fromkeys(map(described, own)):
            at = {row["replicas"]: row["molecule_steps_per_s"] for row in own if described(row) == name}
            yield f"{name:40s}" + "".join(f"{at[count]:11.0f}" if count in at else f"{'–':>11s}" for count in counts)


def useful(top, operations, ceilings):
    """(useful TFLOP/s of a row, its share of the fp16 ceiling in per cent or None)."""
    tflops = 1e-12 * operations[top["molecule"]] * top["molecule_steps_per_s"]
    return tflops, 100.0 * tflops / ceilings["fp16"] if ceilings.get("fp16") else None


def targets(rows, operations, ceilings):
    """[what, value, must, aim] of everything that is there; ceilings in TFLOP/s by precision."""
    for molecule in dict.fromkeys(row["molecule"] for row in rows):
        own = [row for row in rows if row["molecule"] == molecule and row.get("student", "default") == "default"]
        ours = [row for row in own if row["mode"] == "mdrun"]
        if not ours or molecule not in MOLECULE_STEPS_PER_S:
            continue
        top = best(ours)
        must, aim = MOLECULE_STEPS_PER_S.get(molecule, (None, None))
        yield f"{molecule}: molecule-steps/s ({top['precision']}, {top['replicas']} replicas)", top["molecule_steps_per_s"], must, aim
        single = best([row for row in ours if row["precision"] in ("single", "default")])
        if molecule == "benzene" and single:
            yield f"{molecule}: molecule-steps/s, {single['precision']}", single["molecule_steps_per_s"], *SINGLE_BENZENE
        for family, (must, aim) in RATIOS.items():
            peer = best([row for row in own if FAMILIES.get(row["mode"]) == family])
            if peer:
                ratio = top["molecule_steps_per_s"] / peer["molecule_steps_per_s"]
                yield f"{molecule}: ratio to {family} ({described(peer)}, {peer['replicas']} replicas)", ratio, must, aim
        if molecule in operations:
            tflops, percent = useful(top, operations, ceilings)
            yield f"{molecule}: useful TFLOP/s ({1e-6 * operations[molecule]:.1f} MFLOP a step)", tflops, None, None
            if percent is not None:
                must, aim = USEFUL_PERCENT if molecule == "benzene" else (None, None)
                yield f"{molecule}: … of the fp16 ceiling of {ceilings['fp16']:.0f} TFLOP/s, %", percent, must, aim
        one = min((row["step_s"] for row in ours if row["replicas"] == 1), default=None)
        if one:
            must, aim = (1e6 * limit for limit in LATENCY_S) if molecule == "benzene" else (None, None)
            yield f"{molecule}: one replica, µs a step", 1e6 * one, must, aim


def target_lines(targets):
    yield f"\n{'':84s}{'is':>12s}{'must':>12s}{'aim':>12s}"
    for what, value, must, aim in targets:
        number = lambda x: f"{'–':>12s}" if x is None else f"{x:12.1f}" if x < 1000 else f"{x:12.0f}"
        yield f"{what:84s}{number(value)}{number(must)}{number(aim)}"


def stage_lines(cases):
    """Tables of stages.compared."""
    for case in cases:
        yield f"\nstages of {case['molecule']} × {case['replicas']}, ns a molecule, forward / backward"
        yield f"{'':24s}{'PyTorch':>24s}{'mdrun mixed':>20s}{'ratio (both ways)':>24s}{'share':>8s}{'mdrun single':>20s}{'share':>8s}"
        for line in case["stages"]:
            if "ns" in line:
                rest = ", ".join(f"{name} {ns:.1f}" for name, ns in line["rest_ns"].items())
                yield f"{line['stage']}: {line['ns']:.1f}, of that {rest}"
                continue
            ways = [line.get("forward_ns", {}), line.get("backward_ns", {})]
            pair = lambda key: " / ".join(f"{way[key]:.1f}" if key in way else "–" for way in ways)
            divided = lambda ours, theirs: f"{theirs / ours:.1f}" if ours and theirs else "–"
            of = lambda key: [way.get(key) for way in ways]
            both = divided(*(sum(of(key)) if None not in of(key) else None for key in ("mdrun mixed", "PyTorch")))
            ratio = f"{' / '.join(map(divided, of('mdrun mixed'), of('PyTorch')))} ({both})"
            share = lambda precision: f"{100 * line[key]:.0f} %" if (key := f"share of mdrun {precision}") in line else "–"
            text = f"{line['stage']:24s}{pair('PyTorch'):>24s}{pair('mdrun mixed'):>20s}{ratio:>24s}{share('mixed'):>8s}"
            text += f"{pair('mdrun single'):>20s}{share('single'):>8s}"
            if "the design's start, forward" in line:
                factor = line["the design's start, forward"]
                text += f"   the design's start: {factor} times as fast as PyTorch's operations"
            yield text


def start_lines(start):
    if start is None:
        return
    yield f"\nwhere the design began: {start['molecule']}, eager PyTorch in f32, energies and forces alone (theirs: 75 structures/s; 500 hoped for from 16)"
    for row in start["batches"]:
        yield f"  {row['replicas']:6d} at a time {row['structures_per_s']:12.0f} structures/s, {100 * row['backward_share']:.0f} % of it backward"
