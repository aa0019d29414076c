"""Stages of a training: which networks learn in which epochs, and what differs from the recipe of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """A part of a training in which only some of the networks learn.

    Args:
        networks: names of the networks that learn, or the name of a single one.
        epochs: number of epochs; None for the last stage, which lasts until the end of the training.
        recipe: arguments of `Recipe` that differ in this stage, e.g. `{"objective": "hinge", "learning_rate": 1e-4}`,
            any but `stages`, `prepare` and `calibrate`. Schedules, warm-up and averages begin with the stage; the
            moments of the optimizer begin with the first stage of an objective and of settings of the optimizer.

    Raises:
        ValueError: if there is no network, or fewer than 1 epoch, or `recipe` changes `stages`, `prepare` or
            `calibrate`.
    """

    networks: tuple[str, ...]
    epochs: int | None = None
    recipe: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "networks", (self.networks,) if isinstance(self.networks, str) else (*self.networks,))
        # As after a round trip through JSON, so that equal stages compare equal.
        object.__setattr__(self, "recipe", {name: _plain(value) for name, value in self.recipe.items()})
        if not self.networks or (self.epochs is not None and self.epochs < 1):
            raise ValueError(f"A Stage needs networks and at least 1 epoch, received {self.networks}, {self.epochs}.")
        if refused := {"stages", "prepare", "calibrate"} & set(self.recipe):
            raise ValueError(
                f"The recipe of a Stage cannot change {' and '.join(sorted(refused))}: give it to the Recipe of the "
                "whole training."
            )

    def to_dict(self) -> dict:
        """The stage as plain numbers and strings that JSON can hold."""
        plain = {"networks": list(self.networks), "epochs": self.epochs}
        return plain | ({"recipe": dict(self.recipe)} if self.recipe else {})


def spans(stages: Sequence[Stage]) -> list[tuple[int, int | None]]:
    """First epoch and end of each stage; the end is None for a last stage without a number of epochs.

    Args:
        stages: all but the last have a number of epochs.
    """
    found, first = [], 0
    for stage in stages:
        end = None if stage.epochs is None else first + stage.epochs
        found.append((first, end))
        first = end
    return found


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
