"""The best trials of a search as a table in text and HTML, like the published one of the RPV GAN."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from calolab.search.trials import Trial, short


@dataclass(frozen=True)
class SearchTable:
    """The best trials first: parameters, epoch of the best metric, and all metrics of that epoch.

    Args:
        title: in words.
        header: names of the columns.
        rows: one tuple of strings per trial.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self):
        table = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.header))]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths)) for row in table]
        return "\n".join([self.title, *lines])

    def _repr_html_(self):
        def row(texts, tag):
            # Long names may be broken between their words, otherwise the table is too wide.
            cells = (escape(text).replace("_", "_<wbr>") for text in texts)
            return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(texts, "td") for texts in self.rows)
        return (
            f"<div><b>{escape(self.title)}</b><table style='font-size:85%;font-variant-numeric:tabular-nums'>"
            f"<thead>{row(self.header, 'th')}</thead><tbody>{body}</tbody></table></div>"
        )


def best_first(trials: tuple[Trial, ...], direction: str) -> list[Trial]:
    """The trials that have a value, the best one first; of equal ones the earlier."""
    sign = 1 if direction == "minimize" else -1
    return sorted((trial for trial in trials if trial.value is not None), key=lambda trial: sign * trial.value)


def make_table(trials: tuple[Trial, ...], metric: str, direction: str, top: int) -> SearchTable:
    """The table of the best `top` trials.

    Columns are the rank, the trial and its status, its parameters, the epoch of its best metric, the metric, and the
    other metrics of that epoch: first those that begin with `ks`, then the rest.
    """
    ranked = best_first(trials, direction)[:top]
    parameters = list(dict.fromkeys(name for trial in ranked for name in trial.parameters))
    bests = [next(epoch for epoch in trial.epochs if epoch["epoch"] == trial.best_epoch) for trial in ranked]
    measured = dict.fromkeys(name for epoch in bests for name in epoch if name not in ("epoch", "time", metric))
    others = sorted(measured, key=lambda name: not name.startswith("ks"))
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
    return SearchTable(title, ("rank", "trial", "status", *parameters, "epoch", metric, *others), rows)
