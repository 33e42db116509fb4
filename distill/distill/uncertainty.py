"""After training: a readout of the student's own error, on molecules that the student was not trained on.

    python -m distill.uncertainty student.npz --train 'labels/withheld-*.npz' --valid 'labels/valid-*.npz' \\
        --out uncertainty.npz
    python -m distill.export student.npz … --uncertainty uncertainty.npz

The student stays as it is; a perceptron on its last scalars gives s_i, the logarithm of the error of a force component
on atom i.  With e_i = |ΔF_i|²/3, over the N atoms of a frame, the loss is

    (ln Σ e^(2 s_i)/N − ln Σ e_i/N)²  +  Σ (s_i + ((ν + 3)/6) ln(1 + 3 e_i e^(−2 s_i)/ν))/N

The first term ranks frames; the second, which tells atoms apart, is the likelihood of Student's t distribution of width
e^s in three dimensions, whose tails are as heavy as those of real errors: a Gaussian's would see the worst atoms only.

Without --valid, molecules on odd lines of their list are not trained on but reported on.  Beside each correlation
stands that of a distance, to judge what the readout is worth: the Mahalanobis distance of an atom's scalars from those
of the same element in the training frames, as root mean square over the molecule.
"""

import argparse
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata

from . import dataset, format, model, optimiser

UNITS = 32
STEPS, BATCH, RATE = 2000, 256, 3e-3
ERROR_FLOOR_EV_PER_ANG = 1e-3  # below it no error matters; keeps the logarithms finite
HOT_K = 800.0
FLAG_QUANTILE = 0.999
SIZES = ((3, 16), (17, 24), (25, 32), (33, 64))
FREEDOM = 4.0  # ν
DECAY = 0.5  # of weights, per unit of rate (10.48550/arXiv.1711.05101): what the data do not ask for is not extrapolated
RIDGE = 1e-2  # of the variance, for the distance


@functools.lru_cache(maxsize=None)
def compiled(config):
    def one(parameters, x, z):
        _, gradient = jax.value_and_grad(model.energy, 2)(parameters, config, x, z)
        return model.scalars(parameters, config, x, z), -gradient

    return jax.jit(jax.vmap(one, (None, 0, 0)))


