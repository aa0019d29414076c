"""A figure, how it is measured, and how a part of the benchmarks tells its parent process about it."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

# Two figures of different parts that are also divided by each other.
GEANT4 = "Geant4, {} GeV electrons, one core"
GENERATION = "3DGAN generation, batch {}, threads: {}"


@dataclass(frozen=True)
class Figure:
    """One measured figure, with what it is to be compared with."""

    name: str
    value: float
    unit: str
    note: str = ""

    def row(self):
        """The figure as a row of a Markdown table."""
        return f"| {self.name} | {self.value:.4g} {self.unit} | {self.note} |"


def doing(what):
    """Tell the parent process what is measured now."""
    print(json.dumps({"doing": what}), flush=True)


def send(part):
    """Measure a part and send its figures to the parent process, each as soon as it is measured; Ctrl-C ends it."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for figure in part():
            print(json.dumps({"figure": asdict(figure)}), flush=True)
    except KeyboardInterrupt:
        sys.exit(130)


def received(part, environment=None):
    """What a part, which runs in a process of its own, sends: `("doing", text)` and `("figure", Figure)` in turn.

    Raises:
        subprocess.CalledProcessError: if it failed; what it sent before has been given.
    """
    command = [sys.executable, str(Path(__file__).parent), "--part", part]
    environment = {**os.environ, **(environment or {})}
    # In a session of its own it hears of Ctrl-C once, from here, and can stop its engines; `send` unblocks the signal,
    # which would otherwise end Python's start with a traceback.
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(command, **options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with process:
        try:
            for line in process.stdout:
                if not line.startswith("{"):
                    continue  # a library's own word
                ((kind, content),) = json.loads(line).items()
                yield kind, Figure(**content) if kind == "figure" else content
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def fresh(part, **environment):
    """The figures of a part in a process of its own, with variables that only a new process reads."""
    return [content for kind, content in received(part, environment) if kind == "figure"]


def seconds(work, repeats=3, budget=20.0):
    """Wall-clock seconds that `work()` takes: the median of `repeats` calls, or of as many as begin within `budget`."""
    times, began = [], time.perf_counter()
    while len(times) < repeats and (not times or time.perf_counter() - began < budget):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def fitting(budget, each, least, most):
    """How many times something that takes `each` seconds fits into `budget` seconds, within bounds."""
    return int(min(max(budget / each, least), most))


def peak_memory():
    """Largest resident memory that this process has had so far [MB]; it also runs on engines, which have no imports."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
