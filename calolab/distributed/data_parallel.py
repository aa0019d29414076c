"""Data-parallel training: each engine is a rank with a shard of the events, and gradients are averaged over all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from calolab.cluster import calls, on_engine, time_limits
from calolab.cluster.engines import Engines
from calolab.distributed import rank, shipment
from calolab.distributed.elastic import ElasticRun, check_elastic
from calolab.distributed.meeting import Meeting, arrange_meetings, check_idle, check_versions, engine_facts
from calolab.distributed.runs import RunOptions, TrainingRun
from calolab.interrupts import postponed
from calolab.samples import Sample, steps_per_epoch
from calolab.training.request import PhysicsScore, TrainingRequest, check_data, takes_request

PASSED = 1e-3  # seconds: used when the time limit has already passed; the training then ends after one step


@dataclass(frozen=True, eq=False)
class PackedTraining:
    """The arguments of `fit`, prepared for any engines; networks and functions are bytes.

    Args:
        engines, gan, data: as for `fit`.
        networks: from `shipment.pack_gan`.
        request: the arguments of the training, without the callbacks and the function of the physics score.
        functions, other_functions: the callbacks and the physics score, as `shipment.pack` returns them, for rank 0 and
            for the other ranks.
        options: the arguments that this process keeps.
    """

    engines: Engines
    gan: object
    data: object
    networks: np.ndarray
    request: TrainingRequest
    functions: np.ndarray
    other_functions: np.ndarray
    options: RunOptions


@takes_request
def fit(
    engines: Engines,
    gan,
    data,
    *,
    progress: bool = True,
    ranks: int | None = None,
    elastic: bool = False,
    min_ranks: int = 1,
    **keywords,
) -> TrainingRun | ElasticRun:
    """Train a GAN on several engines; returns immediately.

    Every engine has the networks and a shard of the events and executes the same steps; Horovod averages the gradients
    over all events of a step. Engines do not need the client's files, except those of an `EventStream`. The rendezvous
    answers only this cluster's engines, but Gloo's sockets, over which gradients and weights are sent between machines,
    are neither encrypted nor authenticated: train only over networks that you trust.

    An elastic training continues when engines die, from its last checkpoint and with the same global batches, and at
    the end of an epoch adds engines that `scale` or `restart` have started. Rank 0 writes the checkpoints, which
    any engine may have to read: the folder must be on a shared file system, or all engines on one machine. An elastic
    training is controlled by this process: if it ends, the ranks continue until one dies, and `resume=True` continues
    from the last checkpoint. Any other training is stopped when this process has ended, because its weights could not
    be collected: after the current epoch with `checkpoints`, and after the cluster's idle time without.

    Args:
        engines: from `cluster.start`, `%ipcluster start` or `cluster.running`.
        gan: the networks to start from; `TrainingRun.wait` puts the trained weights into them.
        data: all events: a `Sample`, whose shards are sent, or an `EventStream`, whose files the engines read.
        epochs, precision, seed, recipe, score_every, patience, resume: as for `training.fit`.
        time_limit: as for `training.fit`, counted from the time at which the ranks are connected; for an elastic
            training, it includes interruptions.
        physics_score: as for `training.fit`; its function is sent to rank 0's engine with everything it refers to.
        batch_size: events per rank and pass.
        global_batch: events of all ranks per pass; by default `batch_size` times the number of ranks at the start.
        checkpoints: folder for checkpoints, written and read by rank 0's engine.
        callbacks: functions of a `Progress`, called on the engines after every step; they are sent like the score.
        progress: whether `TrainingRun.wait` shows a progress bar.
        ranks: number of engines to use, those with the lowest ids; by default all.
        elastic: whether to continue when engines die; needs `checkpoints`.
        min_ranks: minimum number of ranks with which an elastic training continues.
        **keywords: the arguments from `epochs` to `callbacks` above.

    Raises:
        ValueError: if there are fewer events or engines than ranks, the time limit is not positive, or an
            elastic training has no checkpoints.
        TypeError: if the networks, the physics score or a callback cannot be sent.
        RuntimeError: if there is no engine, one is busy or does not answer, or versions or Horovod are incompatible.
    """
    request = TrainingRequest(**keywords)
    ids = engines.ids
    if not ids:
        raise RuntimeError(f"Cluster {engines.name!r} has no engines: start it again with `%ipcluster start`.")
    if ranks is not None and not 1 <= ranks <= len(ids):
        raise ValueError(f"ranks expects 1 to {len(ids)}, the engines that are alive; received {ranks}.")
    ids = ids[:ranks]
    labels = check_data(gan, data)
    steps_per_epoch(len(data), request.batch_size, len(ids), request.global_batch)  # refuses too few events
    folder = None if request.checkpoints is None else str(Path(request.checkpoints).absolute())
    global_batch = request.global_batch
    if elastic:
        check_elastic(len(ids), min_ranks, folder)
        global_batch = (
            global_batch or _former_batch(engines, ids, folder, request.resume) or request.batch_size * len(ids)
        )
    callbacks, physics_score = request.callbacks, request.physics_score
    other_score = physics_score and PhysicsScore(_not_rank_0, physics_score.by)
    if not request.resume:
        request.recipe_for(gan)  # refuses a recipe that the engines would refuse, too
    training = PackedTraining(
        engines=engines,
        gan=gan,
        data=data,
        networks=shipment.pack_gan(gan),
        request=replace(
            request, global_batch=global_batch, checkpoints=folder, physics_score=other_score, callbacks=()
        ),
        functions=shipment.pack((callbacks, physics_score), rank.FUNCTIONS),
        other_functions=shipment.pack((callbacks, other_score), rank.FUNCTIONS),
        options=RunOptions(
            checkpoints=folder,
            judged_by="" if physics_score is None else physics_score.by,
            labels={name: (float(column.min()), float(column.max())) for name, column in labels.items()},
            elastic=elastic,
            shows_progress=progress,
        ),
    )
    start = partial(_start, training)
    if not elastic:
        return start(ids, request.resume)
    max_ranks = min(len(data), global_batch) if ranks is None else ranks
    return ElasticRun(start, partial(_read_header, engines, folder), ids, request.resume, min_ranks, max_ranks)


def _start(training: PackedTraining, ids: Sequence[int], resume: bool, spent: float = 0.0) -> TrainingRun:
    """Start the ranks of a training on these engines, when `spent` of its time limit has passed [s]."""
    engines = training.engines
    check_idle(engines, ids)
    facts = engine_facts(engines, ids)
    check_versions(ids, facts)
    meetings, note = arrange_meetings(engines, ids, facts)
    limit = training.request.time_limit
    if limit is not None and spent > 0:
        limit = max(limit - spent, PASSED)
    with postponed():  # an interrupt half-way would leave ranks running that nothing follows
        arguments = _arguments(training, meetings, resume, limit)
        answers = calls.send(engines.client, ids, rank.train, arguments, revoke=on_engine.STOP)
        try:
            return TrainingRun(engines, ids, training.gan, answers, training.options, note)
        except BaseException:
            calls.send_signal(engines.client, on_engine.STOP, ids)
            raise


def _arguments(
    training: PackedTraining, meetings: Sequence[Meeting | None], resume: bool, limit: float | None
) -> Iterator[tuple]:
    """The arguments of `rank.train` on each rank; shards are made one after the other."""
    request = replace(training.request, resume=resume, time_limit=limit)
    for number, meeting in enumerate(meetings):
        shard = training.data.shard(number, len(meetings))
        functions = training.functions if number == 0 else training.other_functions
        task = rank.RankTask(meeting, request)
        if isinstance(shard, Sample):
            task = replace(task, space=shard.space, origin=shard.origin)
            # As plain arrays, separate from the task, they are sent without a copy.
            values, labels = np.ascontiguousarray(shard.values), dict(shard.labels)
            yield task, training.networks, functions, values, labels
        else:
            yield replace(task, stream=shard), training.networks, functions


def _read_header(engines: Engines, folder: str, engine: int) -> dict | None:
    """The header of the checkpoint in a folder, as an engine sees it; None if there is none."""
    limit = time_limits.CHECKPOINT_READ_WITHIN
    return calls.gather(engines.client, [engine], rank.read_header, [(folder,)], timeout=limit)[0]


def _former_batch(engines: Engines, ids: Sequence[int], folder: str, resume: bool) -> int | None:
    """Events of all ranks per pass in the training to resume, for any number of ranks."""
    if not resume:
        return None
    check_idle(engines, ids)
    found = _read_header(engines, folder, ids[0])
    return found and found["global_batch"]


def _not_rank_0(gan):
    """The physics score of the ranks that do not compute it."""
    raise RuntimeError("Only rank 0 computes the physics score.")
