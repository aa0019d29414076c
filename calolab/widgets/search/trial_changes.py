"""What the browser has to hear of a search's trials: all of them once, afterwards what has changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from calolab.widgets.shared.frontend import finite


def changes(trials: Iterable, sent: Mapping[int, object] | None = None) -> tuple[dict, dict[int, object]]:
    """The trials that differ from what was sent, of each only the epochs that are new.

    Args:
        trials: `Trial` records.
        sent: what this function gave back the last time; by default nothing has been sent.

    Returns:
        What to send: `rows`, one dictionary per changed trial, in which `first` tells where its new epochs begin and
        `count` how many there are; `metrics`, names; `curves`, float32 rows of all these new epochs in the order of
        the trials: epoch, then each metric, NaN where an epoch does not have it. Epochs count from 1, as people do.
        And what has been sent by now: the trials by number.
    """
    known, rows, epochs = dict(sent or {}), [], []
    for trial in trials:
        before = known.get(trial.number)
        if before is trial or before == trial:
            continue
        first = 0 if before is None else _first_new(before.epochs, trial.epochs)
        rows.append(_row(trial, first))
        epochs.extend(trial.epochs[first:])
        known[trial.number] = trial
    metrics = list(dict.fromkeys(name for epoch in epochs for name in epoch if name != "epoch"))
    table = [[epoch["epoch"] + 1, *(_float(epoch.get(name)) for name in metrics)] for epoch in epochs]
    return {"rows": rows, "metrics": metrics, "curves": np.array(table, dtype="<f4").tobytes()}, known


def describe_space(space: Mapping[str, object]) -> list[dict]:
    """The parameters of a search space as the browser needs them: a range, logarithmic or not, or the choices."""
    return [
        {"name": name, "choices": [plain(value) for value in one.values]}
        if hasattr(one, "values")
        else {"name": name, "low": one.low, "high": one.high, "log": bool(one.log)}
        for name, one in space.items()
    ]


def plain(value: object) -> float | int | str:
    """A parameter's value as a number or a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return str(value)
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _first_new(before, now):
    """Where the epochs begin that have not been sent; a new attempt may have begun anew."""
    same = zip(before, now)
    return next((k for k, (old, new) in enumerate(same) if old is not new and old != new), min(len(before), len(now)))


def _row(trial, first):
    return {
        "number": trial.number,
        "status": trial.status,
        "parameters": {name: plain(value) for name, value in trial.parameters.items()},
        "value": finite(trial.value),
        "best_epoch": None if trial.best_epoch is None else trial.best_epoch + 1,
        "engines": list(trial.engines or ()),
        "attempts": trial.attempts,
        "started": trial.started,
        "ended": trial.ended,
        "error": trial.error or "",
        "first": first,
        "count": len(trial.epochs) - first,
        "scores": list(trial.scores),
    }


def _float(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
