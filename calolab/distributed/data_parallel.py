"""Data-parallel training: every engine is a rank with a shard of the events; gradients are averaged over all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ipyparallel
import numpy as np

from calolab.distributed import communicator
from calolab.distributed.cluster import Engines
from calolab.distributed.communicator import EngineFacts, Meeting
from calolab.distributed.training_run import TrainingRun
from calolab.samples import Sample, steps_per_epoch
from calolab.training.history import Progress

REPORT_EVERY = 0.25  # seconds between a rank's reports
HUB_LAGS = 2.0  # seconds after which what the hub says of the engines is taken for true
_runs: weakref.WeakSet[TrainingRun] = weakref.WeakSet()  # those of this process


class RanksLost(RuntimeError):
    """This rank could not go on because another has gone."""


@dataclass(frozen=True)
class Job:
    """All that a rank needs besides the events and the networks.

    Args:
        meeting: how to find the other ranks; None for a rank alone.
        options: keywords of `training.fit`.
        space, origin: of the `Sample` whose arrays travel beside; None for a stream.
        stream: the `EventStream` of this rank, whose files the engine reads itself.
        judged_by: name of the number that decides which epoch is the best; empty without a physics score.
    """

    meeting: Meeting | None
    options: dict
    space: object = None
    origin: object = None
    stream: object = None
    judged_by: str = ""


def fit(
    engines: Engines,
    gan,
    data,
    *,
    epochs: int,
    batch_size: int = 128,
    precision: str = "float32",
    seed: int = 0,
    recipe=None,
    physics_score=None,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[Progress], None]] = (),
    progress: bool = True,
    ranks: int | None = None,
) -> TrainingRun:
    """Train a GAN on all engines together; returns at once.

    Every engine holds the networks and a shard of the events, and takes the same steps; gradients are averaged over all
    events of a step by Horovod. Engines need not see the client's files, except those of an `EventStream`. Between
    machines, Horovod's own traffic (gradients and weights) is neither encrypted nor authenticated.

    Args:
        engines: from `distributed.start`, `%ipcluster start` or `distributed.cluster`.
        gan: the networks to start from; `TrainingRun.wait` puts the trained weights into them.
        data: all events: a `Sample`, whose shards are sent, or an `EventStream`, whose files the engines read.
        epochs, precision, seed, recipe, resume: as for `training.fit`.
        physics_score: as for `training.fit`; its function is sent to rank 0's engine.
        batch_size: events per rank and pass.
        checkpoints: folder for checkpoints, which rank 0's engine writes and reads.
        callbacks: functions of a `Progress`, called on the engines after every step.
        progress: whether `TrainingRun.wait` shows a progress bar.
        ranks: how many of the engines take part, the first ones; all by default.

    Raises:
        ValueError: if there are fewer events than ranks, or fewer engines.
        RuntimeError: if no engine is there, one is busy or does not answer, or versions or Horovod do not fit.
    """
    ids = engines.ids
    if not ids:
        raise RuntimeError(f"Cluster {engines.name!r} has no engines: start it again with `%ipcluster start`.")
    if ranks is not None and not 1 <= ranks <= len(ids):
        raise ValueError(f"ranks expects 1 to {len(ids)}, the engines that are alive; received {ranks}.")
    ids = ids[:ranks]
    missing = [name for name in gan.conditions if name not in data.labels]
    if missing:
        raise ValueError(f"The GAN takes the labels {gan.conditions}; the data lack {', '.join(missing)}.")
    columns = {name: np.asarray(data.labels[name]) for name in gan.conditions}
    steps_per_epoch(len(data), batch_size, len(ids))  # refuses too few events
    check_idle(engines, ids)
    facts = engine_facts(engines, ids)
    _check_versions(ids, facts)
    meetings, note = arrange_meetings(engines, ids, facts)
    folder = None if checkpoints is None else str(Path(checkpoints).absolute())
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
        "recipe": recipe,
        "checkpoints": folder,
        "resume": resume,
    }
    networks = _pack(gan)
    scores = [] if physics_score is None else [physics_score.score]
    results = []
    for rank, engine in enumerate(ids):
        shard = data.shard(rank, len(ids))
        job, arrays = Job(meetings[rank], options, judged_by=physics_score.by if scores else ""), {}
        if isinstance(shard, Sample):
            job = replace(job, space=shard.space, origin=shard.origin)
            # As plain arrays beside the job, they are sent without a copy.
            arrays = {"values": np.ascontiguousarray(shard.values), "labels": dict(shard.labels)}
        else:
            job = replace(job, stream=shard)
        results.append(
            engines.client[engine].apply_async(
                train_rank, job, networks, list(callbacks), scores if rank == 0 else [_unasked] * len(scores), **arrays
            )
        )
    settings = {
        "checkpoints": folder,
        "progress": progress,
        "labels": {name: [float(column.min()), float(column.max())] for name, column in columns.items()},
    }
    run = TrainingRun(engines, ids, gan, results, settings, note)
    _runs.add(run)
    return run


def train_rank(
    job: Job, networks: np.ndarray, callbacks: Sequence[Callable], scores: Sequence[Callable], values=None, labels=None
) -> dict:
    """Run on an engine: one rank of a training, from the meeting of the ranks to its outcome.

    Args:
        job: what to do.
        networks: the bytes of a GAN's file.
        callbacks: called with a `Progress` after every step.
        scores: the function that judges an epoch, if there is one.
        values, labels: of this rank's `Sample`.

    Returns:
        `history`, `digest` of all weights, `diverged` (the reason, or empty); from rank 0 also `weights`, `provenance`.

    Raises:
        RanksLost: if another rank has gone.
    """
    from calolab import training

    rank = 0 if job.meeting is None else job.meeting.rank
    choose_device(job.meeting)  # before the networks: TensorFlow settles on its devices with the first variable
    gan = _unpack(networks)
    data = job.stream if values is None else Sample(np.asarray(values), labels, job.space, job.origin)
    report = _Report()
    parallel = None if job.meeting is None else communicator.Communicator(job.meeting)
    history, diverged = None, ""
    try:
        history = training.fit(
            gan,
            data,
            **job.options,
            physics_score=training.PhysicsScore(scores[0], job.judged_by) if scores else None,
            callbacks=(report, *callbacks),
            parallel=parallel,
            should_stop=communicator.stop_asked.is_set,
            progress=False,
        )
    except training.TrainingDiverged as error:
        diverged = str(error)
    except Exception as error:
        if communicator.is_loss(error):
            raise RanksLost(f"rank {rank} has lost the other ranks") from error
        raise
    finally:
        report.flush()
        if parallel is not None:
            parallel.shutdown()
    weights = {network: getattr(gan, network).get_weights() for network in ("generator", "discriminator")}
    outcome = {"history": history and history.to_dict(), "digest": _digest(weights), "diverged": diverged}
    return outcome | ({"weights": weights, "provenance": gan.provenance} if rank == 0 else {})


def _unasked(gan):
    """Stands for the physics score on the ranks that do not judge."""
    raise RuntimeError("Only rank 0 judges an epoch.")


class _Report:
    """Callback that sends a rank's progress, and the losses of rank 0, to the client a few times per second."""

    def __init__(self):
        self.latest, self.losses, self.chunks, self.sent = None, [], 0, 0.0

    def __call__(self, progress: Progress) -> None:
        self.latest = progress
        if progress.rank == 0:
            self.losses.append({"epoch": progress.epoch, "step": progress.step, **progress.losses})
        if time.monotonic() - self.sent > REPORT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent."""
        if self.latest is None:
            return
        # The client merges messages by key: each chunk of losses has its own, sent once.
        message = {"progress": self.latest.to_dict()}
        if self.losses:
            message |= {f"losses {self.chunks}": self.losses, "chunks": self.chunks + 1}
            self.losses, self.chunks = [], self.chunks + 1
        from ipyparallel.engine.datapub import publish_data

        publish_data(message)
        self.sent = time.monotonic()


def check_idle(engines: Engines, ids: Sequence[int]) -> None:
    """Refuse engines that still work.

    Raises:
        RuntimeError: if one of these engines is busy.
    """
    # The hub hears of work and of its end a little later than the engines; its own runs this process knows at once.
    mine = [run for run in _runs if run.engines.client is engines.client and run.status in ("running", "stopping")]
    busy = sorted({engine for run in mine for engine in run.ids} & set(ids))
    deadline = time.monotonic() + HUB_LAGS
    while not busy:
        queues = engines.client.queue_status(targets=list(ids))
        at_work = [engine for engine in ids if queues[engine]["queue"] + queues[engine]["tasks"]]
        if not at_work:
            return
        if time.monotonic() > deadline:
            busy = at_work
        time.sleep(0.1)
    raise RuntimeError(
        f"Engines of cluster {engines.name!r} still work ({', '.join(map(str, busy))}): wait for the run that uses "
        "them (run.wait()), stop it (run.stop(), stop_dask(engines)), or `%ipcluster restart`."
    )


def engine_facts(engines: Engines, ids: Sequence[int]) -> list[EngineFacts]:
    """What each engine is, by rank; the engines are ready to be stopped afterwards."""
    try:
        return engines.client[list(ids)].apply_async(communicator.describe, engines.address).get(timeout=30)
    except (TimeoutError, ipyparallel.TimeoutError) as error:
        raise RuntimeError(f"Engines {', '.join(map(str, ids))} do not answer: see `%ipcluster logs`.") from error
    except (ipyparallel.RemoteError, ipyparallel.CompositeError) as error:
        raise RuntimeError(
            f"calolab does not work on the engines ({error}): they need the same environment as this notebook."
        ) from error


def _check_versions(ids: Sequence[int], facts: Sequence[EngineFacts]) -> None:
    here = communicator.versions()
    for engine, found in zip(ids, facts, strict=True):
        missing = [name for name in ("calolab", "tensorflow", "keras") if found.versions[name] == "missing"]
        if missing:
            raise RuntimeError(f"Engine {engine} on {found.host} has no {', '.join(missing)}: install it there.")
        # Only the engines need Horovod, but all the same one.
        wanted = here | {"horovod": facts[0].versions["horovod"]}
        differing = [
            f"{n} {found.versions[n]} instead of {wanted[n]}" for n in wanted if found.versions[n] != wanted[n]
        ]
        if differing:
            raise RuntimeError(
                f"Engine {engine} on {found.host} has {', '.join(differing)}: start the engines from this environment."
            )


def arrange_meetings(
    engines: Engines, ids: Sequence[int], facts: Sequence[EngineFacts]
) -> tuple[list[Meeting | None], str]:
    """How each rank finds the others, and that in words; opens the rendezvous on rank 0's engine for Gloo."""
    if len(ids) == 1:
        return [None], "one engine by itself"
    controller = communicator.choose_controller(facts)
    hosts = tuple(engine.host for engine in facts)
    common = {"controller": controller, "size": len(ids), "hosts": hosts}
    if controller == "gloo":
        addresses = [engine.address for engine in facts]
        opened = engines.client[ids[0]].apply_async(communicator.open_rendezvous, hosts, addresses)
        common |= {"address": addresses[0], "port": opened.get(timeout=30)}
        note = "Horovod over Gloo"
    else:
        common["mpi_ranks"] = tuple(engine.mpi_rank for engine in facts)
        note = "Horovod over MPI"
    return [Meeting(rank=rank, **common) for rank in range(len(ids))], note


def _pack(gan) -> np.ndarray:
    """A GAN as bytes: engines need no file of ours."""
    with tempfile.TemporaryDirectory() as folder:
        gan.save(Path(folder, "sent.gan"))
        return np.frombuffer(Path(folder, "sent.gan").read_bytes(), dtype=np.uint8)


def _unpack(networks: np.ndarray):
    from calolab import models

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "received.gan")
        path.write_bytes(np.asarray(networks).tobytes())
        return models.load(path)


def _digest(weights: dict[str, list[np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for arrays in weights.values():
        for array in arrays:
            digest.update(array.tobytes())
    return digest.hexdigest()


def choose_device(meeting: Meeting | None) -> None:
    """One GPU per rank, taken in turn; ranks that share one must not take all its memory."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        chosen = tf.config.get_visible_devices("GPU")
        # An engine keeps the GPU of its first training: TensorFlow cannot change it afterwards.
        mine = chosen[0] if len(chosen) == 1 else gpus[(meeting.local_rank if meeting else 0) % len(gpus)]
        # Where TensorFlow has settled already (an earlier training, or the user's own code), it stays as it is.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices(mine, "GPU")
            tf.config.experimental.set_memory_growth(mine, True)
