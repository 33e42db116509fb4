"""Sampling and labelling with a teacher of two lines, so that every number can be known."""

import numpy as np
import pytest

# PyPI has no torch without CUDA for x86-64 (2.7 GB), so requirements-test.txt leaves it out; skips are reported.
torch = pytest.importorskip("torch", reason="SAMPLING IS NOT TESTED: torch is not installed (requirements.txt has it)")

from distill import draws, import_extxyz, label, langevin, sample, shards, special
from distill.shards import KINDS, QUANTUM_ANG, Frames, Molecules, starts
from distill.teacher import Labels

ETHANOL = (
    np.array([6, 6, 8, 1, 1, 1, 1, 1, 1], np.uint8),
    np.array(
        [
            [-1.17, -0.40, 0.00], [0.06, 0.49, 0.00], [1.25, -0.29, 0.00], [-2.08, 0.22, 0.00], [-1.19, -1.04, 0.89],
            [-1.19, -1.04, -0.89], [0.06, 1.14, 0.89], [0.06, 1.14, -0.89], [2.02, 0.29, 0.00],
        ],
        np.float32,
    ),
    np.array([(0, 1), (1, 2), (0, 3), (0, 4), (0, 5), (1, 6), (1, 7), (2, 8)], np.int32),
)  # fmt: skip
CYCLOPROPANE = (
    np.array([6, 6, 6], np.uint8),
    np.array([[0, 0, 0], [1.5, 0, 0], [0.75, 1.3, 0]], np.float32),
    np.array([(0, 1), (1, 2), (2, 0)], np.int32),
)

FORMIC_ACID = (
    np.array([6, 8, 8, 1, 1], np.uint8),
    np.array([[0, 0, 0], [1.2, 0, 0], [-0.62, 1.19, 0], [-0.56, -0.94, 0], [0.05, 1.89, 0]], np.float32),
    np.array([[0, 1], [0, 2], [0, 3], [2, 4]]),
)
FORMAMIDE = (
    np.array([6, 8, 7, 1, 1, 1], np.uint8),
    np.array([[0, 0, 0], [1.22, 0, 0], [-0.68, 1.18, 0], [-0.55, -0.94, 0], [-0.17, 2.05, 0], [-1.69, 1.18, 0]], np.float32),
    np.array([[0, 1], [0, 2], [0, 3], [2, 4], [2, 5]]),
)


def pack(molecules):
    numbers, positions, bonds = zip(*molecules)
    return Molecules(
        line=np.arange(len(molecules), dtype=np.int32), first=starts([len(z) for z in numbers]),
        numbers=np.concatenate(numbers), positions=np.concatenate(positions),
        bonds_first=starts([len(b) for b in bonds]), bonds=np.concatenate(bonds),
    )  # fmt: skip


class Harmonic:
    """An ASE calculator in shape: every pair of atoms joined by a spring of stiffness K and rest length L."""

    K, L = 0.5, 2.0

    def compute(self, x):
        r = x[:, None] - x[None]
        d = np.linalg.norm(r, axis=-1) + np.eye(len(x))
        stretch = (d - self.L) * (1 - np.eye(len(x)))
        self.energy = 0.25 * self.K * (stretch**2).sum()
        self.force = -(self.K * (stretch / d)[..., None] * r).sum(1)

    def get_potential_energy(self, atoms=None, force_consistent=False):
        self.compute(atoms.positions)
        return self.energy

    def get_forces(self, atoms=None):
        self.compute(atoms.positions)
        return self.force


def factory():
    return Harmonic()


@pytest.fixture
def molecules_file(tmp_path):
    path = tmp_path / "mini-000.npz"
    np.savez(path, **vars(pack([ETHANOL, CYCLOPROPANE, ETHANOL])))
    return path


def test_pad_and_flatten_are_inverse():
    flat, first = np.arange(12).reshape(6, 2), starts([1, 3, 2])
    padded = shards.pad(flat, first, [2, 0, 1])
    assert padded.shape == (3, 3, 2) and (padded[1, 1:] == 0).all()
    assert (shards.flatten(padded, [2, 1, 3]) == flat[[4, 5, 0, 1, 2, 3]]).all()


