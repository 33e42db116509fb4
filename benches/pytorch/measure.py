"""Timing: the median of five, and what the GPU's clock and power were meanwhile."""

import gc
import statistics
import subprocess
import tempfile
import time

import torch

REPETITIONS = 5
FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")


def synchronize(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def free(device):
    """What PyTorch keeps for later allocations of this process and stream, others need."""
    if torch.device(device).type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def seconds_per_call(call, device, seconds, before=lambda: None):
    """Median of five means over at least `seconds` each, after a warm-up; `before` runs outside the clock."""

    def mean(count):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(count):
            call()
        synchronize(device)
        return (time.perf_counter() - started) / count

    mean(2)
    count = max(1, min(10_000, round(seconds / mean(1)) + 1))
    times_s = []
    for _ in range(REPETITIONS):
        before()
        times_s.append(mean(count))
    return statistics.median(times_s)


class GpuLog:
    """nvidia-smi in the background, two rows a second; without it every section is None."""

    def __init__(self, device):
        self.process = None
        if torch.device(device).type == "cuda":
            self.file = tempfile.NamedTemporaryFile("r")
            query = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", "-lms", "500"]
            try:
                self.process = subprocess.Popen(query, stdout=open(self.file.name, "w"), stderr=subprocess.DEVNULL)
            except OSError as error:
                print(f"SKIPPED the log of clocks and power: {error}", flush=True)

    def section(self):
        """Least, median and largest of every field since the last call."""
        if self.process is None:
            return None
        rows = [line.split(",") for line in self.file.readlines() if line.count(",") == len(FIELDS) - 1]
        summary = {}
        for name, column in zip(FIELDS, zip(*rows)):
            numbers = sorted(float(word) for word in column if word.strip().replace(".", "").isdigit())
            if numbers:
                summary[name] = {"min": numbers[0], "median": statistics.median(numbers), "max": numbers[-1]}
        return summary

    def close(self):
        if self.process is not None:
            self.process.terminate()
