"""The losses of a training, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import REFERENCE, SERIES, hep, new_figure


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
        # A critic's loss may have either sign.
        panel.set_yscale("log" if np.all(curve[:, 1:] > 0) else "symlog")
    panel.legend(title=f"training {status}" if status else None)
    return figure


@hep()
def beginning(
    curve: np.ndarray, names: Sequence[str], first: int = 10, status: str = "", *, step: str = "epoch"
) -> Figure:
    """Losses in the first epochs beside those of all: where a WGAN's critic begins, and where it goes.

    Args:
        curve: shape `(point, 1 + len(names))`: the epoch, then each loss.
        names: the losses, in the order of the columns.
        first: up to which epoch the left panel goes.
        status: a remark for the legend's title.
        step: what the first column counts.

    Raises:
        ValueError: if there is no point, or the columns are not those named.
    """
    curve = np.asarray(curve, dtype=float)
    if curve.ndim != 2 or not len(curve) or curve.shape[1] != 1 + len(names):
        raise ValueError(f"beginning expects points of 1 + {len(names)} numbers, received shape {curve.shape}.")
    figure = new_figure(11.0, 4.0)
    panels = figure.subplots(1, 2, width_ratios=(1, 1.5))
    early = curve[curve[:, 0] <= first]
    for panel, part, what in zip(panels, (early, curve), (f"first {len(early)} {step}s", f"all {len(curve)} {step}s")):
        for column, name, colour in zip(part.T[1:], names, SERIES[1:]):
            marker = "o" if len(part) < 30 else ""
            panel.plot(part[:, 0], column, color=colour, marker=marker, markersize=4, label=name.replace("_", " "))
        panel.set(xlabel=step, ylabel="loss")
        panel.set_title(what, loc="left")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.axhline(0, color=REFERENCE, linewidth=0.7)
        # Beyond two decades a line shows only where it ends; a critic's loss may have either sign.
        usual = float(np.median(np.abs(part[:, 1:]))) or 1.0
        if np.nanmax(np.abs(part[:, 1:]), initial=0) > 100 * usual:
            near = 10 ** np.floor(np.log10(usual))
            panel.set_yscale("symlog", linthresh=near)
            low, high = np.nanmin(part[:, 1:]), np.nanmax(part[:, 1:])
            panel.set_ylim(2 * low if low < 0 else -near, 2 * high if high > 0 else near)
    panels[0].legend(title=status or None)
    return figure
