"""mdrun beside PyTorch: the same weights, the same molecules, the same GPU, the same run.

    python benches/against_pytorch.py --mdrun target/release/mdrun [--torch-sim FOLDER]
    python benches/against_pytorch.py --device cpu --quick --mdrun target/release/mdrun      (a test, under a minute)

Forces are compared first (pytorch/check.py).  Then a step of Langevin dynamics of every replica is timed, energies and
forces included: PyTorch eager, in a CUDA graph and through torch.compile (pytorch/dynamics.py), TorchSim, and mdrun; then
the stages of a step alone.  A molecule is a name of pytorch/molecules.py or an XYZ file.  Whatever is left out says so.
Needs torch and safetensors; the result is one JSON file with the hardware in its name, for plots.py.
"""

import argparse
import gc
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

import torch

from pytorch import check, engine, molecules, processes, report, stages, torchsim
from pytorch.measure import GpuLog
from pytorch.variants import Job

ROOT = pathlib.Path(__file__).resolve().parents[1]
BATCHES = (1, 16, 64, 256, 1024, 4096, 16384, 65536)
LARGEST = {"benzene": 65536, "aspirin": 16384}  # others 4096: enough to fill a GPU
COMPILED = {"benzene": (4096, 1024, 16384, 65536), "aspirin": (4096, 1024, 16384)}  # others:
COMPILED_LARGE = (1024, 256, 4096)
QUICK = "eager:f32:edges,eager:f32:all pairs"
VARIANTS = "compile:tf32:all pairs,compile:fp16:all pairs,compile:tf32:edges,compile:fp16:edges,eager:tf32:edges," \
    "eager:tf32:all pairs,eager:fp16:all pairs"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "models/default.safetensors")
    parser.add_argument("--mdrun", type=pathlib.Path, help="the program; without it PyTorch is timed alone")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--molecules", default="benzene,aspirin,loratadine", help="names or XYZ files")
    parser.add_argument("--variants", help=f"mode:precision:layout, …; {VARIANTS} by default")
    parser.add_argument("--max-autotune", action="store_true", help="max-autotune of benzene, too: minutes of compiling")
    parser.add_argument("--torch-sim", type=pathlib.Path, help="a folder with TorchSim's unpacked wheel")
    parser.add_argument("--seconds", type=float, default=0.1, help="least time of each of the five measurements")
    parser.add_argument("--jobs", type=int, default=12, help="variants that compile side by side")
    parser.add_argument("--preparation", type=float, default=150.0, help="most seconds for compiling a group of variants")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no variant is begun or goes on")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "benches/results")
    parser.add_argument("--quick", action="store_true", help="tiny batches")
    return parser.parse_args()


