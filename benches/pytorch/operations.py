"""The two yardsticks: operations that a step needs, and what the GPU at hand can do."""

import torch

from . import molecules
from .measure import seconds_per_call

# (rows, inner, columns): large squares, and a product as tall and narrow as those of the student.
SHAPES = ((8192, 8192, 8192), (16384, 8192, 8192), (8192, 16384, 8192), (16384, 16384, 16384), (1 << 20, 128, 384))
DTYPES = {"fp16": (torch.float16, False), "tf32": (torch.float32, True), "f32": (torch.float32, False)}
COPIED = 1 << 29  # numbers, 2 GB: far more than any cache


def useful(student, numbers, x):
    """Operations of one step of one molecule: products with the student's matrices, a multiply-add being two.

    Every product of an atom's features counts forward and, by its transpose, backward; the filters of the pairs within
    the cut-off count once.  No padding, nothing done twice, nothing between the products:
      2 · 2 N (D + Σ_l (3·2F² + I_l H_l + H_l O_l) + Σ_{l>1} (F² + 3F²) + F²/2 + F/2) + 2 P Σ_{l>1} 3KF,
    D = 4 E K F + 5 E K T with the E elements of the molecule.
    """
    config, w = student.config, student.w
    elements, layers = len(set(numbers)), range(1, config["layers"] + 1)
    of = lambda name: w[name].numel()  # inputs times outputs
    atom = sum(of(f"update{l}.mix") * 3 + of(f"update{l}.hidden.weight") + of(f"update{l}.out.weight") for l in layers)
    atom += sum(of(f"message{l}.phi.hidden.weight") + of(f"message{l}.phi.out.weight") for l in layers if l > 1)
    atom += of("readout.hidden.weight") + of("readout.out.weight")
    # Matrices of the density have a row for every element that the student knows.
    density = of("density.scalar") + 3 * of("density.vector") + (5 * of("density.tensor") if config["tensor"] else 0)
    atom += density * elements // len(student.elements)
    pair = sum(of(f"message{l}.filter") for l in layers if l > 1)
    pairs = int((torch.cdist(x, x) < config["cutoff_ang"]).sum()) - len(numbers)
    return 2 * (2 * len(numbers) * atom + pairs * pair)


def ceilings(device, seconds):
    """{what: TFLOP/s of every shape, or TB/s}, sums in f32."""
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    measured = {}
    for name, (dtype, tf32) in DTYPES.items():
        torch.backends.cuda.matmul.allow_tf32 = tf32
        measured[name] = {}
        for rows, inner, columns in SHAPES if name == "fp16" else SHAPES[:1]:
            if torch.device(device).type == "cpu":
                rows, inner, columns = (min(64, size) for size in (rows, inner, columns))
            a, b = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inner), (inner, columns)))
            out = torch.empty((rows, columns), device=device, dtype=dtype)
            seconds_each = seconds_per_call(lambda: torch.mm(a, b, out=out), device, seconds)
            measured[name][f"{rows} × {inner} × {columns}"] = 2e-12 * rows * inner * columns / seconds_each
    a = torch.zeros(COPIED if torch.device(device).type == "cuda" else 1024, device=device)
    b = torch.empty_like(a)
    measured["copy, TB/s"] = 8e-12 * a.numel() / seconds_per_call(lambda: b.copy_(a), device, seconds)
    return measured


def best_of(ceilings):
    """{precision: the most TFLOP/s of any shape}."""
    return {name: max(shapes.values()) for name, shapes in ceilings.items() if isinstance(shapes, dict)}


def count(weights_student, molecule):
    """Useful operations of a molecule by name."""
    numbers, x, _ = molecules.read(molecules.find(molecule)[1])
    return useful(weights_student, numbers, x[:, :3])
