"""mdrun beside PyTorch: the same weights, the same molecules, the same GPU, the same run.

    python benches/against_pytorch.py --mdrun target/release/mdrun [--torch-sim FOLDER] [--small small] [--budget 280]
    python benches/against_pytorch.py --mdrun target/release/mdrun --only-compiled --compiled benzene=16384,65536 aspirin=16384
    python benches/against_pytorch.py --device cpu --quick --mdrun target/release/mdrun      (a test, under a minute)

Forces are compared first (pytorch/check.py), while torch.compile's variants compile.  Then a step of Langevin dynamics of
every replica is timed, energies and forces included: through torch.compile, PyTorch eager and in a CUDA graph
(pytorch/dynamics.py), TorchSim, and mdrun; the ceilings of the GPU, the stages of a step alone, and where the design
began.  Benzene comes first, and what the budget does not suffice for is at the end.  Whatever fails or is left out says
so in the JSON, which is written after every part, with the hardware in its name, for plots.py.  Needs torch and
safetensors, a GPU for itself, and for its variants of torch.compile as many cores as there are of them.
"""

import argparse
import json
import pathlib
import platform
import re
import shutil
import signal
import sys
import time

import torch

import nvidia_smi
from pytorch import check, engine, molecules, operations, processes, report, stages, starting_point
from pytorch.measure import GpuLog, free
from pytorch.student import Student
from pytorch.variants import Job

ROOT = pathlib.Path(__file__).resolve().parents[1]
SWEEP = (1, 16, 64, 256, 1024, 4096, 16384, 65536)
LARGEST = {"benzene": 65536, "aspirin": 16384}  # of the sweep, others 4096: enough to fill a GPU
ROUNDS = 8  # mdrun is timed at whole rounds of full tiles, too: so many rounds
TILE_ROWS = 64
FULL_TIMES = 5  # measurements whose median counts; sweeps have three, those of a second student two
COMPILED = {"benzene": (4096, 16384), "aspirin": (4096,)}
COMPILED_LARGE = (1024,)
COMPILE = [("compile", precision, layout) for precision in ("tf32", "fp16") for layout in ("edges", "all pairs")]
PEERS = {"benzene": (1, 16, 64, 256, 1024, 4096, 16384), "aspirin": (1, 64, 1024, 4096, 16384)}
PEERS_LARGE = (1, 64, 1024, 4096)
OTHER_SIZES = ("ethanol", "ibuprofen", "sildenafil", "imatinib", "ritonavir")  # 9 to 98 atoms


def batches_of(word):
    name, batches = word.split("=")
    return name, tuple(int(batch) for batch in batches.split(","))


def program(word):
    """A program by its path, or by a name that the shell would find."""
    return pathlib.Path(shutil.which(word) or word).resolve()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "models/default.safetensors")
    parser.add_argument("--mdrun", type=program, help="the program; without it PyTorch is timed alone")
    parser.add_argument("--small", help="a second student for mdrun alone, as its --model takes it")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--molecules", default="benzene,aspirin,loratadine", help="names or XYZ files")
    parser.add_argument("--sizes", default=",".join(OTHER_SIZES), help="molecules that are timed at one batch, to compare sizes")
    parser.add_argument("--compiled", nargs="+", type=batches_of, default=[], metavar="MOLECULE=BATCH,…",
                        help="batches at which torch.compile is timed, in place of the default ones")
    parser.add_argument("--only-compiled", action="store_true", help="torch.compile, mdrun and their ratio, and nothing else")
    parser.add_argument("--max-autotune", action="store_true", help="max-autotune of benzene, too: minutes of compiling")
    parser.add_argument("--torch-sim", default="", help="a folder with TorchSim's unpacked wheel")
    parser.add_argument("--seconds", type=float, default=0.05, help="least time of each of the measurements")
    parser.add_argument("--preparation", type=float, default=120.0, help="most seconds for compiling")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which nothing is begun or goes on")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "benches/results")
    parser.add_argument("--quick", action="store_true", help="tiny batches")
    parser.add_argument("--quick-compile", action="store_true", help="with --quick: torch.compile, too")
    return parser.parse_args()


