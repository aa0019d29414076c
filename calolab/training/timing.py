"""Timing of training steps: when each step, its passes and their averages over the ranks begin and end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import tensorflow as tf

from calolab.models import GAN
from calolab.training import loop, trainer
from calolab.training.inputs import order_seed
from calolab.training.precision import computing_in
from calolab.training.ranks import Alone
from calolab.training.request import TrainingRequest

_UNUSED = ("physics_score", "checkpoints", "resume", "time_limit", "callbacks")  # fields of a request


class StepTimer:
    """Takes training steps and records a time stamp before and after each average over the ranks.

    On a GPU the stamps are the times at which work was put into its queue, which is before it was done.

    Args:
        gan: the networks; they learn.
        data: this rank's events, which are used repeatedly; a multiple of the events of a batch.
        request: batch size or global batch, precision, seed and recipe; its epochs do not matter.
        parallel: as for `training.fit`.

    Raises:
        ValueError: as for `training.fit`, or if the request has checkpoints or other fields that no step uses.
    """

    def __init__(self, gan: GAN, data, request: TrainingRequest, parallel=None):
        if unused := [name for name in _UNUSED if getattr(request, name)]:
            raise ValueError(f"StepTimer takes single steps: leave {', '.join(unused)} out of the request.")
        self._stamped = _Stamped(parallel or Alone())
        self._run = trainer.prepare(gan, data, request, self._stamped)
        self._state, _ = trainer.begin(self._run)

    @property
    def averaged_bytes(self) -> tuple[int, ...]:
        """Bytes that each pass averages over the ranks, in the order of a step's passes, once they have run."""
        kinds = self._run.part(self._state.epoch).kinds
        return tuple(self._stamped.sizes[list(dict.fromkeys(kinds)).index(kind)] for kind in kinds)

    def take(self, steps: int, batch_size: int | None = None) -> np.ndarray:
        """Take a number of steps.

        Args:
            steps: number of steps.
            batch_size: events per rank and pass, if different from those of the request.

        Returns:
            Unix time [s] of shape `(step, 2 + 2 * passes)`: the beginning of the step, then for every pass when this
            rank had its gradients and when it had their average, then the end of the step.
        """
        run, state, rows = self._sized(batch_size), self._state, []
        with computing_in(run.request.precision, *run.gan.networks.values()):
            while len(rows) < steps:
                order = order_seed(run.request.seed, run.parallel.rank, len(rows))
                batches = run.data.batches(run.batch_sizes(state.epoch), order, run.steps(state.epoch))
                began = time.time()
                for batch in islice(batches, steps - len(rows)):
                    self._stamped.stamps.clear()
                    loop.take_step(run, batch, state, lambda: False)
                    state.count_step(run.events_of_step(state.epoch), 0.0, timed=False)
                    ended = time.time()
                    rows.append([began, *self._stamped.stamps, ended])
                    began = ended
                state.step = 0
        return np.array(rows)

    def _sized(self, batch_size: int | None) -> loop.Run:
        """The training with this number of events per rank and pass."""
        if batch_size is None:
            return self._run
        return replace(self._run, request=replace(self._run.request, batch_size=batch_size, global_batch=None))


def timed_averages(parallel, sizes: Sequence[int], repeats: int) -> np.ndarray:
    """Time that the ranks take to average a vector, once all of them have reached that point.

    Args:
        parallel: as for `training.fit`.
        sizes: bytes of the vectors, each a multiple of 4.
        repeats: number of averages of each.

    Returns:
        Time on this rank [s], shape `(size, repeat)`.
    """

    def measured(size):
        stamped, vector = _Stamped(parallel), tf.ones(size // 4)

        @tf.function(autograph=False)
        def average():
            # The first average returns when the last rank has reached it.
            (ready,) = parallel.average([tf.zeros(1)])
            with tf.control_dependencies([ready]):
                return stamped.average([tf.identity(vector)])

        average()
        stamped.stamps.clear()
        for _ in range(repeats):
            average()
        return np.subtract(stamped.stamps[1::2], stamped.stamps[::2])

    return np.array([measured(size) for size in sizes])


class _Stamped:
    """Ranks whose averages inside compiled functions record a time stamp before and after."""

    def __init__(self, parallel):
        self.rank, self.size, self._parallel = parallel.rank, parallel.size, parallel
        self.broadcast = parallel.broadcast
        self.stamps: list[float] = []
        self.sizes: list[int] = []

    def average(self, tensors: Sequence) -> list:
        """As `parallel.average`; in a compiled function with time stamps."""
        if tf.executing_eagerly():
            return self._parallel.average(tensors)
        self.sizes.append(sum(int(np.prod(tensor.shape)) * tensor.dtype.size for tensor in tensors))
        with tf.control_dependencies(tensors):
            before = tf.timestamp()
        with tf.control_dependencies([before]):
            means = self._parallel.average([tf.identity(tensor) for tensor in tensors])
        with tf.control_dependencies(means):
            after = tf.timestamp()
        # The clock is read in the graph; this call may be executed later.
        tf.numpy_function(self._note, [before, after], [])
        return means

    def _note(self, before, after):
        self.stamps += [float(before), float(after)]
