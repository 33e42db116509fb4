"""Does the student keep molecules together?  The program runs them; this writes its input and judges its trajectories.

    python -m distill.stability write evaluation/stability.npz stability --model student.safetensors --temperature 500
    mdrun stability/config.toml
    python -m distill.stability check evaluation/stability.npz stability stability.out --out stability.json

A molecule is broken when its bond graph is changed for 100 fs on end: a bond longer than 1.5, or two other atoms closer
than 1.15, times their covalent radii.  Then the teacher has its say: eight copies of the last intact frame run for 1 ps
in the same bath, and the student is at fault where most of them keep the graph.
"""

import argparse
import pathlib

import numpy as np

from .report import finish
from .shards import COVALENT_RADIUS
from .structures import Structures

BONDED, BROKEN, FORMED = 1.25, 1.5, 1.15
FRAME_FS, CHANGED_FS, COPIES, TEACHER_FS = 20.0, 100.0, 8, 1000.0
DCD_HEADER_BYTES = 276  # of the program's files; any DCD says so itself, record by record
SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 15: "P", 16: "S", 17: "Cl", 35: "Br"}


def name_of(index):
    return f"m{index:04d}"


def write_input(structures, folder, model, temperature_k, length_ps, timestep_fs):
    """One configuration of all molecules, each in its own XYZ file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"""seed = 1

[run]
steps = {round(1000 * length_ps / timestep_fs)}
timestep_fs = {timestep_fs}

[dynamics]
scheme = "langevin"
temperature_K = {temperature_k:g}
friction_per_ps = 1.0

[minimize]
force_tolerance_eV_per_ang = 0.05

[output]
frames_every = {round(FRAME_FS / timestep_fs)}
log_every = {round(1000 / timestep_fs)}
"""
    text += f'\n[model]\npath = "{model.resolve()}"\n' if model else ""
    for k in range(len(structures)):
        atoms = structures.atoms(k)
        rows = [
            f"{SYMBOLS[int(z)]} {x:.8f} {y:.8f} {w:.8f}"
            for z, (x, y, w) in zip(structures.numbers[atoms], structures.positions[atoms])
        ]
        (folder / f"{name_of(k)}.xyz").write_text("\n".join([str(len(rows)), name_of(k), *rows]) + "\n")
        text += f'\n[[molecule]]\nstructure = "{name_of(k)}.xyz"\nreplicas = 1\n'
    (folder / "config.toml").write_text(text)


def read_dcd(path, atoms):
    """(F, N, 3) in Å: every frame is three records, x, y and z, each between two words of its length."""
    data = np.fromfile(path, np.float32, offset=DCD_HEADER_BYTES)
    frames = len(data) // (3 * (atoms + 2))
    return data[: frames * 3 * (atoms + 2)].reshape(frames, 3, atoms + 2)[:, :, 1:-1].transpose(0, 2, 1)


def changed(trajectory, numbers, start):
    """(F,) whether each frame's bond graph differs from that of `start`."""
    i, j = np.triu_indices(len(numbers), 1)
    reach = COVALENT_RADIUS[numbers][i] + COVALENT_RADIUS[numbers][j]
    bonded = np.linalg.norm(start[i] - start[j], axis=-1) < BONDED * reach
    r = np.linalg.norm(trajectory[:, i] - trajectory[:, j], axis=-1)
    wrong = np.where(bonded, r > BROKEN * reach, r < FORMED * reach)
    return wrong.any(-1) | ~np.isfinite(trajectory).all((1, 2))


def broken_at(different, frames):
    """The first frame of the first change that lasts, or None; a trajectory that ends early was given up by the program."""
    lasting = round(CHANGED_FS / FRAME_FS)
    run = np.convolve(different, np.ones(lasting), "valid") if len(different) >= lasting else np.zeros(0)
    if (run >= lasting).any():
        return int(np.argmax(run >= lasting))
    return len(different) if len(different) < frames else None


