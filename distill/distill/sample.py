"""Stage 2: molecules to labelled frames.

One teacher member drives Langevin dynamics of all molecules at once; the ensemble labels what was saved.  A tenth of
the frames is made by hand instead (special.py).  Files of molecules are worked on in groups, each of which gives one
shard named after its first file, its number of files and the seed; a shard that exists is not made again.  Another
seed gives fresh frames of the same molecules.

    python -m distill.sample train-*.npz --out frames --seed 1
    python -m distill.sample valid-*.npz --out frames --temperatures 300 500 --frames 5 --no-special --member

With `--engine mdrun --student student.safetensors` a student drives the dynamics, by the program (engine.py): longer, and
where it errs.  The bonds of such frames may have changed.
"""

import argparse
import dataclasses
import multiprocessing
import pathlib
import shutil
import time

import numpy as np
import torch

from . import engine, langevin, special
from .draws import ELEMENT_WEIGHTS, SIZE_WEIGHTS, SPECIAL_SHARES, draw_replicas, draw_special, table
from .label import batches, compare_precision, label
from .shards import COVALENT_RADIUS, KINDS, Frames, Molecules, pad, starts
from .teacher import open_teacher

BROKEN = 1.75  # a bond this many times the sum of covalent radii
# Of these kinds of special frames half run freely for a moment, up to so many steps; protons on their way arrive somewhere.
RUNNING = {"contact": 100, "hydrogen bond": 100, "proton shift": 60, "shared proton": 60, "proton exchange": 60}
MAY_BREAK = [KINDS.index(kind) for kind in ("proton shift", "shared proton", "proton exchange")]


def relax(teacher, molecules, n_steps, graph):
    """The same molecules with the strain of their force-field geometry taken out by the teacher."""
    positions = np.empty_like(molecules.positions)
    for chosen, n in batches(molecules.sizes):
        x, z = (torch.from_numpy(array).to(teacher.device) for array in molecules.padded(chosen, n))
        relaxed = langevin.relax(teacher.forces, x, z, n_steps, graph).cpu().numpy()
        for row, index in enumerate(chosen):
            begin, end = molecules.first[index], molecules.first[index + 1]
            positions[begin:end] = relaxed[row, : end - begin]
    return dataclasses.replace(molecules, positions=positions)


def dynamics(teacher, molecules, replica, temperature_k, save_steps, settings, kind, partner, split, log=print):
    """Frames of the replicas at save_steps (R, F); those whose bonds broke are left out, unless they were to (MAY_BREAK)."""
    parts, broken, start, done = [], 0, time.perf_counter(), 0
    for chosen, n in batches(molecules.sizes[replica]):
        molecule = replica[chosen]
        x, z = (torch.from_numpy(array).to(teacher.device) for array in molecules.padded(molecule, n))
        bath = torch.from_numpy(temperature_k[chosen]).to(teacher.device)
        saved, velocities = langevin.sample(teacher.forces, x, z, bath, save_steps[chosen], settings)
        saved = saved.cpu().numpy()
        frames_each = saved.shape[1]
        intact = _intact(saved, molecules, molecule) | np.isin(kind[chosen], MAY_BREAK)[:, None] & np.isfinite(saved).all((2, 3))
        broken += int((~intact).sum())
        positions = saved.reshape(-1, n, 3)
        counts = np.repeat(molecules.sizes[molecule], frames_each)
        inside = np.arange(n) < counts[:, None]
        repeated = np.repeat(z.cpu().numpy(), frames_each, 0)
        frames = Frames(
            counts=counts,
            numbers=repeated[inside].astype(np.uint8),
            positions=positions[inside],
            kind=np.repeat(kind[chosen], frames_each),
            temperature_K=np.repeat(temperature_k[chosen], frames_each),
            line=np.repeat(molecules.line[molecule], frames_each),
            partner=np.repeat(partner[chosen], frames_each),
            split=np.repeat(split[chosen], frames_each),
        )
        parts.append(frames.subset(intact.ravel()))
        done += len(chosen) * int(save_steps.max())
        reached = langevin.temperature(velocities, z, bath)
        log(
            f"  {len(chosen)} molecules of up to {n} atoms, at {reached:.2f} of the bath's temperature;"
            f" so far {done / (time.perf_counter() - start):,.0f} molecule-steps/s"
        )
    log(f"  {broken} of {save_steps.size} frames had broken bonds")
    return Frames.join(parts)


def _intact(saved, molecules, molecule):
    """(B, F): no bond is longer than BROKEN covalent radii, and all is finite."""
    bonds = pad(molecules.bonds, molecules.bonds_first, molecule)
    numbers = pad(molecules.numbers, molecules.first, molecule, saved.shape[2])
    rows = np.arange(len(molecule))[:, None]
    i, j = bonds[..., 0], bonds[..., 1]  # padded bonds join atom 0 to itself
    length = np.linalg.norm(saved[rows, :, i] - saved[rows, :, j], axis=-1)  # (B, bonds, F)
    reach = COVALENT_RADIUS[numbers[rows, i]] + COVALENT_RADIUS[numbers[rows, j]]
    return (length < BROKEN * reach[..., None]).all(1) & np.isfinite(saved).all((2, 3))


