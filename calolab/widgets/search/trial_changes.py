"""The trials of a search in the form that is sent to the browser: all of them once, then what has changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from calolab.widgets.shared.frontend import finite


def changes(trials: Iterable, sent: Mapping[int, object] | None = None) -> tuple[dict, dict[int, object]]:
    """The trials that differ from those already sent, each with its new epochs only.

    Args:
        trials: `Trial` records.
        sent: second return value of the previous call; by default nothing has been sent.

    Returns:
        A dictionary to send, and the trials sent so far by number. The dictionary has `rows`, one dictionary per
        changed trial, with the index `first` of its first new epoch and the number `count` of new epochs; `metrics`,
        their names; and `curves`, float32 rows of all new epochs in the order of the trials: the epoch, counted from 1,
        then each metric, NaN if the epoch does not have it.
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


def describe_parameters(space: Mapping[str, object]) -> list[dict]:
    """The parameters of a search space in JSON form: a range, logarithmic or not, or a list of choices."""
    return [
        {"name": name, "choices": [plain(value) for value in one.values]}
        if hasattr(one, "values")
        else {"name": name, "low": one.low, "high": one.high, "log": bool(one.log)}
        for name, one in space.items()
    ]


def plain(value: object) -> float | int | str:
    """A parameter value as a number or a string."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return str(value)
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _first_new(before, now):
    """Index of the first epoch that has not been sent; a new attempt may have restarted from epoch 0."""
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
