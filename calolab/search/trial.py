"""The argument of a training function: parameters and data of its trial, reports, and a connected `fit`."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from calolab.cluster import on_engine
from calolab.distributed import horovod
from calolab.distributed.rank import choose_device
from calolab.scores import Score, named_scores
from calolab.search.trials import TrialLog, trial_folder
from calolab.training.history import OUT_OF_TIME, History
from calolab.training.request import PhysicsScore, TrainingRequest

BEST = "best.gan"
SET_BY_SEARCH = ("checkpoints", "resume", "parallel", "should_stop", "progress")  # arguments of `training.fit`


class TrialDiverged(RuntimeError):
    """The metric of a trial is not finite."""


class TrialContext:
    """One trial, as seen by its training function on an engine.

    Args:
        task: the trial (`worker.TrialTask`).
        data: data of the search; the same object for all trials on this engine, so do not change it.
        lines: the trial's file (`worker.TrialLines`).

    Attributes:
        interruptible: whether a stop request may interrupt the current work immediately.
        divergence: why the metric is not finite; empty if it is.
    """

    def __init__(self, task, data, lines):
        self._task, self._lines, self._parallel = task, lines, None
        self.data, self.interruptible, self.divergence = data, False, ""
        self._best, self._last = math.inf, 0
        if task.resume and self.rank == 0:
            log = TrialLog(lines.path)
            log.read()
            values = [self._rated(epoch) for epoch in log.records() if task.metric in epoch]
            self._best = min(values, default=math.inf)

    @property
    def number(self) -> int:
        """The trial's number, from 0."""
        return self._task.number

    @property
    def parameters(self) -> dict:
        """The values proposed by the search, by name."""
        return dict(self._task.parameters)

    @property
    def epochs(self) -> int:
        """Total number of epochs; promotion increases it."""
        return self._task.epochs

    @property
    def attempt(self) -> int:
        """How often this trial was started, from 1."""
        return self._task.attempt

    @property
    def resume(self) -> bool:
        """Whether to continue the last attempt, if it has left a checkpoint in `folder`."""
        return self._task.resume

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self._task.seed

    @property
    def folder(self) -> Path:
        """The folder of this trial for any files, on the engine's machine."""
        return trial_folder(self._task.folder, self._task.number)

    @property
    def rank(self) -> int:
        """Rank of this engine among those of the trial."""
        return 0 if self._task.meeting is None else self._task.meeting.rank

    @property
    def size(self) -> int:
        """Number of engines of the trial."""
        return 1 if self._task.meeting is None else self._task.meeting.size

    def should_stop(self) -> bool:
        """Whether a stop was requested: return soon, otherwise the trial is interrupted after two seconds."""
        return on_engine.stop_requested.is_set()

    def report(self, epoch: int, **metrics: float | Score) -> None:
        """Record metrics of an epoch; further calls for the same epoch add to it.

        Args:
            epoch: number of the epoch, from 0.
            metrics: numbers or scores by name; the search optimises the one that is its metric.

        Raises:
            TypeError: if a metric is not a number.
            TrialDiverged: if the search's metric is not finite; the trial then ends as failed.
        """
        scores = {name: value for name, value in metrics.items() if isinstance(value, Score)}
        metrics |= {name: score.value for name, score in scores.items()}
        for name, value in metrics.items():
            if not isinstance(value, numbers.Real) and getattr(value, "shape", None) != ():
                raise TypeError(f"trial.report expects numbers, received {name}={value!r}.")
        measured = {name: float(value) for name, value in metrics.items()}
        self._last = int(epoch)
        scored = {"scored": {name: score.to_dict() for name, score in scores.items()}} if scores else {}
        self._lines.append(epoch=self._last, **measured, **scored)
        metric = self._task.metric
        if metric in measured and not math.isfinite(measured[metric]):
            self.divergence = f"The trial diverged: {metric} is {measured[metric]} in epoch {self._last + 1}."
            raise TrialDiverged(self.divergence)

    def fit(self, gan, data=None, *, on_epoch: Callable | None = None, **keywords) -> History:
        """`training.fit` connected to the search.

        It reports every epoch, saves checkpoints and the GAN of the best epoch, stops on request, continues after a
        promotion or the loss of an engine, and trains on all ranks of the trial.

        Args:
            gan: the networks to train.
            data: all events, a `Sample` or `EventStream`; by default those of the search. Each rank uses its shard.
            on_epoch: as for `training.fit`.
            **keywords: the fields of a `TrainingRequest`, except `checkpoints` and `resume`; by default `epochs` and
                `seed` are those of the search. Do not set `epochs`, which promotion changes. `time_limit` applies to
                each attempt; the losses of an incomplete last epoch are reported.

        Returns:
            The `History`.

        Raises:
            ValueError, TypeError: as for `TrainingRequest`, or for a keyword that the search sets.
        """
        from calolab import training
        from calolab.training.checkpoints import FILE
        from calolab.training.ranks import Alone, from_rank_0

        if refused := sorted(set(SET_BY_SEARCH) & set(keywords)):
            raise TypeError(f"trial.fit sets {', '.join(refused)} itself: leave it out.")
        request = TrainingRequest(**{"epochs": self.epochs, "seed": self.seed, **keywords})
        data = self.data if data is None else data
        epochs, score = _Epochs(self, gan), request.physics_score
        # Only rank 0 reads and writes the checkpoints.
        parallel = self._parallel or Alone()
        resume = from_rank_0(parallel, lambda: bool(self.resume and os.path.isfile(self.folder / FILE)))
        request = replace(
            request,
            physics_score=score and PhysicsScore(epochs.reporting(score.score), score.by),
            callbacks=(epochs.count, *request.callbacks),
            checkpoints=str(self.folder),
            resume=resume,
        )
        try:
            history = training.fit(
                gan,
                data if self.size == 1 else data.shard(self.rank, self.size),
                request=request,
                parallel=self._parallel,
                should_stop=self.should_stop,
                on_epoch=epochs.ending(on_epoch),
                progress=False,
            )
        except training.TrainingDiverged as error:
            self.divergence = f"The trial diverged: {error}"
            raise
        if history.reason == OUT_OF_TIME and history.unfinished is not None:
            epochs.close(history.unfinished)
        return history

    def join(self) -> None:
        """Connect to the other ranks, if there are any."""
        if self._task.meeting is not None:
            choose_device(self._task.meeting)
            self._parallel = horovod.Communicator(self._task.meeting)

    def leave(self) -> None:
        """Leave the other ranks."""
        if self._parallel is not None:
            self._parallel.shutdown()

    def conclude(self, returned) -> None:
        """Record what the training function has returned: nothing, the metric, or numbers by name."""
        if isinstance(returned, Mapping):
            self.report(self._last, **returned)
        elif isinstance(returned, numbers.Real) and not isinstance(returned, bool):
            self.report(self._last, **{self._task.metric: returned})

    def keep(self, gan, measured: Mapping[str, float]) -> None:
        """Write the GAN into the trial's folder if this epoch is the best so far.

        Args:
            gan: the GAN at the end of the epoch.
            measured: the metrics of the epoch, by name.
        """
        from calolab.training.precision import computing_in

        if self.rank == 0 and self._task.metric in measured and self._rated(measured) < self._best:
            self._best = self._rated(measured)
            # A file has the precision in which it was saved.
            with computing_in("float32", *gan.networks.values()):
                gan.save(self.folder / BEST)

    @contextmanager
    def may_interrupt(self):
        """In the block, a stop request interrupts immediately."""
        self.interruptible = True
        try:
            if self.should_stop():  # requested before the block
                raise KeyboardInterrupt
            yield
        finally:
            self.interruptible = False

    def _rated(self, epoch: Mapping) -> float:
        """The metric, with the sign for which smaller is better."""
        value = epoch[self._task.metric]
        return value if self._task.direction == "minimize" else -value


