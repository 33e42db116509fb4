"""How fast the energy drifts without a bath, in both precisions of the force field on a GPU.

    python benches/nve_drift.py target/release/mdrun [--structure FILE] [--precision mixed] [--device cuda] [--replicas 256] [--ps 52]

Replicas of benzene and of aspirin, or of the structures named, start at the minimum with velocities of 300 K and no rotation, and take steps of
velocity Verlet: of 0.5 fs in `mixed`, of 0.25 fs in `single`.  The least-squares slope of each replica's conserved energy
against time is one sample of the drift, and their mean is printed with its 95 % confidence interval (1.96 standard errors:
normal, and too narrow for less than about 20 replicas).  kT is that of 300 K.  Most of the time is that of `single`.
"""

import argparse
import collections
import csv
import dataclasses
import pathlib
import statistics
import subprocess
import tempfile

import nvidia_smi

ROOT = pathlib.Path(__file__).resolve().parents[1]
STRUCTURES = [ROOT / "inputs/nve/benzene.xyz", ROOT / "benches/molecules/aspirin.xyz"]
TEMPERATURE_K = 300
BOLTZMANN_EV_PER_K = 8.617333262e-5
LOG_LINES = 250  # of each replica: more make the slope no surer
NEVER = 10**12


@dataclasses.dataclass
class Case:
    timestep_fs: float
    replicas: int
    ps: float
    bound: float  # kT/ns per degree of freedom


# The smaller the bound, the longer it takes to see that the drift is below it.
CASES = {
    "mixed": Case(timestep_fs=0.5, replicas=256, ps=52, bound=0.1),
    "single": Case(timestep_fs=0.25, replicas=64, ps=109, bound=5e-4),
}

CONFIG = """
seed = 7
[run]
steps = {steps}
timestep_fs = {timestep_fs}
precision = "{precision}"
device = "{device}"
out = "out"
[dynamics]
scheme = "nve"
temperature_K = {temperature_K}
remove_rotation = true
[[molecule]]
structure = "{structure}"
replicas = {replicas}
[minimize]
force_tolerance_eV_per_ang = 0.02
[output]
frames_every = {never}
log_every = {log_every}
"""


def conserved(program, **settings):
    """Runs a campaign; of every replica its times in ns and its conserved energies in eV."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.toml").write_text(CONFIG.format(temperature_K=TEMPERATURE_K, never=NEVER, **settings))
        done = subprocess.run([program, "config.toml"], cwd=folder, capture_output=True, text=True)
        if done.returncode:  # also where replicas were frozen
            raise SystemExit(done.stderr)
        series = collections.defaultdict(lambda: ([], []))
        with open(folder / "out/log.csv", newline="") as log:
            for line in csv.DictReader(log):
                times_ns, energies_ev = series[line["replica"]]
                times_ns.append(1e-6 * float(line["time_fs"]))
                energies_ev.append(float(line["conserved_eV"]))
    return series


def drift(series, atoms):
    """Mean slope and half of its confidence interval, kT/ns per degree of freedom."""
    unit_ev = BOLTZMANN_EV_PER_K * TEMPERATURE_K * (3 * atoms - 6)
    slopes = [statistics.linear_regression(*one).slope / unit_ev for one in series.values()]
    return statistics.mean(slopes), 1.96 * statistics.stdev(slopes) / len(slopes) ** 0.5


def several(word):
    if int(word) < 2:
        raise argparse.ArgumentTypeError("at least 2: the spread of the slopes is measured")
    return int(word)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--structure", type=lambda path: pathlib.Path(path).resolve(), action="append", help="an XYZ file")
    parser.add_argument("--precision", choices=CASES, help="both by default")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--replicas", type=several, help="of each molecule; 256 in `mixed` and 64 in `single` by default")
    parser.add_argument("--ps", type=float, help="time of each replica; 52 in `mixed` and 109 in `single` by default")
    options = parser.parse_args()

    print(nvidia_smi.first_gpu())
    print("molecule  precision  step fs  replicas       ps   drift, kT/ns per degree of freedom    bound")
    for precision in [options.precision] if options.precision else CASES:
        case = CASES[precision]
        replicas, ps = options.replicas or case.replicas, options.ps or case.ps
        steps = round(1000 * ps / case.timestep_fs)
        for structure in options.structure or STRUCTURES:
            series = conserved(
                options.program,
                precision=precision,
                device=options.device,
                structure=structure,
                timestep_fs=case.timestep_fs,
                replicas=replicas,
                steps=steps,
                log_every=max(1, steps // LOG_LINES),
            )
            mean, half = drift(series, int(structure.read_text().split()[0]))
            print(
                f"{structure.stem:9} {precision:9} {case.timestep_fs:8} {len(series):9} {ps:8g} {mean:20.5f} ± {half:.5f} {case.bound:15}",
                flush=True,
            )
    print(nvidia_smi.first_gpu())


if __name__ == "__main__":
    main()
