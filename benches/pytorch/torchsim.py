"""TorchSim (arXiv:2508.06628), batched dynamics in PyTorch: its own Langevin integrator around the same network.

The list of edges is made once, so that TorchSim pays for the network and the integrator alone.
"""

import sys
import unittest.mock

import torch

from . import molecules
from .dynamics import BOLTZMANN_EV_PER_K, FRICTION_PER_FS, TEMPERATURE_K, TIMESTEP_FS, student_in
from .measure import seconds_per_call
from .pairs import EdgeList


def load(path):
    """The module torch_sim of an unpacked wheel (or an installed one); ImportError where there is none."""
    if path:
        sys.path.insert(0, str(path))
    try:
        import tables  # noqa: F401
    except ImportError:
        # TorchSim wants PyTables for its trajectory files; none is written here.
        sys.modules["tables"] = unittest.mock.MagicMock()
    import torch_sim

    return torch_sim


def rows(torch_sim, weights, device, precision, molecule, batches, seconds):
    from torch_sim.integrators.nvt import nvt_langevin_init, nvt_langevin_step
    from torch_sim.models.interface import ModelInterface
    from torch_sim.units import MetalUnits

    class Model(ModelInterface):
        def __init__(self, student, pairs):
            super().__init__()
            self._device, self._dtype = student.device, student.dtype
            self._compute_stress, self._compute_forces = False, True
            self.student, self.pairs = student, pairs

        def forward(self, state, **_):
            x = state.positions.view(state.n_systems, -1, 3)
            energy, forces = self.student.energies_and_forces(x, self.pairs)
            return {"energy": energy.to(self._dtype), "forces": forces.view(-1, 3)}

    student, _ = student_in(weights, device, precision)
    name, path = molecules.find(molecule)
    numbers, start_ang, _ = molecules.read(path)
    atoms, highest = len(numbers), 0.0
    on_device = dict(device=device, dtype=torch.float32)
    kt = torch.tensor(BOLTZMANN_EV_PER_K * TEMPERATURE_K, **on_device)
    timestep = torch.tensor(1e-3 * TIMESTEP_FS * float(MetalUnits.time), **on_device)
    friction = torch.tensor(1e3 * FRICTION_PER_FS / float(MetalUnits.time), **on_device)
    masses = torch.tensor([molecules.MASSES_AMU[n] for n in numbers], **on_device)
    for count in batches:
        try:
            start = torch_sim.SimState(
                positions=start_ang.to(**on_device).repeat(count, 1), masses=masses.repeat(count), pbc=False,
                cell=50.0 * torch.eye(3, **on_device).repeat(count, 1, 1),
                atomic_numbers=torch.tensor(numbers, device=device).repeat(count),
                system_idx=torch.arange(count, device=device).repeat_interleave(atoms))
            model = Model(student, EdgeList(student, numbers, start_ang, count))
            state = [nvt_langevin_init(start.clone(), model, kT=kt)]

            def restart():
                state[0] = nvt_langevin_init(start.clone(), model, kT=kt)

            def step():
                state[0] = nvt_langevin_step(state[0], model, dt=timestep, kT=kt, gamma=friction)

            step_s = seconds_per_call(step, device, seconds, restart)
        except torch.OutOfMemoryError:
            return
        x = state[0].positions.view(count, atoms, 3)
        if not (bool(torch.isfinite(x).all()) and model.pairs.holds(x)):
            raise RuntimeError("TorchSim's atoms left the list of edges")
        kinetic_ev = 0.5 * (state[0].momenta.double() ** 2 / state[0].masses.double()[:, None]).sum()
        yield {"molecule": name, "atoms": atoms, "mode": "TorchSim", "version": torch_sim.__version__, "precision": precision, "layout": "edges",
               "replicas": count, "step_s": step_s, "molecule_steps_per_s": count / step_s,
               "temperature_k": float(2 * kinetic_ev / (3 * atoms * count * BOLTZMANN_EV_PER_K))}
        if count / step_s < 0.98 * highest:
            return
        highest = max(highest, count / step_s)
