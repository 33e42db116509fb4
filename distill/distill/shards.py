"""Molecules in, labelled frames out: both are .npz files of flat arrays.

A shard of labelled frames holds, over M frames and A atoms:

    first         (M+1,) int32    first atom of each frame
    numbers       (A,)   uint8    atomic numbers
    positions     (A, 3) int16    in units of the scalar quantum_ang; the labels are those of exactly these positions
    energies      (M,)   float64  eV, absolute
    forces        (A, 3) float32  eV/Å (float16 on request)
    charges       (A,)   float16  e, if the teacher has them
    kind          (M,)   uint8    index into KINDS
    temperature_K (M,)   float32  of the bath; 0 for frames that no dynamics made
    line          (M,)   int32    the molecule's line in its .smi file, from 0
    partner       (M,)   int32    the second molecule's line in a pair, else -1
    spread        (M,)   float32  the ensemble's force spread in eV/Å, largest over the atoms, if there is an ensemble
    energies_member (M,), forces_member (A, 3)   optional: the same labels by the ensemble's first member
"""

import dataclasses

import numpy as np

KINDS = ("dynamics", "rattled", "torsion", "stretched", "approach", "contact", "hydrogen bond", "proton shift", "shared proton",
         "squeezed", "proton exchange")  # fmt: skip
QUANTUM_ANG = 1 / 2048  # 16 bits reach 16 Å from the middle; a power of two, so that f32 holds it exactly

# Single-bond covalent radii in Å (Cordero et al., 10.1039/b801115j).
COVALENT_RADIUS = np.full(128, 1.5)
COVALENT_RADIUS[[0, 1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53]] = (
    0.0, 0.31, 0.84, 0.76, 0.71, 0.66, 0.57, 1.11, 1.07, 1.05, 1.02, 1.20, 1.39,
)  # fmt: skip


def starts(counts):
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def pad(flat, first, chosen, size=None):
    """Rows first[i]:first[i+1] of `flat` for every i in `chosen`, as one zero-padded array (len(chosen), size, ...)."""
    chosen = np.asarray(chosen)
    counts = first[chosen + 1] - first[chosen]
    size = int(counts.max(initial=0)) if size is None else size
    column = np.arange(size)
    inside = column < counts[:, None]
    out = np.zeros((len(chosen), size, *flat.shape[1:]), flat.dtype)
    out[inside] = flat[(first[chosen][:, None] + column)[inside]]
    return out


def flatten(padded, counts):
    """The inverse of pad: the first counts[i] rows of every padded[i], end to end."""
    return padded[np.arange(padded.shape[1]) < np.asarray(counts)[:, None]]


@dataclasses.dataclass
class Molecules:
    """Unlabelled structures, as `molecules` writes them."""

    line: np.ndarray
    first: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    bonds_first: np.ndarray
    bonds: np.ndarray

    @classmethod
    def read(cls, paths):
        parts = [np.load(path) for path in paths]
        names = [field.name for field in dataclasses.fields(cls)]
        joined = {name: [part[name] for part in parts] for name in names}
        for name in ("first", "bonds_first"):
            joined[name] = [starts(np.concatenate([np.diff(values) for values in joined[name]]))]
        return cls(**{name: np.concatenate(values) for name, values in joined.items()})

    def __len__(self):
        return len(self.line)

    @property
    def sizes(self):
        return np.diff(self.first)

    def padded(self, chosen, size=None):
        """positions (B, N, 3) float32 and numbers (B, N) int64."""
        return pad(self.positions, self.first, chosen, size), pad(self.numbers, self.first, chosen, size).astype(np.int64)

    def one(self, index, positions=None):
        """(numbers, positions, bonds) of one molecule, with the flat `positions` of all, if given, in place of its own."""
        atoms = slice(self.first[index], self.first[index + 1])
        bonds = self.bonds[self.bonds_first[index] : self.bonds_first[index + 1]]
        return self.numbers[atoms], (self.positions if positions is None else positions)[atoms], bonds


@dataclasses.dataclass
class Frames:
    """Unlabelled frames, flat; `positions` in Å until they are labelled."""

    counts: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    kind: np.ndarray
    temperature_K: np.ndarray
    line: np.ndarray
    partner: np.ndarray
    split: np.ndarray  # (M,) atoms of the first molecule of a pair, else 0

    @classmethod
    def join(cls, parts):
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def __len__(self):
        return len(self.counts)

    def subset(self, keep):
        """The frames where `keep` is true."""
        atoms = np.repeat(keep, self.counts)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Frames(**{k: v[atoms if k in ("numbers", "positions") else keep] for k, v in values.items()})


def centred(padded, numbers):
    """Structures (B, N, 3) with the middle of their bounding boxes at the origin, and half the longest side (B,)."""
    real = (numbers > 0)[..., None]
    low = np.where(real, padded, np.inf).min(1)
    high = np.where(real, padded, -np.inf).max(1)
    return np.where(real, padded - 0.5 * (low + high)[:, None], 0.0), 0.5 * (high - low).max(-1)


def write(path, **arrays):
    """Write a shard all at once, so that a shard that exists is a whole shard."""
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, quantum_ang=np.float64(QUANTUM_ANG), **arrays)
    partial.rename(path)