def features(parameters, config, frames, padded_sizes, pairs=200 * 24 * 24):
    """Over all atoms: q (A, F), the student's last scalars, and e (A,), the mean square error of a force component."""
    count = dataset.sizes(frames)
    q = np.zeros((frames["first"][-1], config.channels), np.float32)
    forces = np.full((len(q), 3), np.nan, np.float32)
    for bucket in dataset.buckets(frames, padded_sizes, np.zeros(len(model.ELEMENTS))):
        batch = max(1, min(len(bucket.frame), pairs // bucket.size**2))
        for start in range(0, len(bucket.frame), batch):
            rows = np.minimum(np.arange(start, start + batch), len(bucket.frame) - 1)  # one shape: repeat the last
            found = compiled(config)(parameters, bucket.positions[rows], bucket.species[rows].astype(np.int32))
            chosen = bucket.frame[rows]
            real = np.arange(bucket.size) < count[chosen][:, None]
            atoms = (frames["first"][:-1][chosen][:, None] + np.arange(bucket.size))[real]
            q[atoms], forces[atoms] = (np.asarray(values)[real] for values in found)
    return q, ((forces - frames["forces"]) ** 2).sum(-1) / 3.0


def mean_by_frame(frames, values):
    return np.add.reduceat(values.astype(np.float64), frames["first"][:-1]) / dataset.sizes(frames)


def train(frames, q, e, seed=1):
    """The tensors `uncertainty.*` by Adam on batches of frames; q is centred and scaled for it, which the result hides."""
    low, shift, high = np.quantile(q, (0.16, 0.5, 0.84), axis=0)  # a mean and a width that no outlier moves
    scale = 0.5 * (high - low) + 1e-6
    first, count, size = frames["first"][:-1], dataset.sizes(frames), int(dataset.sizes(frames).max())
    units = model.Config(channels=q.shape[1]).uncertainty_shapes(UNITS)
    keys = jax.random.split(jax.random.PRNGKey(seed), len(units))
    draw = lambda key, shape: jax.random.normal(key, shape) / np.sqrt(shape[0]) if len(shape) > 1 else jnp.zeros(shape)
    parameters = {name: draw(key, shape) for key, (name, shape) in zip(keys, units.items())}
    parameters["uncertainty.out.bias"] += 0.5 * np.log(e + ERROR_FLOOR_EV_PER_ANG**2).mean()
    moments = {name: (jnp.zeros_like(value), jnp.zeros_like(value)) for name, value in parameters.items()}

    def loss(parameters, x, e, real):
        s = model.mlp(parameters, "uncertainty", x, {})[..., 0]
        mean = lambda values: jnp.where(real, values, 0.0).sum(1) / real.sum(1)
        # Both without e^(±2s) itself, which is infinite in f32 from |s| = 44 on: scalars far from all others get there.
        log_mean = jax.scipy.special.logsumexp(2.0 * s, 1, where=real) - jnp.log(real.sum(1))
        ranks = (log_mean - jnp.log(mean(e))) ** 2
        tails = (FREEDOM + 3.0) / 6.0 * jnp.logaddexp(0.0, jnp.log(3.0 / FREEDOM * e) - 2.0 * s)
        return (ranks + mean(s + tails)).mean()

    @jax.jit
    def step(parameters, moments, number, x, e, real):
        gradients = jax.grad(loss)(parameters, x, e, real)
        rate = RATE * jnp.minimum(number / 100.0, 0.5 * (1.0 + jnp.cos(jnp.pi * number / STEPS)))
        new = {name: optimiser.adam(*moments[name], gradients[name], number) for name in parameters}
        parameters = {
            name: value - rate * (new[name][2] + (DECAY * value if name.endswith("weight") else 0.0))
            for name, value in parameters.items()
        }
        return parameters, {name: values[:2] for name, values in new.items()}

    random = np.random.default_rng(seed)
    for number in range(1, STEPS + 1):
        chosen = random.integers(len(count), size=BATCH)
        real = np.arange(size) < count[chosen][:, None]
        atoms = np.where(real, first[chosen][:, None] + np.arange(size), 0)
        x = ((q[atoms] - shift) / scale).astype(np.float32)
        parameters, moments = step(
            parameters, moments, jnp.float32(number), x, e[atoms] + ERROR_FLOOR_EV_PER_ANG**2, real
        )  # fmt: skip

    # ((q − shift) / scale) W + b  =  q (W / scale) + (b − shift (W / scale))
    parameters = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    weight = parameters["uncertainty.hidden.weight"] / scale[:, None]
    parameters |= {
        "uncertainty.hidden.weight": weight,
        "uncertainty.hidden.bias": parameters["uncertainty.hidden.bias"] - shift @ weight,
    }
    return {name: np.asarray(value, np.float32) for name, value in parameters.items()}


def predict(readout, frames, q):
    """The expected error of a force component in every frame, eV/Å."""
    s = np.asarray(model.mlp(readout, "uncertainty", q, {}))[:, 0]
    return np.sqrt(mean_by_frame(frames, np.exp(2.0 * np.minimum(s.astype(np.float64), 300.0))))


def distance(frames, q, known, known_q):
    """How far the frames' scalars are from the `known` ones of the same elements, in standard deviations."""
    d2 = np.zeros(len(q))
    for number in np.unique(frames["numbers"]):
        mine, theirs = frames["numbers"] == number, known_q[known["numbers"] == number].astype(np.float64)
        covariance = np.cov(theirs.T) if len(theirs) > 1 else np.eye(q.shape[1])
        covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        centre = theirs.mean(0) if len(theirs) else 0.0
        offset = np.linalg.solve(np.linalg.cholesky(covariance), (q[mine] - centre).T)
        d2[mine] = (offset**2).mean(0)
    return np.sqrt(mean_by_frame(frames, d2))


def spearman(x, y):
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1]) if len(x) > 2 else float("nan")


def groups(frames):
    """Name → mask over the frames."""
    kind, kelvin, count = frames["kind"], frames["temperature_K"], dataset.sizes(frames)
    found = {"all": np.ones(len(count), bool)}
    for low, high in ((0, 275), (275, 400), (400, 700), (700, 2000)):
        inside = (kind == 0) & (low <= kelvin) & (kelvin < high)
        found[" and ".join(f"{t:g}" for t in np.unique(kelvin[inside])[:3]) + " K"] = inside
    found["special"] = kind != 0
    room = (kind == 0) & (275 <= kelvin) & (kelvin < 400)
    for low, high in SIZES:
        inside = (low <= count) & (count <= high)
        found |= {f"{low}–{high} atoms": inside, f"{low}–{high} atoms, 300 K": inside & room}
    return {name: chosen for name, chosen in found.items() if chosen.sum() > 20}


def report(frames, error, predicted, far, flag_above):
    """Correlations by group; by tenth of the prediction, what the error was; what is flagged."""
    rows = {
        name: {
            "frames": int(c.sum()),
            "error": float(np.sqrt((error[c] ** 2).mean())),
            "spearman": spearman(predicted[c], error[c]),
            "spearman_of_distance": spearman(far[c], error[c]),
            "flagged": int((predicted[c] > flag_above).sum()),
        }
        for name, c in groups(frames).items()
    }
    edges = np.quantile(predicted, np.linspace(0, 1, 11)[1:-1])
    calibration = []
    for tenth in range(10):
        c = np.searchsorted(edges, predicted, "right") == tenth
        if c.any():
            quantiles = {f"error_q{q}": float(np.quantile(error[c], q / 100)) for q in (5, 50, 95)}
            calibration.append({"predicted": float(np.median(predicted[c])), "error": float(np.sqrt((error[c] ** 2).mean())), **quantiles})
    return {"groups": rows, "calibration": calibration}


