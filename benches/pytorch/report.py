"""Tables of results, and what they are compared with."""

# One H200, 128 channels, two layers: the least that is wanted and what is aimed at.
MOLECULE_STEPS_PER_S = {"benzene": (1_300_000, 4_000_000), "aspirin": (600_000, 1_800_000), "loratadine": (120_000, 400_000)}
SINGLE_BENZENE = (250_000, 500_000)
RATIOS = {"torch.compile": (3, 9), "CUDA graph": (12, 35), "TorchSim": (12, 35), "eager": (None, None)}
LATENCY_S = (70e-6, 25e-6)
FAMILIES = {"compile": "torch.compile", "compile + graph": "torch.compile", "max-autotune": "torch.compile",
            "max-autotune + graph": "torch.compile", "graph": "CUDA graph", "TorchSim": "TorchSim", "eager": "eager"}


def described(row):
    return ", ".join(filter(None, (row["mode"], row["precision"], row["layout"])))


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


def targets(rows):
    """[what, value, must, aim] of everything that is there."""
    for molecule in dict.fromkeys(row["molecule"] for row in rows):
        own = [row for row in rows if row["molecule"] == molecule]
        ours = [row for row in own if row["mode"] == "mdrun"]
        if not ours:
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
        one = min((row["step_s"] for row in ours if row["replicas"] == 1), default=None)
        if one:
            must, aim = (1e6 * limit for limit in LATENCY_S) if molecule == "benzene" else (None, None)
            yield f"{molecule}: one replica, µs a step", 1e6 * one, must, aim


def target_lines(rows):
    yield f"\n{'':84s}{'is':>12s}{'must':>12s}{'aim':>12s}"
    for what, value, must, aim in targets(rows):
        number = lambda x: f"{'–':>12s}" if x is None else f"{x:12.1f}" if x < 1000 else f"{x:12.0f}"
        yield f"{what:84s}{number(value)}{number(must)}{number(aim)}"


def stage_lines(rows, ours):
    """Nanoseconds a molecule of every stage; `ours` is {(molecule, replicas): {stage: [forward, backward]}}."""
    for case in dict.fromkeys((row["molecule"], row["replicas"]) for row in rows):
        own = [row for row in rows if (row["molecule"], row["replicas"]) == case]
        engine = ours.get(case)
        yield f"\nstages of {case[0]} × {case[1]}, ns a molecule (forward / backward), {own[0]['precision']}, {own[0]['layout']}"
        modes = list(dict.fromkeys(row["mode"] for row in own))
        yield f"{'':22s}" + "".join(f"{'PyTorch ' + mode:>22s}" for mode in modes) + f"{'mdrun':>22s}{'ratio':>16s}"
        for stage in dict.fromkeys(row["stage"] for row in own):
            times = [[row["forward_ns"], row["backward_ns"]] for row in own if row["stage"] == stage]
            line = f"{stage:22s}" + "".join(f"{a:12.1f} /{b:8.1f}" for a, b in times)
            if engine and stage in engine:
                a, b = engine[stage]
                line += f"{a:12.1f} /{b:8.1f}"
                line += f"{min(t[0] for t in times) / a if a else 0:8.2f} /{min(t[1] for t in times) / b if b else 0:6.2f}"
            else:
                line += f"{'–':>22s}"
            yield line
        for stage in set(engine or ()) - {row["stage"] for row in own}:
            yield f"{stage:22s}" + f"{'':22s}" * len(modes) + f"{engine[stage][0]:12.1f} /{engine[stage][1]:8.1f}"
