"""Labelled shards on the host, and the padded buckets that a compiled training step reads.

A shard is an .npz of flat arrays over M frames and A atoms:

    first         (M+1,) int32    first atom of each frame
    numbers       (A,)   uint8    atomic numbers
    positions     (A, 3) int16    in units of the scalar quantum_ang
    energies      (M,)   float64  eV, absolute
    forces        (A, 3) float32  eV/Å (or float16)
    kind          (M,)   uint8    0 = thermal dynamics, others special (shards.KINDS)
    temperature_K (M,)   float32
    line          (M,)   int32    the molecule's line in its .smi file
    energies_member (M,), forces_member (A, 3)   optional: the same labels by one member of the teacher

Molecules of up to n atoms share a bucket padded to n, so that a step has static shapes and little waste.
"""

import dataclasses
import glob

import jax.numpy as jnp
import numpy as np

from .model import ELEMENTS, PADDING

PER_FRAME = ("energies", "kind", "temperature_K", "line", "energies_member")
PER_ATOM = ("numbers", "positions", "forces", "forces_member")
SPECIES_OF_NUMBER = np.full(256, PADDING, np.int8)
SPECIES_OF_NUMBER[list(ELEMENTS)] = np.arange(len(ELEMENTS))


@dataclasses.dataclass
class Bucket:
    """Frames padded to one size, on the device.

    frame      (M,)       which frame of the frame set (host)
    positions  (M, N, 3)  float32, Å
    species    (M, N)     int8, −1 for padding
    energy     (M,)       float32, eV above the reference energies
    forces     (M, N, 3)  float32, eV/Å
    """

    size: int
    frame: np.ndarray
    positions: jnp.ndarray
    species: jnp.ndarray
    energy: jnp.ndarray
    forces: jnp.ndarray

    @property
    def arrays(self):
        return self.positions, self.species, self.energy, self.forces


def load(patterns, optional=("energies_member", "forces_member")):
    """Shards by glob patterns → one dict of flat arrays, positions in Å (float32), plus `shard` (M,)."""
    found = {path for pattern in patterns for path in glob.glob(str(pattern))}
    paths = sorted(path for path in found if not path.endswith(".partial.npz"))  # another process is still writing those
    if not paths:
        raise FileNotFoundError(f"no labelled shard matches {' '.join(map(str, patterns))}")
    parts, atoms = [], 0
    for index, path in enumerate(paths):
        with np.load(path) as file:
            part = {name: file[name] for name in PER_FRAME + PER_ATOM if name in file}
            part["positions"] = part["positions"] * np.float32(file["quantum_ang"])
            part["forces"] = part["forces"].astype(np.float32)
            part["first"] = file["first"].astype(np.int64)[:-1] + atoms
            part["shard"] = np.full(len(part["first"]), index, np.int32)
        atoms += len(part["numbers"])
        parts.append(part)
    names = [name for name in parts[0] if name not in optional or all(name in part for part in parts)]
    frames = {name: np.concatenate([part[name] for part in parts]) for name in names}
    frames["first"] = np.append(frames["first"], atoms)
    return frames


def sizes(frames):
    return np.diff(frames["first"])


def subset(frames, chosen):
    """The frames with these indices, in this order."""
    count = sizes(frames)[chosen]
    first = np.concatenate([[0], np.cumsum(count)])
    atoms = np.repeat(frames["first"][:-1][chosen] - first[:-1], count) + np.arange(first[-1])
    out = {name: values[atoms if name in PER_ATOM else chosen] for name, values in frames.items() if name != "first"}
    return out | {"first": first}


def composition(frames):
    """(M, E) atoms of each element."""
    frame = np.repeat(np.arange(len(frames["first"]) - 1), sizes(frames))
    counts = np.zeros((len(frames["first"]) - 1, len(ELEMENTS)))
    np.add.at(counts, (frame, SPECIES_OF_NUMBER[frames["numbers"]]), 1)
    return counts


def fit_reference_energies(frames):
    """Energies of the elements (E,) in eV, float64: least squares over all frames; an absent element gets 0."""
    return np.linalg.lstsq(composition(frames), frames["energies"].astype(np.float64), rcond=None)[0]


def buckets(frames, padded_sizes, reference_energy_ev):
    """Frames sorted into padded buckets on the device; empty buckets and frames beyond the largest are left out."""
    count = sizes(frames)
    residual = frames["energies"] - composition(frames) @ reference_energy_ev
    which = np.searchsorted(padded_sizes, count)
    result = []
    for index, size in enumerate(padded_sizes):
        chosen = np.flatnonzero(which == index)
        if not len(chosen):
            continue
        part = subset(frames, chosen)
        row = np.repeat(np.arange(len(chosen)), count[chosen])
        column = np.arange(len(row)) - part["first"][row]
        positions = np.zeros((len(chosen), size, 3), np.float32)
        forces = np.zeros((len(chosen), size, 3), np.float32)
        species = np.full((len(chosen), size), PADDING, np.int8)
        positions[row, column] = part["positions"]
        forces[row, column] = part["forces"]
        species[row, column] = SPECIES_OF_NUMBER[part["numbers"]]
        arrays = (positions, species, residual[chosen].astype(np.float32), forces)
        result.append(Bucket(size, chosen, *map(jnp.asarray, arrays)))
    return result