def markdown(found):
    lines = ["| frames | count | error, meV/Å | Spearman | of the distance | flagged |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, row in found["groups"].items():
        figures = f"{row['spearman']:.2f} | {row['spearman_of_distance']:.2f} | {row['flagged']}"
        lines.append(f"| {name} | {row['frames']:,d} | {1e3 * row['error']:.1f} | {figures} |")
    lines += ["", "| predicted, meV/Å | error, meV/Å | 5 % | 50 % | 95 % |", "| ---: | ---: | ---: | ---: | ---: |"]
    for row in found["calibration"]:
        lines.append("| " + " | ".join(f"{1e3 * value:.1f}" for value in row.values()) + " |")
    return "\n".join(lines) + "\n"


def finite(frames, q, e):
    """Without the frames of which scalars or errors are not finite; says how many there are."""
    good = np.isfinite(mean_by_frame(frames, e + q.sum(1)))
    if not good.all():
        print(f"{(~good).sum()} of {len(good)} frames left out: the student's answer or the label is not finite")
    atoms = np.repeat(good, dataset.sizes(frames))
    return dataset.subset(frames, np.flatnonzero(good)), q[atoms], e[atoms]


def both_sets(train_patterns, valid_patterns, atoms_max, frames_max):
    def read(patterns, keep=lambda frames: True):
        frames = dataset.load(patterns)
        chosen = np.flatnonzero((dataset.sizes(frames) <= atoms_max) & keep(frames))
        if len(chosen) > frames_max:
            chosen = chosen[np.linspace(0, len(chosen) - 1, frames_max).astype(int)]
        return dataset.subset(frames, chosen)

    if valid_patterns:
        return read(train_patterns), read(valid_patterns)
    halves = (lambda frames: frames["line"] % 2 == 0), (lambda frames: frames["line"] % 2 == 1)
    return tuple(read(train_patterns, half) for half in halves)


def trunk_sha256(parameters, config):
    return format.tensors_sha256({name: np.asarray(parameters[name], np.float32) for name in config.shapes()})


def load(path, parameters, config):
    """(tensors, metadata as JSON) of what main wrote; refused if it was made for another student."""
    with np.load(path) as file:
        tensors = {name: file[name] for name in file.files if name.startswith("uncertainty.")}
        description = json.loads(str(file["description"]))
    if description.pop("student_sha256") != trunk_sha256(parameters, config):
        raise SystemExit(f"{path} was made for another student")
    return tensors, json.dumps(description, ensure_ascii=False)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", help="a training's checkpoint (its averaged weights), or a .safetensors student")
    parser.add_argument("--train", nargs="+", required=True, help="labelled shards of molecules that it was not trained on")
    parser.add_argument("--valid", nargs="+", help="others, to report on")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="for export; beside it .json and .md")
    parser.add_argument("--buckets", default="16,24,32,48,64")
    parser.add_argument("--frames-max", type=int, default=60_000, help="of each set, spread over the shards")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(words)

    jax.config.update("jax_default_matmul_precision", "highest")
    parameters, config, _ = format.read_any(arguments.student)
    padded_sizes = sorted(int(size) for size in arguments.buckets.split(","))
    sets = both_sets(arguments.train, arguments.valid, padded_sizes[-1], arguments.frames_max)
    (frames, q, e), (valid, valid_q, valid_e) = (finite(part, *features(parameters, config, part, padded_sizes)) for part in sets)
    readout = train(frames, q, e, arguments.seed)

    predicted, hot = predict(readout, frames, q), (frames["kind"] == 0) & (frames["temperature_K"] >= HOT_K)
    flag_above = float(np.quantile(predicted[hot] if hot.any() else predicted, FLAG_QUANTILE))
    error = np.sqrt(mean_by_frame(valid, valid_e))
    found = report(valid, error, predict(readout, valid, valid_q), distance(valid, valid_q, frames, q), flag_above)
    where = f"{hot.sum()} frames at {HOT_K:g} K and above" if hot.any() else f"{len(hot)} frames, none of them hot"
    description = {
        "meaning": "error expected of a force component, root mean square over the molecule: sqrt(mean(exp(2 s))), "
        "s = silu(q W1 + b1) W2 + b2 of the last scalars q",
        "units": "eV/Å",
        "flag_above_ev_per_ang": float(f"{flag_above:.3g}"),
        "flag_from": f"the {FLAG_QUANTILE:.1%} quantile of {where}",
        "trained_on": f"{len(e)} atoms of {len(predicted)} frames of molecules withheld from the student's training",
        "spearman": {name: round(row["spearman"], 3) for name, row in found["groups"].items()},
    }
    stored = {**description, "student_sha256": trunk_sha256(parameters, config)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out, description=json.dumps(stored, ensure_ascii=False), **readout)
    arguments.out.with_suffix(".json").write_text(json.dumps(description | found, indent=1, ensure_ascii=False) + "\n")
    arguments.out.with_suffix(".md").write_text(markdown(found))
    print(markdown(found) + f"\nflags above {1e3 * flag_above:.0f} meV/Å: {description['flag_from']}")


if __name__ == "__main__":
    main()
