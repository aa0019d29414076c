"""A rank of a training, on its engine: it connects to the others, trains with them, and reports to the client."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from calolab.cluster import on_engine, time_limits
from calolab.distributed import horovod, shipment
from calolab.distributed.meeting import Meeting
from calolab.samples import Sample
from calolab.training.history import Progress
from calolab.training.request import TrainingRequest

FUNCTIONS = "The callbacks and the physics score"


class RanksLost(RuntimeError):
    """This rank could not continue because another has ended."""


@dataclass(frozen=True)
class RankTask:
    """The input of a rank other than the events and the networks.

    Args:
        meeting: how to connect to the other ranks; None for a single rank.
        request: the arguments of the training, without the callbacks and the function of the physics score.
        space, origin: space and origin of the `Sample`, whose arrays are sent separately; None for a stream.
        stream: the `EventStream` of this rank, whose files the engine reads.
    """

    meeting: Meeting | None
    request: TrainingRequest
    space: object = None
    origin: object = None
    stream: object = None


def read_header(folder: str) -> dict | None:
    """Run on an engine: completed `epoch`s and `global_batch` of the checkpoint in a folder; None without one.

    Raises:
        ValueError: if it is damaged.
    """
    from calolab.training import checkpoints

    header = checkpoints.read_header(folder)
    return header and {"epoch": header["state"]["epoch"], "global_batch": checkpoints.global_batch(header)}


def train(task: RankTask, networks: np.ndarray, functions: np.ndarray, values=None, labels=None) -> dict:
    """Run on an engine: one rank of a training, from connecting the ranks to its outcome.

    Args:
        task: task of this rank.
        networks: the GAN, from `shipment.pack_gan`.
        functions: the callbacks and the physics score, from `shipment.pack`.
        values, labels: values and labels of this rank's `Sample`.

    Returns:
        `history`, `digest` of all weights, `diverged` (the reason, or empty); from rank 0 also `weights`, `provenance`.

    Raises:
        RanksLost: if another rank has ended.
        ValueError: if the engine lacks something that the networks or functions need.
    """
    from calolab import training

    rank = 0 if task.meeting is None else task.meeting.rank
    choose_device(task.meeting)  # before the networks: TensorFlow chooses its devices with the first variable
    gan = shipment.unpack_gan(networks)
    callbacks, physics_score = shipment.unpack(functions, FUNCTIONS)
    data = task.stream if values is None else Sample(np.asarray(values), labels, task.space, task.origin)
    report = _Report(partial(training.Snapshots.of, gan, data, task.request.seed))
    parallel = None if task.meeting is None else horovod.Communicator(task.meeting)
    history, diverged = None, ""
    try:
        history = training.fit(
            gan,
            data,
            request=task.request,
            physics_score=physics_score,
            callbacks=(report, *callbacks),
            parallel=parallel,
            should_stop=on_engine.stop_requested.is_set,
            should_pause=on_engine.pause_requested.is_set,
            on_epoch=report.end_epoch if rank == 0 else None,
            progress=False,
        )
    except training.TrainingDiverged as error:
        diverged = str(error)
    except Exception as error:
        if horovod.is_loss(error):
            raise RanksLost(f"rank {rank} has lost the connection to other ranks") from error
        raise
    finally:
        report.flush()
        if parallel is not None:
            parallel.shutdown()
    weights = {name: network.get_weights() for name, network in gan.networks.items()}
    outcome = {"history": history and history.to_dict(), "digest": _digest(weights), "diverged": diverged}
    return outcome | ({"weights": weights, "provenance": gan.provenance} if rank == 0 else {})


class _Report:
    """Sends a rank's progress to the client a few times per second; rank 0 also sends losses and epoch results.

    Args:
        make_snapshots: returns the `Snapshots` of rank 0; called once an epoch has ended.
    """

    def __init__(self, make_snapshots: Callable):
        self.latest, self.losses, self.chunks, self.sent = None, [], 0, 0.0
        self.make_snapshots, self.snapshots = make_snapshots, None

    def __call__(self, progress: Progress) -> None:
        self.latest = progress
        if progress.rank == 0:
            self.losses.append({"epoch": progress.epoch, "step": progress.step, **progress.losses})
        if time.monotonic() - self.sent > time_limits.REPORT_EVERY:
            self.flush()

    def end_epoch(self, epochs: Sequence[Mapping], gan) -> None:
        """Send the scores of all epochs so far and an event generated after the last one.

        Args:
            epochs: scores of all epochs so far.
            gan: the GAN at the end of the epoch.
        """
        scores = [{"epoch": epoch["epoch"], "scores": dict(epoch.get("scores", {}))} for epoch in epochs]
        self.snapshots = self.snapshots or self.make_snapshots()
        event = self.snapshots.take(gan)
        on_engine.publish({"example": self.snapshots.example, "epochs": scores, f"event {scores[-1]['epoch']}": event})

    def flush(self) -> None:
        """Send what has not been sent yet."""
        if self.latest is None:
            return
        # The client merges messages by key: each chunk of losses has its own key.
        message = {"progress": self.latest.to_dict()}
        if self.losses:
            message |= {f"losses {self.chunks}": self.losses, "chunks": self.chunks + 1}
            self.losses, self.chunks = [], self.chunks + 1
        on_engine.publish(message)
        self.sent = time.monotonic()


def _digest(weights: dict[str, list[np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for arrays in weights.values():
        for array in arrays:
            digest.update(array.tobytes())
    return digest.hexdigest()


def choose_device(meeting: Meeting | None) -> None:
    """Choose a GPU for each rank in turn; ranks that share one must not reserve all its memory."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        mine = gpu_of_rank(gpus, tf.config.get_visible_devices("GPU"), meeting.local_rank if meeting else 0)
        # If TensorFlow has already initialised its devices, they cannot be changed.
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
