"""Dispersion beyond the cut-off: what two molecules apart owe each other, smooth where it begins, and a word of the file."""

import dataclasses
import json

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import pytest
from test_model import compiled, molecule, parameters_of

from distill import dispersion, format, model, repulsion

CONFIG = model.Config(channels=8, layers=2, radial=8, tensor_channels=4, core=True, dispersion=True)


def test_beyond_the_cutoff_molecules_interact_by_dispersion_alone():
    run, parameters = compiled(CONFIG), parameters_of(CONFIG)
    (first, species), (second, _) = molecule(9, 3), molecule(9, 4)
    x, z = np.concatenate([first, second + [0.0, 0.0, 8.0]]), np.tile(species, 2)
    r = np.linalg.norm(x[:9, None] - x[None, 9:], axis=-1)
    assert r.min() > CONFIG.cutoff_ang
    whole, forces = run(parameters, x, z)
    alone = [run(parameters, x, np.where(np.repeat(which, 9), z, model.PADDING))[0][0] for which in ((True, False), (False, True))]
    # the formula as published, in atomic units (10.1002/jcc.21759), no switch left
    bohr = r / repulsion.BOHR_ANG
    c = np.array([dispersion.ROOT_C6[e] for e in model.ELEMENTS])[z]
    rho = np.array([dispersion.RHO_BOHR[e] for e in model.ELEMENTS])[z]
    c6, c8 = c[:9, None] * c[9:], 3 * c[:9, None] * c[9:] * rho[:9, None] * rho[9:]
    damping = 0.566 * np.sqrt(c8 / c6) + 3.128
    expected = -(c6 / (bohr**6 + damping**6) + 0.3908 * c8 / (bohr**8 + damping**8)).sum() * 27.211386
    assert expected < -1e-3
    # sums of energies of order 10 eV are rounded at 1e-15 of each
    assert whole[0] - sum(alone) == pytest.approx(expected, abs=1e-11)
    forces = np.asarray(forces[0])
    assert forces[:9].sum(0)[2] > 1e-5 > -1e-5 > forces[9:].sum(0)[2]  # they attract each other
    np.testing.assert_allclose(forces[:9].sum(0), -forces[9:].sum(0), atol=1e-12)


def test_the_switch_leaves_two_smooth_derivatives():
    """At both ends E, E' and E'' are the same from either side: over 2e-9 Å they change by 1e-8 of their size, a kink by all of it."""
    tables = [table[1, 3] for table in dispersion.pair_tables(model.ELEMENTS)]
    energy = lambda r: dispersion.switched_energy(r, *tables, 5.0)
    for derivative in (energy, jax.grad(energy), jax.grad(jax.grad(energy))):
        largest = np.abs(jax.vmap(derivative)(jnp.linspace(3.5, 6.0, 101))).max()
        for end in (4.0, 5.0):
            assert abs(derivative(end + 1e-9) - derivative(end - 1e-9)) < 1e-6 * largest
    assert energy(3.99) == 0.0
    assert energy(5.01) == dispersion.pair_energy(5.01, *tables)


def test_students_without_it_do_not_know_the_word(tmp_path):
    parameters, reference = parameters_of(CONFIG), np.arange(9.0)
    for has in (True, False):
        config = dataclasses.replace(CONFIG, dispersion=has)
        assert json.loads(format.described(config)["architecture"]).get("dispersion") == (True if has else None)
        format.write(tmp_path / "student.safetensors", parameters, config, reference, {})
        assert format.read(tmp_path / "student.safetensors")[1] == config
