"""Scores: numbers to select by, with their statistical floors and the direction that is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIRECTIONS = ("lower", "higher")


@dataclass(frozen=True)
class Score:
    """One number that rates a generator.

    Args:
        name: e.g. `"ks_comb"`.
        value: the measured number; NaN where it is undefined.
        floor: the value expected of a perfect generator, for these numbers of events; None where it is not known.
        floor_spread: standard deviation of the floor; None where it is not known.
        direction: which values are better, `"lower"` or `"higher"`.

    Raises:
        ValueError: for another direction, or a spread without a floor.
    """

    name: str
    value: float
    floor: float | None = None
    floor_spread: float | None = None
    direction: str = "lower"

    def __post_init__(self):
        if self.direction not in DIRECTIONS:
            raise ValueError(f"Score(direction=) expects 'lower' or 'higher', received {self.direction!r}.")
        if self.floor is None and self.floor_spread is not None:
            raise ValueError(f"Score {self.name!r} has a floor_spread and no floor.")

    def is_better_than(self, other: Score | None) -> bool:
        """Whether this score is better than another one; NaN is never better.

        Args:
            other: a score of the same direction; None or NaN is worse than any number.

        Raises:
            ValueError: if the directions differ.

        >>> Score("ks_comb", 12.0).is_better_than(Score("ks_comb", 40.0))
        True
        """
        if other is not None and other.direction != self.direction:
            raise ValueError(
                f"Cannot compare {self.name!r}, of which {self.direction} is better, with {other.name!r}, of which "
                f"{other.direction} is better."
            )
        if math.isnan(self.value):
            return False
        if other is None or math.isnan(other.value):
            return True
        return self.value < other.value if self.direction == "lower" else self.value > other.value

    def to_dict(self) -> dict:
        """The record without its name and without unknown values, as plain numbers and strings that JSON can hold."""
        content = {"value": self.value, "floor": self.floor, "floor_spread": self.floor_spread}
        return {name: value for name, value in content.items() if value is not None} | {"direction": self.direction}

    @classmethod
    def from_dict(cls, name: str, content: Mapping) -> Score:
        """Rebuild a score from `to_dict`.

        Args:
            name: name of the score.
            content: result of `to_dict`.
        """
        return cls(name, **content)


def named_scores(measured: Mapping[str, Score | float]) -> dict[str, Score]:
    """Scores by name; a plain number becomes a score without a floor, of which lower is better.

    Args:
        measured: result of a score function.

    Raises:
        TypeError: if an entry is neither a `Score` nor a number.
    """
    return {name: value if isinstance(value, Score) else Score(name, float(value)) for name, value in measured.items()}


def best(scores: Mapping[int, Score]) -> int | None:
    """The key of the best score, the first of equal ones; None if no score is a number."""
    chosen = None
    for key, score in scores.items():
        if score.is_better_than(None if chosen is None else scores[chosen]):
            chosen = key
    return chosen
