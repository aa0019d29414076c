"""A training as its monitor shows it: losses, the physics score of every epoch, and an event generated after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots import losses, scales
from calolab.plots.style import GENERATED, REFERENCE, hep, new_figure


@hep()
def show(
    curve: np.ndarray,
    names: Sequence[str],
    shown: Sequence[str],
    status: str = "",
    *,
    log: bool = True,
    scores: Mapping | None = None,
    events: Mapping[str, np.ndarray] | None = None,
    edges: Sequence[Sequence[float]] = (),
    labels: Sequence[str] = ("", ""),
    unit: str = "",
    rows_first: bool = False,
) -> Figure:
    """The losses of a training; below them, where there are any, its score by epoch and single events.

    Args:
        curve, names, shown, status, log: as of `losses.show`.
        scores: `name`, `epochs` (from 1), `values` and `floor` (one per epoch, NaN where there is none), and `best`,
            the epoch with the lowest value, or None.
        events: images `(column, row)` under their titles, the reference first: it sets the scale.
        edges: cell edges of the images along both axes.
        labels: of their axes.
        unit: of their cells.
        rows_first: whether their rows run down.
    """
    events, scores = dict(events or {}), dict(scores or {})
    if not events and not scores:
        return losses.show(curve, names, shown, status, log=log)
    columns = max(bool(scores) + len(events), 1)
    figure = new_figure(max(4.2 * columns, 7.0), 7.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.0, 0.95))
    losses.draw(upper.subplots(), curve, names, shown, status, log=log)
    panels = list(lower.subplots(1, columns, squeeze=False)[0])
    if scores:
        draw_scores(panels.pop(0), **scores)
    signed = any(cells.min() < 0 for cells in list(events.values())[:1])
    sizes = [float(np.abs(cells).max() if signed else cells.max()) for cells in events.values()]
    for panel, (title, cells), colour in zip(panels, events.items(), (REFERENCE, GENERATED)):
        norm = scales.colour_norm(scales.top(sizes[0], max(sizes[1:], default=0.0)), not signed, signed=signed)
        scales.draw_cells(panel, edges, cells, norm, unit, signed)
        panel.set_title(title, loc="left", color=colour)
        panel.set(xlabel=labels[0], ylabel=labels[1])
        if rows_first:
            panel.invert_yaxis()
    return figure


def draw_scores(
    panel: Axes,
    name: str,
    epochs: Sequence[int],
    values: Sequence[float],
    floor: Sequence[float] = (),
    best: int | None = None,
) -> None:
    """Draw a score against the epoch with its floor, and mark the best epoch; arguments as of `show`."""
    text = name.replace("_", " ")
    panel.plot(epochs, values, color=GENERATED, marker="o", markersize=4, label=text)
    if np.any(np.isfinite(np.asarray(floor, dtype=float))):
        line = {"color": REFERENCE, "linestyle": "dashed", "label": "floor: real against real"}
        panel.plot(epochs, floor, **line) if len(floor) > 1 else panel.axhline(floor[0], **line)
    if best is not None:
        value = values[list(epochs).index(best)]
        panel.plot([best], [value], "o", markersize=11, fillstyle="none", color=GENERATED, label=f"best: epoch {best}")
    panel.set(xlabel="epoch", ylabel=text, xlim=(epochs[0] - 1, epochs[-1] + 1))
    panel.set_ylim(bottom=min(0.0, float(np.nanmin(values, initial=0.0))))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend()
