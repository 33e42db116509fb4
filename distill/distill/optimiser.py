"""Adam, Muon and SOAP over a flat dict of tensors.

Adam    arXiv:1412.6980.
Muon    momentum, then the nearest orthogonal matrix by five Newton–Schulz steps (Jordan et al. 2024,
        kellerjordan.github.io/posts/muon), scaled by 0.2·√max(in, out) so that its root mean square is that of an
        Adam update and one learning rate serves both (arXiv:2502.16982).
SOAP    Adam in the eigenbasis of the gradient's second moments (arXiv:2409.11321); the basis follows by one
        QR step of power iteration every `BASIS_INTERVAL` updates.

Muon and SOAP act on hidden matrices only.  A matrix whose output is several blocks of F channels (a, b, c, or U, V)
is several matrices: each is normalised by itself.  Tables by element, gates, biases and the readout stay on Adam.
"""

import jax
import jax.numpy as jnp

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
MUON_MOMENTUM = 0.95
SOAP_BETA2 = 0.99
BASIS_INTERVAL = 10
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def is_hidden_matrix(name):
    return name.startswith(("update", "message")) and name.endswith(("weight", "mix", "filter"))


def blocks(matrix, width):
    """(in, n·width) → (n, in, width)."""
    return jnp.moveaxis(matrix.reshape(matrix.shape[0], -1, width), 1, 0)


def unblocks(stack):
    return jnp.moveaxis(stack, 0, 1).reshape(stack.shape[1], -1)


def orthogonalise(g):
    """(n, a, b) → the stack with all singular values near one."""
    a, b, c = NEWTON_SCHULZ
    wide = g.shape[1] > g.shape[2]
    x = jnp.swapaxes(g, 1, 2) if wide else g
    x = x / (jnp.linalg.norm(x, axis=(1, 2), keepdims=True) + 1e-12)
    for _ in range(5):
        s = x @ jnp.swapaxes(x, 1, 2)
        x = a * x + (b * s + c * s @ s) @ x
    return jnp.swapaxes(x, 1, 2) if wide else x


def init(kind, parameters, width):
    """Moments by `moment/tensor`: m and v for Adam, m for Muon, m, v and the bases for SOAP."""
    state = {}
    for name, value in parameters.items():
        matrix = kind != "adam" and is_hidden_matrix(name)
        state[f"m/{name}"] = jnp.zeros_like(value)
        if not (matrix and kind == "muon"):
            state[f"v/{name}"] = jnp.zeros_like(value)
        if matrix and kind == "soap":
            stack = blocks(value, width)
            for side, size in (("left", stack.shape[1]), ("right", stack.shape[2])):
                state[f"{side}/{name}"] = jnp.zeros((len(stack), size, size), value.dtype)
                state[f"{side}_basis/{name}"] = jnp.tile(jnp.eye(size, dtype=value.dtype), (len(stack), 1, 1))
    return state


def adam(m, v, g, step, beta2=BETA2):
    m = BETA1 * m + (1 - BETA1) * g
    v = beta2 * v + (1 - beta2) * g * g
    u = (m / (1 - BETA1**step)) / (jnp.sqrt(v / (1 - beta2**step)) + EPSILON)
    return m, v, u


def soap(name, g, old, step, width):
    """One tensor's update and its new moments."""
    age = jnp.asarray(step, jnp.float32)
    g = blocks(g, width)
    t = lambda x: jnp.swapaxes(x, 1, 2)
    m = BETA1 * blocks(old[f"m/{name}"], width) + (1 - BETA1) * g
    left, right = (SOAP_BETA2 * old[f"{s}/{name}"] + (1 - SOAP_BETA2) * o for s, o in (("left", g @ t(g)), ("right", t(g) @ g)))
    ql, qr = old[f"left_basis/{name}"], old[f"right_basis/{name}"]
    rotated = t(ql) @ g @ qr
    v = SOAP_BETA2 * blocks(old[f"v/{name}"], width) + (1 - SOAP_BETA2) * rotated**2
    scaled = (t(ql) @ m @ qr) / (1 - BETA1**age) / (jnp.sqrt(v / (1 - SOAP_BETA2**age)) + EPSILON)
    u = ql @ scaled @ t(qr)
    power = lambda s, q: jnp.linalg.qr(s / (jnp.linalg.norm(s, axis=(1, 2), keepdims=True) + 1e-30) @ q + 1e-7 * q)[0]
    turn = lambda: (power(left, ql), power(right, qr))
    ql, qr = jax.lax.cond(step % BASIS_INTERVAL == 1, turn, lambda: (ql, qr))
    new = {"m": unblocks(m), "v": unblocks(v), "left": left, "right": right, "left_basis": ql, "right_basis": qr}
    return unblocks(u), {f"{moment}/{name}": value for moment, value in new.items()}


def update(kind, gradients, state, step, width):
    """(direction by tensor, new moments); the caller subtracts learning rate × direction.  step counts from 1."""
    age = jnp.asarray(step, jnp.float32)
    directions, new, muon = {}, {}, {}
    for name, g in gradients.items():
        if kind == "adam" or not is_hidden_matrix(name):
            m, v, directions[name] = adam(state[f"m/{name}"], state[f"v/{name}"], g, age)
            new |= {f"m/{name}": m, f"v/{name}": v}
        elif kind == "soap":
            directions[name], moments = soap(name, g, state, step, width)
            new |= moments
        else:
            m = MUON_MOMENTUM * state[f"m/{name}"] + (1 - MUON_MOMENTUM) * g
            new[f"m/{name}"] = m
            look_ahead = MUON_MOMENTUM * m + (1 - MUON_MOMENTUM) * g
            muon.setdefault(g.shape[0], {})[name] = blocks(look_ahead, width)
    for rows, group in muon.items():  # matrices of one shape in one batch
        orthogonal = orthogonalise(jnp.concatenate(list(group.values())))
        orthogonal = orthogonal * 0.2 * max(rows, width) ** 0.5
        at = 0
        for name, stack in group.items():
            directions[name] = unblocks(orthogonal[at : at + len(stack)])
            at += len(stack)
    return directions, new