def special_frames(teacher, molecules, draws, settings, rng, workers, log=print):
    """The structures for `draws`, None if there are none; half of the pairs in contact and of the protons on their way then run
    freely for a moment."""
    tasks, chunk = [], 100
    for k, begin in enumerate(range(0, len(draws), chunk)):
        items = [
            (kind, molecules.one(first), molecules.one(second) if second >= 0 else None)
            for kind, first, second in draws[begin : begin + chunk]
        ]
        tasks.append((int(rng.integers(2**62)), items))
    made = [positions for part in (workers.imap if workers else map)(special.make, tasks) for positions in part]
    log(f"  {sum(positions is None for positions in made)} of {len(made)} special structures could not be made")
    good = np.array([positions is not None for positions in made], bool)
    draws, made = draws[good], [positions for positions in made if positions is not None]
    if not made:
        return None
    steps_max = np.array([RUNNING.get(kind, 0) for kind in KINDS])[draws[:, 0]]
    runs = (steps_max > 0) & (rng.random(len(draws)) < 0.5)

    numbers, bonds = [], []
    for _, first, second in draws:
        parts = [molecules.one(index) for index in (first, second) if index >= 0]
        numbers.append(np.concatenate([part[0] for part in parts]))
        bonds.append(np.concatenate([part[2] + shift for part, shift in zip(parts, (0, len(parts[0][0])))]))
    line = molecules.line[draws[:, 1]]
    partner = np.where(draws[:, 2] >= 0, molecules.line[draws[:, 2]], -1).astype(np.int32)
    kind = draws[:, 0].astype(np.uint8)
    split = np.where(draws[:, 2] >= 0, molecules.sizes[draws[:, 1]], 0)
    structures = Molecules(
        line=line, first=starts([len(part) for part in numbers]), numbers=np.concatenate(numbers),
        positions=np.concatenate(made), bonds_first=starts([len(part) for part in bonds]), bonds=np.concatenate(bonds),
    )  # fmt: skip
    zero = np.zeros(len(draws), np.float32)
    frames = Frames(structures.sizes, structures.numbers, structures.positions, kind, zero, line, partner, split)
    if not runs.any():
        return frames
    chosen = np.flatnonzero(runs)
    save = rng.integers(np.where(steps_max[chosen] < 100, 1, 10), steps_max[chosen])[:, None]
    temperature_k = rng.choice(np.float32([200, 300, 450]), len(chosen))
    of_pairs = kind[chosen], partner[chosen], split[chosen]
    moved = dynamics(teacher, structures, chosen, temperature_k, save, settings, *of_pairs, log)
    return Frames.join([frames.subset(~runs), moved])


