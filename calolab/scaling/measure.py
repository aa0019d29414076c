"""Measure how training scales, alternating between one and several engines so that drifts of the machine cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np

from calolab.cluster import calls, time_limits
from calolab.cluster.engines import Engines
from calolab.distributed import meeting, shipment
from calolab.interrupts import stopping
from calolab.progress import bar
from calolab.samples import Sample
from calolab.scaling import rank
from calolab.scaling.efficiency import ScalingPoint, ScalingReport
from calolab.scaling.network import fit_network, moved_bytes
from calolab.training.recipe import Recipe
from calolab.training.request import TrainingRequest

SIZES = (4, 2**14, 2**18, 2**20, 2**22, 2**24)  # of the averages to which the network is fitted [bytes]
BATCHES = 2  # that each engine holds and uses repeatedly


@stopping("the measurement of scaling")
def report(
    engines: Engines,
    gan,
    data,
    *,
    ranks: Sequence[int] = (1, 2),
    batch_size: int = 32,
    steps: int = 4,
    rounds: int = 4,
    precision: str = "float32",
    seed: int = 0,
    recipe=None,
    progress: bool = True,
) -> ScalingReport:
    """Measure strong and weak scaling and the parts of a step's time; blocks until it is done.

    Each round measures a single engine, several engines at the same time without exchange, data-parallel engines with
    `batch_size` events each (weak scaling), and with `batch_size` events in total (strong scaling). The first steps,
    which compile, are not counted. In each pass every engine records when it has its gradients and when it has their
    average: until the slowest engine has its gradients it waits, and the rest is the allreduce. Clocks of different
        machines are synchronised by the ends of the averages. The GAN does not change.

    Args:
        engines: the engines, with one core each for a fair comparison (`cluster.start(n, cores=1)`).
        gan: the networks.
        data: events to train on, a `Sample` or an `EventStream`; a few are enough, as they are used repeatedly.
        ranks: numbers of engines to measure; a single engine is always measured.
        batch_size: events per pass of one engine; every number of ranks must divide it.
        steps: number of steps per block.
        rounds: number of rounds.
        precision, seed, recipe: as for `training.fit`.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if there are fewer engines, or the batch cannot be divided.
        RuntimeError: if engines are busy, do not answer or fail.
    """
    several = sorted({int(number) for number in ranks} - {1})
    alive = engines.ids
    if not several or several[0] < 1 or several[-1] > len(alive):
        raise ValueError(f"ranks expects numbers from 2 to {len(alive)}, the engines alive, received {tuple(ranks)}.")
    if wrong := [number for number in several if batch_size % number]:
        raise ValueError(f"A batch of {batch_size} cannot be shared by {wrong[0]} ranks: use a multiple.")
    if steps < 2 or rounds < 1:
        raise ValueError(f"steps must be at least 2 and rounds at least 1, received {steps} and {rounds}.")
    recipe = recipe or Recipe.of(gan)
    request = TrainingRequest(epochs=1, batch_size=batch_size, precision=precision, seed=seed, recipe=recipe)
    sessions = [
        _measure(engines, alive[:number], gan, data, request, steps, rounds, progress=progress) for number in several
    ]
    points = [point for session in sessions for point in session["points"]]
    alone = [point for point in points if point.kind == "alone"]
    points = [alone[-1], *(point for point in points if point.kind != "alone")]
    last = sessions[-1]
    cores = f"{engines.cores} core{'s' * (engines.cores > 1)}"
    return ScalingReport(
        title=f"Scaling of {gan.architecture}, batch {batch_size}, {precision}, {engines.launcher} engines of {cores}",
        points=tuple(points),
        network=last["network"],
        averages=last["averages"],
        passes=recipe.passes_in(0),
        sizes=last["sizes"],
        jitter=last["jitter"],
        notes=_notes(engines, last["machines"], steps, rounds),
    )


def _measure(engines, ids, gan, data, request, steps, rounds, progress) -> dict:
    """All measurements on these engines and on the first of them."""
    meeting.check_idle(engines, ids)
    facts = meeting.engine_facts(engines, ids)
    meetings, note = meeting.arrange_meetings(engines, ids, facts)
    machines = _call(engines, ids, rank.machine)
    batch, size = request.batch_size, len(ids)
    turns = {
        "alone": ("local", ids[:1], batch),
        "independent": ("local", ids, batch),
        "weak": ("data_parallel", ids, batch),
        "strong": ("data_parallel", ids, batch // size),
    }
    shards = _shards(data, BATCHES * batch * request.recipe.at(0).batches, size)
    networks, found = shipment.pack_gan(gan), {kind: [] for kind in turns}
    try:
        with bar(total=(1 + rounds) * len(turns), unit="block", show=progress) as shown:
            shown.set_description(f"{size} ranks", refresh=False)
            tasks = [rank.MeasurementTask(meeting, request, data.space) for meeting in meetings]
            given = [(task, networks, shard.values, dict(shard.labels)) for task, shard in zip(tasks, shards)]
            _call(engines, ids, rank.begin, given)
            for number in range(1 + rounds):
                for kind, (how, members, events) in turns.items():
                    count = steps if number else 1
                    given = [(how, count, events, len(members) > 1)] * len(members)
                    taken = _call(engines, members, rank.take, given)
                    if number:  # the first steps compile
                        found[kind].append(taken)
                    shown.update()
            averages = np.array(_call(engines, ids, rank.averages, [(SIZES, 20)] * size))
            port = _call(engines, ids[:1], rank.answer_pings, [(facts[0].address,)])[0]
            latency = _call(engines, ids[-1:], rank.ping, [(facts[0].address, port)])[0]
    finally:
        with contextlib.suppress(Exception):  # engines may have died
            _call(engines, sorted({*ids} & {*engines.ids}), rank.end, timeout=time_limits.SESSION_ENDS_WITHIN)
    hosts = [engine.host for engine in facts]
    stamps = {kind: [_stamps(taken) for taken in blocks] for kind, blocks in found.items()}
    sizes = tuple(map(int, found["weak"][0][0]["bytes"]))
    # Mean over the ranks, which end at different times, and median over the repeats.
    seconds = np.median(averages.mean(axis=0), axis=1)
    return {
        "points": [
            _point(kind, hosts, events, stamps, found[kind], sizes, request.recipe)
            for kind, (_, _, events) in turns.items()
        ],
        "network": fit_network(f"measured: {size} ranks, {note}", size, latency, SIZES, seconds),
        "averages": tuple(zip(SIZES, map(float, seconds), strict=True)),
        "sizes": sizes,
        "jitter": _jitter(stamps["weak"]),
        "machines": list(zip(hosts, machines, strict=True)),
    }


def _point(kind, hosts, events, stamps, found, sizes, recipe) -> ScalingPoint:
    """The rounds of one kind as a point; `stamps` has those of all kinds."""
    alone, own = (np.array([_seconds(block) for block in stamps[name]]) for name in ("alone", kind))
    exchange, size = kind in ("weak", "strong"), len(stamps[kind][0])
    parts = [split(block, hosts) if exchange else (_seconds(block), 0.0, 0.0) for block in stamps[kind]]
    compute, waiting, allreduce = map(float, np.mean(parts, axis=0))
    # In strong scaling, all engines share the work of a single engine's step; otherwise each does all of it.
    share = size if kind == "strong" else 1
    ratios = alone / own / share
    return ScalingPoint(
        kind=kind,
        ranks=size,
        batch_size=events,
        step=float(own.mean()),
        reference=float(alone.mean()),
        compute=compute,
        waiting=waiting,
        allreduce=allreduce,
        samples_per_second=float(events * size * recipe.at(0).batches / own.mean()),
        efficiency=float(alone.mean() / own.mean() / share),
        error=float(ratios.std(ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else float("nan"),
        bytes=float(sum(moved_bytes(one, size) for one in sizes)) if exchange else 0.0,
        memory=max(rank["memory"] for taken in found for rank in taken),
    )


def _stamps(taken: Sequence[dict]) -> np.ndarray:
    return np.array([rank["stamps"] for rank in taken])


def split(stamps: np.ndarray, hosts: Sequence[str]) -> tuple[float, float, float]:
    """Compute, waiting and allreduce of a step, means over steps and ranks [s]; their sum is the step's time.

    Args:
        stamps: time stamps of all ranks, shape `(rank, step, 2 + 2 * passes)`, as `StepTimer.take` gives them.
        hosts: machine of each rank.
    """
    had, got = stamps[:, :, 1:-1:2], stamps[:, :, 2:-1:2]  # times of the gradients, and of their average
    # Ranks of one machine share a clock. Ranks of several receive an average at the same time, up to one message.
    ahead = np.zeros((len(hosts), 1, 1))
    if len(set(hosts)) > 1:
        ahead[:, 0, 0] = np.median(got - got[0], axis=(1, 2))
    last = (had - ahead).max(axis=0) + ahead
    waiting, allreduce = ((part.sum(axis=2)).mean() for part in (last - had, got - last))
    return _seconds(stamps) - waiting - allreduce, waiting, allreduce


def _seconds(stamps: np.ndarray) -> float:
    """Mean time of a step over ranks and steps [s]."""
    return float((stamps[:, -1, -1] - stamps[:, 0, 0]).mean() / stamps.shape[1])


def _jitter(rounds: Sequence[np.ndarray]) -> tuple[float, ...]:
    """The standard deviation of each pass's compute between the steps of a round [s]."""
    computes = [block[:, :, 1:-1:2] - block[:, :, 0:-2:2] for block in rounds]
    variances = [compute.var(axis=1, ddof=1).mean(axis=0) for compute in computes]
    return tuple(map(float, np.sqrt(np.mean(variances, axis=0))))


