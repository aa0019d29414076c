"""The search space: a dictionary from the name of a parameter to a range or a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Real:
    """A real number in an interval.

    Args:
        low, high: ends of the interval.
        log: whether to draw uniformly in the logarithm, as for learning rates.

    Raises:
        ValueError: if the ends are not finite, not in ascending order, or not above 0 with `log`.

    >>> 1e-5 <= Real(1e-5, 1e-3, log=True).draw(np.random.default_rng(7)) <= 1e-3
    True
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        _check_ends(self)

    def draw(self, random: np.random.Generator) -> float:
        """One value."""
        if self.log:
            # Rounding may exceed an end slightly.
            return min(max(math.exp(random.uniform(math.log(self.low), math.log(self.high))), self.low), self.high)
        return float(random.uniform(self.low, self.high))


@dataclass(frozen=True)
class Integer:
    """An integer in an interval that includes both ends.

    Args:
        low, high: ends of the interval.
        log: whether to draw uniformly in the logarithm, as for numbers of units.

    Raises:
        ValueError: as `Real`, or if an end is not an integer.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self):
        _check_ends(self)
        if int(self.low) != self.low or int(self.high) != self.high:
            raise ValueError(f"Integer expects integers, received {self.low} and {self.high}; Real takes others.")

    def draw(self, random: np.random.Generator) -> int:
        """One value."""
        if self.log:
            value = math.exp(random.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return int(min(max(round(value), self.low), self.high))
        return int(random.integers(self.low, self.high + 1))


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values: strings, numbers, True, False or None; other objects must be named by a string.

    Raises:
        TypeError: for a value of any other type.
        ValueError: without values, or if one occurs twice.

    >>> Choice(8, 16, 32)
    Choice(8, 16, 32)
    """

    values: tuple

    def __init__(self, *values):
        if not values:
            raise ValueError("Choice expects at least one value, received none.")
        for value in values:
            if value is not None and not isinstance(value, (str, int, float, bool)):
                raise TypeError(
                    f"Choice expects strings, numbers, True, False or None, received {value!r}: name it here, and "
                    "let the training function find it by that name."
                )
        if len(set(values)) < len(values):
            raise ValueError(f"Choice expects each value once, received {values}.")
        object.__setattr__(self, "values", values)

    def draw(self, random: np.random.Generator):
        """One value."""
        return self.values[int(random.integers(len(self.values)))]

    def __repr__(self):
        return f"Choice({', '.join(map(repr, self.values))})"


KINDS = {"Real": Real, "Integer": Integer, "Choice": Choice}


def check_space(space: Mapping) -> dict:
    """The space as a dictionary.

    Raises:
        ValueError: if it is empty.
        TypeError: if it is not a dictionary from names to `Real`, `Integer` or `Choice`.
    """
    if not isinstance(space, Mapping):
        raise TypeError(f"A search space is a dictionary from names to Real, Integer or Choice, received {space!r}.")
    if not space:
        raise ValueError('A search expects at least one parameter, e.g. {"learning_rate": Real(1e-5, 1e-3, log=True)}.')
    for name, kind in space.items():
        if not isinstance(name, str) or not isinstance(kind, tuple(KINDS.values())):
            raise TypeError(f"A search space has names with Real, Integer or Choice, received {name!r}: {kind!r}.")
    return dict(space)


def draw(space: Mapping, seed: int, number: int) -> dict:
    """The parameters of one trial of a random search.

    Args:
        space: the search space.
        seed: seed of the search.
        number: number of the trial.

    >>> draw({"filters": Choice(8)}, seed=7, number=0)
    {'filters': 8}
    """
    random = np.random.default_rng([seed, number])
    return {name: kind.draw(random) for name, kind in space.items()}


def to_dict(space: Mapping) -> dict:
    """The space as JSON types.

    >>> to_dict({"filters": Integer(8, 64)})
    {'filters': {'kind': 'Integer', 'low': 8, 'high': 64, 'log': False}}
    """
    return {name: {"kind": type(kind).__name__, **asdict(kind)} for name, kind in space.items()}


def from_dict(content: Mapping) -> dict:
    """The space from the result of `to_dict`."""
    return {name: _parameter(**entry) for name, entry in content.items()}


def _parameter(kind, **fields):
    return Choice(*fields["values"]) if kind == "Choice" else KINDS[kind](**fields)


def _check_ends(kind):
    name = type(kind).__name__
    if not (math.isfinite(kind.low) and math.isfinite(kind.high) and kind.low < kind.high):
        raise ValueError(f"{name} expects a lower and a higher end, received {kind.low} and {kind.high}.")
    if kind.log and kind.low <= 0:
        raise ValueError(f"{name} with log=True expects ends above 0, received {kind.low}.")
