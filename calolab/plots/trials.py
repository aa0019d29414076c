"""Figures of a hyper-parameter search: the metric of each trial by epoch, and the parameters of the best ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, hep, new_figure

COLOURS = "viridis_r"  # dark is good


@hep()
def learning_curves(
    trials: Sequence, metric: str, direction: str = "minimize", floor: tuple[float, float] | None = None
) -> Figure:
    """The metric of every trial against its epochs; the best trial is highlighted.

    Args:
        trials: `search.Trial`, or records with its `number`, `epochs`, `value` and `best_epoch`.
        metric: name of the metric to draw.
        direction: `"minimize"` or `"maximize"`.
        floor: mean and standard deviation of the metric of real events against each other, drawn as a band.
    """
    figure = new_figure(7.0, 4.2)
    panel = figure.subplots()
    panel.set(xlabel="epoch", ylabel=metric)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    best = _best(trials, direction)
    for trial in sorted(trials, key=lambda trial: trial is best):
        points = [(epoch["epoch"] + 1, epoch[metric]) for epoch in trial.epochs if metric in epoch]
        if not points:
            continue
        look = {"color": REFERENCE, "linewidth": 1.0, "alpha": 0.5, "markersize": 3}
        if trial is best:
            look = {"color": GENERATED, "linewidth": 2.2, "markersize": 6, "label": f"trial {trial.number}"}
        panel.plot(*zip(*points), marker="o", **look)
        panel.annotate(
            str(trial.number), points[-1], xytext=(6, 0), textcoords="offset points", va="center", fontsize=10
        )
    if not panel.lines:
        panel.text(0.5, 0.5, f"no epoch with {metric} yet", transform=panel.transAxes, ha="center")
        return figure
    if all(line.get_ydata().min() > 0 for line in panel.lines):
        panel.set_yscale("log")
    if floor is not None:
        panel.axhspan(
            max(floor[0] - floor[1], 0), sum(floor), color=REFERENCE_FILL, zorder=0, label="real against real"
        )
    panel.legend()
    return figure


@hep()
def parallel_coordinates(trials: Sequence, space: Mapping, metric: str, direction: str = "minimize") -> Figure:
    """One line per trial through its parameters to its best value of the metric, the best trials darkest and on top.

    Args:
        trials: `search.Trial`, or records with its `parameters` and `value`; those without a value are left out.
        space: for each parameter, a range with `low`, `high` and `log`, or a choice with `values`.
        metric: name of the last axis.
        direction: `"minimize"` or `"maximize"`.
    """
    rated = [trial for trial in trials if trial.value is not None]
    figure = new_figure(max(6.0, 1.7 * (len(space) + 1)), 4.4)
    panel = figure.subplots()
    panel.set(xlim=(-0.25, len(space) + 0.45), ylim=(-0.06, 1.06), xticks=range(len(space) + 1), yticks=[])
    panel.set_xticklabels([*(name.replace("_", "\n") for name in space), metric])
    panel.tick_params(axis="both", which="both", length=0)
    panel.spines[:].set_visible(False)
    for place in range(len(space) + 1):
        panel.axvline(place, ymin=0.05, ymax=0.95, color=REFERENCE, linewidth=1.0)
    for place, parameter in enumerate(space.values()):
        for value in _marks(parameter):
            _name(panel, place, _height(parameter, value), value)
    if not rated:
        panel.text(0.5, 0.5, "no trial has a value yet", transform=panel.transAxes, ha="center")
        return figure
    values = np.array([trial.value for trial in rated])
    log = values.min() > 0 and values.max() > 10 * values.min()
    scale = (LogNorm if log else Normalize)(values.min(), values.max() if np.ptp(values) else values.min() + 1)
    for value in (values.min(), values.max()):
        _name(panel, len(space), float(scale(value)), float(value))
    sign = 1 if direction == "minimize" else -1
    colours = matplotlib.colormaps[COLOURS]
    for trial in sorted(rated, key=lambda trial: -sign * trial.value):
        share = float(scale(trial.value))
        heights = [_height(parameter, trial.parameters[name]) for name, parameter in space.items()]
        colour = colours(1 - share if sign == 1 else share)
        panel.plot(range(len(heights) + 1), [*heights, share], color=colour, linewidth=1.8, alpha=0.9)
    return figure


def _best(trials, direction):
    rated = [trial for trial in trials if trial.value is not None]
    sign = 1 if direction == "minimize" else -1
    return min(rated, key=lambda trial: sign * trial.value, default=None)


def _marks(parameter):
    return parameter.values if hasattr(parameter, "values") else (parameter.low, parameter.high)


def _height(parameter, value) -> float:
    """The position of a value on its axis, from 0 to 1."""
    if hasattr(parameter, "values"):
        return (list(parameter.values).index(value) + 0.5) / len(parameter.values)
    low, high = parameter.low, parameter.high
    if parameter.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _name(panel, place: int, height: float, value: object) -> None:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    panel.annotate(
        text,
        (place, height),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=10,
        zorder=5,  # over the lines
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )
