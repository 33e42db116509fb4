"""The student's mathematics, in float64: symmetries, derivatives, smoothness; and that training learns and resumes."""

import itertools

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import pytest

from distill import checkpoint, dataset, dispersion, model, repulsion, step
from distill.schedule import Schedule

CONFIGS = {
    "density": model.Config(channels=8, layers=2, radial=8, tensor_channels=4),
    "plain, three layers": model.Config(channels=8, layers=3, radial=8, tensor=False, gates=False),
    "painn, core": model.Config(channels=8, layers=2, radial=8, first="painn", core=True),
    "dispersion": model.Config(channels=8, layers=2, radial=8, tensor_channels=4, dispersion=True),
}


def parameters_of(config, seed=0):
    """Random parameters, gates and biases included, so that no part is silent."""
    drawn = model.init(jax.random.PRNGKey(seed), config)
    random = np.random.default_rng(seed)
    return {name: jnp.asarray(value, jnp.float64) + 0.1 * random.normal(size=value.shape) for name, value in drawn.items()}


def molecule(atoms=9, seed=3):
    """Nine atoms of nine elements on a rattled grid: 1.2 to 4 Å apart, some pairs beyond the cut-off."""
    random = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(range(3), range(3), range(1)))) * [1.4, 2.1, 1.0]
    return grid[:atoms] + 0.15 * random.normal(size=(atoms, 3)), np.arange(atoms) % 9


def compiled(config):
    return jax.jit(lambda p, x, z: model.energy_and_forces(p, config, x[None], z[None]))


@pytest.fixture(scope="module", params=CONFIGS)
def student(request):
    config = CONFIGS[request.param]
    return config, parameters_of(config), compiled(config)


def test_forces_are_minus_the_gradient(student):
    config, parameters, evaluate = student
    positions, species = molecule()
    _, forces = evaluate(parameters, positions, species)
    # One displacement along a random direction tests all components.  Central differences with h = 1e-4 Å: the
    # error is h²/6 · E''' ~ 1e-8 relative to derivatives of order one.
    direction = np.random.default_rng(0).normal(size=positions.shape)
    h = 1e-4
    ahead, behind = (float(evaluate(parameters, positions + s * h * direction, species)[0][0]) for s in (1, -1))
    assert (ahead - behind) / (2 * h) == pytest.approx(-float((forces[0] * direction).sum()), rel=1e-6, abs=1e-6)


def test_energy_is_invariant_and_forces_turn_with_the_molecule(student):
    _, parameters, evaluate = student
    positions, species = molecule()
    random = np.random.default_rng(1)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]  # a rotation or a reflection: the energy knows no handedness
    order = random.permutation(len(species))
    energy, forces = evaluate(parameters, positions, species)
    moved, moved_forces = evaluate(parameters, (positions @ turn.T + [3.0, -2.0, 1.0])[order], species[order])
    # rounding alone: 1e-16 times some hundred operations a result
    assert float(moved[0]) == pytest.approx(float(energy[0]), rel=1e-11)
    np.testing.assert_allclose(moved_forces[0], (forces[0] @ turn.T)[order], rtol=0, atol=1e-11 * np.abs(forces).max())
    np.testing.assert_allclose(forces[0].sum(0), 0, atol=1e-11 * np.abs(forces).max())


def test_padding_changes_nothing(student):
    _, parameters, evaluate = student
    positions, species = molecule()
    padded = np.concatenate([positions, np.zeros((3, 3))])
    padded_species = np.concatenate([species, np.full(3, model.PADDING)])
    energy, forces = evaluate(parameters, positions, species)
    energy_padded, forces_padded = evaluate(parameters, padded, padded_species)
    assert float(energy_padded[0]) == pytest.approx(float(energy[0]), rel=1e-12)
    np.testing.assert_allclose(forces_padded[0, :9], forces[0], rtol=0, atol=1e-11 * np.abs(forces).max())
    np.testing.assert_array_equal(forces_padded[0, 9:], 0)


def test_energy_is_smooth_to_its_second_derivative_at_the_cutoff(student):
    config, parameters, evaluate = student
    # Two atoms: E(r) beyond the cut-off is constant, so E' and E'' must go to zero from below.  B ~ (r_c − r)³,
    # hence E' ~ δ² and E'' ~ δ with δ the distance to the cut-off.
    species = np.array([1, 3] + [model.PADDING] * 7)  # the shape of molecule(), so that nothing is compiled again
    line = lambda r: np.pad([[0.0, 0.0, 0.0], [0.6 * r, 0.8 * r, 0.0]], ((0, 7), (0, 0)))
    # less what goes on beyond the cut-off, which tests/test_dispersion.py has
    far = lambda r: config.dispersion * dispersion.switched_energy(r, *(t[1, 3] for t in dispersion.pair_tables(model.ELEMENTS)), 5.0)
    slope = lambda r: -float((evaluate(parameters, line(r), species)[1][0, 1] * np.array([0.6, 0.8, 0.0])).sum() + jax.grad(far)(r))
    curvature = lambda r, h: (slope(r + h) - slope(r - h)) / (2 * h)
    energy = lambda r: float(evaluate(parameters, line(r), species)[0][0] - far(r))
    rc = config.cutoff_ang
    reference = abs(curvature(0.9 * rc, 1e-4))
    assert energy(rc - 1e-7) == pytest.approx(energy(rc + 1e-7), abs=1e-12)
    for delta in (1e-2, 1e-3):
        # K = 8: the curvature grows from δ = 0 with (Kπ/r_c)³ at most; 1e-2 Å gives some per cent
        assert abs(curvature(rc - delta, delta / 10)) < 100 * delta * reference
        assert abs(slope(rc - delta)) < 100 * delta**2 * reference


