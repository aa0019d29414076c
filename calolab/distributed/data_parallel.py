"""Data-parallel training: every engine is a rank with a shard of the events; gradients are averaged over all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from calolab.distributed import communicator, shipment
from calolab.distributed.cluster import Engines
from calolab.distributed.communicator import Meeting
from calolab.distributed.elastic import ElasticRun, check_elastic
from calolab.distributed.roll_call import arrange_meetings, check_idle, check_versions, engine_facts
from calolab.distributed.training_run import TrainingRun
from calolab.interrupts import postponed
from calolab.samples import Sample, steps_per_epoch
from calolab.training.history import Progress
from calolab.training.selection import PhysicsScore, check_physics_score
from calolab.training.time_limit import check_time_limit

MOMENT = 1e-3  # seconds: a time limit that has passed, so that one more step ends the training
REPORT_EVERY = 0.25  # seconds between a rank's reports
FUNCTIONS = "The callbacks and the physics score"
LOOK_TAKES = 120.0  # seconds at most, for an engine that may have to load TensorFlow first


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
    """

    meeting: Meeting | None
    options: dict
    space: object = None
    origin: object = None
    stream: object = None


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training needs on whichever engines it runs: the arguments of `fit`, with the code in it as bytes.

    Args:
        networks: of `shipment.pack_gan`.
        judge, others: the callbacks and the physics score, as `shipment.pack` gives them, of rank 0 and of other ranks.
    """

    engines: Engines
    gan: object
    data: object
    networks: np.ndarray
    options: dict
    judge: np.ndarray
    others: np.ndarray
    settings: dict


def fit(
    engines: Engines,
    gan,
    data,
    *,
    epochs: int,
    batch_size: int = 128,
    global_batch: int | None = None,
    precision: str = "float32",
    seed: int = 0,
    recipe=None,
    physics_score=None,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    time_limit: float | None = None,
    callbacks: Sequence[Callable[[Progress], None]] = (),
    progress: bool = True,
    ranks: int | None = None,
    elastic: bool = False,
    min_ranks: int = 1,
) -> TrainingRun | ElasticRun:
    """Train a GAN on all engines together; returns at once.

    Every engine holds the networks and a shard of the events, and takes the same steps; gradients are averaged over all
    events of a step by Horovod. Engines need not see the client's files, except those of an `EventStream`. Where ranks
    meet, only this cluster's engines are answered; but Gloo's data sockets, over which gradients and weights then pass
    between machines, are neither encrypted nor authenticated: train over networks that you trust.

    An elastic training goes on, from its last checkpoint and with the same global batches, when engines die, and takes
    in those that `scale` or `restart` bring at the end of an epoch. Rank 0 writes the checkpoints, and whichever engine
    is rank 0 next reads them: the folder must be on a file system that all engines share, or all on one machine. This
    process drives it: without it (a kernel that died) the ranks train on until one dies, and `resume=True` goes on from
    there. Any other training stops when its process has ended, since nobody could collect its weights: after its epoch
    with `checkpoints`, from which `resume=True` goes on, else after the cluster's idle time.

    Args:
        engines: from `distributed.start`, `%ipcluster start` or `distributed.cluster`.
        gan: the networks to start from; `TrainingRun.wait` puts the trained weights into them.
        data: all events: a `Sample`, whose shards are sent, or an `EventStream`, whose files the engines read.
        epochs, precision, seed, recipe, resume: as for `training.fit`.
        time_limit: as for `training.fit`, from when the ranks have met; of an elastic training, for all of it together,
            interruptions included.
        physics_score: as for `training.fit`; its function is sent to rank 0's engine with all that it refers to.
        batch_size: events per rank and pass.
        global_batch: events of all ranks per pass; by default `batch_size` times the ranks at the start.
        checkpoints: folder for checkpoints, which rank 0's engine writes and reads.
        callbacks: functions of a `Progress`, called on the engines after every step; they are sent like the score.
        progress: whether `TrainingRun.wait` shows a progress bar.
        ranks: how many of the engines take part, the first ones; all by default.
        elastic: whether to go on when engines die; needs `checkpoints`.
        min_ranks: fewer ranks than this do not go on.

    Raises:
        ValueError: if there are fewer events than ranks, or fewer engines, the time limit is not positive, or an
            elastic training has no checkpoints.
        TypeError: if the networks, the physics score or a callback cannot be sent.
        RuntimeError: if no engine is there, one is busy or does not answer, or versions or Horovod do not fit.
    """
    check_time_limit(time_limit)
    check_physics_score(physics_score)
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
    steps_per_epoch(len(data), batch_size, len(ids), global_batch)  # refuses too few events
    folder = None if checkpoints is None else str(Path(checkpoints).absolute())
    if elastic:
        check_elastic(len(ids), min_ranks, folder)
        global_batch = global_batch or _former_batch(engines, ids, folder, resume) or batch_size * len(ids)
    callbacks = tuple(callbacks)
    plan = Plan(
        engines=engines,
        gan=gan,
        data=data,
        networks=shipment.pack_gan(gan),
        options={
            "epochs": epochs,
            "batch_size": batch_size,
            "global_batch": global_batch,
            "precision": precision,
            "seed": seed,
            "recipe": recipe,
            "checkpoints": folder,
            "time_limit": time_limit,
        },
        judge=shipment.pack((callbacks, physics_score), FUNCTIONS),
        others=shipment.pack((callbacks, physics_score and PhysicsScore(_unasked, physics_score.by)), FUNCTIONS),
        settings={
            "checkpoints": folder,
            "progress": progress,
            "judged_by": "" if physics_score is None else physics_score.by,
            "elastic": elastic,
            "labels": {name: [float(column.min()), float(column.max())] for name, column in columns.items()},
        },
    )
    start = partial(_start, plan)
    if not elastic:
        return start(ids, resume)
    most = min(len(data), global_batch) if ranks is None else ranks
    return ElasticRun(start, partial(_look, engines, folder), ids, resume, min_ranks, most)


def _start(plan: Plan, ids: Sequence[int], resume: bool, spent: float = 0.0) -> TrainingRun:
    """Start the ranks of a training on these engines; `spent` of its time limit has passed [s]."""
    engines = plan.engines
    check_idle(engines, ids)
    facts = engine_facts(engines, ids)
    check_versions(ids, facts)
    meetings, note = arrange_meetings(engines, ids, facts)
    limit = plan.options["time_limit"]
    if limit is not None and spent > 0:
        limit = max(limit - spent, MOMENT)
    results = []
    with postponed():  # half done, it would leave ranks at work that nobody knows of
        try:
            for rank, engine in enumerate(ids):
                shard = plan.data.shard(rank, len(ids))
                options = {**plan.options, "resume": resume, "time_limit": limit}
                job, arrays = Job(meetings[rank], options), {}
                if isinstance(shard, Sample):
                    job = replace(job, space=shard.space, origin=shard.origin)
                    # As plain arrays beside the job, they are sent without a copy.
                    arrays = {"values": np.ascontiguousarray(shard.values), "labels": dict(shard.labels)}
                else:
                    job = replace(job, stream=shard)
                functions = plan.judge if rank == 0 else plan.others
                results.append(engines.client[engine].apply_async(train_rank, job, plan.networks, functions, **arrays))
            return TrainingRun(engines, ids, plan.gan, results, plan.settings, note)
        except BaseException:
            sent = [engine for engine in ids[: len(results)] if engine in engines.client.ids]
            if sent:
                engines.client.send_signal(int(signal.SIGUSR1), targets=sent, block=False)
            raise


def _look(engines: Engines, folder: str, engine: int) -> dict | None:
    """What the checkpoint in a folder says of itself, as an engine sees it; None if there is none."""
    return engines.client[engine].apply_async(look_at_checkpoint, folder).get(timeout=LOOK_TAKES)


def _former_batch(engines: Engines, ids: Sequence[int], folder: str, resume: bool) -> int | None:
    """Events of all ranks per pass in the training that is resumed, whatever number of ranks it had."""
    if not resume:
        return None
    check_idle(engines, ids)
    found = _look(engines, folder, ids[0])
    return found and found["global_batch"]


def look_at_checkpoint(folder: str) -> dict | None:
    """Run on an engine: epochs done and events of all ranks per pass, of the checkpoint in a folder; None without one.

    Raises:
        ValueError: if it is damaged.
    """
    from calolab.training import checkpoints

    header = checkpoints.read_header(folder)
    return header and {"epoch": header["standing"]["epoch"], "global_batch": checkpoints.global_batch(header)}


def train_rank(job: Job, networks: np.ndarray, functions: np.ndarray, values=None, labels=None) -> dict:
    """Run on an engine: one rank of a training, from the meeting of the ranks to its outcome.

    Args:
        job: what to do.
        networks: the GAN, as `shipment.pack_gan` gives it.
        functions: the callbacks and the physics score, as `shipment.pack` gives them.
        values, labels: of this rank's `Sample`.

    Returns:
        `history`, `digest` of all weights, `diverged` (the reason, or empty); from rank 0 also `weights`, `provenance`.

    Raises:
        RanksLost: if another rank has gone.
        ValueError: if networks or functions need something that this engine lacks.
    """
    from calolab import training

    rank = 0 if job.meeting is None else job.meeting.rank
    choose_device(job.meeting)  # before the networks: TensorFlow settles on its devices with the first variable
    gan = shipment.unpack_gan(networks)
    callbacks, physics_score = shipment.unpack(functions, FUNCTIONS)
    data = job.stream if values is None else Sample(np.asarray(values), labels, job.space, job.origin)
    report = _Report(partial(training.Snapshots.of, gan, data, job.options["seed"]))
    parallel = None if job.meeting is None else communicator.Communicator(job.meeting)
    history, diverged = None, ""
    try:
        history = training.fit(
            gan,
            data,
            **job.options,
            physics_score=physics_score,
            callbacks=(report, *callbacks),
            parallel=parallel,
            should_stop=communicator.stop_asked.is_set,
            should_pause=communicator.pause_asked.is_set,
            on_epoch=report.end_epoch if rank == 0 else None,
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
    """Sends a rank's progress to the client a few times per second; from rank 0 also the losses and what an epoch left.

    Args:
        make_snapshots: makes the `Snapshots` of rank 0, once an epoch has ended.
    """

    def __init__(self, make_snapshots: Callable):
        self.latest, self.losses, self.chunks, self.sent = None, [], 0, 0.0
        self.make_snapshots, self.snapshots = make_snapshots, None

    def __call__(self, progress: Progress) -> None:
        self.latest = progress
        if progress.rank == 0:
            self.losses.append({"epoch": progress.epoch, "step": progress.step, **progress.losses})
        if time.monotonic() - self.sent > REPORT_EVERY:
            self.flush()

    def end_epoch(self, epochs: Sequence[Mapping], gan) -> None:
        """Send the scores of all epochs so far and an event generated after the last one."""
        from ipyparallel.engine.datapub import publish_data

        scores = [{"epoch": epoch["epoch"], "scores": dict(epoch.get("scores", {}))} for epoch in epochs]
        self.snapshots = self.snapshots or self.make_snapshots()
        event = self.snapshots.take(gan)
        publish_data({"example": self.snapshots.example, "epochs": scores, f"event {scores[-1]['epoch']}": event})

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
        mine = gpu_of_rank(gpus, tf.config.get_visible_devices("GPU"), meeting.local_rank if meeting else 0)
        # Where TensorFlow has settled already (an earlier training, or the user's own code), it stays as it is.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices(mine, "GPU")
            tf.config.experimental.set_memory_growth(mine, True)


def gpu_of_rank(gpus: Sequence, visible: Sequence, local_rank: int):
    """The GPU for a rank.

    Args:
        gpus: those of its machine.
        visible: those that TensorFlow sees.
        local_rank: the rank's number among those on its machine.
    """
    # An engine keeps the GPU of its first training: TensorFlow cannot change it afterwards.
    return visible[0] if len(visible) == 1 else gpus[local_rank % len(gpus)]
