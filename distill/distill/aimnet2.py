"""The teacher's network, AIMNet2 (Anstine, Zubatyuk and Isayev, 10.1039/D4SC08572H; MIT licence), written out.

The published TorchScript casts its input to f32, adds atomic energies of up to 70 keV in f32 (4 meV lost for each
bromine) and waits for the GPU at every call.  This is the same mathematics from the same weights without the three,
several times faster, and exact in f64 when asked; `python -m distill.teacher --check` compares the two.

    1. G[g,e]   = exp(-eta (d - s_g)^2) fc(d) * (1, u_x, u_y, u_z)     per pair, 16 radial by 4 directional
    2. features = sum_m G[n,m] a[m]: scalars, and squared vectors mixed over g by agh
    3. three perceptrons; the first two update a and the charges q, which are shifted to sum to the total charge
    4. energy   = sum_n mlp(aim) + shift[Z] + Coulomb of q outside 4.6 Å + D3(BJ) dispersion

Shapes: B molecules, N padded atoms (number 0), pairs n receives and m sends, a 16 features, g 16 radial, h 12.
"""

import torch
from torch import nn
from torch.nn import functional

BOHR_PER_ANGSTROM = 1.8897261258369282
RYDBERG_EV = 13.605693012183622
HALF_COULOMB_EV_ANGSTROM = 7.1998226  # every pair is counted twice
PADDED_DISTANCE2 = 25.0  # Å², at the cut-off, where all radial functions vanish
WORD = 4  # tensor cores want rows of whole 16 bytes, so odd widths are padded with zeros


def _padded(weight, bias):
    """A linear layer with its inputs and outputs padded to whole words; the padded outputs are zero."""
    rows, columns = weight.shape
    more_rows = -rows % WORD if rows > 1 else 0
    return (functional.pad(weight, (0, -columns % WORD, 0, more_rows)), functional.pad(bias, (0, more_rows)))


