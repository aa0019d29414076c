"""Networks: generation and training, alone and on engines, each for a fixed time."""

import os
import sys
import time

from figures import GENERATION, Figure, doing, fitting, fresh, peak_memory, seconds

TRAINING = 30.0  # seconds of each training on engines, compiling included
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def generation():
    """3DGAN inference on all cores and on one."""
    yield from generated()
    if (os.cpu_count() or 1) > 1:
        doing("one thread")
        yield from fresh("generated", CALOLAB_BENCH_THREADS="1")


def generated():
    """3DGAN inference with as many threads as `CALOLAB_BENCH_THREADS` says, by default one per core."""
    import tensorflow as tf

    threads = int(os.environ.get("CALOLAB_BENCH_THREADS", os.cpu_count() or 1))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import numpy as np

    import calolab as cl

    gan = cl.models.build("3dgan", "clic-ecal")
    for batch_size in (1, 128):
        doing(f"3DGAN generation, batch {batch_size}, {threads} threads")
        labels = {"energy": np.linspace(10, 100, batch_size)}
        generate = lambda labels: gan.generate(labels, seed=1, batch_size=batch_size)  # noqa: B023, E731
        generate(labels)
        events = batch_size * fitting(4.0, seconds(lambda: generate(labels), repeats=1), 1, 32)  # noqa: B023
        labels = {"energy": np.linspace(10, 100, events)}
        taken = seconds(lambda: generate(labels)) / events  # noqa: B023
        yield Figure(GENERATION.format(batch_size, threads), 1e3 * taken, "ms/shower")
    yield Figure(f"peak memory of generation, {threads} threads", peak_memory(), "MB")


def onednn():
    """3DGAN with oneDNN on against off, all cores: the ratio says what calolab's choice is worth on this machine."""
    found = {}
    for state in ("1", "0"):
        doing(f"oneDNN {'on' if state == '1' else 'off'}")
        found[state] = {figure.name: figure for figure in fresh("onednn_state", **{ONEDNN: state})}
    for name, on in found["1"].items():
        off = found["0"][name]
        ratio = on.value / off.value if on.unit.endswith("/s") else off.value / on.value
        note = f"on {on.value:.3g}, off {off.value:.3g} {on.unit}"
        yield Figure(f"{name}, oneDNN on against off", ratio, "times as fast", note)


def onednn_state():
    """3DGAN training and generation with oneDNN as the environment says."""
    import numpy as np

    import calolab as cl

    sample = cl.simulate.showers("clic-ecal", 32, (10, 50), seed=1, method="gflash", progress=False)
    gan, labels = cl.models.build("3dgan", sample.space), {"energy": np.linspace(10, 50, 16)}
    gan.generate(labels, seed=1, batch_size=16)
    taken = seconds(lambda: gan.generate(labels, seed=1, batch_size=16), budget=5.0) / 16
    yield Figure("3DGAN generation", 1e3 * taken, "ms/shower")
    history = cl.training.fit(gan, sample, epochs=100, batch_size=4, time_limit=TRAINING / 2, progress=False)
    if history.steps < 2:  # the first step compiles
        history = cl.training.fit(gan, sample.select(slice(0, 8)), epochs=1, batch_size=4, progress=False)
    yield Figure("3DGAN training", history.samples_per_second, "samples/s")