def test_batches_cover_every_molecule_once():
    sizes = np.random.default_rng(0).integers(3, 65, 500)
    seen = []
    for chosen, n in label.batches(sizes, pairs_max=40_000, pairs_min=5_000):
        assert sizes[chosen].max() <= n < sizes[chosen].max() + 4
        assert len(chosen) * n * n <= 40_000
        seen += chosen.tolist()
    assert sorted(seen) == list(range(500))


def test_langevin_samples_the_boltzmann_distribution():
    """In a harmonic well of stiffness k every coordinate has variance kT/k, whatever the mass."""
    k, temperature_k, replicas = 20.0, 300.0, 2000
    torch.manual_seed(1)
    numbers = torch.tensor([[1, 6, 0]]).repeat(replicas, 1)
    saved, v = langevin.sample(
        lambda x, z: -k * x, torch.zeros(replicas, 3, 3), numbers, torch.full((replicas,), temperature_k),
        np.full((replicas, 1), 400), langevin.Settings(),
    )  # fmt: skip
    expected = langevin.BOLTZMANN_EV_K * temperature_k / k
    for atom in (0, 1):
        # The variance of 6,000 numbers is known to within 4 standard errors of sqrt(2/6000).
        assert saved[:, 0, atom].var().item() == pytest.approx(expected, rel=4 * np.sqrt(2 / 6000))
    assert (saved[:, 0, 2] == 0).all() and (v[:, 2] == 0).all()
    assert langevin.temperature(v, numbers, torch.full((replicas,), temperature_k)) == pytest.approx(1, abs=0.05)


def test_relax_reaches_the_minimum():
    x = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    relaxed = langevin.relax(lambda x, z: -10 * x, x, torch.ones(4, 5, dtype=torch.long), 200)
    assert relaxed.abs().max() < 1e-3


def test_side_of_a_bond():
    table = special.neighbours(9, ETHANOL[2])
    assert np.flatnonzero(special.side(table, 1, 2)).tolist() == [2, 8]
    assert np.flatnonzero(special.side(table, 2, 1)).tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert special.side(special.neighbours(3, CYCLOPROPANE[2]), 0, 1) is None


def test_torsion_keeps_bonds_and_angles():
    rng = np.random.default_rng(0)
    near = special.bonded_within(special.neighbours(9, ETHANOL[2]), 2)
    before = special.distances(ETHANOL[1], ETHANOL[1])
    differences = []
    for _ in range(20):
        x = special.torsion(ETHANOL, rng)
        after = special.distances(x, x)
        differences.append([np.abs(after - before)[near].max(), np.abs(after - before)[~near].max()])
    near_change, far_change = np.array(differences).T
    assert near_change.min() < 1e-5 and near_change.max() < 0.3  # some are rattled
    assert np.median(far_change) > 0.2
    assert special.torsion(CYCLOPROPANE, rng) is None


def test_stretched_changes_one_bond_of_an_acyclic_molecule():
    rng = np.random.default_rng(0)
    bonds = ETHANOL[2]
    for _ in range(20):
        x = special.stretched(ETHANOL, rng)
        length = lambda y: np.linalg.norm(y[bonds[:, 0]] - y[bonds[:, 1]], axis=-1)
        ratio = length(x) / length(ETHANOL[1])
        assert (np.abs(ratio - 1) > 0.15).sum() <= 1 and 0.65 < ratio.min() and ratio.max() < 1.5


@pytest.mark.parametrize("kind", ["contact", "hydrogen bond", "approach", "squeezed"])
def test_pairs_are_in_contact(kind):
    rng = np.random.default_rng(0)
    closest = []
    for _ in range(50):
        x = special.PAIRED[kind](ETHANOL, ETHANOL, rng)
        if x is not None:
            closest.append(special.distances(x[:9], x[9:]).min())
            assert np.allclose(special.distances(x[9:], x[9:]), special.distances(*[ETHANOL[1]] * 2), atol=1e-4)
    low, high = {"contact": (1.7, 4.0), "hydrogen bond": (0.9, 2.6), "approach": (0.3, 3.1), "squeezed": (0.18, 1.5)}[kind]
    assert len(closest) > 10 and low <= min(closest) + 1e-4 and max(closest) <= high + 1e-4


