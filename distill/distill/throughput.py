"""Training steps a second on random frames: what the compiled step costs, without any data.

    python -m distill.throughput --size 24 --forms reduce einsum unrolled

--forms times ways to write the sum over edges of a message layer; model.message is the first of them.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from . import model, step
from .train import add_student_arguments, student_of


def parts(parameters, name, radial, q, seen):
    filters = radial @ parameters[f"{name}.filter"]
    return jnp.split(model.mlp(parameters, f"{name}.phi", q, seen)[None] * filters, 3, -1)


def gated(parameters, name, element, dq, dv):
    return model.gate(parameters, f"{name}.gate_scalar", element, dq), model.gate(parameters, f"{name}.gate_vector", element, dv)


def einsum(parameters, name, element, radial, u, q, v, seen):
    a, b, c = parts(parameters, name, radial, q, seen)
    dv = jnp.einsum("ijf,ijx->ixf", b, u) + jnp.einsum("ijf,jxf->ixf", c, v)
    return gated(parameters, name, element, a.sum(1), dv)


def unrolled(parameters, name, element, radial, u, q, v, seen):
    a, b, c = parts(parameters, name, radial, q, seen)
    dv = jnp.stack([(b * u[..., x, None] + c * v[None, :, x]).sum(1) for x in range(3)], 1)
    return gated(parameters, name, element, a.sum(1), dv)


def half(parameters, name, element, radial, u, q, v, seen):
    """b's product on the matrix units, c's as a plain sum."""
    a, b, c = parts(parameters, name, radial, q, seen)
    dv = jnp.einsum("ijf,ijx->ixf", b, u) + (c[:, :, None] * v[None]).sum(1)
    return gated(parameters, name, element, a.sum(1), dv)


FORMS = {"reduce": model.message, "einsum": einsum, "unrolled": unrolled, "half": half}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=384 * 24 * 24)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["reduce"])
    parser.add_argument("--optimisers", nargs="+", default=["adam"])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--precision", default="tensorfloat32")
    add_student_arguments(parser)
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", arguments.precision)
    random, size, config = np.random.default_rng(0), arguments.size, student_of(arguments)
    frames = 4096
    arrays = (
        jnp.asarray(random.normal(size=(frames, size, 3)) * 2, jnp.float32),
        jnp.asarray(random.integers(0, 9, (frames, size)), jnp.int8),
        jnp.zeros(frames, jnp.float32),
        jnp.zeros((frames, size, 3), jnp.float32),
    )
    order = jnp.arange(frames, dtype=jnp.int32)
    for optimiser in arguments.optimisers:
        for form in arguments.forms:
            model.message = FORMS[form]
            settings = step.Settings(optimiser=optimiser, pairs=arguments.pairs)
            batch = settings.batch(size, frames)
            state = step.init(jax.random.PRNGKey(0), config, settings)
            begin = time.time()
            schedule, frames = settings.schedule.array(), step.take(arrays, order, np.int32(0), batch)
            advance = step.make(config, settings).lower(state, schedule, frames).compile()
            compile_s = time.time() - begin
            memory_mb = advance.memory_analysis().temp_size_in_bytes / 1e6 if advance.memory_analysis() else float("nan")
            state, metric = advance(state, schedule, frames)
            metric.block_until_ready()
            begin, steps = time.time(), 0
            while time.time() - begin < arguments.seconds:
                for _ in range(10):
                    state, metric = advance(state, schedule, frames)
                metric.block_until_ready()
                steps += 10
            rate = steps * batch / (time.time() - begin)
            print(
                f"{optimiser:5s} {form:9s} {config.first} F={config.channels} L={config.layers} K={config.radial} N={size} B={batch}: "
                f"{rate:9.0f} samples/s, {batch / rate * 1e3:.2f} ms a step (compile {compile_s:.0f} s, temporaries {memory_mb:.0f} MB)",
                flush=True,
            )


if __name__ == "__main__":
    main()
