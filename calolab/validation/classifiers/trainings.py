"""Classifier trainings of one test: events are split, each training has its own seed, and time is limited."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calolab.interrupts import stopping
from calolab.progress import bar
from calolab.validation.classifiers.classification import FOLDS, Classification
from calolab.validation.classifiers.evaluation import auc, jsd

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
        note: why training ended early, if this limits the result.
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


def split_events(reference: int, generated: int, seed: int, fold: int = 0) -> Split:
    """Split both samples at random into a training part (60 %), a validation part and a test part (20 % each).

    Samples of the same size are split in the same way: a generated event is in the same part as the reference event
    whose labels it has. A sample that is compared with itself then has equal events in each part, not the same event
    once in the training and once in the test part.

    Args:
        reference, generated: numbers of events.
        seed: seed of the order.
        fold: from 0 to 4: which fifth of the events is the test part. The next one is the validation part.

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
        fifths = np.array_split(np.argsort(keys[:size]), FOLDS)
        test, validation, *training = fifths[fold:] + fifths[:fold]
        parts.append((np.concatenate(training), validation, test))
    return Split(*zip(*parts))


@stopping("the classifier test")
def train_repeatedly(
    train: Callable[[Split, int, Clock], Trained],
    *,
    judge: str,
    inputs: str,
    sizes: tuple[int, int],
    steps: int,
    unit: str,
    seed: int,
    trainings: int,
    time_limit: float | None,
    progress: bool,
    notes: Sequence[str] = (),
) -> Classification:
    """Train a classifier one or several times, and measure it on the test events of each split.

    The test parts of five trainings in a row do not overlap: together they are all events.

    Args:
        train: function of the split, the seed and the clock that trains once.
        judge, inputs, notes: as for `Classification`.
        sizes: numbers of (reference, generated) events.
        steps: steps of the progress bar in one training.
        unit: unit of the progress bar.
        seed: seed of the first split and training; the following trainings have the next numbers.
        trainings: number of trainings.
        time_limit: for all trainings together [s]; None for no limit.
        progress: whether to show a progress bar.

    Raises:
        ValueError: for too few events, no training, or no time.
    """
    if trainings < 1:
        raise ValueError(f"A classifier test expects at least one training, received trainings={trainings}.")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit must be positive [s] or None, received {time_limit}.")
    splits = [split_events(*sizes, seed + number // FOLDS, number % FOLDS) for number in range(trainings)]
    began, results, notes = time.monotonic(), [], list(notes)
    with bar(total=steps * trainings, unit=unit, desc=f"Classifier ({judge})", show=progress) as shown:

        def advance(done: int, text: str = "") -> None:
            shown.set_postfix_str(text, refresh=False)
            shown.update(done)

        for number, split in enumerate(splits):
            share = np.inf if time_limit is None else time_limit * (number + 1) / trainings
            results.append(train(split, seed + number, Clock(advance, began + share)))
            advance(steps * (number + 1) - shown.n)
    notes += dict.fromkeys(result.note for result in results if result.note)
    measured = [auc(*result.test) for result in results]
    return Classification(
        judge=judge,
        inputs=inputs,
        aucs=tuple(value for value, _ in measured),
        errors=tuple(error for _, error in measured),
        jsds=tuple(jsd(result.validation, result.test) for result in results),
        best=tuple(result.best for result in results),
        events=tuple(tuple(map(len, part)) for part in vars(splits[0]).values()),
        seconds=time.monotonic() - began,
        notes=tuple(notes),
    )