def teacher_keeps(teacher, numbers, frame, start, temperature_k):
    """The share of copies whose bond graph the teacher's dynamics keeps from the last intact frame on."""
    import torch

    from . import langevin

    x = torch.from_numpy(np.tile(frame, (COPIES, 1, 1)).astype(np.float32)).to(teacher.device)
    z = torch.from_numpy(np.tile(numbers, (COPIES, 1)).astype(np.int64)).to(teacher.device)
    bath = torch.full((COPIES,), temperature_k, device=teacher.device)
    save = np.tile(np.arange(20, round(2 * TEACHER_FS) + 1, 20), (COPIES, 1))  # every 10 fs of half femtoseconds
    saved, _ = langevin.sample(teacher.forces, x, z, bath, save, langevin.Settings(timestep_fs=0.5))
    lost = [broken_at(changed(copy[1::2], numbers, start), 0) is not None for copy in saved.cpu().numpy()]
    return 1 - np.mean(lost)


def check(arguments):
    from .teacher import open_teacher

    structures = Structures.read(arguments.structures)
    config = (arguments.folder / "config.toml").read_text()
    value = lambda key: float(next(line for line in config.splitlines() if line.startswith(key)).split("=")[1])
    frames = int(value("steps") / value("frames_every")) + 1
    teacher, events, ran = None, [], 0
    for k in range(len(structures)):
        path = next(arguments.output.glob(f"{name_of(k)}-T0-*.dcd"), None)  # its one replica
        if path is None:
            continue
        ran += 1
        numbers, start = structures.numbers[structures.atoms(k)], structures.positions[structures.atoms(k)]
        trajectory = read_dcd(path, len(numbers))
        different = changed(trajectory, numbers, start)
        at = broken_at(different, frames)
        if at is None:
            continue
        intact = np.flatnonzero(~different[:at])
        teacher = teacher or open_teacher(arguments.teacher, arguments.teacher_folder, arguments.device)
        last = trajectory[intact[-1]] if len(intact) else start
        keeps = teacher_keeps(teacher, numbers, last, start, value("temperature_K"))
        events.append({"molecule": str(structures.names[structures.group[k]]), "ps": at * FRAME_FS / 1000, "teacher keeps": keeps})
        print(f"{events[-1]['molecule']} broke at {events[-1]['ps']:.2f} ps; of the teacher's copies {keeps:.0%} do not")
    at_fault = sum(event["teacher keeps"] > 0.5 for event in events)
    finish(arguments.out, "stability", {}, {"molecules": ran, "broken": len(events), "student at fault": at_fault, "events": events})
    print(f"{ran} molecules, {len(events)} broken, the student at fault in {at_fault}")


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write, judge = commands.add_parser("write"), commands.add_parser("check")
    for command in (write, judge):
        command.add_argument("structures", type=pathlib.Path)
        command.add_argument("folder", type=pathlib.Path)
    write.add_argument("--model", type=pathlib.Path, help="default: the built-in one")
    write.add_argument("--temperature", type=float, default=500.0)
    write.add_argument("--ps", type=float, default=50.0)
    write.add_argument("--timestep-fs", type=float, default=0.5)
    write.add_argument("--count", type=int, help="only the first molecules")
    judge.add_argument("output", type=pathlib.Path, help="the program's output folder")
    judge.add_argument("--out", type=pathlib.Path, required=True)
    judge.add_argument("--teacher", default="aimnet2")
    judge.add_argument("--teacher-folder", type=pathlib.Path, default=".work/teacher")
    judge.add_argument("--device", default="cpu")
    arguments = parser.parse_args(words)
    if arguments.command == "check":
        return check(arguments)
    structures = Structures.read(arguments.structures).take(slice(arguments.count))
    write_input(structures, arguments.folder, arguments.model, arguments.temperature, arguments.ps, arguments.timestep_fs)


if __name__ == "__main__":
    main()
