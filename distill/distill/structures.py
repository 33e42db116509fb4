"""Sets of structures that belong together: the conformers of a molecule, the points of a scan, the dimers of one bin.

One .npz of flat arrays over M structures, A atoms and G groups, made by `prepare`, read by the evaluations:

    first      (M+1,) int64    first atom of each structure
    numbers    (A,)   uint8    atomic numbers
    positions  (A, 3) float64  Å
    group      (M,)   int64    which group
    value      (M,)   float64  the scan's coordinate, in the evaluation's unit
    split      (M,)   int64    atoms of the first molecule of a pair, else 0
    names      (G,)   str
"""

import dataclasses

import numpy as np

from .shards import starts


@dataclasses.dataclass
class Structures:
    first: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray
    group: np.ndarray
    value: np.ndarray
    split: np.ndarray
    names: np.ndarray

    @classmethod
    def of(cls, groups):
        """From {name: [(numbers, positions, value, split), …]}."""
        rows = [(g, *row) for g, rows in enumerate(groups.values()) for row in rows]
        group, numbers, positions, value, split = zip(*rows)
        return cls(
            starts([len(z) for z in numbers]), np.concatenate(numbers).astype(np.uint8),
            np.concatenate(positions).astype(np.float64), np.array(group), np.array(value, float),
            np.array(split), np.array(list(groups)),
        )  # fmt: skip

    @classmethod
    def read(cls, path):
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in dataclasses.fields(cls)})

    def write(self, path):
        np.savez_compressed(path, **vars(self))

    def __len__(self):
        return len(self.group)

    @property
    def sizes(self):
        return np.diff(self.first)

    @property
    def owner(self):
        """(A,) the structure of each atom."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def atoms(self, index):
        return slice(self.first[index], self.first[index + 1])

    def moved(self, positions):
        return dataclasses.replace(self, positions=positions)

    def take(self, chosen):
        """The structures with these indices, in this order; groups keep their numbers."""
        chosen = np.arange(len(self))[chosen]
        atoms = np.concatenate([np.arange(self.first[k], self.first[k + 1]) for k in chosen] or [[]]).astype(int)
        per_structure = {name: getattr(self, name)[chosen] for name in ("group", "value", "split")}
        return Structures(
            starts(self.sizes[chosen]), self.numbers[atoms], self.positions[atoms], names=self.names, **per_structure
        )

    def parts(self, second):
        """The first, or the second molecules of pairs, alone."""
        within = np.arange(len(self.numbers)) - self.first[:-1][self.owner]
        keep = (within >= self.split[self.owner]) == second
        counts = np.bincount(self.owner[keep], minlength=len(self))
        return dataclasses.replace(self, first=starts(counts), numbers=self.numbers[keep], positions=self.positions[keep])
