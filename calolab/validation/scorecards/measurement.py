"""Measurement of the metrics of a scorecard: families of metrics that are calculated together, for any two samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

ALL = 1_000  # draws of a fast family: as many as the settings ask for


@dataclass(frozen=True)
class Settings:
    """Settings for the measurement of the metrics of a scorecard.

    Args:
        threshold: cells below it count as zero, in all samples [`space.unit`].
        classifier: `"default"` or `"calochallenge"`.
        binning: binning of the separation powers: `"reference"` or `"calochallenge"`.
        seed: seed of all random choices.
        seeds: trainings per classifier; None for the default of each.
        repetitions: draws of reference events for the floors.
        time_limit: time limit of each classifier [s]; None for no limit.
        progress: whether progress is shown.
    """

    threshold: float
    classifier: str
    binning: str
    seed: int
    seeds: int | None
    repetitions: int
    time_limit: float | None
    progress: bool


@dataclass(frozen=True)
class Measured:
    """The value of one metric between two samples.

    Args:
        value: NaN where it is undefined.
        error: its statistical error, if the method gives one.
        note: how far it can be trusted.
    """

    value: float
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Family:
    """Metrics that one function calculates.

    Args:
        metrics: their names.
        measure: function of two sides (reference first), the settings and the names of the requested metrics that
            returns the measured values by name.
        draws: draws of reference events for which it is repeated, at most those of the settings; slow ones are repeated
            less.
    """

    metrics: tuple[str, ...]
    measure: Callable[[object, object, Settings, tuple[str, ...]], Mapping[str, Measured]]
    draws: int = 1


def combined(values: list[Measured]) -> Measured:
    """One value from those of several draws: their mean; the error has both their own errors and their spread.

    Args:
        values: at least one.
    """
    numbers = np.array([one.value for one in values])
    errors = [one.error for one in values if one.error is not None]
    parts = [float(np.mean(errors))] if errors else []
    parts += [float(numbers.std(ddof=1))] if len(values) > 1 else []
    return Measured(float(numbers.mean()), float(np.hypot.reduce(parts)) if parts else None, values[0].note)
