"""The losses of a training, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import SERIES, hep, new_figure


@hep()
def show(
    curve: np.ndarray,
    names: Sequence[str],
    shown: Sequence[str],
    status: str = "",
    *,
    log: bool = True,
    step: str = "training step",
) -> Figure:
    """Losses against training steps or epochs.

    Args:
        curve: shape `(point, 1 + len(names))`: the step, then each loss.
        names: the losses, in the order of the columns.
        shown: those that are drawn.
        status: the state of the training, written into the legend's title.
        log: whether losses are drawn on a logarithmic scale.
        step: what the first column counts.
    """
    figure = new_figure(7.0, 3.6)
    panel = figure.subplots()
    panel.set(xlabel=step, ylabel="loss")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for k, name in enumerate(names):
        if name in shown:
            colour = SERIES[1:][k % len(SERIES[1:])]
            marker = "o" if len(curve) < 30 else ""
            panel.plot(curve[:, 0], curve[:, 1 + k], color=colour, marker=marker, label=name.replace("_", " "))
    if not len(curve):
        panel.text(0.5, 0.5, f"training {status}: no step done yet", transform=panel.transAxes, ha="center")
        return figure
    if log:
        panel.set_yscale("log")
    panel.legend(title=f"training {status}" if status else None)
    return figure
