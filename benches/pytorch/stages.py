"""The stages of a step alone, in plain PyTorch operations: forward, and what the backward adds; and mdrun's beside them.

mdrun has no stage for the edges' features: filters are made where messages use them.  Distances, radial functions and
the repulsion are one stage in its tiles.  So PyTorch's are added up to the engine's before they are compared.
"""

import contextlib

import torch

from . import molecules
from .dynamics import student_in
from .measure import seconds_per_call
from .pairs import LAYOUTS

# Stages of the comparison: PyTorch's parts, and how the engine's parts begin (backward ones end in ⁻).
COMPARED = {
    "pairs": (("distances", "radial + cut-off", "repulsion"), ("pairs", "geometry", "domain", "radial", "repulsion")),
    "density (message 1)": (("density (message 1)",), ("density",)),
    "message": (("edge features", "message"), ("message",)),
    "update": (("update",), ("update",)),
    "readout": (("readout",), ("readout", "energies")),
}
# In the engine the gradients of distances are gathered where forces are made.
BACKWARD = {"pairs": ("forces",)}
# What the design's starting point had from fusing these by hand, forward alone, against PyTorch's operations.
STARTED_WITH = {"radial + cut-off": 5.88, "edge features": 1.54}


def stages(student, x, pairs):
    """(name, inputs that have a gradient, function) of every stage; what both updates cost is added up."""
    z = pairs.species.repeat(len(x))
    r, u, real = student.geometry(x, pairs)
    basis = student.radial(r, real, pairs)
    directions, filters = student.directions(u), student.filters(basis)
    q, v, t = student.density(basis, directions, z, pairs)
    yield "distances", (x,), lambda x: student.geometry(x, pairs)[:2]
    yield "radial + cut-off", (r,), lambda r: student.radial(r, real, pairs)
    if pairs.dispersion is None:
        yield "repulsion", (r,), lambda r: student.repel(r, real, pairs)
    else:  # counts as repulsion
        yield "repulsion", (r, x), lambda r, x: (student.repel(r, real, pairs), student.disperse(x, pairs))
    yield "edge features", (u, basis), lambda u, basis: (student.directions(u), *student.filters(basis))
    yield "density (message 1)", (basis, directions), lambda b, y: student.density(b, y, z, pairs)
    for layer in range(1, student.config["layers"] + 1):
        if layer > 1:
            own = filters[layer - 2]
            message = lambda q, v, u, own, layer=layer: student.message(layer, q, v, u, own, z, pairs)
            yield "message", (q, v, u, own), message
            q, v = message(q, v, u, own)
        tensors = (q, v, t) if layer == 1 and t is not None else (q, v)
        last = layer == student.config["layers"]
        update = lambda q, v, t=None, layer=layer: student.update(layer, q, v, t)
        # The vectors of the last layer are passed through: they have no gradient to give.
        yield "update", tensors, (lambda *inputs, update=update: update(*inputs)[:1]) if last else update
        q, v = update(*tensors)
    yield "readout", (q,), student.readout


def both_ways(inputs, function):
    """Functions of no argument: forward, and forward with backward."""
    inputs = [tensor.detach().requires_grad_(True) for tensor in inputs]

    def forward():
        with torch.no_grad():
            return function(*inputs)

    outputs = forward()
    seeds = [torch.randn_like(y) for y in (outputs if isinstance(outputs, tuple) else (outputs,)) if y is not None]

    def backward():
        outputs = function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        outputs = [y for y in outputs if y is not None]
        return torch.autograd.grad(outputs, inputs, seeds, allow_unused=True)

    return forward, backward


def captured(function):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def rows(weights, device, molecule, replicas, layout, precision, seconds):
    """A row for every stage and way; times are of one molecule."""
    student, autocast = student_in(weights, device, precision)
    name, path = molecules.find(molecule)
    numbers, start_ang, _ = molecules.read(path)
    pairs = LAYOUTS[layout](student, numbers, start_ang, replicas)
    x = start_ang.to(student.device, student.dtype).repeat(replicas, 1, 1)
    x = x + 0.02 * torch.randn_like(x)
    ways = {"eager": lambda call: call} | ({"graph": captured} if device == "cuda" else {})
    with torch.autocast(x.device.type, torch.float16, cache_enabled=False) if autocast else contextlib.nullcontext():
        with torch.no_grad():
            all_stages = list(stages(student, x, pairs))
        for way, made in ways.items():
            sums = {}
            for stage, inputs, function in all_stages:
                forward_s, both_s = (seconds_per_call(made(call), device, seconds) for call in both_ways(inputs, function))
                sum_of = sums.setdefault(stage, [0.0, 0.0])
                sum_of[0] += forward_s
                sum_of[1] += max(0.0, both_s - forward_s)
            for stage, (forward_s, backward_s) in sums.items():
                yield {"molecule": name, "atoms": len(numbers), "replicas": replicas, "mode": way, "precision": precision,
                       "layout": layout, "stage": stage, "forward_ns": 1e9 * forward_s / replicas,
                       "backward_ns": 1e9 * backward_s / replicas}


def of_engine(profile, replicas):
    """{stage of the comparison, or the engine's own: [forward ns, backward ns]} a molecule and step, from engine.profile."""
    times = {}
    for part in profile:
        word, backward = part["stage"].rstrip("⁻"), part["stage"].endswith("⁻")
        stage = next((name for name, (_, begin) in COMPARED.items() if word.startswith(begin)), word)
        for name, words in BACKWARD.items():
            if word in words:
                stage, backward = name, True
        times.setdefault(stage, [0.0, 0.0])[backward] += 1e3 * part["step_us"] / replicas
    return times


def compared(rows, engines):
    """One line a stage: PyTorch's fastest way, each of the engine's precisions, the ratio and the share of a whole step.

    `rows` are those of one molecule and number of replicas, `engines` {precision: of_engine(...)}.
    """
    lines = []
    parts = {}
    for row in rows:
        parts.setdefault((row["mode"], row["precision"], row["layout"]), {})[row["stage"]] = row["forward_ns"], row["backward_ns"]
    for stage, (names, _) in COMPARED.items():
        line = {"stage": stage, "of": list(names)}
        for n, way in enumerate(("forward_ns", "backward_ns")):
            sums = {key: sum(own[name][n] for name in names) for key, own in parts.items() if all(name in own for name in names)}
            if sums:
                key = min(sums, key=sums.get)
                line[way] = {"PyTorch": sums[key], "by": ", ".join(key)}
            for precision, times in engines.items():
                if stage in times:
                    line.setdefault(way, {})[f"mdrun {precision}"] = times[stage][n]
        for precision, times in engines.items():
            if stage in times:
                line[f"share of mdrun {precision}"] = sum(times[stage]) / sum(map(sum, times.values()))
        lines.append(line)
    for stage, factor in STARTED_WITH.items():
        sums = {key: own[stage] for key, own in parts.items() if stage in own}
        if sums:
            key = min(sums, key=lambda key: sums[key][0])
            lines.append({"stage": f"  {stage} alone", "of": [stage], "forward_ns": {"PyTorch": sums[key][0], "by": ", ".join(key)},
                          "the design's start, forward": factor})
    for precision, times in engines.items():
        lines.append({"stage": f"mdrun {precision}, whole step", "ns": sum(map(sum, times.values())),
                      "rest_ns": {stage: sum(of) for stage, of in times.items() if stage not in COMPARED}})
    return lines