def test_density_layer_contains_the_painn_layer():
    plain = model.Config(channels=8, layers=1, radial=8, tensor=False, gates=False)
    edges = model.Config(channels=8, layers=1, radial=8, first="painn", gates=False)
    parameters = parameters_of(edges)
    table, filters = parameters.pop("message1.table"), parameters.pop("message1.filter")
    product = (table[:, None] * filters[None]).reshape(-1, table.shape[1])
    positions, species = molecule()
    expected = model.energy(parameters | {"message1.table": table, "message1.filter": filters}, edges, positions, species)
    scalar, vector = np.split(product, 2, -1)
    found = model.energy(parameters | {"density.scalar": scalar, "density.vector": vector}, plain, positions, species)
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_harmonics_have_unit_length_and_no_mean():
    u = np.random.default_rng(0).normal(size=(100_000, 3))
    y = model.harmonics2(jnp.asarray(u / np.linalg.norm(u, axis=-1, keepdims=True)))
    np.testing.assert_allclose((y * y).sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(y.mean(0), 0, atol=6 / np.sqrt(5 * len(u)))


def test_activations_start_of_order_one():
    positions, species = molecule()
    for config in (model.Config(layers=3), model.Config(first="painn", layers=1)):
        parameters = model.init(jax.random.PRNGKey(0), config)
        _, seen, _ = jax.jit(lambda p: model.activations(p, config, positions, species)[:2] + (0,))(parameters)
        for name, value in seen.items():
            assert 0.05 < float(jnp.sqrt((value**2).mean())) < 10, name


def test_repulsion_of_every_pair_of_elements_falls_monotonically_to_zero():
    switch_ang, charge, screening_ang = repulsion.pair_tables(model.ELEMENTS)
    fraction = np.linspace(0.02, 1.2, 400)[:, None, None]
    energy = repulsion.pair_energy(jnp.asarray(fraction * switch_ang), switch_ang, charge, screening_ang)
    inside = (fraction <= 1)[1:, 0, 0]
    assert (np.diff(energy, axis=0)[inside] < 0).all()
    assert (np.asarray(energy)[fraction[:, 0, 0] >= 1] == 0).all()
    # at half the switching distance any two atoms already repel by more than a thermal atom carries at 1000 K
    assert (np.asarray(energy)[np.argmin(abs(fraction[:, 0, 0] - 0.5))] > 0.5).all()


def test_with_a_core_no_pair_of_atoms_falls_onto_each_other():
    """Two atoms from 1.2 covalent distances inwards: the network's share stays of the size it has at a bond, and from
    0.4 inwards, where ZBL is 10 eV and more, the energy rises whatever the parameters."""
    switch_ang = repulsion.pair_tables(model.ELEMENTS)[0]
    fraction = np.linspace(0.02, 1.2, 60)
    config = model.Config(channels=8, radial=8, tensor_channels=4, core=True)
    parameters = parameters_of(config)
    energy = jax.jit(jax.vmap(lambda x, z: model.energy(parameters, config, x, z)))
    learnt = jax.jit(jax.vmap(lambda x, z: model.activations(parameters, config, x, z)[0].sum()))
    pairs = np.array([(a, b) for a in range(9) for b in range(a, 9)])
    positions = np.zeros((len(pairs), len(fraction), 2, 3))
    positions[:, :, 1, 0] = fraction * switch_ang[pairs[:, 0], pairs[:, 1]][:, None]
    species = np.repeat(pairs[:, None], len(fraction), 1).reshape(-1, 2)
    shape = (len(pairs), len(fraction))
    share = np.abs(learnt(positions.reshape(-1, 2, 3), species).reshape(shape))
    assert share.max() < 10 * share[:, fraction > 0.9].max()
    total = np.asarray(energy(positions.reshape(-1, 2, 3), species).reshape(shape))
    assert (np.diff(total[:, fraction < 0.4]) < 0).all()


def toy_shard(path, frames=48):
    """Morse bonds between all atoms of small rattled clusters."""
    random = np.random.default_rng(0)
    first, numbers, positions, energies, forces = [0], [], [], [], []
    for _ in range(frames):
        x, z = molecule(int(random.integers(4, 9)), int(random.integers(4)))
        x = np.round((x + 0.05 * random.normal(size=x.shape)) * 2048)
        d = (x[None] - x[:, None]) / 2048
        r = np.sqrt((d**2).sum(-1) + np.eye(len(x)))
        off = 1 - np.eye(len(x))
        s = np.exp(-1.5 * (r - 1.5))
        energies.append((off * (s * s - 2 * s)).sum() / 2 - 100.0 * len(x))
        forces.append((off * -3.0 * (s * s - s) / r)[..., None] * d)
        forces[-1] = forces[-1].sum(1)
        numbers.append(np.array(model.ELEMENTS)[z])
        positions.append(x)
        first.append(first[-1] + len(x))
    count = np.zeros(frames)
    np.savez(
        path, first=np.array(first, np.int32), numbers=np.concatenate(numbers).astype(np.uint8),
        positions=np.concatenate(positions).astype(np.int16), quantum_ang=1 / 2048, energies=np.array(energies),
        forces=np.concatenate(forces).astype(np.float32), kind=count.astype(np.uint8), line=count.astype(np.int32),
        temperature_K=count.astype(np.float32) + 300,
    )  # fmt: skip


@pytest.mark.parametrize("optimiser", ["adam", "muon", "soap"])
def test_training_learns_and_resumes(tmp_path, optimiser):
    toy_shard(tmp_path / "toy.npz")
    frames = dataset.load([tmp_path / "toy.npz"])
    reference = dataset.fit_reference_energies(frames)
    (bucket,) = dataset.buckets(frames, [8], reference)
    config = model.Config(channels=8, radial=8, tensor_channels=4)
    settings = step.Settings(optimiser, Schedule(rate=3e-3, warmup=64, decay_from=1e6, total=2e6), pairs=16 * 64)
    batch = settings.batch(8, len(bucket.frame))
    advance, schedule = step.make(config, settings), settings.schedule.array()
    order = jnp.arange(len(bucket.frame), dtype=jnp.int32)
    frames = lambda i: step.take(bucket.arrays, order, np.int32(i * batch % len(order)), batch)
    state, errors = step.init(jax.random.PRNGKey(0), config, settings), []
    for i in range(120):
        state, metric = advance(state, schedule, frames(i))
        errors.append(np.asarray(metric))
    errors = np.array(errors)
    assert errors[-10:, 0].mean() < 0.4 * errors[:10, 0].mean()
    assert (errors[:, 2] == 1).all()

    checkpoint.save(tmp_path / "state.npz", state, config, settings, {"reference_energy_ev": reference.tolist()})
    loaded, config_read, settings_read, extra = checkpoint.load(tmp_path / "state.npz")
    assert (config_read, settings_read) == (config, settings)
    np.testing.assert_array_equal(extra["reference_energy_ev"], reference)
    assert {value.dtype for value in state["parameters"].values()} == {np.dtype(np.float32)}
    state, metric = advance(state, schedule, frames(0))
    loaded, metric_loaded = advance(loaded, schedule, frames(0))
    np.testing.assert_array_equal(metric, metric_loaded)
    # Moments are stored with 8 bits, so a step of root mean square 0.2 to 1 times the rate differs by some per cent.
    difference = [np.asarray(loaded["parameters"][name] - value).ravel() for name, value in state["parameters"].items()]
    assert np.sqrt((np.concatenate(difference) ** 2).mean()) < 0.05 * settings.schedule.rate
