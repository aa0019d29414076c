"""Classifier trainings of one test: events are split, each training has its own seed, and time is limited."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from calolab.interrupts import stopping
from calolab.progress import bar
from calolab.validation.classifiers.classification import FOLDS, Classification
from calolab.validation.classifiers.evaluation import auc, jsd
from calolab.validation.classifiers.parts import Clock, Split, Trained, split_events


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
    splits = [split_events(*sizes, seed + number // FOLDS, number % FOLDS, FOLDS) for number in range(trainings)]
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
