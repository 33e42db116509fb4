"""Where this design began: PyTorch, one structure at a time, energy and forces by autograd, no dynamics.

Its authors had 13.4 ms a structure of benzene on a GPU of theirs, 75 structures a second, three quarters of it backward,
and hoped for 500 a second from batches of 16.  The same thing with the student at hand.
"""

from . import molecules
from .dynamics import student_in
from .measure import seconds_per_call
from .pairs import EdgeList

THEIRS = {"structures_per_s": 75, "hoped_from_16": 500, "backward_share": 0.75}
BATCHES = (1, 16, 4096)


def measured(weights, device, molecule, seconds, batches=BATCHES):
    """{"batches": [{replicas, step_s, structures_per_s, backward_share}], "theirs"}; pairs are listed once, in advance."""
    student, _ = student_in(weights, device, "f32")
    name, path = molecules.find(molecule)
    numbers, start_ang, _ = molecules.read(path)
    rows = []
    for count in batches:
        pairs = EdgeList(student, numbers, start_ang, count)
        x = start_ang.to(student.device, student.dtype).repeat(count, 1, 1).requires_grad_(True)
        step_s = seconds_per_call(lambda: student.energies_and_forces(x, pairs), device, seconds)
        forward_s = seconds_per_call(lambda: student.energies(x, pairs), device, seconds)
        rows.append({"replicas": count, "step_s": step_s, "structures_per_s": count / step_s,
                     "backward_share": 1.0 - forward_s / step_s})
    return {"molecule": name, "precision": "f32", "mode": "eager", "batches": rows, "theirs": THEIRS}
