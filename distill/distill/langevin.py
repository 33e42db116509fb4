"""Batched relaxation and Langevin dynamics, only to make structures.

BAOAB (Leimkuhler and Matthews, 10.1093/amrx/abs010) samples positions well at large steps.  Hydrogens weigh as much as
`HYDROGEN_MASS_U`: at equilibrium the distribution of positions does not depend on the masses, and the step can be
longer.  Nothing in a step waits for the GPU; on a GPU the whole step is one captured graph, since a step of a small
batch is otherwise all launch overhead.
"""

import dataclasses

import numpy as np
import torch

BOLTZMANN_EV_K = 8.617333262e-5
ACCELERATION = 9.648533212e-3  # Å/fs² for 1 eV/Å on 1 u
HYDROGEN_MASS_U = 4.0
MASS_U = np.full(128, 80.0)
MASS_U[[1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35]] = (
    HYDROGEN_MASS_U, 10.81, 12.011, 14.007, 15.999, 18.998, 28.085, 30.974, 32.06, 35.45, 79.904,
)  # fmt: skip


@dataclasses.dataclass
class Settings:
    timestep_fs: float = 1.5
    friction_early_per_ps: float = 20.0
    friction_per_ps: float = 8.0
    early_fs: float = 150.0
    graph: bool = True


def relax(forces, positions, numbers, n_steps, graph=True):
    """Steepest descent with momentum and a limit on each displacement; 30 steps take the strain out of a structure."""
    step, momentum, longest_ang = 0.012, 0.8, 0.08
    x = positions.clone()
    move = torch.zeros_like(x)

    def once():
        move.mul_(momentum).add_(forces(x, numbers).to(x.dtype), alpha=step)
        length = move.norm(dim=-1, keepdim=True)
        move.mul_(longest_ang / length.clamp_min(longest_ang))
        x.add_(move)

    _repeat(once, n_steps, [x, move], graph)
    return x


def sample(forces, positions, numbers, temperature_k, save_steps, settings):
    """Run in a bath; return the structures after `save_steps` (B, F), as (B, F, N, 3), and the last velocities.

    positions (B, N, 3), numbers (B, N) and temperature_k (B,) are tensors on one device; save_steps is a numpy array of
    steps counted from 1.  Random numbers are those of torch's global generator.
    """
    device, dtype = positions.device, positions.dtype
    x = positions.clone()
    real = (numbers > 0).unsqueeze(-1).to(dtype)
    mass = torch.as_tensor(MASS_U, dtype=dtype, device=device)[numbers].unsqueeze(-1)
    thermal = torch.sqrt(BOLTZMANN_EV_K * ACCELERATION * temperature_k.to(dtype).view(-1, 1, 1) / mass) * real
    v = thermal * torch.randn_like(x)
    f = forces(x, numbers).to(dtype)
    dt = settings.timestep_fs
    half_kick = 0.5 * dt * ACCELERATION / mass * real
    decay = torch.zeros((), dtype=dtype, device=device)
    noise = torch.zeros((), dtype=dtype, device=device)

    def once():
        v.addcmul_(half_kick, f)
        x.add_(v, alpha=0.5 * dt)
        v.mul_(decay).add_(noise * thermal * torch.randn_like(x))
        x.add_(v, alpha=0.5 * dt)
        f.copy_(forces(x, numbers))
        v.addcmul_(half_kick, f)

    def bath(friction_per_ps):
        c = float(np.exp(-friction_per_ps * 1e-3 * dt))
        decay.fill_(c)
        noise.fill_(float(np.sqrt(1 - c * c)))

    wanted = torch.as_tensor(save_steps, device=device)
    saved = torch.zeros(*wanted.shape, *x.shape[1:], dtype=dtype, device=device)
    saving = set(np.unique(save_steps).tolist())
    early = int(settings.early_fs / dt)

    def before(n):
        if n in (1, early):
            bath(settings.friction_early_per_ps if n < early else settings.friction_per_ps)

    def after(n):
        if n in saving:
            saved.copy_(torch.where((wanted == n)[..., None, None], x.unsqueeze(1), saved))

    _repeat(once, max(saving), [x, v, f], settings.graph, before, after)
    return saved, v


def temperature(velocities, numbers, bath_k):
    """The mean kinetic temperature of a batch over that of its bath."""
    mass = torch.as_tensor(MASS_U, dtype=velocities.dtype, device=velocities.device)[numbers]
    kinetic = (mass * velocities.square().sum(-1)).sum(-1) / (3 * (numbers > 0).sum(-1))
    return (kinetic / (BOLTZMANN_EV_K * ACCELERATION * bath_k)).mean().item()


def _repeat(once, n_steps, state, graph, before=lambda n: None, after=lambda n: None):
    """Call `once` n_steps times, from a captured graph where there is a GPU; `state` is what it changes in place."""
    step = once
    if graph and state[0].is_cuda:
        keep = [tensor.clone() for tensor in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                once()
        torch.cuda.current_stream().wait_stream(side)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            once()
        for tensor, value in zip(state, keep):
            tensor.copy_(value)
        step = captured.replay
    for n in range(1, n_steps + 1):
        before(n)
        step()
        after(n)