def hardware(device):
    if device == "cuda":
        driver = nvidia_smi.first_gpu("driver_version,power.limit,clocks.max.sm")
        return {"name": torch.cuda.get_device_name(), "driver, power limit, highest clock": driver,
                "cuda": torch.version.cuda, "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9}
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return {"name": f"CPU {model}", "threads": torch.get_num_threads()}


def compiled_batches(name, options):
    default = (2,) if options.quick else COMPILED.get(name, COMPILED_LARGE)
    return dict(options.compiled).get(name, default)


def start_workers(workers, options, names):
    """A process for every compiled variant; of the others one a molecule.  The first molecule's compile before others."""
    common = {"weights": str(options.weights), "device": options.device, "seconds": options.seconds}
    for nice, name in enumerate(names):
        nice = 5 if nice else 0
        compiled, plain = COMPILE, [("eager", "tf32", "edges"), ("eager", "tf32", "all pairs"), ("eager", "fp16", "edges"),
                                    ("eager", "fp16", "all pairs")]
        peers = PEERS.get(name, PEERS_LARGE)
        if options.quick:
            compiled = [("compile", "f32", "edges")] if options.quick_compile else []
            plain, peers = [("eager", "f32", "edges"), ("eager", "f32", "all pairs")], (1, 2)
        if options.max_autotune and name == names[0]:
            compiled = [*compiled, *(("max-autotune", precision, "all pairs") for precision in ("tf32", "fp16"))]
        for mode, precision, layout in compiled:
            for count in compiled_batches(name, options):
                workers.start([Job(mode, precision, layout, name, [count], **common)], nice)
        if options.only_compiled:
            continue
        # The first has the whole sweep; the others say whether they would be faster where it matters.
        jobs = [Job(*variant, name, list(peers if n == 0 else peers[-2:]), **common) for n, variant in enumerate(plain)]
        workers.start(jobs, 10)
        if options.torch_sim:
            precision = "f32" if options.quick else "tf32"
            workers.start([Job("TorchSim", precision, "edges", name, list(peers), torch_sim=options.torch_sim, **common)], 10)


class Results:
    def __init__(self, options):
        self.started, self.log = time.monotonic(), GpuLog(options.device)
        self.deadline = self.started + options.budget
        # Beginnings of the names of the parts that are run; every name begins with "".
        self.parts = ("forces", "compiling", "torch.compile", "mdrun") if options.only_compiled else ("",)
        self.data = {"hardware": hardware(options.device), "torch": torch.__version__, "python": platform.python_version(),
                     "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), "weights": options.weights.name,
                     "rows": [], "stages": [], "notes": [], "gpu": {}, "seconds": {}}
        name = re.sub(r"[^a-z0-9]+", "_", self.data["hardware"]["name"].lower()).strip("_")
        kind = ("_compiled" if options.only_compiled else "") + ("_quick" if options.quick else "")
        self.path = options.out / f"against_pytorch_{name}{kind}.json"
        options.out.mkdir(parents=True, exist_ok=True)

    def note(self, text, log=""):
        print(f"*** {text}", flush=True)
        if log:
            print(log, file=sys.stderr)
        self.data["notes"].append({"note": text})

    def add(self, row):
        if "note" in row:
            return self.note(row["note"], row.get("log", ""))
        self.data["rows"].append(row)
        self.save()
        print(f"{row['molecule']:12s} {report.described(row):40s} {row['replicas']:6d} replicas {1e6 * row['step_s']:11.1f} µs a step"
              f" {row['molecule_steps_per_s']:12.0f} molecule-steps/s", flush=True)

    def part(self, name, work):
        """Runs a part of the whole; what it raises is noted, and the others go on."""
        if not name.startswith(self.parts):
            return
        if time.monotonic() > self.deadline:
            return self.note(f"SKIPPED {name}: no time left")
        print(f"\n== {name}", flush=True)
        self.log.section()
        started = time.monotonic()
        try:
            for row in work() or ():
                self.add(row)
                if time.monotonic() > self.deadline:
                    self.note(f"CUT SHORT {name}: no time left")
                    break
        except Exception as error:
            self.note(f"FAILED {name}: {type(error).__name__}: {str(error)[:500]}")
        self.data["gpu"][name] = self.log.section()
        self.data["seconds"][name] = round(time.monotonic() - started, 1)
        self.save()

    def save(self):
        self.path.write_text(json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")


def main():
    # Ended from outside, it still ends its workers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    options = arguments()
    names = options.molecules.split(",")
    if options.quick:
        options.seconds = min(options.seconds, 0.02)
        torch.set_num_threads(1)
    results = Results(options)
    data, mdrun, weights, device = results.data, options.mdrun, options.weights, options.device
    print(json.dumps(data["hardware"]), flush=True)
    student = Student(weights)
    data["useful operations of a step"] = {molecules.find(name)[0]: operations.count(student, name) for name in names}
    if mdrun is None:
        results.note("SKIPPED mdrun: no --mdrun")
    if not options.torch_sim:
        results.note("SKIPPED TorchSim: give the folder of its unpacked wheel with --torch-sim")

    def forces():
        golden = weights.with_suffix("").with_suffix(".golden.json")
        print(f"golden forces: largest difference {check.golden(weights, golden):.1e} eV/Å", flush=True)
        data["force_errors"] = {}
        for name in names:
            errors = data["force_errors"][molecules.find(name)[0]] = check.molecule(name, weights, mdrun, device)
            for key, (rms, largest) in errors.items():
                print(f"forces of {name}: {key:28s} {rms:.1e} eV/Å from f64, largest {largest:.1e}", flush=True)

    def full(name, rounds=ROUNDS):
        """Replicas in whole rounds: as many as fit into 64 rows, on every multiprocessor."""
        atoms = len(molecules.read(molecules.find(name)[1])[0])
        multiprocessors = 1 if options.quick else torch.cuda.get_device_properties(0).multi_processor_count
        return rounds * multiprocessors * max(1, TILE_ROWS // atoms)

    def ours(name, model, precision, batches, times):
        batches = [n for n in sorted(batches) if n <= 16 or not options.quick]
        # The batch that counts is timed longer; and a batch that fails takes those of its own call with it.
        parts = ([n for n in batches if n == full(name)], [n for n in batches if n != full(name) and n <= 4096],
                 [n for n in batches if n != full(name) and n > 4096])
        for part, seconds, times in zip(parts, (6 * options.seconds, options.seconds, options.seconds), (FULL_TIMES, times, times)):
            if part:
                yield from engine.rows(mdrun, name, model, device, precision, dict.fromkeys(part, times), seconds)

    def sweep(name):
        return {full(name), *(n for n in SWEEP if n <= LARGEST.get(name, 4096)), *compiled_batches(name, options)}

    def bench_mdrun(name):
        yield from ours(name, weights, "mixed", sweep(name), 3)
        yield from ours(name, weights, "single", (1, 4096), 3)

    def bench_small(name):
        yield from ours(name, options.small, "mixed", sweep(name), 2)

    def bench_stages(name):
        replicas = 2 if options.quick else full(name, ROUNDS // 2)
        case = {"molecule": name, "replicas": replicas, "stages": [], "engines": {}, "rows": []}
        data["stages"].append(case)
        for precision in engine.PRECISIONS if mdrun and device != "cpu" else ():
            profile = engine.profile(mdrun, name, weights, device, replicas, ["--precision", precision])
            case["engines"][precision] = stages.of_engine(profile, replicas)
        ways = (("f32", "edges"),) if options.quick else (("tf32", "edges"), ("tf32", "all pairs"), ("fp16", "edges"))
        for precision, layout in ways:
            try:
                case["rows"] += stages.rows(weights, device, name, replicas, layout, precision, options.seconds / 2)
            except Exception as error:
                yield {"note": f"FAILED stages of {name}, {precision}, {layout}: {type(error).__name__}: {str(error)[:300]}"}
            free(device)
        case["stages"] = stages.compared(case["rows"], case["engines"])

    def bench_ceilings():
        data["ceilings"] = operations.ceilings(device, options.seconds)
        print(json.dumps(data["ceilings"], indent=1, ensure_ascii=False))

    def bench_start():
        batches = (1, 2) if options.quick else starting_point.BATCHES
        data["where the design began"] = starting_point.measured(weights, device, names[0], options.seconds, batches)

    def bench_sizes(model):
        for name in options.sizes.split(","):
            try:
                yield from engine.rows(mdrun, name, model, device, "mixed", {1 if options.quick else full(name): 3}, options.seconds)
            except Exception as error:
                yield {"note": f"FAILED {model}, {name}: {type(error).__name__}: {str(error)[:300]}"}

    def ready_by(name):
        """The first molecule's variants may take a little longer."""
        return min(results.deadline, results.started + options.preparation * (1.25 if name == names[0] else 1.0))

    with processes.Workers() as workers:
        start_workers(workers, options, names)
        results.part("forces", forces)
        results.part("compiling", lambda: workers.wait(ready_by))
        free(device)

        def peers(name):
            results.part(f"PyTorch, {name}", lambda: workers.rows(name, ("eager",), results.deadline))
            results.part(f"TorchSim, {name}", lambda: workers.rows(name, ("TorchSim",), results.deadline))

        def compiled(name):
            results.part(f"torch.compile, {name}", lambda: workers.rows(name, ("compile", "max-autotune"), results.deadline))

        first, *others = names
        compiled(first)
        if mdrun:
            results.part(f"mdrun, {first}", lambda: bench_mdrun(first))
        results.part("ceilings", bench_ceilings)
        results.part("where the design began", bench_start)
        peers(first)
        results.part(f"stages, {first}", lambda: bench_stages(first))
        free(device)
        finish(results)
        for name in others if mdrun else ():
            results.part(f"mdrun, {name}", lambda: bench_mdrun(name))
        for name in names if mdrun and options.small else ():
            results.part(f"{options.small}, {name}", lambda: bench_small(name))
        for name in others:
            compiled(name)
            peers(name)
            finish(results)
    for model in (str(weights), options.small) if mdrun else ():
        if model:
            results.part(f"sizes, {pathlib.Path(model).name}", lambda: bench_sizes(model))
    if others:
        results.part(f"stages, {others[-1]}", lambda: bench_stages(others[-1]))
    results.log.close()
    finish(results)
    for lines in (report.speeds(data["rows"]), report.stage_lines(data["stages"]), report.start_lines(data.get("where the design began")),
                  report.target_lines([line.values() for line in data["targets"]])):
        print("\n".join(lines), flush=True)
    for note in data["notes"]:
        print(f"*** {note['note']}")
    print(f"wrote {results.path} after {time.monotonic() - results.started:.0f} s")
    if any(note["note"].startswith("FAILED forces") for note in data["notes"]):
        raise SystemExit("forces were not the same: no figure above counts")


def finish(results):
    """What is compared with the goals, from the rows so far."""
    data = results.data
    best = operations.best_of(data.get("ceilings", {}))
    lines = report.targets(data["rows"], data["useful operations of a step"], best)
    data["targets"] = [dict(zip(("what", "is", "must", "aim"), line)) for line in lines]
    results.save()


if __name__ == "__main__":
    main()
