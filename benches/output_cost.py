"""What frames and lines of the log cost a campaign of many replicas, above all beside a GPU.

    python benches/output_cost.py target/release/mdrun [--device cuda] [--replicas 4096] [--seconds 8] [--folder DIRECTORY]

The same benzenes are stepped with nothing written but the first frame, with a DCD frame of every replica each 100 steps,
with a line of the log (and so an expected error) beside it, and with a frame each 10 steps, which also makes every buffer
spill to the disk.  A run takes --seconds or a bit more, five of them under a minute.  Between checkpoints, which bring
everything to stable storage each ten minutes, is the figure for long runs; the last two columns are what this one run's
checkpoints took (at its start and end), and the disk in all.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

STRUCTURE = pathlib.Path(__file__).parent.parent / "inputs" / "nve" / "benzene.xyz"
NEVER = 10**12
CASES = (
    ("nothing", NEVER, NEVER),
    ("frames each 100 steps", 100, NEVER),
    ("frames and log each 100", 100, 100),
    ("frames each 10 steps", 10, NEVER),
    ("nothing, once more", NEVER, NEVER),
)

CONFIG = """
seed = 1
[run]
steps = {steps}
timestep_fs = 0.5
device = "{device}"
out = "out"
[dynamics]
scheme = "langevin"
temperature_K = 300
friction_per_ps = 1.0
[[molecule]]
structure = "{structure}"
name = "benzene"
replicas = {replicas}
[output]
frames_every = {frames_every}
log_every = {log_every}
"""


def steps_per_s(program, device, replicas):
    words = [program, "bench", STRUCTURE, "--device", device, "--replicas", str(replicas), "--seconds", "1", "--json"]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)[0]["steps_per_s"]


def run(program, folder, **settings):
    """The speed of a campaign, as its summary has it, and what it said about outputs."""
    config = pathlib.Path(folder) / "config.toml"
    config.write_text(CONFIG.format(structure=STRUCTURE.resolve(), **settings))
    done = subprocess.run([program, config, "--overwrite"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    said = [line for line in done.stderr.splitlines() if "went to output" in line]
    return json.loads((pathlib.Path(folder) / "out" / "summary.json").read_text()), said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--replicas", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--folder", help="where to write; the temporary folder by default")
    arguments = parser.parse_args()

    rate = steps_per_s(arguments.program, arguments.device, arguments.replicas)
    steps = max(int(rate * arguments.seconds / 100), 1) * 100
    print(f"{arguments.replicas} benzenes, {steps} steps each; {rate:.0f} steps/s with no campaign around them")
    print("written                   steps/s   share   between checkpoints   waited s   checkpoints s   disk s       MB")
    plain = None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for name, frames_every, log_every in CASES:
            settings = {"steps": steps, "frames_every": frames_every, "log_every": log_every}
            settings |= {"device": arguments.device, "replicas": arguments.replicas}
            summary, said = run(arguments.program, folder, **settings)
            assert summary["failed"] == 0, summary["failures"]
            speed = summary["speed"]
            whole = steps / speed["wall_s"]
            between = steps / (speed["wall_s"] - speed["checkpoint_s"])
            plain = plain or (whole, between)
            lost = [f"{100 * (1 - now / before):6.1f}%" for now, before in zip((whole, between), plain)]
            print(
                f"{name:24} {whole:8.1f} {lost[0]} {between:13.1f} {lost[1]} {speed['output_wait_s']:10.2f}"
                f" {speed['checkpoint_s']:15.2f} {speed['disk_s']:8.2f} {speed['output_bytes'] / 1e6:8.1f}",
                *said,
                sep="\n    ",
                flush=True,
            )


if __name__ == "__main__":
    main()
