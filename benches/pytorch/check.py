"""Before anything is timed: the two programs compute the same forces.

Golden values: every structure of the model's golden file, in f64, to the digits it has.  Then every molecule that is
timed, with its atoms pushed about: mdrun and PyTorch's precisions against PyTorch in f64.
"""

import json
import pathlib
import tempfile

import torch

from . import engine, molecules
from .dynamics import Replicas, student_in
from .pairs import LAYOUTS
from .student import Student

GOLDEN_EV_PER_ANG = 1e-9  # the file has ten digits after the point
# Less than a tenth of what the student itself misses of its teacher (29 meV/Å), the bound of the `mixed` precision.
MIXED_EV_PER_ANG = 2e-3


def golden(weights, path):
    """Largest difference of forces from the golden file in eV/Å, either layout."""
    student, largest = Student(weights, dtype=torch.float64), 0.0
    for row in json.loads(pathlib.Path(path).read_text())["structures"]:
        x = torch.tensor(row["positions_ang"], dtype=torch.float64)
        wanted = torch.tensor(row["forces_ev_ang"], dtype=torch.float64)
        for layout in LAYOUTS.values():
            energies, forces = student.energies_and_forces(x[None], layout(student, row["numbers"], x, 1))
            largest = max(largest, float((forces - wanted).abs().max()))
            if abs(float(energies) - row["energy_ev"]) > GOLDEN_EV_PER_ANG * 1e3:  # totals are some 10⁴ eV in f64
                raise RuntimeError(f"{row['name']}: energy {float(energies)} is not the golden {row['energy_ev']} eV")
    if largest > GOLDEN_EV_PER_ANG:
        raise RuntimeError(f"forces differ from {path} by {largest:.1e} eV/Å")
    return largest


def molecule(name, weights, program, device):
    """Errors of forces in eV/Å against f64, by program and precision: {name: (root of mean square, largest)}."""
    numbers, x, _ = molecules.read(molecules.find(name)[1])
    torch.manual_seed(7)
    x = (x + 0.05 * torch.randn_like(x)).mul(1e6).round().div(1e6)
    student = Student(weights, dtype=torch.float64)
    _, exact = student.energies_and_forces(x[None], LAYOUTS["edges"](student, numbers, x, 1))
    errors = {}

    def note(key, forces):
        difference = forces.cpu().double() - exact[0]
        errors[key] = float(difference.square().mean().sqrt()), float(difference.abs().max())

    for precision in ("f32", "tf32", "fp16") if device == "cuda" else ("f32",):
        for layout in LAYOUTS:
            student, autocast = student_in(weights, device, precision)
            replicas = Replicas(student, numbers, x, 2, layout, autocast)
            note(f"PyTorch {precision}, {layout}", replicas.forces[1])
    if program is None:
        return errors
    symbols = {number: symbol for symbol, number in molecules.SYMBOLS.items()}
    with tempfile.NamedTemporaryFile("w", suffix=".xyz") as file:
        atoms = (f"{symbols[n]} {a:.6f} {b:.6f} {c:.6f}" for n, (a, b, c) in zip(numbers, x.tolist()))
        file.write("\n".join((str(len(numbers)), name, *atoms, "")))
        file.flush()
        # f32 sums in another order: two draws of the same rounding, of which the larger is not four times the other.
        f32 = 4.0 * max(largest for key, (_, largest) in errors.items() if "PyTorch f32" in key)
        for precision in engine.PRECISIONS:
            _, forces = engine.forces(program, file.name, weights, device, ["--precision", precision])
            note(f"mdrun {precision}", forces)
            bound = MIXED_EV_PER_ANG if precision == "mixed" else f32
            if errors[f"mdrun {precision}"][1 if precision != "mixed" else 0] > bound:
                raise RuntimeError(f"{name}: mdrun's forces are not PyTorch's: {errors}, allowed {bound:.1e} eV/Å")
    return errors
