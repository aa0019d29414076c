"""The best trials of a search as a table, like the published one of the RPV GAN."""

from __future__ import annotations

from calolab.search.trials import Trial, short
from calolab.tables import Table


def best_first(trials: tuple[Trial, ...], direction: str) -> list[Trial]:
    """The trials that have a value, the best one first; of equal ones the earlier.

    Args:
        trials: the trials.
        direction: `"minimize"` or `"maximize"`.
    """
    sign = 1 if direction == "minimize" else -1
    return sorted((trial for trial in trials if trial.value is not None), key=lambda trial: sign * trial.value)


def make_table(trials: tuple[Trial, ...], metric: str, direction: str, top: int) -> Table:
    """The table of the best `top` trials.

    Columns are the rank, the trial and its status, its parameters, the epoch of its best metric, the metric, and the
    other metrics of that epoch: first the scores, then the rest.

    Args:
        trials: the trials.
        metric: name of the metric to optimise.
        direction: `"minimize"` or `"maximize"`.
        top: number of trials in the table.
    """
    ranked = best_first(trials, direction)[:top]
    parameters = list(dict.fromkeys(name for trial in ranked for name in trial.parameters))
    bests = [next(epoch for epoch in trial.epochs if epoch["epoch"] == trial.best_epoch) for trial in ranked]
    measured = dict.fromkeys(name for epoch in bests for name in epoch if name not in ("epoch", "time", metric))
    scores = {name for trial in ranked for name in trial.scores}
    others = sorted(measured, key=lambda name: name not in scores)
    rows = tuple(
        (
            str(rank),
            str(trial.number),
            trial.status,
            *(short(trial.parameters.get(name, "")) for name in parameters),
            str(trial.best_epoch + 1),
            short(best[metric]),
            *(short(best.get(name, "")) for name in others),
        )
        for rank, (trial, best) in enumerate(zip(ranked, bests, strict=True), start=1)
    )
    word = "lowest" if direction == "minimize" else "highest"
    title = f"The {len(ranked)} best of {len(trials)} trials, {word} {metric} first"
    title = title if ranked else f"No trial of {len(trials)} has a {metric} yet"
    header = ("rank", "trial", "status", *parameters, "epoch", metric, *others)
    return Table(rows, header, range(len(header)), title)
