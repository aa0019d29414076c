"""Where the time of training steps goes: stamps on the steps that a training takes, and on averages over the ranks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import tensorflow as tf

from calolab.models import GAN
from calolab.samples import steps_per_epoch
from calolab.training import resumption, trainer
from calolab.training.draws import order_seed
from calolab.training.precision import computing_in
from calolab.training.ranks import Alone


class StepTimer:
    """The steps of a training, taken in portions, with a stamp before and after each average over the ranks.

    On a GPU the stamps say when work was put into its queue, which is before it was done.

    Args:
        gan: the networks; they learn.
        data: this rank's events, which are taken again and again; as many as several batches hold exactly.
        batch_size, precision, seed, recipe, parallel: as for `training.fit`.
    """

    def __init__(
        self, gan: GAN, data, *, batch_size: int, precision: str = "float32", seed: int = 0, recipe=None, parallel=None
    ):
        self._stamped = _Stamped(parallel or Alone())
        self._precision = precision
        self._run = trainer.prepare(
            gan,
            data,
            epochs=1,
            batch_size=batch_size,
            precision=precision,
            seed=seed,
            recipe=recipe,
            parallel=self._stamped,
        )
        self._standing, _ = resumption.begin(self._run, resume=False)

    @property
    def averaged_bytes(self) -> tuple[int, ...]:
        """Size of what each pass averages over the ranks, in the order of a step's passes, once they have run."""
        kinds = self._run.recipe.passes
        return tuple(self._stamped.sizes[list(dict.fromkeys(kinds)).index(kind)] for kind in kinds)

    def take(self, steps: int, batch_size: int | None = None) -> np.ndarray:
        """Take so many steps.

        Args:
            steps: how many.
            batch_size: events per rank and pass, if other than before.

        Returns:
            Unix seconds of shape `(step, 2 + 2 * passes)`: the step's beginning, then for every pass when this rank
            had its gradients and when it had their average, then the step's end.
        """
        run, standing, rows = self._sized(batch_size), self._standing, []
        together = run.batch_size * run.recipe.discriminator_passes
        with computing_in(self._precision, run.gan.generator, run.gan.discriminator):
            while len(rows) < steps:
                batches = run.data.batches(together, order_seed(run.seed, run.parallel.rank, len(rows)), run.steps)
                began = time.time()
                for batch in islice(batches, steps - len(rows)):
                    self._stamped.stamps.clear()
                    trainer.take_step(run, batch, standing, lambda: False)
                    standing.count_step(together * run.parallel.size, 0.0, timed=False)
                    ended = time.time()
                    rows.append([began, *self._stamped.stamps, ended])
                    began = ended
                standing.step = 0
        return np.array(rows)

    def _sized(self, batch_size):
        run, size = self._run, self._stamped.size
        if batch_size is None:
            return run
        together = batch_size * size * run.recipe.discriminator_passes
        steps = steps_per_epoch(run.events, batch_size * run.recipe.discriminator_passes, size, together)
        return replace(run, batch_size=batch_size, global_batch=batch_size * size, steps=steps)


def timed_averages(parallel, sizes: Sequence[int], repeats: int) -> np.ndarray:
    """How long the ranks take to average a vector, once all of them are there [s].

    Args:
        parallel: as for `training.fit`.
        sizes: bytes of the vectors, each a multiple of 4.
        repeats: how often each is averaged.

    Returns:
        Seconds on this rank, shape `(size, repeat)`.
    """

    def measured(size):
        stamped, vector = _Stamped(parallel), tf.ones(size // 4)

        @tf.function(autograph=False)
        def average():
            # The first one returns when the last rank has come to it.
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
    """Ranks whose averages inside compiled functions leave a stamp before and after."""

    def __init__(self, parallel):
        self.rank, self.size, self._parallel = parallel.rank, parallel.size, parallel
        self.broadcast = parallel.broadcast
        self.stamps: list[float] = []
        self.sizes: list[int] = []

    def average(self, tensors: Sequence) -> list:
        """As `parallel.average`; in a compiled function with stamps."""
        if tf.executing_eagerly():
            return self._parallel.average(tensors)
        self.sizes.append(sum(int(np.prod(tensor.shape)) * tensor.dtype.size for tensor in tensors))
        with tf.control_dependencies(tensors):
            before = tf.timestamp()
        with tf.control_dependencies([before]):
            means = self._parallel.average([tf.identity(tensor) for tensor in tensors])
        with tf.control_dependencies(means):
            after = tf.timestamp()
        # The clock was read in the graph: this call may come to its turn later.
        tf.numpy_function(self._note, [before, after], [])
        return means

    def _note(self, before, after):
        self.stamps += [float(before), float(after)]
