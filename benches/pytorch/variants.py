"""One way to run steps, timed over batch sizes.

Every process (`python -m pytorch.variants`, a list of jobs on stdin) has jobs of one molecule and mode: a compiler that
fails, aborts or hangs takes nothing with it, memory goes back with the process, and several compile side by side before
they are timed one after the other.
"""

import dataclasses
import fcntl
import json
import pathlib
import sys
import tempfile
import time
import traceback

import torch

from . import molecules, torchsim
from .dynamics import MODES, Replicas, compiled_functions, student_in
from .measure import free, seconds_per_call
from .pairs import LAYOUTS
from .student import Student

# Far above the rounding of fp16 in forces of some eV/Å, far below what a wrong formula makes.
FORCE_EV_PER_ANG = 0.1
# How often to wait for memory that other variants' warming up takes.
PATIENCE = 20
LOCK = pathlib.Path(tempfile.gettempdir()) / "mdrun_against_pytorch.lock"


@dataclasses.dataclass
class Job:
    mode: str  # eager, compile or max-autotune, each captured in a CUDA graph, too; or TorchSim
    precision: str  # f32, tf32 or fp16
    layout: str  # edges or all pairs
    molecule: str
    batches: list  # a compiled variant has one: shapes are constants to the compiler
    weights: str
    device: str
    seconds: float  # least time of one of the five measurements
    torch_sim: str = ""  # folder of TorchSim's unpacked wheel

    def __str__(self):
        of = f" × {self.batches[0]}" if self.mode in MODES else ""
        return f"{self.molecule}{of}, {self.mode}, {self.precision}, {self.layout}"


def out_of_memory(error):
    """Compilers wrap what they catch."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


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
        if self.job.mode not in MODES:
            return None
        try:
            return self.warm_up_when_there_is_room()
        except Exception as error:
            if out_of_memory(error):
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
        for patience in range(PATIENCE, -1, -1):
            try:
                return self.warm_up()
            except Exception as error:
                if not (out_of_memory(error) and patience):
                    raise
            # Outside of the handler, whose traceback holds the tensors.
            free(self.job.device)
            time.sleep(3)

    def warm_up(self):
        for count in self.job.batches:
            replicas = self.replicas(count)
            for _ in range(2):
                replicas.step()
            self.compare(replicas)
            del replicas
        free(self.job.device)

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
        """(mode, what makes one step when it is called) of every way."""
        yield self.job.mode, lambda: replicas.step
        if self.job.device == "cuda":
            yield "graph" if self.job.mode == "eager" else f"{self.job.mode} + graph", replicas.captured

    def rows(self):
        """Rows of results as they come.  A sweep stops when memory is full or a larger batch is no faster."""
        highest, failed = 0.0, set()
        for count in self.job.batches:
            best, replicas, mode = 0.0, None, self.job.mode
            try:
                replicas = self.replicas(count)
                self.compare(replicas)
                for mode, way in self.ways(replicas):
                    if mode in failed:
                        continue
                    try:
                        row = self.row(replicas, mode, way)
                    except Exception as error:
                        if out_of_memory(error):
                            raise
                        # A step that cannot be captured is no reason to leave out the others.
                        traceback.print_exc()
                        failed.add(mode)
                        row = {"note": f"FAILED {self.job}, {mode}: {type(error).__name__}: {str(error)[:300]}"}
                    best = max(best, row.get("molecule_steps_per_s", 0.0))
                    yield row
            except Exception as error:
                if not out_of_memory(error):
                    raise
                yield {"note": f"{dataclasses.replace(self.job, mode=mode)}: {count} replicas do not fit into memory"}
                return
            finally:
                replicas = way = None
                free(self.job.device)
            if best < 0.98 * highest:
                return
            highest = best

    def row(self, replicas, mode, way):
        count, seconds = len(replicas.x), seconds_per_call(way(), self.job.device, self.job.seconds, replicas.restart)
        replicas.check()
        return {"molecule": self.name, "atoms": len(self.numbers), "mode": mode, "precision": self.job.precision,
                "layout": self.job.layout, "replicas": count, "step_s": seconds, "molecule_steps_per_s": count / seconds,
                "temperature_k": replicas.temperature_k()}


def rows(job, variant):
    if variant:
        return variant.rows()
    module = torchsim.load(job.torch_sim)
    return torchsim.rows(module, job.weights, job.device, job.precision, job.molecule, job.batches, job.seconds)


def autotune_alone():
    """TorchInductor times its candidates: processes that do so at once would mislead each other."""
    try:
        from torch._inductor.runtime.triton_heuristics import CachingAutotuner

        together = CachingAutotuner.benchmark_all_configs
    except (ImportError, AttributeError):
        return  # another PyTorch: its choices are a little less sure

    def alone(*arguments, **named):
        with open(LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return together(*arguments, **named)

    CachingAutotuner.benchmark_all_configs = alone


def say(**line):
    print(json.dumps(line), flush=True)


def main():
    """Jobs on stdin; prints {"ready": seconds it took}; waits for a line; then a line for every row."""
    started = time.monotonic()
    jobs = [Job(**job) for job in json.loads(sys.stdin.readline())]
    notes, variants = [], [None if job.mode == "TorchSim" else Variant(job) for job in jobs]
    try:
        if jobs[0].mode in MODES and jobs[0].device == "cuda":
            autotune_alone()
        notes = [variant.prepare() for variant in variants if variant]
        torch.zeros(1, device=jobs[0].device)
        say(ready=time.monotonic() - started)
        sys.stdin.readline()
    except Exception as error:
        traceback.print_exc()
        return say(note=f"FAILED {jobs[0]}: {type(error).__name__}: {str(error)[:300]}")
    for note in filter(None, notes):
        say(note=note)
    for job, variant in zip(jobs, variants):
        try:
            for row in rows(job, variant):
                say(**row)
        except Exception as error:
            traceback.print_exc()
            say(note=f"FAILED {job}: {type(error).__name__}: {str(error)[:300]}")


if __name__ == "__main__":
    main()
