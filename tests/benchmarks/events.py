"""Events: importing, simulating, streaming, and finding jets."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import GEANT4, Figure, doing, fitting, peak_memory, seconds

RPV = {"gluino_mass": 1400, "neutralino_mass": 850}


def imports():
    """`import calolab`, beside the bare interpreter."""

    def run(code, repeats):
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True), repeats)

    run("import calolab", 1)
    bare = run("pass", 7)
    light = run("import calolab", 7) - bare
    yield Figure("import calolab", 1e3 * light, "ms", f"bare interpreter {1e3 * bare:.0f} ms")
    heavy = run("import calolab; calolab.models.GAN", 3) - bare
    yield Figure("import calolab.models", heavy, "s", "TensorFlow and Keras")


def simulation():
    """Geant4 and GFlash on one core, and Geant4 on two."""
    import calolab as cl

    def geant4(events, energy, processes):
        options = {"seed": 1, "processes": processes, "progress": False}
        return seconds(lambda: cl.simulate.showers("clic-ecal", events, energy, **options), repeats=1)

    doing("tables of Geant4")
    geant4(1, 1.0, 1)  # made once
    for energy in (10.0, 50.0):
        doing(f"Geant4, {energy:.0f} GeV")
        # A process takes a second to start, which is no shower's cost: the difference of two lengths is.
        short = geant4(4, energy, 1)
        events = fitting(10.0, 0.006 * energy, 20, 100)
        long = geant4(4 + events, energy, 1)
        per_shower = (long - short) / events
        note = f"{1e3 * per_shower / energy:.2f} ms/GeV"
        if (os.cpu_count() or 1) > 1:
            two = geant4(4 + events, energy, 2) - geant4(4, energy, 2)
            note += f"; two processes {(long - short) / two:.2f} times as fast"
        yield Figure(GEANT4.format(int(energy)), 1e3 * per_shower, "ms/shower", note)
    for low, high in ((10, 50), (10, 100)):
        doing(f"GFlash, {low} to {high} GeV")
        options = {"seed": 1, "method": "gflash", "progress": False}
        taken = seconds(lambda: cl.simulate.showers("clic-ecal", 3000, (low, high), **options))  # noqa: B023
        yield Figure(f"GFlash, {low} to {high} GeV, one core", 3000 / taken, "showers/s")
    yield Figure("peak memory of the simulating process", peak_memory(), "MB")


def streaming():
    """Reading HDF5 as a training does, beside h5py reading the same file from front to back."""
    import h5py

    import calolab as cl

    events = 6000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "showers.h5")
        sample = cl.simulate.showers("clic-ecal", events, (10, 100), seed=1, method="gflash", progress=False)
        megabytes = sample.values.nbytes / 1e6
        doing("writing HDF5")
        written = seconds(lambda: cl.datasets.save(path, sample, overwrite=True), repeats=1)
        size = path.stat().st_size / 1e6
        note = f"{megabytes:.0f} MB of cells take {size:.0f} MB on disk"
        yield Figure("HDF5 written", megabytes / written, "MB/s", note)

        def plain():
            with h5py.File(path) as file:
                for start in range(0, events, 128):
                    file["ECAL"][start : start + 128]

        def streamed():
            assert sum(len(batch) for batch in cl.datasets.stream(path).batches(128, seed=1)) == events

        doing("reading HDF5")
        front_to_back, shuffled = seconds(plain), seconds(streamed)
    note = f"{front_to_back / shuffled:.2f} of plain h5py"
    yield Figure("HDF5 streamed and shuffled", megabytes / shuffled, "MB/s", note)


def collisions():
    """Pythia on one core: its own time, and what reading out, towers and image add to it; pile-up from a library."""
    from calolab.particles import images
    from calolab.simulate import pileup, pythia, pythia_worker, towers

    events, rounds = 50, 4
    for name, settings in (("rpv", RPV), ("minimum-bias", {})):
        doing(f"Pythia {name}")
        ready = pythia_worker.generator(pythia._points(name, 1, settings)[0].setup).pythia
        alone = added = 0.0
        for number in range(rounds):
            ready.rndm.init(1 + number)
            start = time.process_time()
            for _ in range(events):
                ready.next()
            alone += time.process_time() - start
            ready.rndm.init(1 + number)
            start = time.process_time()
            made = towers.simulate(pythia_worker.final_state(ready.nextBatch(events, 10.0)), seed=number)
            images(made)
            added += time.process_time() - start
        note = f"read-out, towers and image add {added / alone - 1:.0%}"
        yield Figure(f"Pythia {name}, one core", 1e3 * alone / events / rounds, "ms/event", note)
        particles = pythia_worker.final_state(ready.nextBatch(events, 10.0))
        taken = seconds(lambda: towers.simulate(particles, seed=1), repeats=9) / events  # noqa: B023
        note = f"{particles.counts.mean():.0f} particles per event"
        yield Figure(f"towers, {name}, one core", 1e3 * taken, "ms/event", note)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "library.npz")
        doing("library of minimum-bias events")
        library = pileup.library(2000, seed=1, kind="towers", path=file, progress=False)
        library.images(10, 20, seed=1)
        for mu, wanted in ((20, 4000), (200, 1000)):
            doing(f"pile-up at mu = {mu}")
            taken = seconds(lambda: library.images(wanted, mu, seed=1))  # noqa: B023
            yield Figure(f"pile-up images at mu = {mu}, tower library", wanted / taken, "events/s")


def jets():
    """FastJet on whole-detector images, one core: as they are, and with pile-up."""
    import calolab as cl

    with tempfile.TemporaryDirectory() as folder:
        doing("RPV events and library")
        signal = cl.simulate.collisions("rpv", 1000, seed=1, output="images", progress=False, **RPV)
        file = Path(folder, "library.npz")
        library = cl.simulate.pileup.library(2000, seed=1, kind="towers", path=file, progress=False)
        for mu in (0, 20, 200):
            doing(f"FastJet at mu = {mu}")
            sample = cl.simulate.pileup.overlay(signal, library, mu, seed=1) if mu else signal
            taken = seconds(lambda: cl.jets.cluster(sample))  # noqa: B023
            pixels = (sample.values > 0).sum() / len(sample)
            name = f"FastJet, RPV images at mu = {mu}, one core"
            yield Figure(name, len(sample) / taken, "images/s", f"{pixels:.0f} pixels above zero on average")
