"""The Pythia program of one worker process: initialisation, collisions, and their reduction to the output.

`calolab.simulate.workers` starts it with `python -m`. Pythia returns collisions in batches, as columns: a Python loop
over their particles would take a third of the time of a minimum-bias collision.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import pythia8mc

from calolab.particles import Particles, images
from calolab.simulate import towers, workers
from calolab.simulate.pythia import OUTPUT_FIELDS, Setup, Task

# Maximum number of tries of Pythia per requested collision.
TRIES = 10.0
# Number of hard processes to estimate a cross section, with 2 % uncertainty or better.
CROSS_SECTION_EVENTS = 500
HARD_PROCESS_ONLY = ("PartonLevel:all = off", "HadronLevel:all = off")
W_BOSON = 24
# Minimum pt [GeV], which keeps the eta of particles along the beam finite.
LEAST_PT = 1e-9


class BosonWindow(pythia8mc.UserHooks):
    """Selects hard processes whose W boson has a transverse momentum [GeV] within a window."""

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = low, high

    def canVetoProcessLevel(self):
        """Enable the veto."""
        return True

    def doVetoProcessLevel(self, process):
        """Whether to reject this hard process."""
        bosons = (process[number] for number in range(process.size()))
        return not any(abs(one.id()) == W_BOSON and self.low <= one.pT() < self.high for one in bosons)


def prepare(job: dict) -> tuple[dict[str, str], Callable]:
    """Initialise Pythia for the first setup of the job; returns its version and a function for chunks of tasks."""
    ready = {0: generator(job["setups"][0])}

    def work(chunk, send):
        for task in chunk:
            try:
                if task.kind == "cross-section":
                    send(cross_section(job["setups"][task.setup]))
                    continue
                if task.setup not in ready:
                    # Only one is kept: each needs some ten megabytes.
                    ready.clear()
                    ready[task.setup] = generator(job["setups"][task.setup])
                send(collisions(ready[task.setup], task, job["output"]))
            except ValueError as refusal:
                send(refusal)

    version = f"{ready[0].pythia.settings.parm('Pythia:versionNumber'):.3f}"
    return {"version": version}, work


@dataclass(frozen=True)
class Generator:
    """An initialised Pythia and its hook, to which Pythia itself holds no reference."""

    pythia: pythia8mc.Pythia
    window: BosonWindow | None


def generator(setup: Setup, extra: tuple[str, ...] = ()) -> Generator:
    """Initialise Pythia.

    Args:
        setup: the settings.
        extra: further settings in the syntax of Pythia.

    Raises:
        ValueError: if Pythia rejects a setting, the spectrum or all settings together, with its last messages.
    """
    with listening() as heard, tempfile.TemporaryDirectory() as folder:
        pythia = pythia8mc.Pythia("", False)
        for line in (*setup.lines, *extra):
            if not pythia.readString(line):
                raise ValueError(f"Pythia rejects the setting {line!r}. Its messages:\n{last_words(heard())}")
        if setup.spectrum is not None:
            file = Path(folder, "spectrum.slha")
            file.write_text(setup.spectrum)
            # Not as a line, which would end at a space in the name of the folder.
            pythia.settings.word("SLHA:file", str(file))
        if setup.tables is not None:
            pythia.settings.word("MultipartonInteractions:initFile", setup.tables)
        window = None if setup.window is None else BosonWindow(*setup.window)
        if window is not None:
            pythia.setUserHooksPtr(window)
        if not pythia.init():
            blamed = "these settings" if setup.spectrum is None else "this spectrum or these settings"
            if setup.tables is not None:
                blamed += f", or the tables in {setup.tables} (delete them, so that they are made again)"
            raise ValueError(f"Pythia rejects {blamed}. Its messages:\n{last_words(heard())}")
        said = heard()
    if "read error" in said:
        unread = "\n".join(line for line in said.splitlines() if "read error" in line)
        raise ValueError(f"Pythia cannot read all lines of the spectrum. Its messages:\n{last_words(unread)}")
    for code in setup.decaying:
        if not pythia.particleData.mayDecay(code):
            # Such a coloured particle would be treated as a jet in the detector.
            raise ValueError(
                f"In this spectrum the particle {code} cannot decay: DECAY {code} is missing, or none of its channels "
                f"is open. Messages of Pythia:\n{last_words(said)}"
            )
    return Generator(pythia, window)


def collisions(generator: Generator, task: Task, output: str) -> dict[str, np.ndarray]:
    """Simulate the collisions of a task and return the columns of `output` in single precision.

    Args:
        generator: an initialised Pythia.
        task: number of collisions and seeds.
        output: `"particles"`, `"towers"` or `"images"`.

    Raises:
        RuntimeError: if Pythia fails too often.
    """
    generator.pythia.rndm.init(task.seed)
    batch = generator.pythia.nextBatch(task.events, TRIES)
    if len(batch) < task.events:
        raise RuntimeError(f"Pythia made only {len(batch)} of {task.events} collisions in {TRIES:g} tries each.")
    made = final_state(batch)
    if output != "particles":
        made = towers.simulate(made, seed=task.towers_seed)
    if output == "images":
        return {"values": images(made, "whole-detector").values}
    columns = {name: made.flat(name) for name in OUTPUT_FIELDS[output]}
    columns = {name: c.astype(np.int32 if name == "identity" else np.float32) for name, c in columns.items()}
    # In single precision, pi is rounded to a larger number.
    edge = np.nextafter(np.float32(np.pi), np.float32(0))
    return {"counts": made.counts.astype(np.int32), **columns, "phi": np.clip(columns["phi"], -edge, edge)}


def final_state(batch: ak.Array) -> Particles:
    """The stable particles in a batch of event records of Pythia."""
    records = batch.prt
    flat = ak.flatten(records, axis=1)
    stable = ak.to_numpy(flat.status) > 0
    event = np.repeat(np.arange(len(batch)), ak.to_numpy(ak.num(records, axis=1)))[stable]
    px, py, pz = (ak.to_numpy(flat.p[name])[stable] for name in ("px", "py", "pz"))
    pt = np.maximum(np.hypot(px, py), LEAST_PT)
    columns = {
        "pt": pt,
        "eta": np.arcsinh(pz / pt),
        "phi": np.arctan2(py, px),
        "mass": np.maximum(ak.to_numpy(flat.m)[stable], 0),
        "identity": ak.to_numpy(flat.id)[stable],
    }
    return Particles.from_flat(np.bincount(event, minlength=len(batch)), columns)


def cross_section(setup: Setup) -> dict[str, float]:
    """The cross section of Pythia and its statistical error [pb], the same for every seed."""
    made = generator(setup, HARD_PROCESS_ONLY)
    made.pythia.rndm.init(1)
    for _ in range(CROSS_SECTION_EVENTS):
        made.pythia.next()
    found = made.pythia.infoPython()
    return {"value": found.sigmaGen() * 1e9, "error": found.sigmaErr() * 1e9}


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Collect the output of C++ inside the block; it is written to the error output afterwards.

    Yields a function that returns the output so far.
    """
    flush = ctypes.CDLL(None).fflush
    flush(None)
    before = os.dup(1)
    with tempfile.TemporaryFile() as paper:
        os.dup2(paper.fileno(), 1)

        def heard() -> str:
            flush(None)
            return os.pread(paper.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            yield heard
        finally:
            said = heard()
            os.dup2(before, 1)
            os.close(before)
    os.write(2, said.encode())


def last_words(said: str, lines: int = 12) -> str:
    """The last warnings and errors in the output of Pythia.

    Args:
        said: the output.
        lines: maximum number of lines.
    """
    said = [line.strip(" |") for line in said.splitlines() if line.strip(" |")]
    telling = [line for line in said if any(word in line for word in ("Warning", "ERROR", "Error", "Abort"))]
    # Decays added by Pythia itself are many and not an error.
    telling = [line for line in telling if "adding off shell DECAY" not in line]
    return "\n".join((telling or said)[-lines:]) or "(nothing)"


if __name__ == "__main__":
    workers.serve(prepare)