def test_a_shared_proton_is_near_both():
    rng = np.random.default_rng(0)
    made = [x for _ in range(50) if (x := special.shared_proton(ETHANOL, ETHANOL, rng)) is not None]
    assert len(made) > 10
    for x in made:
        from_oxygen = np.linalg.norm(x[[2, 11]] - x[8], axis=-1)
        assert ((from_oxygen > 0.9) & (from_oxygen < 1.5)).all()
        assert np.allclose(x[:8], ETHANOL[1][:8])  # nothing else of the donor has moved


def test_a_proton_shifts_only_where_something_takes_it():
    rng = np.random.default_rng(0)
    assert special.proton_shift(ETHANOL, rng) is None and special.proton_shift(CYCLOPROPANE, rng) is None
    # Formic acid: the hydroxyl's hydrogen is 2.3 Å from the other oxygen.
    between = [np.linalg.norm(special.proton_shift(FORMIC_ACID, rng)[4] - FORMIC_ACID[1][1]) for _ in range(50)]
    assert min(between) < 1.2 and max(between) > 1.8


def test_two_acids_exchange_protons_in_a_ring():
    rng = np.random.default_rng(0)
    assert special.proton_exchange(ETHANOL, FORMIC_ACID, rng) is None
    made = [x for _ in range(50) if (x := special.proton_exchange(FORMIC_ACID, FORMIC_ACID, rng)) is not None]
    assert len(made) > 10
    shares = []
    for x in made:
        for donor, proton, acceptor in ((2, 4, 6), (7, 9, 1)):
            there, away = np.linalg.norm(x[[donor, acceptor]] - x[proton], axis=-1)
            assert 2.2 < np.linalg.norm(x[donor] - x[acceptor]) < 3.4
            shares.append(there / (there + away))
        assert np.allclose(x[:4], FORMIC_ACID[1][:4])  # nothing else of the first has moved
    assert min(shares) < 0.42 and max(shares) > 0.52  # from bonded to beyond the middle


def test_no_proton_lands_on_another_hydrogen_of_its_amide():
    rng = np.random.default_rng(0)
    made = [x for _ in range(50) if (x := special.proton_exchange(FORMAMIDE, FORMAMIDE, rng)) is not None]
    assert len(made) > 10
    hydrogens = FORMAMIDE[0] == 1
    closest = min(special.distances(part, part)[np.triu_indices(3, 1)].min() for x in made for part in (x[:6][hydrogens], x[6:][hydrogens]))
    assert closest > 2 * 0.31 + 0.2 - 1e-6


def test_squeezed_meets_every_pair_of_elements():
    """Of nine hydrides in equal numbers all 45 pairs; 2,000 frames over 45 pairs would be 44 each if all were as likely."""
    z = [1, 6, 7, 8, 9, 15, 16, 17, 35]
    hydrides = [(np.array([k, 1], np.uint8), np.array([[0, 0, 0], [0, 0, 1.3]], np.float32), np.array([[0, 1]], np.int32)) for k in z]
    molecules, rng = pack(hydrides), np.random.default_rng(0)
    counts = np.zeros((128, 128), int)
    for _, first, second in draws.draw_special(molecules, np.arange(9), 2000, rng, {"squeezed": 1}):
        a, b = hydrides[first], hydrides[second]
        x = special.squeezed(a, b, rng)
        if x is None:
            continue
        radii = shards.COVALENT_RADIUS[a[0]][:, None] + shards.COVALENT_RADIUS[b[0]]
        i, j = np.unravel_index((special.distances(x[:2], x[2:]) / radii).argmin(), (2, 2))
        counts[np.sort([a[0][i], b[0][j]])[0], np.sort([a[0][i], b[0][j]])[1]] += 1
    pairs = counts[np.array(z)[np.triu_indices(9)[0]], np.array(z)[np.triu_indices(9)[1]]]
    assert pairs.min() >= 5


def run(path, out, *words):
    common = ["--out", str(out), "--teacher", "test_sample:factory", "--processes", "1", "--relax-steps", "3"]
    sample.main([str(path), *common, "--equilibrate-fs", "15", "--separation-fs", "3", *words])
    (shard,) = out.glob("*.npz")
    return shard


