"""Where a training stands: what is done of it, pass by pass, and its losses so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Standing:
    """The place of a training between two passes; equal on all ranks, and kept in checkpoints.

    Args:
        epoch: epochs done.
        step: steps done in the epoch in progress.
        passes: passes done in the step in progress.
        step_losses: losses of those passes by name.
        epoch_losses: sums over the epoch's events of the losses by name.
        epoch_events: events of all ranks seen in the epoch.
        epoch_seconds: time spent in it [s].
        timed_events: those of its events that count for the speed.
        timed_seconds: the time they took [s].
        empty_steps: steps in a row with nothing but empty showers.
        history: one dictionary per epoch done, as in `History.epochs`.
        response: the calorimeter's response, as `Response.to_dict` gives it; empty where no head asks for it.
        best: `epoch` (from 0), `score` and `by` (its name) of the epoch with the lowest physics score so far; empty
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
        """Add a pass to the step; `share` is its part in the mean over the step's passes of its kind."""
        for name, value in losses.items():
            self.step_losses[name] = self.step_losses.get(name, 0.0) + share * value
        self.passes += 1

    def count_step(self, events: int, seconds: float, timed: bool) -> dict[str, float]:
        """Close the step with its events of all ranks and its time, and return its losses.

        Args:
            events: events of all ranks.
            seconds: the step's time on this rank [s].
            timed: whether its time counts for the speed; that of a run's first step, which compiles, says little.
        """
        losses = dict(self.step_losses)
        # Of two passes the mean counts; one over real and generated events together has a loss of its own.
        parts = [losses.pop(name) for name in ("real_loss", "fake_loss", "discriminator_loss") if name in losses]
        discriminator = sum(parts) / len(parts)
        losses = {"discriminator": discriminator, "generator": losses.pop("generator_loss"), **losses}
        for name, value in losses.items():
            self.epoch_losses[name] = self.epoch_losses.get(name, 0.0) + events * value
        self.epoch_events += events
        self.epoch_seconds += seconds
        if timed:
            self.timed_events += events
            self.timed_seconds += seconds
        self.empty_steps = self.empty_steps + 1 if losses["generator_empty"] > 0.999999 else 0
        self.step, self.passes, self.step_losses = self.step + 1, 0, {}
        return losses

    @property
    def unfinished(self) -> dict | None:
        """The epoch in progress over the steps done of it, as in `History.unfinished`; None before its first step."""
        return self._epoch_so_far() if self.epoch_events else None

    def count_epoch(self) -> None:
        """Close the epoch and write it into the history."""
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

    def count_scores(self, scores: Mapping[str, float], by: str) -> bool:
        """Write the last epoch's physics scores into the history; whether it is the best so far."""
        last = self.history[-1]
        last["scores"] = dict(scores)
        if self.best and not scores[by] < self.best["score"]:
            return False
        self.best = {"epoch": last["epoch"], "score": scores[by], "by": by}
        return True


def check_standing(content: Mapping[str, object]) -> None:
    """Raise ValueError unless `Standing(**content)` is one, after a round trip through JSON."""
    for name, value in content.items():
        if name not in Standing.__dataclass_fields__:
            raise ValueError(f"the standing has the unknown entry {name!r}")
        kind = type(getattr(Standing(), name))
        right = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if not right or isinstance(value, bool):
            raise ValueError(f"{name!r} of the standing must be of type {kind.__name__}, it is {value!r:.50}")
        if kind in (int, float) and not 0 <= value < math.inf:
            raise ValueError(f"{name!r} of the standing must be 0 or more, it is {value}")
    for epoch in content.get("history", ()):
        if not isinstance(epoch, dict) or not {"epoch", "losses", "events", "seconds"} <= set(epoch):
            raise ValueError(
                f"an epoch of its history must have epoch, losses, events and seconds, it is {epoch!r:.50}"
            )
    for name, by in {"losses": content.get("step_losses", {}), "sums": content.get("epoch_losses", {})}.items():
        if not all(isinstance(value, int | float) for value in by.values()):
            raise ValueError(f"the {name} of its standing must be numbers, they are {by!r:.80}")
    best = content.get("best")
    if best and not {"epoch", "score", "by"} <= set(best):
        raise ValueError(f"the best epoch of its standing must have epoch, score and by, it has {', '.join(best)}")
