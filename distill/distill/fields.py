"""Teacher, one of its members, and student with one face: `field(structures)` → energies (M,) in eV, forces (A, 3) in eV/Å.

All in f64, batched, results on the host.  The student's energies lack the reference energies of the elements, which
cancel in every difference that the evaluations look at.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from . import dataset, format, model
from .label import batches
from .shards import flatten, pad

PAIRS_MAX = {"cpu": 60_000, "gpu": 1_500_000}  # padded atom pairs of one call, in f64


class Field:
    """Flat structures to padded batches and back; a subclass evaluates one padded batch."""

    pairs_max, multiple = PAIRS_MAX["cpu"], 4  # of what molecules are padded to

    def __call__(self, structures):
        energies, forces = np.zeros(len(structures)), np.zeros_like(structures.positions)
        first = structures.first
        for chosen, n in batches(-(-structures.sizes // self.multiple) * self.multiple, self.pairs_max):
            x, z = pad(structures.positions, first, chosen, n), pad(structures.numbers, first, chosen, n).astype(np.int64)
            energies[chosen], f = self.padded(x, z)
            atoms = first[:-1][chosen][:, None] + np.arange(n)
            forces[atoms[np.arange(n) < structures.sizes[chosen][:, None]]] = flatten(f, structures.sizes[chosen])
        return energies, forces


class Student(Field):
    """Few shapes, each of which is compiled once: N is a multiple of 16, B a power of four; 32 and 16 on a GPU, where a
    compilation costs more than many molecules."""

    multiple, bits = 16, 2

    def __init__(self, path):
        jax.config.update("jax_enable_x64", True)
        parameters, self.config, _ = format.read_any(path)
        self.parameters = {name: jnp.asarray(value, jnp.float64) for name, value in parameters.items()}
        self.pairs_max = PAIRS_MAX["cpu"]
        if jax.default_backend() != "cpu":
            self.pairs_max, self.multiple, self.bits = PAIRS_MAX["gpu"] // 2, 32, 4
        self.compiled = jax.jit(lambda p, x, z: model.energy_and_forces(p, self.config, x, z))

    def padded(self, x, z):
        b, n = z.shape
        more = 2 ** (self.bits * -(-(b - 1).bit_length() // self.bits))
        more = max(min(more, self.pairs_max // (n * n)), b) - b
        species = np.pad(dataset.SPECIES_OF_NUMBER[z].astype(np.int32), ((0, more), (0, 0)), constant_values=model.PADDING)
        energies, forces = self.compiled(self.parameters, np.pad(x, ((0, more), (0, 0), (0, 0))), species)
        return np.asarray(energies)[:b], np.asarray(forces)[:b]


class Teacher(Field):
    """The mean of the ensemble, or any ASE calculator."""

    def __init__(self, teacher):
        import torch

        self.torch, self.teacher = torch, teacher
        self.pairs_max = PAIRS_MAX["cpu" if teacher.device.type == "cpu" else "gpu"]

    def padded(self, x, z):
        labels = self.teacher.label(self.torch.from_numpy(x), self.torch.from_numpy(z))
        return labels.energies.numpy(), labels.forces.numpy()


class Member(Teacher):
    """The ensemble's first member alone: what is as good as the teacher knows itself."""

    def padded(self, x, z):
        from .aimnet2 import energies_forces_charges

        to = lambda array: self.torch.from_numpy(array).to(self.teacher.device)
        energies, forces, _ = energies_forces_charges(self.teacher.members[0], to(x), to(z))
        return energies.cpu().numpy(), forces.cpu().numpy()


def add_arguments(parser, structures=None, optional=False):
    """With `optional` there may be no student, and then the teacher's part alone is made."""
    words = {"nargs": "?"} if optional else {}
    parser.add_argument("student", help="a .safetensors student, or a training's checkpoint (its averaged weights)", **words)
    parser.add_argument("--teacher", default="aimnet2", help="aimnet2, or module:factory for an ASE calculator")
    parser.add_argument("--teacher-folder", type=pathlib.Path, default=".work/teacher")
    parser.add_argument("--device", help="cuda or cpu, for the teacher; default: cuda where there is one")
    parser.add_argument("--out", type=pathlib.Path, required=not optional, help="the .json written")
    if structures:
        parser.add_argument("--structures", type=pathlib.Path, default=f"evaluation/{structures}.npz", help="made by `prepare`")
        parser.add_argument("--groups", type=int, help="only the first groups")


def teachers(arguments):
    """{"teacher", "member"} → field; an ASE calculator has no members."""
    import torch

    from .teacher import Ensemble, open_teacher

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    teacher = open_teacher(arguments.teacher, arguments.teacher_folder, device, torch.float64)
    return {"teacher": Teacher(teacher)} | ({"member": Member(teacher)} if isinstance(teacher, Ensemble) else {})


def opened(arguments):
    """{"teacher", "member", "student"} → field."""
    return teachers(arguments) | {"student": Student(arguments.student)}