def make_shard(teacher, paths, out, arguments, seeds, workers, log=print):
    """One shard of labelled frames from the molecules in `paths`."""
    rng = np.random.default_rng(seeds)
    torch.manual_seed(int(rng.integers(2**62)))
    molecules = Molecules.read(paths)
    weights = ELEMENT_WEIGHTS | arguments.element_weights, tuple(arguments.size_weights.items()) or SIZE_WEIGHTS
    replica, temperature_k = draw_replicas(molecules, rng, arguments.temperatures, *weights)
    special_share = 0 if arguments.no_special else arguments.special
    frames_each = max(1, round(arguments.frames * (1 - special_share)))
    settings = langevin.Settings(timestep_fs=arguments.timestep_fs, graph=not arguments.no_graph)
    steps = lambda fs: max(1, round(fs / arguments.timestep_fs))
    stride = steps(2 * arguments.separation_fs)
    # Frames are at least separation_fs apart, at moments that differ from molecule to molecule.
    jitter = rng.integers(0, stride // 2 + 1, size=(len(replica), frames_each))
    save_steps = steps(arguments.equilibrate_fs) + stride * np.arange(frames_each) + jitter

    start = time.perf_counter()
    log(f"{out.name}: {len(molecules)} molecules, {len(replica)} replicas")
    molecules = relax(teacher, molecules, arguments.relax_steps, settings.graph)
    log(f"  relaxed in {time.perf_counter() - start:.1f} s")
    if arguments.engine:
        folder = out.with_suffix(".run")
        run = engine.Run(
            arguments.engine, arguments.student, arguments.engine_device, molecules, replica, temperature_k,
            arguments.length_fs, arguments.stride_fs, folder, arguments.engine_limit_s,
        )  # fmt: skip
        log(f"  {len(run.runs)} replicas for the program in {time.perf_counter() - start:.1f} s")
    else:
        single = np.zeros(len(replica), np.uint8), np.full(len(replica), -1, np.int32), np.zeros(len(replica), int)
        parts = [dynamics(teacher, molecules, replica, temperature_k, save_steps, settings, *single, log)]
    n_special, made = round(special_share * arguments.frames * len(replica)), None
    if n_special:
        shares = SPECIAL_SHARES | arguments.special_shares
        shares = shares if arguments.wall else shares | {"squeezed": 0}
        draws = draw_special(molecules, replica, n_special, rng, shares)
        made = special_frames(teacher, molecules, draws, settings, rng, workers, log)
    if arguments.engine:
        parts = [run.frames(frames_each, round(arguments.equilibrate_fs / arguments.stride_fs), rng, workers, log)]
        shutil.rmtree(folder)
    frames = Frames.join(parts + ([made] if made else []))
    log(f"  {len(frames)} structures in {time.perf_counter() - start:.1f} s")
    return label(teacher, frames, out, arguments.member, arguments.half, log, arguments.wall)


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("molecules", type=pathlib.Path, nargs="+", help="shards made by `molecules`, or .smi files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the labelled shards")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", type=int, default=5, help="files of molecules that share a shard (large batches are faster)")
    parser.add_argument("--frames", type=int, default=10, help="frames per replica, special ones included")
    parser.add_argument("--temperatures", type=float, nargs="+", metavar="K", help="every molecule at each of these instead")
    parser.add_argument("--element-weights", type=table, default={}, metavar="Z=N,…", help="replicas of a molecule with element Z")
    parser.add_argument("--size-weights", type=table, default={}, metavar="ATOMS=N,…", help="replicas of one of at most so many atoms")
    parser.add_argument("--special-shares", type=table, default={}, metavar="KIND=N,…", help="among special frames: approach=40, …")
    parser.add_argument("--special", type=float, default=0.1, help="share of special frames")
    parser.add_argument("--no-special", action="store_true")
    parser.add_argument("--wall", action="store_true", help="frames of molecules pushed into each other, labelled by wall.py")
    parser.add_argument("--timestep-fs", type=float, default=1.5)
    parser.add_argument("--relax-steps", type=int, default=30)
    parser.add_argument("--equilibrate-fs", type=float, default=300)
    parser.add_argument("--separation-fs", type=float, default=15, help="least time between frames; twice that on average")
    parser.add_argument("--engine", help="the program mdrun: a student drives the dynamics")
    parser.add_argument("--engine-device", default="cuda:0")
    parser.add_argument("--engine-limit-s", type=float, help="wall-clock limit of its dynamics")
    parser.add_argument("--student", type=pathlib.Path, help="the student that does")
    parser.add_argument("--length-fs", type=float, default=1000, help="of its dynamics")
    parser.add_argument("--stride-fs", type=float, default=25, help="between the frames among which those to label are drawn")
    parser.add_argument("--member", action="store_true", help="store the labels of one member, too")
    parser.add_argument("--half", action="store_true", help="store forces in 16 bits")
    parser.add_argument("--check-f64", type=int, default=0, metavar="N", help="compare N labels of each shard with f64")
    parser.add_argument("--teacher", default="aimnet2", help="aimnet2, or module:factory for an ASE calculator")
    parser.add_argument("--teacher-folder", type=pathlib.Path, default=".work/teacher")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--no-graph", action="store_true", help="do not capture the step in a CUDA graph")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), help="for making special structures")
    arguments = parser.parse_args(words)
    if arguments.engine and not arguments.student:
        parser.error("--engine needs --student, the student whose dynamics it makes")
    return arguments


def log(*words):
    print(*words, flush=True)


def embedded(paths, folder):
    """The shards of molecules among `paths`, and those made here, once, of each .smi file."""
    for path in paths:
        if path.suffix != ".smi":
            yield path
            continue
        from . import molecules  # needs RDKit, which a machine with a GPU may lack

        molecules.main([str(path), str(folder)])
        yield from sorted(folder.glob(f"{path.stem}-[0-9][0-9][0-9].npz"))


def main(words=None):
    arguments = parse(words)
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.molecules = list(embedded(arguments.molecules, arguments.out / "molecules"))
    # The workers are forked before the GPU is touched.
    workers = multiprocessing.get_context("fork").Pool(arguments.processes) if arguments.processes > 1 else None
    teacher = teacher_f64 = None
    for begin in range(0, len(arguments.molecules), arguments.group):
        paths = arguments.molecules[begin : begin + arguments.group]
        out = arguments.out / f"{paths[0].stem}x{len(paths)}-s{arguments.seed}.npz"
        if out.exists():
            log(f"{out.name} exists")
            continue
        teacher = teacher or open_teacher(arguments.teacher, arguments.teacher_folder, arguments.device)
        seeds = [arguments.seed, *paths[0].stem.encode()]
        arrays = make_shard(teacher, paths, out, arguments, seeds, workers, log)
        if arguments.check_f64:
            teacher_f64 = teacher_f64 or open_teacher(
                arguments.teacher, arguments.teacher_folder, arguments.device, torch.float64
            )
            compare_precision(teacher_f64, arrays, arguments.check_f64, log)
    if workers:
        workers.terminate()


if __name__ == "__main__":
    main()