def _shards(data, events: int, size: int) -> list[Sample]:
    """The same number of events for each rank; events are repeated if there are fewer."""
    wanted = events * size
    sample = data if isinstance(data, Sample) else data.head(wanted)
    return [sample.select(np.arange(rank, wanted, size) % len(sample)) for rank in range(size)]


def _call(engines: Engines, ids: Sequence[int], function: Callable, given=None, timeout: float | None = None) -> list:
    """The results of a function on the engines, by rank.

    Raises:
        RuntimeError: if an engine fails, dies or does not answer.
    """
    timeout = timeout or time_limits.BLOCK_TAKES
    try:
        return calls.gather(engines.client, ids, function, given, timeout=timeout)
    except calls.CallFailed as error:
        within = "" if error.failure.died or error.failure.error else f" within {timeout:g} s"
        raise RuntimeError(
            f"The measurement failed: {error}{within}. See `%ipcluster logs`; `%ipcluster restart` restarts all "
            f"engines of {engines.name!r}."
        ) from error


def _notes(engines: Engines, machines: Sequence[tuple], steps: int, rounds: int) -> tuple[str, ...]:
    hosts = [host for host, _ in machines]
    notes = [f"Means of {rounds} rounds of {steps} steps; {len(hosts)} engines on {len(set(hosts))} machine(s)."]
    if engines.cores != 1:
        notes.append(f"Each engine has {engines.cores} cores: to compare cores, start them with cores=1.")
    for host, (load, cores) in dict(machines).items():
        if hosts.count(host) * engines.cores > cores:
            notes.append(f"{host} has fewer cores ({cores}) than its engines use: they compete for them.")
        if load > 0.3:
            notes.append(f"{host} ({cores} cores) had a load of {load:.1f} before: other processes were running.")
    return tuple(notes)
