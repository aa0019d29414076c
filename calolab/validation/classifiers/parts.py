"""The parts of the events for training, validation and test, and what one training needs and returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FEWEST = 50  # events of each sample: 10 in the test part, whose AUC has an error of 0.13


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the events in the three parts, for the reference and the generated sample.

    Args:
        training, validation, test: positions of (reference, generated) events.
    """

    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Trained:
    """The outputs of a trained classifier for the events of two parts.

    Args:
        validation, test: outputs for (reference, generated) events, larger for those that look generated.
        best: the epoch or stage that was used, from 1.
        note: what limits the result, such as a time limit; empty if nothing does.
    """

    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    best: int
    note: str = ""


@dataclass(frozen=True)
class Clock:
    """Progress and time limit of one training.

    Args:
        advance: function that moves the progress bar by a number of steps, with a text.
        deadline: `time.monotonic()` at which training should end [s].
    """

    advance: Callable[..., None]
    deadline: float

    @property
    def is_over(self) -> bool:
        """Whether the time limit has been reached."""
        return time.monotonic() >= self.deadline


def split_events(reference: int, generated: int, seed: int, fold: int = 0, folds: int = 5) -> Split:
    """Split both samples at random into a training part (60 %), a validation part and a test part (20 % each).

    Samples of the same size are split in the same way: a generated event is in the same part as the reference event
    whose labels it has. A sample that is compared with itself then has equal events in each part, not the same event
    once in the training and once in the test part.

    Args:
        reference, generated: numbers of events.
        seed: seed of the order.
        fold: from 0: which fifth of the events is the test part. The next one is the validation part.
        folds: number of parts, of which all but two are the training part.

    Raises:
        ValueError: if a sample has fewer than `FEWEST` events.
    """
    if min(reference, generated) < FEWEST:
        raise ValueError(
            f"A classifier test expects at least {FEWEST} events of each sample, received {reference} reference and "
            f"{generated} generated events; a few thousand give a meaningful AUC."
        )
    keys, parts = np.random.default_rng(seed).random(max(reference, generated)), []
    for size in (reference, generated):
        fifths = np.array_split(np.argsort(keys[:size]), folds)
        test, validation, *training = fifths[fold:] + fifths[:fold]
        parts.append((np.concatenate(training), validation, test))
    return Split(*zip(*parts))
