"""How many showers of a changed detector a generator needs: scores against the number of showers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from calolab.plots.style import REFERENCE, SERIES, add_label, hep, new_figure

Point = tuple[float, float | None]  # value and its statistical error, if it is known


@dataclass(frozen=True)
class ScoresByNumber:
    """One score of several kinds of training, and what they are compared with.

    Args:
        name: name of the score; lower is better.
        curves: by kind of training, the score and its error by number of showers.
        untrained: score and error without any training; None if unknown.
        floor: mean and standard deviation of the score of real showers against each other; None if unknown.
        log: whether the axis of the score is logarithmic.
    """

    name: str
    curves: Mapping[str, Mapping[int, Point]]
    untrained: Point | None = None
    floor: Point | None = None
    log: bool = False


@hep()
def show(panels: Sequence[ScoresByNumber], title: str = "") -> Figure:
    """Scores against the number of new showers, one panel for each score.

    Args:
        panels: the scores.
        title: what the figure is about, at its upper right.

    Raises:
        ValueError: if there is no score.
    """
    if not panels:
        raise ValueError("show expects one score or more, received none.")
    figure = new_figure(max(6.5, 4.6 * len(panels)), 4.6)
    for panel, scores in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        _draw(panel, scores)
    found = {label: line for panel in figure.axes for line, label in zip(*panel.get_legend_handles_labels())}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found), fontsize=11)
    add_label(figure, title, supplement="training")
    return figure


def _draw(panel, scores: ScoresByNumber) -> None:
    """The curves of one score, a line for the model without training, and a band for the floor."""
    for (kind, points), colour, marker in zip(scores.curves.items(), SERIES[1:], "osD^v"):
        values, errors = zip(*points.values()) if points else ((), ())
        bars = np.array([error or 0.0 for error in errors])
        panel.errorbar(list(points), values, bars, color=colour, marker=marker, markersize=5, capsize=2, label=kind)
    if scores.untrained is not None:
        panel.axhline(scores.untrained[0], color=SERIES[4], linestyle="--", label="without training")
    if scores.floor is not None:
        mean, spread = scores.floor
        low = mean - (spread or 0)
        if scores.log and low <= 0:
            low = mean / 2  # a logarithmic axis cannot show more
        panel.axhspan(low, mean + (spread or 0), color=REFERENCE, alpha=0.2, linewidth=0)
        panel.axhline(mean, color=REFERENCE, linewidth=1.0, label="real against real")
    panel.set(xlabel="new showers", ylabel=scores.name, xscale="log")
    if scores.log:
        panel.set_yscale("log", nonpositive="mask")
        # Numbers also where the axis is shorter than a decade.
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
    numbers = sorted({number for points in scores.curves.values() for number in points})
    panel.set_xticks(numbers, [f"{number:,}" for number in numbers])
    panel.minorticks_off()
