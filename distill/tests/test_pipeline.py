"""The whole pipeline on molecules and a teacher of our own: SMILES in, a student that the program reads out.

The teacher is an ASE calculator of ten lines.  Frames come by both roads: through `sample` where torch is installed,
and through the extended XYZ of somebody else's dynamics, here ASE's.
"""

import importlib.util
import json
import warnings

import jax
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from ase.md.langevin import Langevin

from distill import evaluate, export, format, import_extxyz, model, molecules, predict, train, uncertainty
from distill.shards import COVALENT_RADIUS, Molecules

SMILES = ("O methane's neighbour", "CO", "CC", "C=O", "CS", "NC=O", "FC", "# a comment")
HAS_TORCH = importlib.util.find_spec("torch") is not None


class Morse(Calculator):
    """Every pair of atoms joined by D (e² − 2e), e = exp(−a (r − r0)), with r0 the sum of the covalent radii."""

    implemented_properties = ["energy", "forces"]
    depth_ev, steepness_per_ang = 0.5, 2.0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, radius = self.atoms.positions, COVALENT_RADIUS[self.atoms.numbers]
        off = 1 - np.eye(len(x))
        d = x[None] - x[:, None]
        r = np.sqrt((d * d).sum(-1)) + np.eye(len(x))
        e = off * np.exp(-self.steepness_per_ang * (r - radius[None] - radius[:, None]))
        slope = -2 * self.steepness_per_ang * self.depth_ev * (e * e - e)
        energy = 0.5 * self.depth_ev * (e * e - 2 * e).sum() - 10.0 * self.atoms.numbers.sum()
        self.results = {"energy": energy, "forces": ((slope / r)[..., None] * d).sum(1)}


def teacher():
    return Morse()


def own_frames(shard, path, temperature_k, seed):
    """A few frames of every molecule by ASE's dynamics, as labelled extended XYZ."""
    mine, frames = Molecules.read([shard]), []
    for index in range(len(mine)):
        numbers, positions, _ = mine.one(index)
        atoms = Atoms(numbers=numbers, positions=positions, calculator=Morse())
        random = np.random.RandomState(seed)
        bath = Langevin(atoms, units.fs, temperature_K=temperature_k, friction=0.002 / units.fs, fixcm=False, rng=random)
        for _ in range(4):
            bath.run(5)
            copy = atoms.copy()
            copy.calc = Morse()
            copy.get_forces()
            frames.append(copy)
    write(path, frames, format="extxyz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """molecules.npz and the labels of training and validation."""
    path = tmp_path_factory.mktemp("pipeline")
    (path / "mini.smi").write_text("\n".join(SMILES) + "\n")
    molecules.main([str(path / "mini.smi"), str(path), "--processes", "1"])
    shard = path / "mini-000.npz"
    for name, seed in (("train", 1), ("valid", 2)):
        own_frames(shard, path / f"{name}.xyz", 300, seed)
        import_extxyz.main([str(path / f"{name}.xyz"), str(path / f"{name}-own.npz"), "--temperature", "300"])
    if HAS_TORCH:
        from distill import sample

        words = "--teacher test_pipeline:teacher --processes 1 --relax-steps 3 --equilibrate-fs 15 --separation-fs 3"
        sample.main([str(shard), "--out", str(path / "sampled"), "--frames", "5", *words.split()])
    else:
        warnings.warn("torch is not installed: `sample` is left out, frames come through extended XYZ alone")
    return path


def test_every_molecule_of_the_list_is_embedded(folder):
    made = Molecules.read([folder / "mini-000.npz"])
    assert made.line.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert made.sizes.tolist() == [3, 6, 8, 4, 6, 6, 5]


@pytest.mark.parametrize("core", [False, True])
def test_a_file_says_core_only_of_a_student_with_one(tmp_path, core):
    config = model.Config(channels=16, tensor_channels=4, core=core)
    parameters = model.init(jax.random.PRNGKey(0), config)
    format.write(tmp_path / "student.safetensors", parameters, config, np.zeros(len(model.ELEMENTS)), {})
    _, read, _, metadata = format.read(tmp_path / "student.safetensors")
    assert read == config
    assert json.loads(metadata["architecture"]).get("core", False) is core
    assert ("core" in metadata["architecture"]) is core


def test_from_smiles_to_a_student_that_is_read_back(folder):
    checkpoint = folder / "student.npz"
    words = "--total 6e3 --warmup 200 --decay-from 4e3 --report-samples 2e3 --valid-samples 1e9 --buckets 8 --pairs 1024"
    student = "--channels 8 --radial 4 --tensor-channels 4 --rate 1e-2 --average 0.98"
    shards = [str(folder / "train-own.npz"), str(folder / "sampled" / "*.npz")]
    train.main([
        "--train", *shards, "--valid", str(folder / "valid-own.npz"), "--checkpoint", str(checkpoint),
        "--log", str(folder / "log.jsonl"), *words.split(), *student.split(),
    ])  # fmt: skip
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    first, last = (row["valid"]["all"]["force_mae"] for row in (log[0], log[-1]))
    assert last < 0.5 * first

    valid = f"valid={folder / 'valid-own.npz'}"
    evaluate.main([str(checkpoint), "--set", valid, "--buckets", "8", "--out", str(folder / "evaluation")])
    found = json.loads((folder / "evaluation.json").read_text())["valid"]
    assert found["student"]["temperature"]["all"]["force_mae"] == pytest.approx(last, rel=1e-3)
    assert last < 0.5 * found["zero"]["temperature"]["all"]["force_mae"]

    readout = str(folder / "uncertainty.npz")
    withheld = str(folder / "valid-own.npz")
    uncertainty.main([str(checkpoint), "--train", withheld, "--valid", withheld, "--buckets", "8", "--out", readout])

    own_frames(folder / "mini-000.npz", folder / "golden.xyz", 300, 3)
    export.main([
        str(checkpoint), "--name", "mini", "--out", str(folder), "--frames", str(folder / "valid-own.npz"),
        "--structures", str(folder / "golden.xyz"), "--accuracy", str(folder / "evaluation.json"),
        "--uncertainty", readout,
    ])  # fmt: skip
    parameters, config, reference, metadata = format.read(folder / "mini.safetensors")
    assert config.channels == 8 and metadata["name"] == "mini" and json.loads(metadata["accuracy"])["valid"]
    golden = json.loads((folder / "mini.golden.json").read_text())["structures"]
    assert len(golden) == 28
    flag_above = json.loads(metadata["uncertainty"])["flag_above_ev_per_ang"]
    # Golden frames are of the molecules that the readout was trained on: none of them is much beyond all others.
    assert all(0.0 < row["force_error_ev_ang"] < 3.0 * flag_above for row in golden)
    size = max(len(row["numbers"]) for row in golden)
    # The golden values are those of the stored file: in single precision to within its rounding.
    for row in golden[::9]:
        count = len(row["numbers"])
        x = np.zeros((1, size, 3), np.float32)
        z = np.full((1, size), -1, np.int32)
        x[0, :count] = row["positions_ang"]
        z[0, :count] = train.dataset.SPECIES_OF_NUMBER[row["numbers"]]
        energy, forces = predict.compiled(config)(parameters, x, z)
        assert float(energy[0]) + reference[z[0, :count]].sum() == pytest.approx(row["energy_ev"], abs=1e-4)
        np.testing.assert_allclose(forces[0, :count], row["forces_ev_ang"], atol=1e-3)
