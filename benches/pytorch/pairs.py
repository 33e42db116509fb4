"""Two ways to hold the pairs of equal molecules: a list of edges, or all pairs of every molecule as a table.

Both give the network the same four operations; which one is faster depends on the molecule and on torch.compile, so
both are timed.  A list is made once, with a skin: to PyTorch's advantage nobody pays for making it again.
"""

import torch

from .dispersion import Dispersion


class Tables:
    """Constants of pairs of elements: shapes (N, N), then those of the layout."""

    def __init__(self, student, numbers):
        constants, z = student.repulsion, torch.tensor(numbers, dtype=torch.float64)
        radius = torch.tensor([constants["covalent_radius_ang"][str(n)] for n in numbers], dtype=torch.float64)
        self.switch_ang = radius[:, None] + radius
        self.charge_ev_ang = constants["coulomb_ev_ang"] * z[:, None] * z
        self.screening_ang = 0.88534 * constants["bohr_ang"] / (z[:, None] ** 0.23 + z**0.23)

    def put(self, pairs, student, pick):
        for name, table in vars(self).items():
            setattr(pairs, name, pick(table).to(student.device, student.dtype))


def dispersion_of(student, numbers):
    """What a student that was trained under dispersion has beside its pairs."""
    return Dispersion(student, numbers) if student.config.get("dispersion") else None


class EdgeList:
    """Pairs of the first geometry within cut-off and skin, sorted by receiver; sums by index_add."""

    name = "edges"

    def __init__(self, student, numbers, start_ang, replicas, skin_ang=0.5):
        atoms, self.element_count = len(numbers), len(student.elements)
        self.species, self.distinct = student.species(numbers), None
        self.cutoff_ang = student.config["cutoff_ang"]
        near = torch.cdist(start_ang, start_ang) < self.cutoff_ang + skin_ang
        self.listed = near & ~torch.eye(atoms, dtype=bool)
        i, j = torch.nonzero(self.listed, as_tuple=True)
        self.dispersion = dispersion_of(student, numbers)
        Tables(student, numbers).put(self, student, lambda table: table[i, j].repeat(replicas))
        self.row = self.species.repeat(replicas)  # (M,)
        offset = atoms * torch.arange(replicas)[:, None]
        self.i = (i + offset).flatten().to(student.device)
        self.j = (j + offset).flatten().to(student.device)
        self.cell = self.i * self.element_count + self.row[self.j]

    def differences(self, x):
        x = x.flatten(0, 1)
        return x[self.j] - x[self.i]

    def of_senders(self, x):
        return x[self.j]

    def sums(self, values):
        return self.added(self.row.shape[0], self.i, values)

    def sums_by_element(self, directions, basis):
        count = self.row.shape[0] * self.element_count
        sums = self.added(count, self.cell, directions[..., :, None] * basis[..., None, :])
        return sums.unflatten(0, (-1, self.element_count)).transpose(1, 2).flatten(2)

    @staticmethod
    def added(count, index, values):
        # Sums in f32 at least: fp16 has neither the digits nor fast atomics.
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        return values.new_zeros((count, *values.shape[1:])).index_add(0, index, values)

    def holds(self, x):
        """Whether no pair outside the list has come within the cut-off, so that every force was right."""
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").amin(0)
        outside = ~self.listed & ~torch.eye(len(self.listed), dtype=bool)
        return bool((distances.cpu()[outside] > self.cutoff_ang).all())


class AllPairs:
    """All pairs of every molecule, the diagonal masked; sums over an axis."""

    name = "all pairs"

    def __init__(self, student, numbers, start_ang, replicas):
        self.atoms, self.species = len(numbers), student.species(numbers)
        self.dispersion = dispersion_of(student, numbers)
        Tables(student, numbers).put(self, student, lambda table: table)
        self.distinct = ~torch.eye(self.atoms, dtype=bool, device=student.device)
        one_hot = torch.nn.functional.one_hot(self.species, len(student.elements))
        self.one_hot = one_hot.to(student.dtype)

    def differences(self, x):
        return x[:, None] - x[:, :, None]

    def of_senders(self, x):
        return x.unflatten(0, (-1, 1, self.atoms))

    def sums(self, values):
        return values.to(torch.promote_types(values.dtype, torch.float32)).sum(2).flatten(0, 1)

    def sums_by_element(self, directions, basis):
        by_element = (self.one_hot[:, :, None] * basis[..., None, :]).flatten(3)
        return (directions.transpose(2, 3) @ by_element).flatten(0, 1)

    def holds(self, x):
        return True


LAYOUTS = {layout.name: layout for layout in (EdgeList, AllPairs)}