def test_labels_belong_to_the_stored_positions(molecules_file, tmp_path):
    shard = np.load(run(molecules_file, tmp_path / "out", "--frames", "5", "--special", "0.4"))
    first = shard["first"]
    assert len(first) - 1 == len(shard["energies"]) > 5 and first[-1] == len(shard["numbers"])
    teacher = Harmonic()
    for frame in range(len(first) - 1):
        atoms = slice(first[frame], first[frame + 1])
        teacher.compute(shard["positions"][atoms] * float(shard["quantum_ang"]))
        assert shard["energies"][frame] == pytest.approx(teacher.energy, abs=1e-9)
        assert np.allclose(shard["forces"][atoms], teacher.force, atol=1e-5)
    assert set(shard["line"]) <= {0, 1, 2} and (shard["kind"] < len(KINDS)).all()
    paired = [KINDS.index(kind) for kind in special.PAIRED]
    assert ((shard["partner"] >= 0) == np.isin(shard["kind"], paired)).all()


def test_a_shard_that_exists_is_not_made_again(molecules_file, tmp_path):
    words = ("--temperatures", "300", "500", "--frames", "3", "--no-special")
    shard = run(molecules_file, tmp_path / "out", *words)
    written = shard.stat().st_mtime_ns
    content = np.load(shard)
    assert len(content["energies"]) == 3 * 2 * 3 and set(content["temperature_K"]) == {300, 500}
    assert run(molecules_file, tmp_path / "out", *words).stat().st_mtime_ns == written
    again = np.load(run(molecules_file, tmp_path / "again", *words))
    assert all((again[name] == content[name]).all() for name in content)


def test_rare_elements_and_small_molecules_run_in_more_replicas():
    hydride = (np.array([16, 1, 1], np.uint8), CYCLOPROPANE[1], CYCLOPROPANE[2][:2])
    molecules, rng = pack([ETHANOL, hydride]), np.random.default_rng(0)
    count = lambda **weights: np.bincount(draws.draw_replicas(molecules, rng, **weights)[0]).tolist()
    assert count() == [2, 8]
    assert count(size_weights=(), element_weights=draws.table("16=3,8=2")) == [2, 3]


def test_bad_labels_are_dropped(tmp_path):
    class Teacher:
        def label(self, positions, numbers):
            shape = numbers.shape
            labels = Labels(torch.zeros(shape[0], dtype=torch.float64), torch.zeros(*shape, 3))
            labels.energies[0], labels.forces[1, 0, 0], labels.spread = float("nan"), 31.0, torch.zeros(shape[0])
            labels.spread[2] = 1.5
            return labels

    positions = np.tile(CYCLOPROPANE[1], (5, 1, 1))
    positions[3, 0, 0] = 40.0
    frames = Frames(
        counts=np.full(5, 3), numbers=np.tile(CYCLOPROPANE[0], 5), positions=positions.reshape(-1, 3),
        kind=np.zeros(5, np.uint8), temperature_K=np.zeros(5, np.float32), line=np.arange(5), partner=np.full(5, -1),
        split=np.zeros(5, int),
    )  # fmt: skip
    said = []
    arrays = label.label(Teacher(), frames, tmp_path / "x.npz", log=said.append)
    assert arrays["line"].tolist() == [4]
    assert said[-1].endswith("dynamics: force 1, dynamics: not finite 1, dynamics: spread 1, dynamics: too wide 1")


def test_extxyz_is_read_back(tmp_path):
    ase = pytest.importorskip("ase")
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    atoms = ase.Atoms(numbers=ETHANOL[0], positions=ETHANOL[1] + 5)
    forces = np.random.default_rng(0).normal(size=(9, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-12.5, forces=forces)
    write(tmp_path / "in.xyz", [atoms, atoms], format="extxyz")
    import_extxyz.main([str(tmp_path / "in.xyz"), str(tmp_path / "out.npz")])
    shard = np.load(tmp_path / "out.npz")
    x = shard["positions"][:9] * QUANTUM_ANG
    assert shard["energies"].tolist() == [-12.5, -12.5] and shard["first"].tolist() == [0, 9, 18]
    assert np.allclose(shard["forces"][9:], forces, atol=1e-6)
    assert np.allclose(x - x[0], ETHANOL[1] - ETHANOL[1][0], atol=2 * QUANTUM_ANG)