def training():
    """Cluster start, and 3DGAN training on one and on two engines with one core each."""
    import ipyparallel
    import numpy as np

    import calolab as cl

    batch_size, rates = 8, {}
    precisions = ("float32", "bfloat16") if cl.training.fastest_precision() == "bfloat16" else ("float32",)
    sample = cl.simulate.showers("clic-ecal", 256, (10, 50), seed=1, method="gflash", progress=False)
    for n in (1, 2):
        for precision in precisions:
            doing(f"3DGAN training on {n} engines, {precision}")
            start = time.perf_counter()
            with cl.cluster.running(n=n, cores=1) as engines:
                started = time.perf_counter() - start
                gan = cl.models.build("3dgan", sample.space)
                options = {"batch_size": batch_size, "precision": precision, "seed": 1, "progress": False}
                run = cl.distributed.fit(engines, gan, sample, epochs=100, time_limit=TRAINING, **options)
                history = run.wait()
                rate = rates[n, precision] = history.samples_per_second
                memory = engines.client[:].apply_sync(ipyparallel.interactive(peak_memory))
            note = f"batch {batch_size}, {history.steps} steps"
            if n > 1:
                note += f"; {rate / rates[1, precision] / n:.0%} weak-scaling efficiency"
            if precision != "float32":
                note += f"; {rate / rates[n, 'float32']:.2f} times float32"
            engine = f"{n} engine{'s' * (n > 1)}"
            yield Figure(f"3DGAN training, {engine} of one core, {precision}", rate, "samples/s", note)
        yield Figure(f"start of {engine}", started, "s")
        note = f"batch {batch_size}, {precision}"
        yield Figure(f"peak memory of an engine, {n} in all", float(np.max(memory)), "MB", note)


def dcgan():
    """Training and generation of the RPV DCGAN, all cores."""
    import calolab as cl

    sample = pixels(2048)
    gan, rates = cl.models.build("rpv", sample.space), {}
    doing("RPV GAN generation")
    gan.generate(256, seed=1, batch_size=256)
    taken = seconds(lambda: gan.generate(2048, seed=1, batch_size=256)) / 2048
    yield Figure("RPV GAN generation, batch 256", 1e3 * taken, "ms/event")
    for objective in ("non-saturating", "wgan-gp", "optimal-transport"):
        doing(f"RPV GAN training, {objective}")
        recipe = cl.training.Recipe.published("rpv", objective=objective)
        options = {"batch_size": 64, "recipe": recipe, "time_limit": TRAINING / 2, "progress": False}
        rates[objective] = cl.training.fit(
            cl.models.build("rpv", sample.space), sample, epochs=100, **options
        ).samples_per_second
        ratio = rates[objective] / rates["non-saturating"]
        note = f"{ratio:.2f} times non-saturating" if len(rates) > 1 else "batch 64"
        yield Figure(f"RPV GAN training, {objective}", rates[objective], "events/s", note)


def scaling():
    """Two engines against one, one core each, in turns: 3DGAN and the RPV DCGAN, and where the rest goes."""
    import calolab as cl

    showers = cl.simulate.showers("clic-ecal", 64, (10, 50), seed=1, method="gflash", progress=False)
    for name, sample, batch_size, steps, rounds in (("3dgan", showers, 8, 2, 2), ("rpv", pixels(256), 64, 4, 3)):
        doing(f"scaling of {name}")
        gan = cl.models.build(name, sample.space)
        options = {"batch_size": batch_size, "steps": steps, "rounds": rounds, "progress": False}
        with cl.cluster.running(n=2, cores=1) as engines:
            report = cl.scaling.report(engines, gan, sample, **options)
        print(f"\n{report!r}\n", file=sys.stderr)
        for kind in ("weak", "strong", "independent"):
            point = report.point(kind, 2)
            note = (
                f"+- {100 * point.error:.1f}; batch {point.batch_size} each, {point.samples_per_second:.1f} samples/s"
            )
            yield Figure(f"{name}, two engines of one core, {kind}", 100 * point.efficiency, "%", note)
        step = report.point("weak", 2).step
        for cause, lost in report.losses().items():
            yield Figure(f"{name}, lost to: {cause}", 100 * lost / step, "% of a step", f"{1e3 * lost:+.1f} ms")
        predicted = report.predict([1024]).efficiency[0]
        yield Figure(f"{name}, model for 1,024 ranks", 100 * predicted, "%", "extrapolated, this network")


def pixels(events):
    """Whole-detector images of random pixels, of which one in twenty is above zero."""
    import numpy as np

    import calolab as cl

    random = np.random.default_rng(0)
    values = random.exponential(20.0, (events, 64, 64)) * (random.random((events, 64, 64)) < 0.05)
    return cl.Sample(values, {}, cl.spaces.space("whole-detector"))
