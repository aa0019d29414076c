"""What a training function is given of its trial: parameters, data, reports, and a training wired to all of it."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from calolab.cluster import on_engine
from calolab.distributed import horovod
from calolab.search.trials import TrialLog, trial_folder

BEST = "best.gan"
WIRED = ("checkpoints", "resume", "parallel", "should_stop", "progress")  # options of `training.fit`


class TrialDiverged(RuntimeError):
    """The metric of a trial is not a number any more."""


class TrialContext:
    """One trial, as its training function sees it on an engine.

    Args:
        task: what the notebook has sent.
        data: as given to `search`; the same object for all trials on this engine, so leave it as it is.
        lines: where reports go.

    Attributes:
        breakable: whether a wish to stop may break what is being done just now.
        divergence: why the metric is not a number; empty while it is one.
    """

    def __init__(self, task, data, lines):
        self._task, self._lines, self._parallel = task, lines, None
        self.data, self.breakable, self.divergence = data, False, ""
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
        """The values that the search has proposed, by name."""
        return dict(self._task.parameters)

    @property
    def epochs(self) -> int:
        """Epochs in all; more for a trial that was promoted."""
        return self._task.epochs

    @property
    def attempt(self) -> int:
        """How often this trial was started, from 1."""
        return self._task.attempt

    @property
    def resume(self) -> bool:
        """Whether this attempt shall go on where the last one was, if it has left a checkpoint in `folder`."""
        return self._task.resume

    @property
    def seed(self) -> int:
        """The search's seed."""
        return self._task.seed

    @property
    def folder(self) -> Path:
        """A folder of this trial's own for whatever it writes, on the engine's side."""
        return trial_folder(self._task.folder, self._task.number)

    @property
    def rank(self) -> int:
        """This engine's rank among those that work on the trial together."""
        return 0 if self._task.meeting is None else self._task.meeting.rank

    @property
    def size(self) -> int:
        """How many engines work on the trial together."""
        return 1 if self._task.meeting is None else self._task.meeting.size

    def should_stop(self) -> bool:
        """Whether the trial was told to stop: return soon, or be interrupted after two seconds."""
        return on_engine.stop_requested.is_set()

    def report(self, epoch: int, **metrics: float) -> None:
        """Write down what was measured after an epoch; said again, it is added to what is there.

        Args:
            epoch: from 0.
            metrics: numbers by name; that of the search's metric decides.

        Raises:
            TypeError: if a metric is no number.
            TrialDiverged: if the search's metric is not finite; the trial then ends as failed.
        """
        for name, value in metrics.items():
            if not isinstance(value, numbers.Real) and getattr(value, "shape", None) != ():
                raise TypeError(f"trial.report expects numbers, received {name}={value!r}.")
        measured = {name: float(value) for name, value in metrics.items()}
        self._last = int(epoch)
        self._lines.append(epoch=self._last, **measured)
        metric = self._task.metric
        if metric in measured and not math.isfinite(measured[metric]):
            self.divergence = f"The trial diverged: {metric} is {measured[metric]} in epoch {self._last + 1}."
            raise TrialDiverged(self.divergence)

    def fit(
        self,
        gan,
        data=None,
        *,
        physics_score=None,
        callbacks: Sequence[Callable] = (),
        **options,
    ):
        """`training.fit`, wired to the search: it reports every epoch, keeps checkpoints and the GAN of the best epoch,
        stops when told to, goes on after a promotion or the loss of an engine, and trains on all ranks of the trial.

        Args:
            gan: the networks to train.
            data: a `Sample` or `EventStream`, all events; by default the search's own. Ranks take their shards.
            physics_score, callbacks, options: as for `training.fit`; `epochs` and `seed` are the search's by default,
                and leave `epochs` so: a promotion sets it. `time_limit` holds for each attempt; the losses of an epoch
                that it cuts short are reported.

        Returns:
            The `History`.

        Raises:
            TypeError: for an option that the search sets by itself.
        """
        from calolab import training
        from calolab.training.checkpoints import FILE
        from calolab.training.history import OUT_OF_TIME
        from calolab.training.ranks import Alone, from_rank_0

        if refused := sorted(set(WIRED) & set(options)):
            raise TypeError(f"trial.fit sets {', '.join(refused)} by itself: leave it out.")
        data = self.data if data is None else data
        epochs = _Epochs(self, gan)
        if physics_score is not None:
            physics_score = training.PhysicsScore(epochs.judged_by(physics_score.score), physics_score.by)
        # Rank 0 reads and writes the checkpoints: it alone knows whether there is one.
        parallel = self._parallel or Alone()
        resume = from_rank_0(parallel, lambda: bool(self.resume and os.path.isfile(self.folder / FILE)))
        try:
            history = training.fit(
                gan,
                data if self.size == 1 else data.shard(self.rank, self.size),
                **{"epochs": self.epochs, "seed": self.seed, **options},
                physics_score=physics_score,
                callbacks=(epochs.count, *callbacks),
                checkpoints=str(self.folder),
                resume=resume,
                parallel=self._parallel,
                should_stop=self.should_stop,
                progress=False,
            )
        except training.TrainingDiverged as error:
            self.divergence = f"The trial diverged: {error}"
            raise
        if history.reason == OUT_OF_TIME and history.unfinished is not None:
            epochs.close(history.unfinished)
        return history

    def join(self) -> None:
        """Meet the other ranks, where there are some."""
        if self._task.meeting is not None:
            from calolab.distributed.rank import choose_device

            choose_device(self._task.meeting)
            self._parallel = horovod.Communicator(self._task.meeting)

    def leave(self) -> None:
        """Leave the other ranks."""
        if self._parallel is not None:
            self._parallel.shutdown()

    def conclude(self, returned) -> None:
        """Take in what the training function has returned: nothing, the metric, or numbers by name."""
        if isinstance(returned, Mapping):
            self.report(self._last, **returned)
        elif isinstance(returned, numbers.Real) and not isinstance(returned, bool):
            self.report(self._last, **{self._task.metric: returned})

    def keep(self, gan, measured: Mapping[str, float]) -> None:
        """Write the GAN into the trial's folder if this epoch is the best so far."""
        from calolab.training.precision import computing_in

        if self.rank == 0 and self._task.metric in measured and self._rated(measured) < self._best:
            self._best = self._rated(measured)
            with computing_in(
                "float32", gan.generator, gan.discriminator
            ):  # a file keeps the precision it was saved in
                gan.save(self.folder / BEST)

    @contextmanager
    def may_break(self):
        """Inside the block, a wish to stop interrupts at once."""
        self.breakable = True
        try:
            if self.should_stop():  # it came before the block
                raise KeyboardInterrupt
            yield
        finally:
            self.breakable = False

    def _rated(self, epoch: Mapping) -> float:
        """The metric, turned so that less is better."""
        value = epoch[self._task.metric]
        return value if self._task.direction == "minimize" else -value