class _Epochs:
    """Losses of the epochs of one training, reported with their scores at the end of each epoch."""

    def __init__(self, trial: TrialContext, gan):
        self._trial, self._gan = trial, gan
        self._epoch, self._steps, self._sums, self._losses = 0, 0, {}, {}

    def count(self, progress) -> None:
        """Add the losses of a step; report those of a complete epoch before its score, which a stop may interrupt."""
        if progress.epoch != self._epoch:
            self._epoch, self._steps, self._sums = progress.epoch, 0, {}
        self._steps += 1
        for name, value in progress.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if progress.step + 1 == progress.steps:
            self._losses = {name: total / self._steps for name, total in self._sums.items()}
            self._trial.report(self._epoch, **self._losses)

    def ending(self, on_epoch: Callable | None) -> Callable:
        """The function for the end of each epoch, which also keeps the GAN if the losses are the best so far.

        Only then, unlike after the last step, has it the averaged weights with which it is used.
        """

        def ended(epochs, gan):
            self._trial.keep(gan, self._losses)
            if on_epoch is not None:
                on_epoch(epochs, gan)

        return ended

    def close(self, unfinished: Mapping) -> None:
        """Report the mean losses of an epoch that the time limit has ended early."""
        self._epoch = unfinished["epoch"]
        self._report(unfinished["losses"])

    def reporting(self, score: Callable) -> Callable:
        """The physics score, which also reports its values."""

        def scored(gan):
            with self._trial.may_interrupt():
                scores = named_scores(score(gan))
            self._report(scores)
            return scores

        return scored

    def _report(self, measured: Mapping[str, float | Score]) -> None:
        self._trial.report(self._epoch, **measured)
        self._trial.keep(self._gan, {name: score.value for name, score in named_scores(measured).items()})
