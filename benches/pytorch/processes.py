"""Runs jobs of variants.py in processes of their own: some compile side by side, all are timed alone."""

import dataclasses
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time


class Worker:
    def __init__(self, job):
        self.job, self.lines, self.log = job, queue.Queue(), tempfile.NamedTemporaryFile("w+")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
            # Several compile side by side: without this each would start a process for every core.
            "TORCHINDUCTOR_COMPILE_THREADS": os.environ.get("TORCHINDUCTOR_COMPILE_THREADS", "2"),
        }
        command = [sys.executable, "-m", "pytorch.variants"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=environment, start_new_session=True)
        self.say(json.dumps(dataclasses.asdict(job)))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def say(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it printed before it ended says why

    def next(self, deadline):
        """The next line, None at the end; past the deadline the process is ended."""
        try:
            line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            self.end()
            return {"note": f"SKIPPED {self.job}: no time left"}
        if line is not None and "note" in line:
            self.log.seek(0)
            line["log"] = self.log.read()[-3000:]
            line["note"] = line["note"].replace("FAILED:", f"FAILED {self.job}:")
        return line

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


def run(jobs, at_once, preparation_s, deadline):
    """Rows of all jobs; each group may compile for `preparation_s`, and all ends at the deadline."""
    for first in range(0, len(jobs), at_once):
        group = jobs[first : first + at_once]
        if time.monotonic() > deadline:
            yield from ({"note": f"SKIPPED {job}: no time left"} for job in group)
            continue
        workers = [Worker(job) for job in group]
        try:
            ready, limit = [], min(deadline, time.monotonic() + preparation_s)
            for worker in workers:
                line = worker.next(limit) or {"note": f"FAILED {worker.job}: it ended", "log": ""}
                if "ready" in line:
                    ready.append(worker)
                else:
                    worker.end()
                    yield line
            for worker in ready:
                worker.say("go")
                while (line := worker.next(deadline)) is not None:
                    yield line
                    if "note" in line and "SKIPPED" in line["note"]:
                        break
                worker.end()
        finally:
            for worker in workers:
                worker.end()