class _Epochs:
    """Losses of the epochs of one training, reported with their scores as each epoch ends."""

    def __init__(self, trial: TrialContext, gan):
        self._trial, self._gan = trial, gan
        self._epoch, self._steps, self._sums = 0, 0, {}

    def count(self, progress) -> None:
        """Add the losses of a step; report those of an epoch that ends, before its score, which a stop may break."""
        if progress.epoch != self._epoch:
            self._epoch, self._steps, self._sums = progress.epoch, 0, {}
        self._steps += 1
        for name, value in progress.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if progress.step + 1 == progress.steps:
            self._report({name: total / self._steps for name, total in self._sums.items()})

    def close(self, unfinished: Mapping) -> None:
        """Report the losses of an epoch that was cut short by the time limit, over the steps done of it."""
        self._epoch = unfinished["epoch"]
        self._report(unfinished["losses"])

    def judged_by(self, score: Callable) -> Callable:
        """The function that judges an epoch, which also reports what it finds."""

        def judge(gan):
            with self._trial.may_break():
                scores = {name: float(value) for name, value in score(gan).items()}
            self._report(scores)
            return scores

        return judge

    def _report(self, measured: Mapping[str, float]) -> None:
        self._trial.report(self._epoch, **measured)
        self._trial.keep(self._gan, measured)