class AIMNet2(nn.Module):
    """One member.  `script` is that member's published TorchScript module, from which weights and constants come."""

    def __init__(self, script):
        super().__init__()
        state = {name: tensor.detach() for name, tensor in script.state_dict().items()}
        d3 = script.outputs.d3bj
        self.s8, self.a1, self.a2, self.k1, self.k3 = d3.s8, d3.a1, d3.a2, d3.k1, d3.k3
        self.cutoff = float(state["aev.rc_s"])
        self.coulomb_cutoff = float(state["outputs.lrcoulomb.rc"])
        self.eta = float(state["aev.eta_s"])
        self.layers = []
        for name in ("mlps.0", "mlps.1", "mlps.2", "outputs.energy_mlp.mlp"):
            count = 1 + max(int(key.split(".")[-2]) for key in state if key.startswith(name + "."))
            stack = []
            for k in range(0, count, 2):
                for part, tensor in zip(("weight", "bias"), _padded(state[f"{name}.{k}.weight"], state[f"{name}.{k}.bias"])):
                    self.register_buffer(f"{name}.{k}.{part}".replace(".", "_"), tensor)
                stack.append(f"{name}.{k}".replace(".", "_"))
            self.layers.append(stack)
        self.register_buffer("centres", state["aev.shifts_s"])
        self.register_buffer("embedding", state["afv.weight"])
        self.register_buffer("mix_a", state["conv_a.agh"])
        self.register_buffer("mix_q", state["conv_q.agh"])
        self.register_buffer("atomic_energy", state["outputs.atomic_shift.shifts.weight"][:, 0])
        self._tabulate_d3(state)

    def _tabulate_d3(self, state):
        """D3 keeps a C6 for every pair of reference coordination numbers.  Those of one element do not depend on its
        partner, so the published (95,95,5,5,3) table becomes a matrix over (element, reference) and a short list."""
        elements = [z for z in range(len(self.atomic_energy)) if self.atomic_energy[z] != 0]
        table = state["outputs.d3bj.c6ab"][elements][:, elements]  # (Z, Z, 5, 5, 3)
        z, references = len(elements), table.shape[2]
        own = table[:, :, :, :, 1].permute(0, 2, 1, 3).reshape(z, references, -1)
        if not (own == own[:, :, :1]).all():
            raise ValueError("reference coordination numbers depend on the partner; this table cannot be factorised")
        c6 = torch.zeros(z + 1, references, z + 1, references)
        c6[1:, :, 1:, :] = table[..., 0].permute(0, 2, 1, 3)
        coordination = torch.zeros(z + 1, references)
        coordination[1:] = own[:, :, 0]
        slot = torch.zeros(len(self.atomic_energy), dtype=torch.long)
        slot[elements] = torch.arange(1, z + 1)
        self.register_buffer("slot", slot)
        self.register_buffer("one_hot", torch.eye(z + 1))
        self.register_buffer("c6", c6.reshape((z + 1) * references, -1))
        self.register_buffer("reference_coordination", coordination)
        for name in ("r4r2", "rcov", "cnmax"):
            self.register_buffer(name, state[f"outputs.d3bj.{name}"])

    def perceptron(self, which, x):
        stack = self.layers[which]
        for k, name in enumerate(stack):
            x = functional.linear(x, getattr(self, name + "_weight"), getattr(self, name + "_bias"))
            if k + 1 < len(stack) or which in (1, 2):  # those two end in their activation
                x = functional.gelu(x)
        return x

    def geometry(self, coordinates, not_pair):
        """Distances (B,N,N) and pair features G (B,g,4N,m)."""
        r = coordinates.unsqueeze(-3) - coordinates.unsqueeze(-2)
        d = (r * r).sum(-1).masked_fill(not_pair, PADDED_DISTANCE2).sqrt()
        envelope = 0.5 * torch.cos((d / self.cutoff).clamp(0, 1) * torch.pi) + 0.5
        radial = torch.exp(-self.eta * (d.unsqueeze(1) - self.centres[:, None, None]) ** 2) * envelope.unsqueeze(1)
        direction = torch.cat([torch.ones_like(d).unsqueeze(1), (r / d.unsqueeze(-1)).permute(0, 3, 1, 2)], 1)
        pairs = radial.unsqueeze(2) * direction.unsqueeze(1)  # (B, g, e, n, m)
        return d, pairs.flatten(2, 3)

    def gather(self, pairs, a, mix):
        """Features of the receivers from a (B, m, a, g): scalars (B, n, a*g), squared vectors (B, n, a*h)."""
        b, n, channels, radial = a.shape
        v = torch.matmul(pairs, a.permute(0, 3, 1, 2)).view(b, radial, 4, n, channels)
        scalars = v[:, :, 0].permute(0, 2, 3, 1).reshape(b, n, channels * radial)
        vectors = v[:, :, 1:].permute(4, 0, 3, 2, 1).reshape(channels, b * n * 3, radial)
        mixed = torch.bmm(vectors, mix).view(channels, b, n, 3, -1).square().sum(3)
        return scalars, mixed.permute(1, 2, 0, 3).reshape(b, n, -1)

    def forward(self, coordinates, numbers):
        """coordinates (B,N,3) Å and numbers (B,N) of neutral molecules to energies (B,) eV in f64, charges (B,N) e."""
        real = numbers > 0
        oneself = torch.eye(numbers.shape[1], dtype=torch.bool, device=numbers.device)
        not_pair = ~(real.unsqueeze(-1) & real.unsqueeze(-2)) | oneself
        padded = ~real.unsqueeze(-1)
        b, n = numbers.shape
        d, pairs = self.geometry(coordinates, not_pair)

        a = self.embedding[numbers]  # (B, N, a*g)
        q = None
        for which in range(3):
            grid = a.view(b, n, 16, 16)
            if q is None:
                features = [a, *self.gather(pairs, grid, self.mix_a)]
            else:
                # The charges are one more sender channel, the same for every radial function.
                both = torch.cat([grid, q.view(b, n, 1, 1).expand(b, n, 1, 16)], 2)
                scalars, vectors = self.gather(pairs, both, torch.cat([self.mix_a, self.mix_q]))
                features = [a, scalars[..., :256], vectors[..., :192], q.unsqueeze(-1), scalars[..., 256:], vectors[..., 192:]]
                features.append(a.new_zeros(b, n, 3))
            out = self.perceptron(which, torch.cat(features, -1)).masked_fill(padded, 0.0)
            if which < 2:
                raw = out[..., 0] if q is None else q + out[..., 0]
                share = out[..., 1].square()
                q = raw - share * (raw.sum(-1, keepdim=True) / (share.sum(-1, keepdim=True) + 1e-6))
                a = a + out[..., 2:258]
        atomic = self.perceptron(3, out).squeeze(-1).masked_fill(padded.squeeze(-1), 0.0)

        pair_energy = self.coulomb(q, d, not_pair) + self.dispersion(numbers, d, not_pair)
        energy = atomic.double().sum(-1) + pair_energy.sum(-1).double().sum(-1) + self.atomic_energy[numbers].double().sum(-1)
        return energy, q

    def coulomb(self, q, d, not_pair):
        x = (d / self.coulomb_cutoff).clamp(0, 0.999999)
        inside = torch.exp(1.0 - 1.0 / (1.0 - x * x))
        charges = (q.unsqueeze(-1) * q.unsqueeze(-2)).masked_fill(not_pair, 0.0)
        return HALF_COULOMB_EV_ANGSTROM * (1.0 - inside) * charges / d

    def dispersion(self, numbers, d, not_pair):
        """D3 with Becke-Johnson damping (10.1002/jcc.21759), pairs counted twice, eV."""
        d = (d * BOHR_PER_ANGSTROM).masked_fill(not_pair, 10.0)
        radius, r4r2, slot = self.rcov[numbers], self.r4r2[numbers], self.slot[numbers]
        bond = torch.sigmoid(-self.k1 * ((radius.unsqueeze(-1) + radius.unsqueeze(-2)) / d - 1.0))
        coordination = torch.minimum(bond.masked_fill(not_pair, 0.0).sum(-1), self.cnmax[numbers])
        weight = torch.exp(self.k3 * (coordination.unsqueeze(-1) - self.reference_coordination[slot]) ** 2)
        total = weight.sum(-1)
        weight = weight / total.clamp_min(1e-30).unsqueeze(-1)
        placed = (self.one_hot[slot].unsqueeze(-1) * weight.unsqueeze(-2)).flatten(-2)  # (B, N, Z*references)
        c6 = placed @ self.c6 @ placed.transpose(-1, -2)
        unknown = not_pair | (total.unsqueeze(-1) * total.unsqueeze(-2) < 1e-5)
        rr = 3.0 * r4r2.unsqueeze(-1) * r4r2.unsqueeze(-2)
        r0 = self.a1 * rr.sqrt() + self.a2
        d2, r02 = d * d, r0 * r0
        d6, r06 = d2 * d2 * d2, r02 * r02 * r02
        damped = 1.0 / (d6 + r06) + self.s8 * rr / (d6 * d2 + r06 * r02)
        return -RYDBERG_EV * c6.masked_fill(unknown, 0.0) * damped


def energies_forces_charges(model, coordinates, numbers):
    coordinates = coordinates.detach().requires_grad_(True)
    with torch.enable_grad():
        energies, charges = model(coordinates, numbers)
        (gradient,) = torch.autograd.grad(energies.sum(), coordinates)
    return energies.detach(), -gradient, charges.detach()
