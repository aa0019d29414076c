"""The state of a training between two passes, and the checks for divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calolab.scores import Score

_REMEDY = "The GAN has the weights of the last good epoch. Another seed or a lower Recipe(learning_rate=) may help."
# Passes whose losses are those of the discriminator; the loss of any other pass is that of the network of its name.
_DISCRIMINATOR = ("real_loss", "fake_loss", "discriminator_loss")


class TrainingDiverged(RuntimeError):
    """A loss or a weight is not finite, or the generator makes only empty events."""


@dataclass
class TrainingState:
    """The progress of a training between two passes; equal on all ranks, and stored in checkpoints.

    Args:
        epoch: epochs done.
        step: steps done in the epoch in progress.
        passes: passes done in the step in progress.
        step_losses: losses of these passes by name.
        epoch_losses: losses by name, summed over the events of the epoch in progress.
        epoch_events: events of all ranks processed in this epoch.
        epoch_seconds: duration of this epoch so far [s].
        timed_events: events from which the speed is computed: those of the epoch without steps that compiled passes.
        timed_seconds: duration of their steps [s].
        empty_steps: number of consecutive steps with only empty events, up to now.
        history: one dictionary per epoch done, as in `History.epochs`.
        response: the calorimeter's response, as returned by `Response.to_dict`; empty if no head uses it.
        best: `epoch` (from 0), `score` and `by` (its name) of the epoch with the best physics score so far; empty
            without one.
    """

    epoch: int = 0
    step: int = 0
    passes: int = 0
    step_losses: dict[str, float] = field(default_factory=dict)
    epoch_losses: dict[str, float] = field(default_factory=dict)
    epoch_events: int = 0
    epoch_seconds: float = 0.0
    timed_events: int = 0
    timed_seconds: float = 0.0
    empty_steps: int = 0
    history: list[dict] = field(default_factory=list)
    response: dict = field(default_factory=dict)
    best: dict = field(default_factory=dict)

    @property
    def samples_per_second(self) -> float:
        """Events of all ranks per second in this epoch; the first step of a run, which compiles, does not count."""
        events, seconds = self.timed_events, self.timed_seconds
        if not seconds > 0:
            events, seconds = self.epoch_events, self.epoch_seconds
        return events / seconds if seconds > 0 else 0.0

    def count_pass(self, losses: Mapping[str, float], share: float) -> None:
        """Add a pass to the step.

        Args:
            losses: losses of the pass by name.
            share: its weight in the mean over the step's passes of its kind.
        """
        for name, value in losses.items():
            self.step_losses[name] = self.step_losses.get(name, 0.0) + share * value
        self.passes += 1

    def count_step(self, events: int, seconds: float, timed: bool) -> dict[str, float]:
        """Close the step, and return its losses.

        Args:
            events: events of all ranks.
            seconds: the step's time on this rank [s].
            timed: whether its time counts for the speed; a run's first step compiles the passes and does not.
        """
        losses = dict(self.step_losses)
        sums = {}
        # The discriminator's loss is the mean over two passes, or that of one pass with real and generated events.
        if parts := [losses.pop(name) for name in _DISCRIMINATOR if name in losses]:
            sums["discriminator"] = sum(parts) / len(parts)
        for name in [name for name in losses if name.endswith("_loss")]:
            sums[name.removesuffix("_loss")] = losses.pop(name)
        losses = sums | losses
        for name, value in losses.items():
            self.epoch_losses[name] = self.epoch_losses.get(name, 0.0) + events * value
        self.epoch_events += events
        self.epoch_seconds += seconds
        if timed:
            self.timed_events += events
            self.timed_seconds += seconds
        self.empty_steps = self.empty_steps + 1 if losses.get("generator_empty", 0.0) > 0.999999 else 0
        self.step, self.passes, self.step_losses = self.step + 1, 0, {}
        return losses

    @property
    def unfinished(self) -> dict | None:
        """The epoch in progress over the steps done of it, as in `History.unfinished`; None before its first step."""
        return self._epoch_so_far() if self.epoch_events else None

    def count_epoch(self) -> None:
        """Close the epoch and add it to the history."""
        self.history.append(self._epoch_so_far())
        self.epoch, self.step, self.epoch_losses = self.epoch + 1, 0, {}
        self.epoch_events, self.epoch_seconds, self.timed_events, self.timed_seconds = 0, 0.0, 0, 0.0

    def _epoch_so_far(self) -> dict:
        return {
            "epoch": self.epoch,
            "steps": self.step,
            "losses": {name: total / self.epoch_events for name, total in self.epoch_losses.items()},
            "events": self.epoch_events,
            "seconds": self.epoch_seconds,
            "samples_per_second": self.samples_per_second,
        }

    def epochs_without_better_score(self, since: int = 0) -> int:
        """Number of epochs from the best one to the last one that was scored.

        Args:
            since: first epoch that counts, from 0.
        """
        scored = [epoch["epoch"] for epoch in self.history if self.best and self.best["by"] in epoch.get("scores", ())]
        return max(0, scored[-1] - max(self.best["epoch"], since - 1)) if scored else 0

    def count_scores(self, scores: Mapping[str, Mapping], by: str) -> bool:
        """Add the last epoch's physics scores to the history.

        Args:
            scores: scores by name, as returned by `Score.to_dict`.
            by: name of the metric to optimise.

        Returns:
            Whether it is the best epoch so far.
        """
        last = self.history[-1]
        last["scores"] = dict(scores)
        score = Score.from_dict(by, scores[by])
        if self.best and not score.is_better_than(replace(score, value=self.best["score"])):
            return False
        self.best = {"epoch": last["epoch"], "score": score.value, "by": by}
        return True


def check_state(content: Mapping[str, object]) -> None:
    """Raise ValueError unless `TrainingState(**content)` is valid, after a round trip through JSON."""
    for name, value in content.items():
        if name not in TrainingState.__dataclass_fields__:
            raise ValueError(f"the training state has the unknown entry {name!r}")
        kind = type(getattr(TrainingState(), name))
        right = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not right or isinstance(value, bool):
            raise ValueError(f"{name!r} of the training state must be of type {kind.__name__}, it is {value!r:.50}")
        if kind in (int, float) and not 0 <= value < math.inf:
            raise ValueError(f"{name!r} of the training state must be 0 or more, it is {value}")
    for epoch in content.get("history", ()):
        if not isinstance(epoch, dict) or not {"epoch", "losses", "events", "seconds"} <= set(epoch):
            raise ValueError(
                f"an epoch of its history must have epoch, losses, events and seconds, it is {epoch!r:.50}"
            )
    for name, by in {"losses": content.get("step_losses", {}), "sums": content.get("epoch_losses", {})}.items():
        if not all(isinstance(value, int | float) for value in by.values()):
            raise ValueError(f"the {name} of the training state must be numbers, they are {by!r:.80}")
    best = content.get("best")
    if best and not {"epoch", "score", "by"} <= set(best):
        raise ValueError(
            f"the best epoch of the training state must have epoch, score and by, it has {', '.join(best)}"
        )


def check_losses(where: str, losses: Mapping[str, float], norm: float) -> None:
    """Raise TrainingDiverged unless all losses of a pass and the norm of its gradients are finite.

    Args:
        where: position in the training, for the message.
        losses: losses of the pass by name.
        norm: norm of its gradients.
    """
    numbers = {**losses, "norm of the gradients": norm}
    if not all(math.isfinite(value) for value in numbers.values()):
        values = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        raise TrainingDiverged(f"{where}: not all losses and gradients are finite ({values}). {_REMEDY}")


def check_not_empty(where: str, empty_steps: int, empty_limit: int) -> None:
    """Raise TrainingDiverged after too many consecutive steps with only empty events.

    Args:
        where: position in the training, for the message.
        empty_steps: number of such steps up to now.
        empty_limit: number of such steps after which the training counts as collapsed.
    """
    if empty_steps >= empty_limit:
        raise TrainingDiverged(
            f"{where}: the generator has collapsed. All its events were empty in {empty_steps} consecutive steps, and "
            f"it cannot learn from them. {_REMEDY}"
        )


def check_weights(where: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise TrainingDiverged unless all variables are finite.

    Args:
        where: position in the training, for the message.
        arrays: values of the variables by name.
    """
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise TrainingDiverged(f"{where}: not all weights are finite. {_REMEDY}")