def hardware(device):
    if device == "cuda":
        query = ["nvidia-smi", "-i", "0", "--query-gpu=driver_version,power.limit,clocks.max.sm", "--format=csv,noheader"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
        except OSError:
            driver = "unknown"
        return {"name": torch.cuda.get_device_name(), "driver, power limit, highest clock": driver,
                "cuda": torch.version.cuda, "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9}
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return {"name": f"CPU {model}", "threads": torch.get_num_threads()}


def jobs(options, names):
    """Those of the first molecule first: what the time does not suffice for is at the end."""
    variants = options.variants or (QUICK if options.quick else VARIANTS)
    asked = [(name, *variant.split(":")) for name in names for variant in variants.split(",")]
    if options.max_autotune:
        asked += [("benzene", "max-autotune", precision, "all pairs") for precision in ("tf32", "fp16")]
    made = []
    for name, mode, precision, layout in asked:
        batches = batches_of(options, name) if mode == "eager" else COMPILED.get(name, COMPILED_LARGE)
        batches = [2, 1] if options.quick else list(batches)
        made.append(Job(mode, precision, layout, name, batches, str(options.weights), options.device, options.seconds))
    return made


def batches_of(options, name):
    if options.quick:
        return (1, 2)
    return [count for count in BATCHES if count <= LARGEST.get(name, 4096)]


class Results:
    def __init__(self, options):
        self.started, self.log = time.monotonic(), GpuLog(options.device)
        self.data = {"hardware": hardware(options.device), "torch": torch.__version__, "python": platform.python_version(),
                     "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), "weights": options.weights.name,
                     "rows": [], "stages": [], "notes": [], "gpu": {}, "seconds": {}}
        name = re.sub(r"[^a-z0-9]+", "_", self.data["hardware"]["name"].lower()).strip("_")
        self.path = options.out / f"against_pytorch_{name}{'_quick' if options.quick else ''}.json"
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
        print(f"{row['molecule']:12s} {report.described(row):40s} {row['replicas']:6d} replicas {1e6 * row['step_s']:11.1f} µs a step"
              f" {row['molecule_steps_per_s']:12.0f} molecule-steps/s", flush=True)

    def part(self, name, work):
        """Runs a part of the whole; what it raises is noted, and the others go on."""
        print(f"\n== {name}", flush=True)
        self.log.section()
        started = time.monotonic()
        try:
            work()
        except Exception as error:
            self.note(f"FAILED {name}: {type(error).__name__}: {error}")
        self.data["gpu"][name] = self.log.section()
        self.data["seconds"][name] = round(time.monotonic() - started, 1)
        self.save()

    def save(self):
        self.path.write_text(json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")


def main():
    options = arguments()
    names = options.molecules.split(",")
    if options.quick:
        options.seconds, options.jobs = 0.02, 6
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
    results = Results(options)
    deadline = results.started + options.budget
    print(json.dumps(results.data["hardware"]), flush=True)
    if options.mdrun is None:
        results.note("SKIPPED mdrun: no --mdrun")

    golden = options.weights.with_suffix("").with_suffix(".golden.json")
    print(f"golden forces: largest difference {check.golden(options.weights, golden):.1e} eV/Å", flush=True)
    results.data["force_errors"] = {}
    for name in names:
        errors = check.molecule(name, options.weights, options.mdrun, options.device)
        results.data["force_errors"][molecules.find(name)[0]] = errors
        for key, (rms, largest) in errors.items():
            print(f"forces of {name}: {key:28s} {rms:.1e} eV/Å from f64, largest {largest:.1e}", flush=True)

    def bench_mdrun():
        for name in names:
            for row in engine.rows(options.mdrun, name, options.weights, options.device, batches_of(options, name), options.seconds):
                results.add(row)

    def bench_pytorch():
        for row in processes.run(jobs(options, names), options.jobs, options.preparation, deadline):
            results.add(row)

    def bench_torchsim():
        try:
            module = torchsim.load(options.torch_sim)
        except (ImportError, SyntaxError) as error:
            return results.note(f"SKIPPED TorchSim: {error}; give the folder of its unpacked wheel with --torch-sim")
        results.data["torch_sim"] = module.__version__
        for name in names:
            batches = [count for count in batches_of(options, name) if options.quick or count in (1, 64, 1024, 4096, 16384)]
            for row in torchsim.rows(module, options.weights, options.device, "tf32", name, batches, options.seconds):
                results.add(row)

    def bench_stages():
        cases = [(name, 2 if options.quick else 1024 if name == "benzene" else 256) for name in names if name != "aspirin"]
        for name, replicas in cases:
            results.data["stages"] += stages.rows(options.weights, options.device, name, replicas, "edges", "tf32", options.seconds / 2)

    if options.mdrun:
        results.part("mdrun", bench_mdrun)
    results.part("stages", bench_stages)
    results.part("TorchSim", bench_torchsim)
    # What this process keeps for later allocations, the variants' processes need.
    gc.collect()
    if options.device != "cpu":
        torch.cuda.empty_cache()
    results.part("PyTorch", bench_pytorch)
    results.log.close()

    ours = {}
    for name, replicas in dict.fromkeys((row["molecule"], row["replicas"]) for row in results.data["stages"]):
        if options.mdrun and options.device != "cpu":
            of_engine = engine.profile(options.mdrun, name, options.weights, options.device, replicas)
            ours[name, replicas] = stages.of_engine(of_engine, replicas)
    results.data["stages of mdrun"] = [{"molecule": name, "replicas": count, "ns": of} for (name, count), of in ours.items()]
    rows = results.data["rows"]
    results.data["targets"] = [dict(zip(("what", "is", "must", "aim"), line)) for line in report.targets(rows)]
    results.save()
    for lines in (report.speeds(rows), report.stage_lines(results.data["stages"], ours), report.target_lines(rows)):
        print("\n".join(lines), flush=True)
    for note in results.data["notes"]:
        print(f"*** {note['note']}")
    print(f"wrote {results.path} after {time.monotonic() - results.started:.0f} s")


if __name__ == "__main__":
    main()
