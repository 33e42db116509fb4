"""Frames of the program's dynamics, by a stand-in for the program that writes trajectories known beforehand."""

import sys

import numpy as np
import pytest

from distill import engine
from distill.shards import Molecules, starts

WATER = np.array([8, 1, 1], np.uint8), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], np.float32)
# Twenty frames of each replica, frame f moved by f along z; r000001 loses a hydrogen from frame 12 on, r000002 writes nothing.
PROGRAM = """#!{python}
import sys, pathlib
import numpy as np
config, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[5])
assert sys.argv[2:5] == ["--device", "cpu", "--out"] and "steps = 200" in config.read_text()
out.mkdir()
for k in range(2):
    if not (config.parent / f"r{{k:06d}}.xyz").exists():
        continue
    rows = (config.parent / f"r{{k:06d}}.xyz").read_text().splitlines()[2:]
    x = np.array([row.split()[1:] for row in rows], np.float32)
    records = []
    for f in range(20):
        y = x + [0, 0, f]
        y[2, 0] -= 2.0 * (k == 1 and f >= 12)
        records.append(np.pad(y.T, ((0, 0), (1, 1))).ravel())
    np.concatenate([np.zeros(69), *records]).astype(np.float32).tofile(out / f"r{{k:06d}}-T0-0000.dcd")
print("200 steps in 1s")
"""


@pytest.fixture(params=[1, 5000])
def run(tmp_path, monkeypatch, request):
    monkeypatch.setattr(engine, "TABLES", request.param)
    program = tmp_path / "program"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    numbers, positions = WATER
    molecules = Molecules(
        line=np.array([7, 8], np.int32), first=starts([3, 3]), numbers=np.tile(numbers, 2), positions=np.tile(positions, (2, 1)),
        bonds_first=starts([2, 2]), bonds=np.array([[0, 1], [0, 2]] * 2, np.int32),
    )  # fmt: skip
    replica, temperature_k = np.array([0, 1, 1]), np.float32([300, 512, 160])
    return engine.Run(str(program), tmp_path / "student", "cpu", molecules, replica, temperature_k, 200, 10, tmp_path / "run")


def test_late_frames_are_drawn_and_twice_as_many_where_bonds_changed(run):
    frames = run.frames(4, 5, np.random.default_rng(0), None, log=lambda _: None)
    z = np.rint(frames.positions.reshape(-1, 3, 3)[:, 0, 2]).astype(int)
    intact, broken = z[frames.line == 7], z[frames.line == 8]
    assert len(frames) == len(intact) + len(broken) and len(intact) == 4 and 4 < len(broken) <= 8
    assert min(z) >= 5 and all(len(set(part)) == len(part) for part in (intact, broken))
    assert (np.abs(broken - 12) <= engine.NEAR).sum() >= 3  # around the change
    np.testing.assert_array_equal(frames.temperature_K, np.where(frames.line == 7, 300, 500))  # of 25 K
    expected = WATER[1] + [0, 0, 1] * z[frames.line == 7][:, None, None]
    np.testing.assert_allclose(frames.positions.reshape(-1, 3, 3)[frames.line == 7], expected, atol=1e-4)


def test_a_run_without_any_trajectory_is_an_error(tmp_path, run):
    for part, _, process in run.processes:
        process.wait()
        for path in (part / "out").glob("*.dcd"):
            path.unlink()
    with pytest.raises(RuntimeError, match="no frames"):
        run.frames(4, 5, np.random.default_rng(0), None, log=lambda _: None)


def test_what_the_program_would_refuse_is_left_out():
    numbers, positions = WATER
    move = lambda atom, shift: positions + np.eye(3)[atom][:, None] * np.array(shift)
    assert engine.accepted(numbers, positions)
    assert not engine.accepted(numbers, move(1, [-0.5, 0, 0]))  # 0.46 Å apart
    assert not engine.accepted(numbers, move(2, [-9, 0, 0]))  # in two pieces
    assert not engine.accepted(numbers[:2], positions[:2])  # an electron left over
    assert not engine.accepted(numbers, positions * np.nan)
