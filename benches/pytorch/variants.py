"""One way to run steps, timed over batch sizes.

A compiled variant runs in a process of its own (`python -m pytorch.variants`, a job on stdin): a compiler that fails,
aborts or hangs takes nothing with it, and several compile side by side before they are timed one after the other.
"""

import dataclasses
import json
import sys
import time
import traceback

import torch

from . import molecules
from .dynamics import MODES, Replicas, compiled_functions, student_in
from .measure import seconds_per_call
from .pairs import LAYOUTS
from .student import Student

# Far above the rounding of fp16 in forces of some eV/Å, far below what a wrong formula makes.
FORCE_EV_PER_ANG = 0.1
# How often to wait for memory that other variants' warming up takes.
PATIENCE = 20


@dataclasses.dataclass
class Job:
    mode: str  # eager, compile or max-autotune; each is captured in a CUDA graph, too
    precision: str  # f32, tf32 or fp16
    layout: str  # edges or all pairs
    molecule: str
    batches: list  # a compiled variant is made for the first; for the others torch.compile makes its sizes variables
    weights: str
    device: str
    seconds: float  # least time of one of the five measurements

    def __str__(self):
        return f"{self.molecule}, {self.mode}, {self.precision}, {self.layout}"


class Variant:
    def __init__(self, job):
        self.job, self.functions = job, None
        self.name, path = molecules.find(job.molecule)
        self.numbers, self.start_ang, _ = molecules.read(path)

    def replicas(self, count):
        student, autocast = student_in(self.job.weights, self.job.device, self.job.precision)
        if self.job.mode in MODES and self.functions is None:
            self.functions = compiled_functions(student, self.job.mode)
        return Replicas(student, self.numbers, self.start_ang, count, self.job.layout, autocast, self.functions)

    def prepare(self):
        """Compiles; returns a note where the switch of the repulsion had to be left out of what is compiled."""
        try:
            return self.warm_up_when_there_is_room()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self.job.mode not in MODES:
                raise
            # Triton has failed on polynomial cut-offs before ("PassManager::run failed").
            traceback.print_exc()
            torch._dynamo.reset()
            student, _ = student_in(self.job.weights, self.job.device, self.job.precision)
            student.switch = torch.compiler.disable(student.switch)
            self.functions = compiled_functions(student, self.job.mode)
            self.warm_up_when_there_is_room()
            return f"{self.job}: compiled without the repulsion's switch, with it: {type(error).__name__}: {str(error)[:200]}"

    def warm_up_when_there_is_room(self):
        """Others compile on the same GPU: what is compiled stays when their memory leaves none for this one's batch."""
        for _ in range(PATIENCE):
            try:
                return self.warm_up()
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                time.sleep(3)
        return self.warm_up()

    def warm_up(self):
        """Once for the first batch; for the second torch.compile makes a version for any batch."""
        for count in self.job.batches[:2]:
            replicas = self.replicas(count)
            for _ in range(2):
                replicas.step()
            self.compare(replicas)
            del replicas
        if self.job.device == "cuda":
            torch.cuda.empty_cache()

    def compare(self, replicas):
        """Compilers have faults, too: a compiled step must have the forces of the plain network in f32."""
        plain, few = Student(self.job.weights, self.job.device), min(8, len(replicas.x))
        pairs = LAYOUTS["all pairs"](plain, self.numbers, self.start_ang, few)
        torch.backends.cuda.matmul.allow_tf32 = False
        _, forces = plain.energies_and_forces(replicas.x[:few], pairs)
        torch.backends.cuda.matmul.allow_tf32 = self.job.precision == "tf32"
        difference = float((forces - replicas.forces[:few]).abs().max())
        if not difference < FORCE_EV_PER_ANG:
            raise RuntimeError(f"its forces are wrong by {difference:.1e} eV/Å")

    def ways(self, replicas):
        """(mode, a function that makes one step)."""
        yield self.job.mode, replicas.step
        if self.job.device == "cuda":
            yield "graph" if self.job.mode == "eager" else f"{self.job.mode} + graph", replicas.captured()

    def rows(self):
        """Rows of results as they come.  A sweep stops when memory is full or twice the batch is no faster."""
        rates = {}
        for count in self.job.batches:
            largest = max(rates, default=count)
            if count > largest and rates[largest] < 0.98 * max(rates.values()):
                return
            try:
                replicas = self.replicas(count)
                self.compare(replicas)
                for mode, step in self.ways(replicas):
                    seconds = seconds_per_call(step, self.job.device, self.job.seconds, replicas.restart)
                    replicas.check()
                    rate = count / seconds
                    rates[count] = max(rate, rates.get(count, 0.0))
                    yield {"molecule": self.name, "atoms": len(self.numbers), "mode": mode,
                           "precision": self.job.precision, "layout": self.job.layout, "replicas": count,
                           "step_s": seconds, "molecule_steps_per_s": rate,
                           "temperature_k": replicas.temperature_k()}
                    del step
            except torch.OutOfMemoryError:
                yield {"note": f"{self.job}: {count} replicas do not fit into memory"}
                return
            finally:
                replicas = step = None
                if self.job.device == "cuda":
                    torch.cuda.empty_cache()


def main():
    """Job on stdin; prints {"ready": true}; waits for a line; then a line for every row."""
    try:
        variant = Variant(Job(**json.loads(sys.stdin.readline())))
        note = variant.prepare()
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
        if note:
            print(json.dumps({"note": note}), flush=True)
        for row in variant.rows():
            print(json.dumps(row), flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"note": f"FAILED: {type(error).__name__}: {str(error)[:300]}"}), flush=True)


if __name__ == "__main__":
    main()
