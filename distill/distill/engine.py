"""Dynamics of many molecules by the program with a student that is there: the states that it visits, wrong ones included.

Frames of a teacher's own dynamics never show what a student does where it errs.  A run of the student goes there by
itself, and the labels of what it visited say how to come back (arXiv:1011.0686 calls it dataset aggregation).  A step of
the program costs a fiftieth of one of the teacher.

Each replica is a molecule of its own in a configuration; the program freezes those that explode and goes on with the
others.  Configurations have TABLES of them at most and run side by side: while one is read or written another computes.
"""

import atexit
import pathlib
import shutil
import subprocess

import numpy as np

from .shards import Frames
from .stability import SYMBOLS, changed, read_dcd

HYDROGEN_MASS_AMU = 2.0  # with which 1 fs is small; positions at equilibrium do not depend on it
TIMESTEP_FS = 1.0
FRICTION_PER_PS = 5.0
CLOSEST_ANG, GAP_ANG = 0.6, 4.5  # the program refuses 0.5 Å and less, and molecules in pieces 5 Å apart
ROUNDED_K = 25.0
TABLES = 5000
ENDED = 0, 3, 75  # exit codes: to the end, to the end with replicas that failed, stopped at the wall-clock limit
NEAR = 5  # frames before and after a change of bonds that are taken first


def accepted(numbers, positions):
    """Whether the program takes such a structure: finite, no two atoms in one place, in one piece, electrons paired."""
    if not np.isfinite(positions).all() or numbers.sum() % 2:
        return False
    r = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    reached, todo = {0}, [0]
    while todo:
        new = set(np.flatnonzero(r[todo.pop()] < GAP_ANG)) - reached
        reached |= new
        todo += new
    return len(reached) == len(numbers) and r[np.triu_indices(len(numbers), 1)].min(initial=np.inf) > CLOSEST_ANG


class Run:
    """The dynamics of all replicas, beside whatever else happens until `frames` is asked for."""

    def __init__(self, program, model, device, molecules, replica, temperature_k, length_fs, stride_fs, folder, limit_s=None):
        self.molecules, self.folder, self.replica = molecules, folder, replica
        self.temperature_k = np.maximum(ROUNDED_K, ROUNDED_K * np.rint(temperature_k / ROUNDED_K)).astype(np.float32)
        good = np.array([accepted(*molecules.one(k)[:2]) for k in range(len(molecules))])
        self.runs = np.flatnonzero(good[replica])
        self.processes = []
        atexit.register(self.stop)
        shutil.rmtree(folder, ignore_errors=True)  # what a run that was interrupted left there is not this one's
        head = f"""seed = 1
[run]
steps = {round(length_fs / TIMESTEP_FS)}
timestep_fs = {TIMESTEP_FS}
[dynamics]
friction_per_ps = {FRICTION_PER_PS}
hydrogen_mass_amu = {HYDROGEN_MASS_AMU}
[output]
frames_every = {round(stride_fs / TIMESTEP_FS)}
log_every = {round(length_fs / TIMESTEP_FS)}
[model]
path = "{pathlib.Path(model).resolve()}"
"""
        for begin in range(0, len(self.runs), TABLES):
            chosen, part = self.runs[begin : begin + TABLES], folder / str(begin // TABLES)
            part.mkdir(parents=True, exist_ok=True)
            text = head + "".join(self._table(k, part) for k in chosen)
            (part / "config.toml").write_text(text)
            command = [program, part / "config.toml", "--device", device, "--out", part / "out"]
            if limit_s:  # it then stops with what it has
                command += ["--max-walltime", f"{limit_s:g}s"]
            with open(part / "log", "w") as log:
                self.processes.append((part, chosen, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)))

    def stop(self):
        """Ends what still runs: nobody would read what it makes."""
        for _, _, process in self.processes:
            if process.poll() is None:
                process.terminate()

    def _table(self, k, part):
        numbers, x, _ = self.molecules.one(self.replica[k])
        rows = [f"{SYMBOLS[int(z)]} {a:.5f} {b:.5f} {c:.5f}" for z, (a, b, c) in zip(numbers, x.tolist())]
        (part / f"r{k:06d}.xyz").write_text("\n".join([str(len(rows)), "", *rows]) + "\n")
        return f'[[molecule]]\nstructure = "r{k:06d}.xyz"\ntemperature_K = {self.temperature_k[k]:g}\n'

    def frames(self, count, first, rng, workers, log=print):
        """`count` frames of each replica that are not among the `first`, twice as many of one whose bonds changed."""
        for part, _, process in self.processes:
            code, lines = process.wait(), (part / "log").read_text().splitlines()
            said = [line for line in lines if any(word in line for word in (" steps in ", "stopped by", "error"))]
            log(f"  the program: {code}; " + "; ".join(said))
            if code not in ENDED:
                raise RuntimeError(f"{part}/log: the program ended with exit code {code}")
        tasks, chunk = [], 200
        for part, chosen, _ in self.processes:
            for begin in range(0, len(chosen), chunk):
                items = [(k, *self.molecules.one(self.replica[k])[:2]) for k in chosen[begin : begin + chunk]]
                tasks.append((part / "out", items, count, first, int(rng.integers(2**62))))
        found = [one for part in (workers.imap if workers else map)(picked, tasks) for one in part]
        if not found:
            raise RuntimeError(f"{self.folder}: the program left no frames")
        rows = np.repeat([k for k, *_ in found], [len(x) for _, x, _ in found])
        log(f"  {len(found)} of {len(self.replica)} replicas with frames, {sum(wrong for *_, wrong in found)} of them with changed bonds")
        molecule = self.replica[rows]
        return Frames(
            counts=self.molecules.sizes[molecule],
            numbers=np.concatenate([self.molecules.one(k)[0] for k in molecule]).astype(np.uint8),
            positions=np.concatenate([x.reshape(-1, 3) for _, x, _ in found]),
            kind=np.zeros(len(rows), np.uint8),
            temperature_K=self.temperature_k[rows],
            line=self.molecules.line[molecule],
            partner=np.full(len(rows), -1, np.int32),
            split=np.zeros(len(rows), int),
        )


def picked(task):
    """(replica, its chosen frames (F, N, 3), whether its bonds changed) of some replicas."""
    out, items, count, first, seed = task
    rng, found = np.random.default_rng(seed), []
    for k, numbers, start in items:
        path = out / f"r{k:06d}-T0-0000.dcd"
        if not path.exists():
            continue
        x = read_dcd(path, len(numbers))
        x = x[min(first, len(x) // 2) :]  # a run that was stopped early still has its later half
        x = x[np.isfinite(x).all((1, 2))]
        if not len(x):
            continue
        different = changed(x, numbers, start)
        wrong = np.flatnonzero(different)
        chosen = rng.permutation(len(x))[:count]
        if len(wrong):  # what led to the first change, what followed, and what it became
            near = np.arange(max(0, wrong[0] - NEAR), min(len(x), wrong[0] + NEAR))
            chosen = np.unique(np.concatenate([rng.permutation(near)[:count], rng.choice(wrong, min(len(wrong), count // 2)), chosen]))
            chosen = rng.permutation(chosen)[: 2 * count]
        found.append((k, x[np.sort(chosen)].astype(np.float32), bool(len(wrong))))
    return found
