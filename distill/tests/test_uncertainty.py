"""The readout of the student's own error, on errors of our own making."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from distill import format, model, uncertainty

CHANNELS, FRAMES, ATOMS = 6, 3000, 8


@pytest.fixture(scope="module")
def made():
    """Frames, scalars far from zero mean and unit width, and errors whose width e^s is known; and that width by frame."""
    random = np.random.default_rng(0)
    count = random.integers(2, ATOMS + 1, FRAMES)
    first = np.concatenate([[0], np.cumsum(count)])
    q = random.normal(size=(first[-1], CHANNELS)).astype(np.float32)
    s = np.log(0.03) + 0.7 * np.sin(q[:, 0]) + 0.5 * q[:, 1]
    e = np.exp(2 * s) * (random.normal(size=(3, len(s))) ** 2).mean(0)
    q = 5.0 + np.array([1, 10, 0.1, 1, 1, 1], np.float32) * q
    zeros = np.zeros(FRAMES, int)
    frames = {"first": first, "kind": zeros, "temperature_K": 300.0 + zeros, "line": np.arange(FRAMES)}
    frames["numbers"] = np.ones(len(q), int)
    return frames, q, e.astype(np.float32), np.sqrt(uncertainty.mean_by_frame(frames, np.exp(2 * s)))


def test_it_finds_the_width_of_errors_from_the_scalars(made):
    frames, q, e, width = made
    readout = uncertainty.train(frames, q, e)
    predicted = uncertainty.predict(readout, frames, q)
    # Two terms of the loss see the same error: the mean of its logarithm, low by up to ½ ln of what a χ² of a few
    # degrees of freedom fluctuates, and its width itself.
    ratio = predicted / width
    assert 0.85 < np.median(ratio) < 1.1 and np.std(np.log(ratio)) < 0.2
    assert uncertainty.spearman(predicted, width) > 0.95
    error = np.sqrt(uncertainty.mean_by_frame(frames, e))
    assert uncertainty.spearman(predicted, error) > 0.95 * uncertainty.spearman(width, error)


def test_scalars_far_from_all_others_and_frames_without_an_answer_do_no_harm(made):
    frames, q, e, width = made
    q, e = q.copy(), e.copy()
    q[0, 1] = 1e8  # 10⁷ widths: e^(2s) of it overflows
    e[-1] = np.nan
    left, q, e = uncertainty.finite(frames, q, e)
    assert len(left["kind"]) == FRAMES - 1 and len(q) == len(e) == left["first"][-1]
    readout = uncertainty.train(left, q, e)
    assert all(np.isfinite(value).all() for value in readout.values())
    assert uncertainty.spearman(uncertainty.predict(readout, left, q)[1:], width[1:-1]) > 0.9


def test_the_student_s_own_formula_is_that_of_the_training(made):
    frames, q, e, _ = made
    random = np.random.default_rng(1)
    shapes = model.Config(channels=CHANNELS).uncertainty_shapes(5)
    readout = {name: random.normal(0.0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    of_first = uncertainty.predict(readout, frames, q)[0]
    count = frames["first"][1]
    padded = jnp.asarray(np.pad(q[:count], ((0, 3), (0, 0)), constant_values=7.0))
    found = model.force_error(readout, padded, jnp.arange(count + 3) < count)
    assert float(found) == pytest.approx(of_first, rel=1e-5)


def test_a_student_with_it_is_read_back_and_one_with_half_of_it_refused(tmp_path):
    config = model.Config(channels=8, radial=4, tensor_channels=4)
    random = np.random.default_rng(2)
    shapes = config.shapes() | config.uncertainty_shapes(3)
    parameters = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    path = tmp_path / "some.safetensors"
    format.write(path, parameters, config, np.zeros(9), {})
    read, found, _, _ = format.read(path)
    assert found == dataclasses.replace(config)
    assert all((np.asarray(read[name]) == value).all() for name, value in parameters.items())
    with pytest.raises(ValueError, match="not finite: embedding"):
        format.write(path, parameters | {"embedding": np.nan * parameters["embedding"]}, config, np.zeros(9), {})
    tensors = parameters | {format.REFERENCE: np.zeros(9)}
    del tensors["uncertainty.out.bias"]
    format.save_file(tensors, path, metadata=format.described(config))
    with pytest.raises(ValueError, match="uncertainty.out.bias"):
        format.read(path)


def test_ranks_of_equal_and_of_opposite_order():
    x = np.array([3.0, 1.0, 2.0, 2.0])
    assert uncertainty.spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert uncertainty.spearman(x, -x) == pytest.approx(-1.0)
