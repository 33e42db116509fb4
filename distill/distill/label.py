"""Unlabelled frames to a shard: quantise, label with the ensemble, drop what the teacher does not know, write."""

import collections
import time

import numpy as np
import torch

from . import wall
from .shards import KINDS, QUANTUM_ANG, centred, flatten, pad, starts, write
from .teacher import PAIRS_MAX

SPREAD_MAX_EV_ANG = 1.0
SPREAD_MAX_SHARE = 0.2  # of the largest force: a wall known to a fifth is better than none
FORCE_MAX_EV_ANG = 30.0
WALL_FORCE_MAX_EV_ANG = 1000.0  # where the label is not the teacher's but that of wall.py
WALLED = [KINDS.index(kind) for kind in ("approach", "squeezed")]
BATCH_MAX = 4095  # molecules; the teacher multiplies 16 matrices for each, and batches beyond 65535 are less well trodden
HALF_WIDTH_MAX_ANG = 32767 * QUANTUM_ANG


def batches(sizes, pairs_max=PAIRS_MAX, pairs_min=PAIRS_MAX // 8):
    """Indices sorted into batches of similar size, as (indices, padded size); largest molecules first.

    A batch holds at most pairs_max padded pairs, and takes molecules that are more than an eighth smaller than its
    padding only while it is too small to keep the device busy.
    """
    order = np.argsort(-np.asarray(sizes), kind="stable")
    begin = 0
    while begin < len(order):
        n = -(-int(sizes[order[begin]]) // 4) * 4
        most = min(BATCH_MAX, max(1, pairs_max // (n * n)))
        similar = np.searchsorted(-sizes[order], -(n - max(4, n // 8)), side="right") - begin
        count = min(most, max(similar, pairs_min // (n * n) + 1), len(order) - begin)
        yield order[begin : begin + count], n
        begin += count


def label(teacher, frames, path, member=False, half=False, log=print, walled=False):
    """Label `frames` and write those worth keeping; returns what was written, as a dict of arrays.

    With `walled`, close pairs of atoms in frames of such kinds are labelled by wall.py.
    """
    start = time.perf_counter()
    first = starts(frames.counts)
    results, dropped = [], collections.Counter()
    for chosen, n in batches(frames.counts):
        numbers = pad(frames.numbers, first, chosen, n).astype(np.int64)
        positions, half_width = centred(pad(frames.positions, first, chosen, n), numbers)
        quanta = np.rint(np.nan_to_num(positions) / QUANTUM_ANG).clip(-32767, 32767).astype(np.int16)
        # The labels belong to the quantised coordinates, which f32 holds exactly.
        x, z = torch.from_numpy(quanta.astype(np.float32) * np.float32(QUANTUM_ANG)), torch.from_numpy(numbers)
        labels = teacher.label(x, z)
        pair = np.where(np.isin(frames.kind[chosen], WALLED) & walled, frames.split[chosen], 0)
        labels = wall.over(teacher, x, z, pair, labels)
        values = {name: tensor.numpy() for name, tensor in vars(labels).items() if tensor is not None}
        most_ev_ang = np.where(pair > 0, WALL_FORCE_MAX_EV_ANG, FORCE_MAX_EV_ANG)
        keep = _worth_keeping(values, half_width, most_ev_ang, dropped, frames.kind[chosen])
        results.append(_flat(frames, chosen[keep], numbers[keep], quanta[keep], {k: v[keep] for k, v in values.items()}))
    names = [name for name in results[0] if member or not name.endswith("_member")]
    arrays = {name: np.concatenate([part[name] for part in results]) for name in names}
    arrays["first"] = starts(arrays.pop("counts")).astype(np.int32)
    if half:
        arrays |= {name: arrays[name].astype(np.float16) for name in names if name.startswith("forces")}
    write(path, **arrays)
    kept, wall_s = len(arrays["energies"]), time.perf_counter() - start
    log(f"{path.name}: {kept} of {len(frames)} frames labelled in {wall_s:.1f} s, {len(frames) / wall_s:,.0f} frames/s")
    by_kind = np.bincount(arrays["kind"], minlength=len(KINDS))
    log("  kept: " + ", ".join(f"{name} {count}" for name, count in zip(KINDS, by_kind)))
    log("  dropped: " + (", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())) or "none"))
    return arrays


def _worth_keeping(values, half_width, most_ev_ang, dropped, kind):
    """A mask of the frames to keep; each of the others is counted in `dropped` under the first reason that applies."""
    largest_force = np.linalg.norm(values["forces"], axis=-1).max(-1)
    spread = values.get("spread", np.zeros(len(kind)))
    reasons = {
        "too wide": ~(half_width < HALF_WIDTH_MAX_ANG),
        "not finite": ~(np.isfinite(values["energies"]) & np.isfinite(largest_force)),
        "force": ~(largest_force < most_ev_ang),
        "spread": ~(spread < np.maximum(SPREAD_MAX_EV_ANG, SPREAD_MAX_SHARE * largest_force)),
    }
    keep = np.ones(len(kind), bool)
    for reason, bad in reasons.items():
        for k in kind[keep & bad]:
            dropped[f"{KINDS[k]}: {reason}"] += 1
        keep &= ~bad
    return keep


def _flat(frames, chosen, numbers, quanta, values):
    counts = frames.counts[chosen]
    out = dict(counts=counts, numbers=flatten(numbers, counts).astype(np.uint8), positions=flatten(quanta, counts))
    for name in ("kind", "temperature_K", "line", "partner"):
        out[name] = getattr(frames, name)[chosen]
    for name, value in values.items():
        out[name] = flatten(value, counts) if value.ndim > 1 else value
    for name, dtype in dict(energies=np.float64, energies_member=np.float64, charges=np.float16, spread=np.float32).items():
        if name in out:
            out[name] = out[name].astype(dtype)
    for name in ("forces", "forces_member"):
        if name in out:
            out[name] = out[name].astype(np.float32)
    return out


def compare_precision(teacher_f64, arrays, n_frames, log=print):
    """Print how far the labels of some frames in a written shard are from the same in f64."""
    first = arrays["first"].astype(np.int64)
    chosen = np.random.default_rng(0).choice(len(first) - 1, min(n_frames, len(first) - 1), replace=False)
    energy, force = [], []
    for part, n in batches(np.diff(first)[chosen], PAIRS_MAX // 4):
        rows = chosen[part]
        positions = pad(arrays["positions"], first, rows, n).astype(np.float64) * QUANTUM_ANG
        numbers = pad(arrays["numbers"], first, rows, n).astype(np.int64)
        exact = teacher_f64.label(torch.from_numpy(positions), torch.from_numpy(numbers))
        energy.append(np.abs(exact.energies.numpy() - arrays["energies"][rows]))
        difference = exact.forces.numpy() - pad(arrays["forces"], first, rows, n)
        force.append(np.abs(flatten(difference, np.diff(first)[rows])).ravel())
    energy, force = 1e3 * np.concatenate(energy), 1e3 * np.concatenate(force)
    log(
        f"labels against f64, {len(energy)} frames: energy {energy.mean():.2g} meV on average and {energy.max():.2g} at"
        f" most, forces {force.mean():.2g} and {force.max():.2g} meV/Å"
    )
