"""Measure calolab's speed and memory: `make bench`, or `python tests/benchmarks.py training streaming` for parts of it.

Prints a table and saves it as JSON and Markdown with the machine, the versions and the date. Absolute times belong to
a machine, so each figure stands beside a ratio or a split measured in the same run. Each part runs in a process of its
own, so that one part's memory and threads do not colour another's.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

# Two figures that are also divided by each other.
GEANT4 = "Geant4, {} GeV electrons, one core"
GENERATION = "3DGAN generation, batch {}, threads: {}"


@dataclass(frozen=True)
class Figure:
    """One measured figure, with what it is to be seen against."""

    name: str
    value: float
    unit: str
    note: str = ""

    def row(self):
        """The figure as a row of a Markdown table."""
        return f"| {self.name} | {self.value:.4g} {self.unit} | {self.note} |"


def seconds(work, repeats=3):
    """Wall-clock seconds that `work()` takes: the median of `repeats` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory():
    """Largest resident memory that this process has had so far [MB]; it also runs on engines, which have no imports."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def imports():
    """`import calolab`, beside the bare interpreter."""

    def run(code):
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True), repeats=7)

    run("import calolab")
    bare = run("pass")
    light = run("import calolab") - bare
    heavy = run("import calolab; calolab.models") - bare
    return [
        Figure("import calolab", 1e3 * light, "ms", f"bare interpreter {1e3 * bare:.0f} ms"),
        Figure("import calolab.models", heavy, "s", "TensorFlow and Keras"),
    ]


def simulation():
    """Geant4 and GFlash on one core, and Geant4 on two."""
    import calolab as cl

    def geant4(events, energy, processes):
        options = {"seed": 1, "processes": processes, "progress": False}
        return seconds(lambda: cl.simulate.showers("clic-ecal", events, energy, **options), repeats=1)

    geant4(1, 1.0, 1)  # the tables are made once
    figures = []
    for energy, events in ((10.0, 100), (50.0, 30)):
        # A process takes a second to start, which is no shower's cost: the difference of two lengths is.
        short, long = geant4(4, energy, 1), geant4(4 + events, energy, 1)
        per_shower = (long - short) / events
        note = f"{1e3 * per_shower / energy:.2f} ms/GeV"
        if (os.cpu_count() or 1) > 1:
            two = geant4(4 + events, energy, 2) - geant4(4, energy, 2)
            note += f"; two processes {(long - short) / two:.2f} times as fast"
        figures.append(Figure(GEANT4.format(int(energy)), 1e3 * per_shower, "ms/shower", note))
    for low, high in ((10, 50), (10, 100)):
        taken = seconds(
            lambda: cl.simulate.showers("clic-ecal", 3000, (low, high), seed=1, method="gflash", progress=False)  # noqa: B023
        )
        figures.append(Figure(f"GFlash, {low} to {high} GeV, one core", 3000 / taken, "showers/s"))
    return [*figures, Figure("peak memory of the simulating process", peak_memory(), "MB")]


def streaming():
    """Reading HDF5 as a training does, beside h5py reading the same file from front to back."""
    import h5py

    import calolab as cl

    events = 6000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "showers.h5")
        sample = cl.simulate.showers("clic-ecal", events, (10, 100), seed=1, method="gflash", progress=False)
        megabytes = sample.values.nbytes / 1e6
        written = seconds(lambda: cl.datasets.save(path, sample, overwrite=True), repeats=1)
        size = path.stat().st_size / 1e6

        def plain():
            with h5py.File(path) as file:
                for start in range(0, events, 128):
                    file["ECAL"][start : start + 128]

        def streamed():
            assert sum(len(batch) for batch in cl.datasets.stream(path).batches(128, seed=1)) == events

        front_to_back, shuffled = seconds(plain), seconds(streamed)
    return [
        Figure(
            "HDF5 streamed and shuffled", megabytes / shuffled, "MB/s", f"{front_to_back / shuffled:.2f} of plain h5py"
        ),
        Figure("HDF5 written", megabytes / written, "MB/s", f"{megabytes:.0f} MB of cells take {size:.0f} MB on disk"),
    ]


def generation():
    """3DGAN inference on all cores and on one."""
    import tensorflow as tf

    threads = int(os.environ.get("CALOLAB_BENCH_THREADS", os.cpu_count() or 1))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import numpy as np

    import calolab as cl

    gan = cl.models.build("3dgan", "clic-ecal")
    figures = []
    for batch_size, events in ((1, 32), (128, 512)):
        labels = {"energy": np.linspace(10, 100, events)}
        gan.generate(labels, seed=1, batch_size=batch_size)
        taken = seconds(lambda: gan.generate(labels, seed=1, batch_size=batch_size)) / events  # noqa: B023
        figures.append(Figure(GENERATION.format(batch_size, threads), 1e3 * taken, "ms/shower"))
    return [*figures, Figure(f"peak memory of generation, {threads} threads", peak_memory(), "MB")]


def training():
    """Cluster start, and 3DGAN training on one and on two engines with one core each."""
    import numpy as np

    import calolab as cl

    batch_size, steps = 32, 3
    rates, figures = {}, []
    for n in (1, 2):
        for precision in ("float32", "bfloat16"):
            start = time.perf_counter()
            with cl.distributed.cluster(n=n, cores=1) as engines:
                started = time.perf_counter() - start
                events = batch_size * steps * n
                sample = cl.simulate.showers("clic-ecal", events, (10, 50), seed=1, method="gflash", progress=False)
                gan = cl.models.build("3dgan", sample.space)
                run = cl.distributed.fit(
                    engines, gan, sample, epochs=1, batch_size=batch_size, precision=precision, seed=1, progress=False
                )
                rates[n, precision] = run.wait().epochs[-1]["samples_per_second"]
                memory = engines.client[:].apply_sync(peak_memory)
        figures.append(Figure(f"start of {n} engine{'s' * (n > 1)}", started, "s"))
        note = f"batch {batch_size}, {precision}"
        figures.append(Figure(f"peak memory of an engine, {n} in all", float(np.max(memory)), "MB", note))
    for (n, precision), rate in rates.items():
        note = f"{rate / rates[1, precision] / n:.0%} weak-scaling efficiency" if n > 1 else ""
        if precision == "bfloat16":
            note += f"{'; ' * bool(note)}{rate / rates[n, 'float32']:.2f} times float32"
        name = f"3DGAN training, {n} engine{'s' * (n > 1)} of one core, {precision}"
        figures.append(Figure(name, rate, "samples/s", note))
    return figures


def collisions():
    """Pythia on one core: its own time, and what reading out, towers and image add to it; pile-up from a library."""
    from calolab.particles import images
    from calolab.simulate import pileup, pythia, pythia_worker, towers

    events, rounds, figures = 50, 4, []
    for name, settings in (("rpv", {"gluino_mass": 1400, "neutralino_mass": 850}), ("minimum-bias", {})):
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
        figures.append(Figure(f"Pythia {name}, one core", 1e3 * alone / events / rounds, "ms/event", note))
        particles = pythia_worker.final_state(ready.nextBatch(events, 10.0))
        taken = seconds(lambda: towers.simulate(particles, seed=1), repeats=9) / events  # noqa: B023
        note = f"{particles.counts.mean():.0f} particles per event"
        figures.append(Figure(f"towers, {name}, one core", 1e3 * taken, "ms/event", note))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "library.npz")
        library = pileup.library(2000, seed=1, kind="towers", path=file, progress=False)
        library.images(10, 20, seed=1)
        for mu, wanted in ((20, 4000), (200, 1000)):
            taken = seconds(lambda: library.images(wanted, mu, seed=1))  # noqa: B023
            figures.append(Figure(f"pile-up images at mu = {mu}, tower library", wanted / taken, "events/s"))
    return figures


def jets():
    """FastJet on whole-detector images, one core: as they are, and with pile-up."""
    import calolab as cl

    with tempfile.TemporaryDirectory() as folder:
        rpv = {"gluino_mass": 1400, "neutralino_mass": 850}
        signal = cl.simulate.collisions("rpv", 1000, seed=1, output="images", progress=False, **rpv)
        file = Path(folder, "library.npz")
        library = cl.simulate.pileup.library(2000, seed=1, kind="towers", path=file, progress=False)
        figures = []
        for mu in (0, 20, 200):
            sample = cl.simulate.pileup.overlay(signal, library, mu, seed=1) if mu else signal
            taken = seconds(lambda: cl.jets.cluster(sample))  # noqa: B023
            pixels = (sample.values > 0).sum() / len(sample)
            name = f"FastJet, RPV images at mu = {mu}, one core"
            figures.append(Figure(name, len(sample) / taken, "images/s", f"{pixels:.0f} pixels above zero on average"))
    return figures


def dcgan():
    """Training and generation of the RPV DCGAN, all cores."""
    import numpy as np

    import calolab as cl

    space = cl.spaces.space("whole-detector")
    values = np.random.default_rng(0).exponential(20.0, (2048, 64, 64)) * (
        np.random.default_rng(1).random((64, 64)) < 0.05
    )
    sample = cl.Sample(values, {}, space)
    gan, figures, rates = cl.models.build("rpv", space), [], {}
    gan.generate(256, seed=1, batch_size=256)
    taken = seconds(lambda: gan.generate(2048, seed=1, batch_size=256)) / 2048
    figures.append(Figure("RPV GAN generation, batch 256", 1e3 * taken, "ms/event"))
    for objective in ("non-saturating", "wgan-gp", "optimal-transport"):
        recipe = cl.training.Recipe.published("rpv", objective=objective)
        fresh = cl.models.build("rpv", space)
        history = cl.training.fit(fresh, sample, epochs=1, batch_size=64, recipe=recipe, progress=False)
        rates[objective] = history.epochs[-1]["samples_per_second"]
        note = (
            f"{rates[objective] / rates['non-saturating']:.2f} times non-saturating" if len(rates) > 1 else "batch 64"
        )
        figures.append(Figure(f"RPV GAN training, {objective}", rates[objective], "events/s", note))
    return figures


def scaling():
    """Two engines against one, one core each, in turns: 3DGAN and the RPV DCGAN, and where the rest goes."""
    import numpy as np

    import calolab as cl

    space, random = cl.spaces.space("whole-detector"), np.random.default_rng(0)
    pixels = random.exponential(20.0, (256, 64, 64)) * (random.random((256, 64, 64)) < 0.05)
    showers = cl.simulate.showers("clic-ecal", 64, (10, 50), seed=1, method="gflash", progress=False)
    figures = []
    for name, sample, batch_size, steps in (("3dgan", showers, 16, 3), ("rpv", cl.Sample(pixels, {}, space), 64, 8)):
        gan = cl.models.build(name, sample.space)
        with cl.distributed.cluster(n=2, cores=1) as engines:
            report = cl.distributed.scaling_report(
                engines, gan, sample, batch_size=batch_size, steps=steps, rounds=5, progress=False
            )
        print(f"{report!r}\n", file=sys.stderr)
        for kind in ("weak", "strong", "independent"):
            point = report.point(kind, 2)
            note = (
                f"+- {100 * point.error:.1f}; batch {point.batch_size} each, {point.samples_per_second:.1f} samples/s"
            )
            figures.append(Figure(f"{name}, two engines of one core, {kind}", 100 * point.efficiency, "%", note))
        step = report.point("weak", 2).step
        for cause, lost in report.losses().items():
            figures.append(
                Figure(f"{name}, lost to: {cause}", 100 * lost / step, "% of a step", f"{1e3 * lost:+.1f} ms")
            )
        predicted = report.predict([1024]).efficiency[0]
        figures.append(Figure(f"{name}, model for 1,024 ranks", 100 * predicted, "%", "extrapolated, this network"))
    return figures


PARTS = {
    part.__name__: part
    for part in (imports, simulation, streaming, generation, training, scaling, collisions, jets, dcgan)
}


def measure(name, environment=None):
    """The figures of one part, measured in a process of its own."""
    command = [sys.executable, __file__, "--part", name]
    result = subprocess.run(command, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"The benchmark {name!r} failed; its messages are above.")
    return [Figure(**figure) for figure in json.loads(result.stdout.splitlines()[-1])]


def machine():
    """What the figures were measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = (
        "calolab",
        "tensorflow",
        "keras",
        "horovod",
        "ipyparallel",
        "geant4_pybind",
        "pythia8mc",
        "fastjet",
        "numpy",
        "h5py",
    )
    return {
        "date": date.today().isoformat(),
        "machine": f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def main():
    """Measure the parts that are asked for, print and save them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # argparse checks an empty list against the choices, too.
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps([asdict(figure) for figure in PARTS[arguments.part]()]))
        return
    figures = []
    for name in arguments.parts or PARTS:
        print(f"measuring {name} ...", file=sys.stderr)
        figures += measure(name)
        if name == "generation":
            figures += measure(name, {"CALOLAB_BENCH_THREADS": "1"})
    found = {figure.name: figure.value for figure in figures}
    simulated, generated = found.get(GEANT4.format(50)), found.get(GENERATION.format(128, 1))
    if simulated and generated:
        note = "50 GeV electrons, batch 128, one core each; quality aside"
        figures.append(Figure("speed-up of 3DGAN over Geant4", simulated / generated, "times", note))
    about = machine()
    table = "\n".join(
        [
            "# calolab benchmarks",
            "",
            *(f"- {name}: {value}" for name, value in about.items()),
            "",
            "| figure | value | beside it |",
            "|---|---|---|",
            *(figure.row() for figure in figures),
            "",
        ]
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"benchmarks-{about['date']}"
    content = json.dumps({**about, "figures": [asdict(figure) for figure in figures]}, indent=1)
    for suffix, text in ((".json", content), (".md", table)):
        temporary = arguments.out / f".{name}{suffix}"
        temporary.write_text(text)
        temporary.replace(arguments.out / f"{name}{suffix}")
    print(f"{table}\nsaved: {(arguments.out / name).resolve()}.json and .md")


if __name__ == "__main__":
    main()
