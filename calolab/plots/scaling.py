"""How a training scales: the parts of a step's time, and the efficiency on many ranks, measured and modelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import REFERENCE, SERIES, add_label, hep, new_figure

PARTS = ("compute", "waiting", "allreduce")
# Ranks, efficiency and source: other networks on other hardware, shown for orientation, not for comparison.
PUBLISHED = (
    (12, 0.989, "published: 3DGAN on 12 P100, training only (LNCS 11887)"),
    (128, 0.94, "presented in talks: 3DGAN with Horovod on 128 nodes"),
)


@hep()
def show(report, predictions: Sequence = (), published: Sequence[tuple[int, float, str]] = PUBLISHED) -> Figure:
    """The measured parts of a step, and the weak-scaling efficiency with models and published points.

    Args:
        report: an object with `points`, each with `kind`, `ranks`, `step`, `compute`, `waiting`, `allreduce` [s],
            `efficiency` and `error`.
        predictions: each with `network.name`, `ranks` and `efficiency`; drawn as extrapolations.
        published: ranks, efficiency and label of points of other hardware.
    """
    figure = new_figure(12.0, 5.4)
    bars, curve = figure.subplots(1, 2, width_ratios=(1, 1.35))
    _draw_parts(bars, report.points)
    measured = [point for point in report.points if point.kind == "weak"]
    for prediction, colour, line in zip(predictions, SERIES[2:], ("-", "--", ":")):
        label = f"model, {prediction.network.name}"
        curve.plot(prediction.ranks, 100 * prediction.efficiency, color=colour, linestyle=line, label=label)
    if predictions:
        last, most = max(point.ranks for point in measured), max(prediction.ranks[-1] for prediction in predictions)
        curve.axvspan(last * 1.15, most * 1.3, color=REFERENCE, alpha=0.07, linewidth=0)
        curve.text(most, 3, "extrapolated", ha="right", fontstyle="italic")
    for (ranks, efficiency, label), marker in zip(published, "Ds^v"):
        curve.plot(ranks, 100 * efficiency, marker, color=REFERENCE, markerfacecolor="white", label=label)
    for kind, colour, marker in (("strong", SERIES[4], "^"), ("weak", SERIES[1], "o")):
        points = [point for point in report.points if point.kind == kind]
        curve.errorbar(
            [point.ranks for point in points],
            [100 * point.efficiency for point in points],
            [100 * np.nan_to_num(point.error) for point in points],
            fmt=marker,
            color=colour,
            label=f"measured, {kind} scaling",
        )
    curve.set_xscale("log", base=2)
    curve.set(xlabel="ranks", ylabel="efficiency [%]", ylim=(0, max(118.0, curve.get_ylim()[1])))
    curve.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    curve.axhline(100, color=REFERENCE, linewidth=0.7)
    figure.legend(*curve.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=10)
    add_label(figure, report.title, supplement="measurement")
    return figure


@hep()
def scores(
    curves: Mapping[str, Sequence[float]], floor: tuple[float, float] | None = None, name: str = "score"
) -> Figure:
    """A score of several trainings by epoch, such as those with small and large batches.

    Args:
        curves: the scores of each training, in order of the epochs; lower is better.
        floor: mean and standard deviation of the score of real events against each other.
        name: name of the score.

    Raises:
        ValueError: if there is no training, or one without an epoch.
    """
    if not curves or not all(len(curve) for curve in curves.values()):
        raise ValueError(f"scores expects trainings of an epoch or more, received {dict(curves)}.")
    figure = new_figure(8.0, 4.2)
    panel = figure.subplots()
    for (training, curve), colour, marker in zip(curves.items(), SERIES[1:], "osD^v"):
        panel.plot(np.arange(1, len(curve) + 1), curve, color=colour, marker=marker, markersize=5, label=training)
    if floor is not None:
        mean, spread = floor
        panel.axhspan(max(mean - spread, 0), mean + spread, color=REFERENCE, alpha=0.2, linewidth=0)
        panel.axhline(mean, color=REFERENCE, linewidth=1.0, label=f"real against real: {mean:.3g} ± {spread:.2g}")
    panel.set(xlabel="epoch", ylabel=name, yscale="log")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend()
    add_label(panel, "lower is better", supplement="training")
    return figure


def _draw_parts(panel, points) -> None:
    """A bar for each kind of step, cut into its parts."""
    names = ["1 alone" if point.kind == "alone" else f"{point.ranks} {point.kind}" for point in points]
    start = np.zeros(len(points))
    for part, colour in zip(PARTS, (SERIES[2], SERIES[5], SERIES[1])):
        widths = np.array([1e3 * getattr(point, part) for point in points])
        panel.barh(names, widths, left=start, color=colour, label=part, height=0.65)
        start += widths
    panel.invert_yaxis()
    panel.tick_params(axis="y", which="minor", left=False, right=False)
    panel.set(xlabel="time per step [ms]", xlim=(0, 1.05 * start.max()))
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=3, fontsize=10)
