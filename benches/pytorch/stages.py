"""The stages of a step alone, in plain PyTorch operations: forward, and what the backward adds."""

import torch

from . import molecules
from .dynamics import student_in
from .measure import seconds_per_call
from .pairs import LAYOUTS

# What `mdrun bench --profile` calls its stages, by how the names begin; a name that ends in ⁻ is a backward one.
# In tiles the distances, directions and radial functions of all pairs are one stage.
ENGINE = {"pairs": "radial + cut-off", "radial": "radial + cut-off", "edge": "edge features", "density": "density (message 1)",
          "update": "update", "message": "message", "readout": "readout"}


def stages(student, x, pairs):
    """(name, inputs that have a gradient, function) of every stage; what both updates cost is added up."""
    z = pairs.species.repeat(len(x))
    r, u, real = student.geometry(x, pairs)
    basis = student.radial(r, real, pairs)
    directions, filters = student.directions(u), student.filters(basis)
    q, v, t = student.density(basis, directions, z, pairs)
    yield "radial + cut-off", (r,), lambda r: student.radial(r, real, pairs)
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
    student, _ = student_in(weights, device, precision)
    name, path = molecules.find(molecule)
    numbers, start_ang, _ = molecules.read(path)
    pairs = LAYOUTS[layout](student, numbers, start_ang, replicas)
    x = start_ang.to(student.device, student.dtype).repeat(replicas, 1, 1)
    x = x + 0.02 * torch.randn_like(x)
    ways = {"eager": lambda call: call} | ({"graph": captured} if device == "cuda" else {})
    with torch.no_grad():
        all_stages = list(stages(student, x, pairs))
    for way, made in ways.items():
        sums = {}
        for stage, inputs, function in all_stages:
            forward_s, both_s = (seconds_per_call(made(call), device, seconds) for call in both_ways(inputs, function))
            sum_of = sums.setdefault(stage, [0.0, 0.0])
            sum_of[0] += forward_s
            sum_of[1] += both_s - forward_s
        for stage, (forward_s, backward_s) in sums.items():
            yield {"molecule": name, "atoms": len(numbers), "replicas": replicas, "mode": way, "precision": precision,
                   "layout": layout, "stage": stage, "forward_ns": 1e9 * forward_s / replicas,
                   "backward_ns": 1e9 * backward_s / replicas}


def of_engine(profile, replicas):
    """{stage: [forward ns, backward ns]} a molecule and step, from engine.profile."""
    times = {}
    for part in profile:
        word = part["stage"].rstrip("⁻")
        stage = next((ours for begin, ours in ENGINE.items() if word.startswith(begin)), word)
        times.setdefault(stage, [0.0, 0.0])[part["stage"].endswith("⁻")] += 1e3 * part["step_us"] / replicas
    return times
