"""Replicas of a molecule under Langevin dynamics in PyTorch, and the ways to run a step.

    eager           autograd, one kernel after the other
    graph           the same, whole steps captured in a CUDA graph
    compile         energies, their backward and the integrator by torch.compile
    max-autotune    torch.compile that also tries out matrix products
    ... + graph     a compiled step captured in a CUDA graph

Precisions: f32, tf32 (products of f32 numbers with 10 bits) and fp16 (autocast, matrices stored in fp16).
"""

import contextlib
import math

import torch

from . import molecules
from .measure import free
from .pairs import LAYOUTS
from .student import Student

TEMPERATURE_K, TIMESTEP_FS, FRICTION_PER_FS = 300.0, 0.5, 0.001  # those of `mdrun bench`
BOLTZMANN_EV_PER_K = 8.617333262e-5
AMU_EV_FS2_PER_ANG2 = 103.642697  # 1 amu = 103.64 eV fs²/Å²
MODES = {"compile": None, "max-autotune": "max-autotune-no-cudagraphs"}


def half_step(x, v, forces, noise, inverse_mass, thermal):
    """Kick(½) Drift(½) Bath Drift(½): everything of BAOAB before the forces (10.1093/amrx/abs010, BAOAB)."""
    keep = math.exp(-FRICTION_PER_FS * TIMESTEP_FS)
    v = v + 0.5 * TIMESTEP_FS * inverse_mass * forces
    x = x + 0.5 * TIMESTEP_FS * v
    v = keep * v + math.sqrt(1.0 - keep * keep) * thermal * noise
    return x + 0.5 * TIMESTEP_FS * v, v


def kick(v, forces, inverse_mass):
    return v + 0.5 * TIMESTEP_FS * inverse_mass * forces


def plain_functions(student):
    return student.energies, half_step, kick


def compiled_functions(student, mode):
    return tuple(torch.compile(function, mode=MODES[mode], dynamic=False) for function in plain_functions(student))


class Replicas:
    """B replicas that start at one geometry with velocities of their own.

    x, v, forces: positions Å, velocities Å/fs, eV/Å        (B, N, 3)
    energy_ev: f64                                          (B,)
    """

    def __init__(self, student, numbers, start_ang, replicas, layout, autocast=False, functions=None):
        self.student, self.autocast = student, autocast
        self.pairs = LAYOUTS[layout](student, numbers, start_ang, replicas)
        mass = torch.tensor([molecules.MASSES_AMU[n] for n in numbers], dtype=torch.float64)
        mass = (mass * AMU_EV_FS2_PER_ANG2)[:, None].to(student.device)
        self.inverse_mass = (1.0 / mass).to(student.dtype)
        self.thermal = (BOLTZMANN_EV_PER_K * TEMPERATURE_K / mass).sqrt().to(student.dtype)
        self.start = start_ang.to(student.device, student.dtype).repeat(replicas, 1, 1)
        self.x, self.v, self.forces = (torch.zeros_like(self.start) for _ in range(3))
        self.energy_ev = torch.zeros(replicas, dtype=torch.float64, device=student.device)
        self.functions = functions or plain_functions(student)
        self.restart()

    def restart(self):
        self.x.copy_(self.start)
        self.v.copy_(self.thermal * torch.randn_like(self.v))
        self.evaluate()

    def evaluate(self):
        """Energies and forces at x."""
        x = self.x.detach().requires_grad_(True)
        products = torch.autocast(x.device.type, torch.float16) if self.autocast else contextlib.nullcontext()
        with products:
            energy_ev = self.functions[0](x, self.pairs)
        self.forces.copy_(-torch.autograd.grad(energy_ev.sum(), x)[0])
        self.energy_ev.copy_(energy_ev.detach())

    def step(self):
        _, half_step, kick = self.functions
        noise = torch.randn_like(self.v)
        x, v = half_step(self.x, self.v, self.forces, noise, self.inverse_mass, self.thermal)
        self.x.copy_(x)
        self.evaluate()
        self.v.copy_(kick(v, self.forces, self.inverse_mass))

    def captured(self):
        """A function that replays one step from a CUDA graph."""
        free("cuda")  # eager's memory would else cost the graph its largest batch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        free("cuda")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay

    def check(self):
        """Faults that would make a timing worthless."""
        if not bool(torch.isfinite(self.x).all() & torch.isfinite(self.forces).all()):
            raise RuntimeError("atoms flew apart")
        if not self.pairs.holds(self.x):
            raise RuntimeError("a pair outside the list came within the cut-off")

    def temperature_k(self):
        kinetic_ev = 0.5 * (self.v.double() ** 2 / self.inverse_mass.double()).sum()
        return float(2.0 * kinetic_ev / (self.v.numel() * BOLTZMANN_EV_PER_K))


def student_in(path, device, precision):
    """(student, whether products need autocast); the global switch of tf32 is set, too."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    fp16 = precision == "fp16"
    return Student(path, device, products=torch.float16 if fp16 else None), fp16
