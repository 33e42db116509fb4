"""The student: a small equivariant message-passing network, as pure functions of named tensors.

The family is PaiNN (arXiv:2102.03150).  Atom i carries F scalars q_i and F vectors v_i; it receives from every
atom j ≠ i of the molecule within the cut-off r_c through K radial functions without a filter bias,

    B_k(r) = √(2/r_c) · sin(kπr/r_c)/r · ½(1 + cos(πr/r_c)),     u_ij = (x_j − x_i)/r_ij.

sin(kπr/r_c) has a simple and the cosine a double zero at r_c, so B, B' and B'' vanish there: the energy is C2.
With `core`, B_k(r) is also multiplied by 1 − s(r / r_sw), s being the switch of repulsion.py (C2 too): the closer two atoms
are pushed, the less the network sees of the pair, so that no feature grows beyond what training showed, and what is
left at the core is the repulsion.  Without it features are products of ever larger numbers, and the energy may fall.

First layer.  Before it the vectors are zero and the scalars are a table by element, so a message depends only on
z_j and r_ij.  `painn` makes it edge by edge.  `density` uses that the message is linear in B: it sums over
neighbours first, by element, and multiplies by matrices once an atom instead of once an edge:

    A0_i[e,k] = Σ_{j: z_j=e} B_k        q_i = embedding[z_i] + g0[z_i] ⊙ A0_i W0
    A1_i[e,k] = Σ B_k u_ij              v_i = g1[z_i] ⊙ A1_i W1
    A2_i[e,k] = Σ B_k Y2(u_ij)          t_i = g2[z_i] ⊙ A2_i W2         (five components; optional)

with W of shape (9K, F).  painn's first layer is the special case W[e,k,f] = table[e,f] · filter[k,f].

Update (10.48550/arXiv.2102.03150, eq. 9–10), the norms |t| of the first layer being more inputs of its network:

    U, V = v W_uv     a, b, c = MLP(q, |V|, |t|)     q += a + c ⊙ (U·V)     v += b ⊙ U     (last layer: no b)

Message of layers 2 and up:

    a, b, c = MLP(q_j) ⊙ (B(r_ij) W_f)     q_i += g[z_i] ⊙ Σ_j a     v_i += g'[z_i] ⊙ Σ_j (b u_ij + c v_j)

Energy: Σ_i MLP(q_i) + the repulsion of repulsion.py, and with `dispersion` the term of dispersion.py between all pairs
of atoms, however far apart: the network learns what is left of the teacher within r_c.  The reference energies of the elements are added by the
caller in float64: a molecule's total is some 10⁴ eV, where float32 resolves only 1 meV.

Uncertainty, optional: s_i = MLP(q_i) is the logarithm of the error, in eV/Å, that a component of the force on atom i
is expected to have; that of a molecule is √(Σ e^(2 s_i) / N).  uncertainty.py trains it when all else is done.

Shapes: N atoms (padded), E = 9 elements, K radial, F channels, T tensor channels.  Matrices are (in, out), row-major.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from . import dispersion, repulsion

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35)
PADDING = -1  # species index of an atom that is not there


@dataclasses.dataclass(frozen=True)
class Config:
    channels: int = 128
    layers: int = 2
    radial: int = 16
    cutoff_ang: float = 5.0
    first: str = "density"  # or "painn"
    tensor: bool = True  # |t| of the density layer
    gates: bool = True  # gates by the receiver's element
    tensor_channels: int = 64
    # |V| = √(V·V + ε) instead of the cusp of √(V·V).  Its curvature at V = 0, where atoms of high symmetry sit, is
    # 1/√ε: the usual 1e-8 means 10⁴ times the curvature of a typical feature (|V| ~ 1), which shows as stiff modes
    # and as noise in half precision; 1e-2 means 10, and an offset of 0.1 which the bias takes up.
    norm_epsilon: float = 1e-2
    core: bool = False  # the radial functions vanish inside the covalent distance
    dispersion: bool = False  # beyond the cut-off atoms attract each other as D3 has it

    def shapes(self):
        """Name → shape of every tensor, in the order of the forward pass."""
        f, k, e = self.channels, self.radial, len(ELEMENTS)
        t = self.tensor_channels if self.tensor and self.first == "density" else 0
        shapes = {"embedding": (e, f)}
        if self.first == "painn":
            shapes |= {"message1.table": (e, 2 * f), "message1.filter": (k, 2 * f)}
        else:
            shapes |= {"density.scalar": (e * k, f), "density.vector": (e * k, f)}
            shapes |= {"density.tensor": (e * k, t)} if t else {}
        if self.gates:
            prefix = "message1" if self.first == "painn" else "density"
            shapes |= {f"{prefix}.gate_scalar": (e, f), f"{prefix}.gate_vector": (e, f)}
            shapes |= {"density.gate_tensor": (e, t)} if t else {}
        for layer in range(1, self.layers + 1):
            if layer > 1:
                name = f"message{layer}"
                shapes |= dense(f"{name}.phi.hidden", f, f) | dense(f"{name}.phi.out", f, 3 * f)
                shapes |= {f"{name}.filter": (k, 3 * f)}
                if self.gates:
                    shapes |= {f"{name}.gate_scalar": (e, f), f"{name}.gate_vector": (e, f)}
            name, last = f"update{layer}", layer == self.layers
            shapes |= {f"{name}.mix": (f, 2 * f)}
            shapes |= dense(f"{name}.hidden", 2 * f + (t if layer == 1 else 0), f)
            shapes |= dense(f"{name}.out", f, 2 * f if last else 3 * f)
        return shapes | dense("readout.hidden", f, f // 2) | dense("readout.out", f // 2, 1)

    def uncertainty_shapes(self, units):
        """The same of the readout of its own error with so many hidden units, which a student may do without."""
        return dense("uncertainty.hidden", self.channels, units) | dense("uncertainty.out", units, 1)


def dense(name, fan_in, fan_out):
    return {f"{name}.weight": (fan_in, fan_out), f"{name}.bias": (fan_out,)}


def init(key, config):
    """Random tensors such that every activation starts of order one (see the test of that name)."""
    parameters = {}
    for name, shape in config.shapes().items():
        key, own = jax.random.split(key)
        draw = lambda std: std * jax.random.normal(own, shape, jnp.float32)
        if "gate" in name:
            parameters[name] = jnp.ones(shape, jnp.float32)
        elif name.endswith("bias"):
            parameters[name] = jnp.zeros(shape, jnp.float32)
        elif name in ("embedding", "message1.table"):
            parameters[name] = draw(1.0)
        elif name == "density.tensor":
            parameters[name] = draw(1.0)  # the parts of a sum over directions cancel more
        elif name.startswith("density") or name == "message1.filter":
            parameters[name] = draw(0.5)
        elif name.endswith("filter"):
            parameters[name] = draw(0.5)
        else:
            # c ⊙ (U·V) is of third order in the features: branches start small, so that depth keeps the scale
            gain = 1.0 if name.endswith(("hidden.weight", "phi.out.weight")) else 0.3
            parameters[name] = draw(gain / math.sqrt(shape[0]))
    return parameters


def geometry(config, positions, species):
    """Pairs of one molecule: B (N, N, K), u (N, N, 3), r (N, N) and who is a pair (N, N); [i, j] is j seen from i.

    Where there is no pair B is zero, and r is set to one *before* the root, so that no derivative is NaN.
    """
    real = species >= 0
    d = positions[None] - positions[:, None]
    r2 = (d * d).sum(-1)
    off_diagonal = ~np.eye(len(species), dtype=bool)
    pair = real[None] & real[:, None] & off_diagonal & (r2 < config.cutoff_ang**2)
    r = jnp.sqrt(jnp.where(pair, r2, 1.0))
    u = d / r[..., None]
    angle = (math.pi / config.cutoff_ang) * r
    envelope = math.sqrt(2.0 / config.cutoff_ang) * 0.5 * (1.0 + jnp.cos(angle)) / r
    k = np.arange(1, config.radial + 1)
    radial = jnp.sin(angle[..., None] * k) * jnp.where(pair, envelope, 0.0)[..., None]
    if config.core:
        switch_ang = jnp.asarray(repulsion.pair_tables(ELEMENTS)[0], r.dtype)[species[:, None], species[None]]
        radial = radial * (1.0 - repulsion.switch(r / switch_ang))[..., None]
    return radial, u, r, pair


def harmonics2(u):
    """The traceless part of u ⊗ u as five components with Σ Y² = 1 for |u| = 1."""
    x, y, z = u[..., 0], u[..., 1], u[..., 2]
    s = math.sqrt(3.0)
    return jnp.stack([s * x * y, s * y * z, s * z * x, 0.5 * s * (x * x - y * y), 1.5 * z * z - 0.5], -1)


def mlp(parameters, name, x, seen):
    seen[f"{name}.hidden"] = x @ parameters[f"{name}.hidden.weight"] + parameters[f"{name}.hidden.bias"]
    hidden = jax.nn.silu(seen[f"{name}.hidden"])
    seen[f"{name}.out"] = hidden @ parameters[f"{name}.out.weight"] + parameters[f"{name}.out.bias"]
    return seen[f"{name}.out"]


def norm(config, v):
    """(N, C, F) → (N, F); C is 3 or 5."""
    return jnp.sqrt((v * v).sum(1) + config.norm_epsilon)


def gate(parameters, name, element, x):
    """x ⊙ gate[z_i]; element is the one-hot (N, E), x is (N, F) or (N, C, F)."""
    if name not in parameters:
        return x
    g = element @ parameters[name]
    return x * (g if x.ndim == 2 else g[:, None])


def first_density(parameters, config, element, radial, u):
    """q (N, F), v (N, 3, F) and t (N, 5, T) or None from the densities by element."""
    components = [jnp.ones_like(u[..., :1]), u]
    if config.tensor:
        components.append(harmonics2(u))
    # The sum over neighbours has few terms and feeds everything: full precision costs nothing here.
    y = jnp.concatenate(components, -1)
    edges = y[..., :, None] * radial[..., None, :]
    density = jnp.einsum("je,ijck->icek", element, edges, precision="highest")
    density = density.reshape(*density.shape[:2], -1)
    q = gate(parameters, "density.gate_scalar", element, density[:, 0] @ parameters["density.scalar"])
    v = gate(parameters, "density.gate_vector", element, density[:, 1:4] @ parameters["density.vector"])
    if not config.tensor:
        return q, v, None
    return q, v, gate(parameters, "density.gate_tensor", element, density[:, 4:] @ parameters["density.tensor"])


def first_painn(parameters, element, radial, u):
    """q and v from the sum of table[z_j] ⊙ (B W) over the edges."""
    a, b = jnp.split((element @ parameters["message1.table"])[None] * (radial @ parameters["message1.filter"]), 2, -1)
    q = gate(parameters, "message1.gate_scalar", element, a.sum(1))
    v = gate(parameters, "message1.gate_vector", element, jnp.einsum("ijf,ijx->ixf", b, u))
    return q, v, None


def message(parameters, name, element, radial, u, q, v, seen):
    """Σ_j a and Σ_j (b u_ij + c v_j)."""
    filters = radial @ parameters[f"{name}.filter"]
    a, b, c = jnp.split(mlp(parameters, f"{name}.phi", q, seen)[None] * filters, 3, -1)
    dq = a.sum(1)
    dv = (b[:, :, None] * u[..., None] + c[:, :, None] * v[None]).sum(1)
    return gate(parameters, f"{name}.gate_scalar", element, dq), gate(parameters, f"{name}.gate_vector", element, dv)


def update(parameters, config, layer, q, v, t, seen):
    name, last = f"update{layer}", layer == config.layers
    seen[f"{name}.mix"] = v @ parameters[f"{name}.mix"]
    mix_u, mix_v = jnp.split(seen[f"{name}.mix"], 2, -1)
    inputs = [q, norm(config, mix_v)] + ([norm(config, t)] if t is not None else [])
    out = mlp(parameters, name, jnp.concatenate(inputs, -1), seen)
    a, c, *b = jnp.split(out, 2 if last else 3, -1)
    q = q + a + c * (mix_u * mix_v).sum(1)
    return q, v if last else v + b[0][:, None] * mix_u


def activations(parameters, config, positions, species):
    """(atom energies (N,), every activation by name, what the repulsion needs) of one molecule."""
    element = jax.nn.one_hot(species, len(ELEMENTS), dtype=positions.dtype)  # zero rows for padding
    radial, u, r, pair = geometry(config, positions, species)
    q = element @ parameters["embedding"]
    if config.first == "density":
        dq, v, t = first_density(parameters, config, element, radial, u)
    else:
        dq, v, t = first_painn(parameters, element, radial, u)
    q = q + dq
    seen = {"first.q": q, "first.v": v} | ({"first.t": t} if t is not None else {})
    for layer in range(1, config.layers + 1):
        if layer > 1:
            dq, dv = message(parameters, f"message{layer}", element, radial, u, q, v, seen)
            q, v = q + dq, v + dv
            seen |= {f"message{layer}.q": q, f"message{layer}.v": v}
        q, v = update(parameters, config, layer, q, v, t if layer == 1 else None, seen)
        seen |= {f"update{layer}.q": q, f"update{layer}.v": v}
    return mlp(parameters, "readout", q, seen)[:, 0], seen, (r, pair)


def energy(parameters, config, positions, species):
    """Energy of one molecule above its reference energies, eV: positions (N, 3) in Å, species (N,) with −1 for none."""
    atoms, _, (r, pair) = activations(parameters, config, positions, species)
    learnt = jnp.where(species >= 0, atoms, 0.0).sum()
    of_pairs = lambda table: jnp.asarray(table, positions.dtype)[species[:, None], species[None]]
    switch_ang, charge, screening_ang = map(of_pairs, repulsion.pair_tables(ELEMENTS))
    close = repulsion.pair_energy(r, switch_ang, charge, screening_ang)
    total = learnt + 0.5 * jnp.where(pair, close, 0.0).sum()
    if not config.dispersion:
        return total
    real = species >= 0
    other = real[None] & real[:, None] & ~np.eye(len(species), dtype=bool)
    r = jnp.sqrt(jnp.where(other, ((positions[None] - positions[:, None]) ** 2).sum(-1), 1.0))  # as in geometry
    far = dispersion.switched_energy(r, *map(of_pairs, dispersion.pair_tables(ELEMENTS)), config.cutoff_ang)
    return total + 0.5 * jnp.where(other, far, 0.0).sum()


def energy_and_forces(parameters, config, positions, species):
    """A batch: energies (B,) in eV and forces (B, N, 3) in eV/Å."""
    one = lambda x, z: jax.value_and_grad(energy, 2)(parameters, config, x, z)
    energies, gradients = jax.vmap(one)(positions, species)
    return energies, -gradients


def scalars(parameters, config, positions, species):
    """q (N, F) of the last layer: all that the readouts see."""
    return activations(parameters, config, positions, species)[1][f"update{config.layers}.q"]


def force_error(parameters, q, real):
    """The expected error of a force component over a molecule, eV/Å, from q (N, F) and which atoms are there (N,)."""
    log_error = mlp(parameters, "uncertainty", q, {})[:, 0]
    squares = jnp.where(real, jnp.exp(2.0 * log_error), 0.0)
    return jnp.sqrt(squares.sum() / real.sum())
