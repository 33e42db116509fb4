"""Runs jobs of variants.py in processes of their own: all get ready side by side, then each is timed alone."""

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
    """One process and its jobs; those whose `nice` is higher give way to others while they compile."""

    def __init__(self, jobs, nice=0):
        self.jobs, self.lines, self.log = jobs, queue.Queue(), tempfile.NamedTemporaryFile("w+")
        self.name = str(jobs[0]) if len(jobs) == 1 else f"{jobs[0].molecule}, {jobs[0].mode}"
        self.ready = False
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))),
            # As many processes compile as there are cores: none starts helpers of its own.
            "TORCHINDUCTOR_COMPILE_THREADS": os.environ.get("TORCHINDUCTOR_COMPILE_THREADS", "1"),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        command = ["nice", "-n", str(nice), sys.executable, "-m", "pytorch.variants"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=environment, start_new_session=True)
        self.say(json.dumps([dataclasses.asdict(job) for job in jobs]))
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
        except (BrokenPipeError, ValueError):
            pass  # what it printed before it ended says why

    def next(self, deadline):
        """The next line, None at the end; past the deadline the process is ended."""
        try:
            line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            self.end()
            return {"note": f"SKIPPED {self.name}: no time left", "log": self.said(), "last": True}
        if line is not None and "note" in line and line["note"].startswith("FAILED"):
            line["log"] = self.said()
        return line

    def said(self):
        self.log.seek(0)
        return self.log.read()[-3000:]

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


class Workers:
    """A context: all of them are ended with it."""

    def __init__(self):
        self.workers, self.started = [], time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.end()

    def start(self, jobs, nice=0):
        self.workers.append(Worker(jobs, nice))

    def wait(self, deadline_of):
        """Until each is ready, or the deadline of its molecule; notes of those that are not, which are ended."""
        for worker in self.workers:
            line = worker.next(deadline_of(worker.jobs[0].molecule))
            if line is None:
                line = {"note": f"FAILED {worker.name}: it ended before it was ready", "log": worker.said()}
            if "ready" in line:
                worker.ready = True
                if line["ready"]:
                    print(f"{worker.name}: ready in {line['ready']:.0f} s", flush=True)
            else:
                worker.end()
                yield line

    def rows(self, molecule, modes, deadline):
        """Rows and notes of a molecule's jobs in these modes, one worker after the other."""
        for worker in self.workers:
            if worker.ready and worker.jobs[0].molecule == molecule and worker.jobs[0].mode in modes:
                worker.ready = False
                worker.say("go")
                while (line := worker.next(deadline)) is not None and not line.get("last"):
                    yield line
                if line is not None:
                    yield line
                elif worker.process.wait():
                    yield {"note": f"FAILED {worker.name}: it ended with {worker.process.returncode}", "log": worker.said()}
                worker.end()
