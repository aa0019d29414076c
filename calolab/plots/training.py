"""A training: its losses step by step, the physics score of every epoch, and an event generated after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots import scales
from calolab.plots.style import GENERATED, REFERENCE, SERIES, hep, new_figure

SUMS = ("discriminator", "generator")  # the losses that are minimised
# The data that a loss is computed on, by the prefix of its name.
GROUPS = {
    "": "minimised",
    "part": "parts of these",  # `<network>_<name>`
    "real": "on real events",
    "fake": "on generated events",
    "generator": "of the generator",
}
COLOURS = (*SERIES[1:], "#7f7f7f", "#6a3d9a", "#000000")  # of style.css: --calolab-series-1 to -8
# Lengths of dashes and gaps in line widths, one per group, repeated where a group has many losses.
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (2, 4), (9, 3), (9, 2, 1, 2, 1, 2), (1, 3))


@dataclass(frozen=True)
class Style:
    """The style of one loss; no two losses have the same style.

    Args:
        name: the loss.
        text: its name within its group, e.g. `auxiliary`.
        group: the data on which it is computed.
        colour: index in `COLOURS`; losses of the same head have the same.
        dash: index in `DASHES`; losses of one group have the same.
    """

    name: str
    text: str
    group: str
    colour: int
    dash: int


def styles(names: Sequence[str]) -> list[Style]:
    """The styles of losses, in the order of their names: a colour for each head, a dash for each group."""
    split = []
    for name in names:
        word, _, rest = name.partition("_")
        is_part = any(name.startswith(f"{other}_") for other in names)
        split.append((word, rest) if rest and word in GROUPS else ("part" if is_part else "", name))
    # The two sums have separate colours; heads have the others, in order of appearance.
    kept = [name for name in SUMS if name in names]
    others = [name for word, name in split if not word and name not in kept]
    heads = [*kept, *others, *dict.fromkeys(name for word, name in split if word)]
    groups = list(GROUPS)
    found = []
    for name, (word, text) in zip(names, split, strict=True):
        turn, colour = divmod(heads.index(text), len(COLOURS))
        dash = (groups.index(word) + len(groups) * turn) % len(DASHES)
        found.append(Style(name, text.replace("_", " "), GROUPS[word], colour, dash))
    return found


@hep()
def show(
    curve: np.ndarray,
    names: Sequence[str],
    shown: Sequence[str],
    status: str = "",
    *,
    log: bool = True,
    step: str = "training step",
    scores: Mapping | None = None,
    events: Mapping[str, np.ndarray] | None = None,
    edges: Sequence[Sequence[float]] = (),
    labels: Sequence[str] = ("", ""),
    unit: str = "",
    rows_first: bool = False,
) -> Figure:
    """The losses of a training against steps or epochs; below them, if given, its score by epoch and single events.

    Args:
        curve: shape `(point, 1 + len(names))`: the step, then each loss.
        names: the losses, in the order of the columns.
        shown: those that are drawn.
        status: the state of the training, written into the legend's title.
        log: whether losses, and scores if all are positive, are drawn on a logarithmic scale.
        step: what the first column counts.
        scores: `name`, `epochs` (from 1), `values` and `floor` (one per epoch, NaN where there is none), and `best`,
            the epoch with the best value, or None.
        events: images `(column, row)` under their titles, the reference first: it sets the scale.
        edges: cell edges of the images along both axes.
        labels: labels of their axes.
        unit: unit of their cells.
        rows_first: whether row numbers increase downwards.
    """
    events, scores = dict(events or {}), dict(scores or {})
    if not events and not scores:
        figure = new_figure(7.0, 3.6)
        draw_losses(figure.subplots(), curve, names, shown, status, log=log, step=step)
        return figure
    columns = max(bool(scores) + len(events), 1)
    figure = new_figure(max(4.2 * columns, 7.0), 7.2)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.0, 0.95))
    draw_losses(upper.subplots(), curve, names, shown, status, log=log, step=step)
    panels = list(lower.subplots(1, columns, squeeze=False)[0])
    if scores:
        draw_scores(panels.pop(0), **scores, log=log)
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


def draw_losses(
    panel: Axes,
    curve: np.ndarray,
    names: Sequence[str],
    shown: Sequence[str],
    status: str = "",
    *,
    log: bool = True,
    step: str = "training step",
) -> None:
    """Draw the losses into a panel.

    Args:
        panel: the panel.
        curve, names, shown, status, log, step: see `show`.
    """
    panel.set(xlabel=step, ylabel="loss")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for k, style in enumerate(styles(names)):
        if style.name in shown:
            marker = "o" if len(curve) < 30 else ""
            dashes = (0, DASHES[style.dash]) if style.dash else "solid"
            label = style.name.replace("_", " ")
            colour = COLOURS[style.colour]
            panel.plot(curve[:, 0], curve[:, 1 + k], color=colour, linestyle=dashes, marker=marker, label=label)
    if not len(curve):
        panel.text(0.5, 0.5, f"training {status}: no step done yet", transform=panel.transAxes, ha="center")
        return
    drawn = curve[:, [1 + k for k, name in enumerate(names) if name in shown]]
    if log and drawn.size:
        # A critic's loss can have either sign.
        panel.set_yscale("log" if np.all(drawn[np.isfinite(drawn)] > 0) else "symlog")
    if drawn.size:
        outside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if drawn.shape[1] > 5 else {}
        panel.legend(title=f"training {status}" if status else None, handlelength=2.6, **outside)


def draw_scores(
    panel: Axes,
    name: str,
    epochs: Sequence[int],
    values: Sequence[float],
    floor: Sequence[float] = (),
    best: int | None = None,
    *,
    log: bool = False,
) -> None:
    """Draw a score against the epoch with its floor, and mark the best epoch.

    Args:
        panel: the panel.
        name, epochs, values, floor, best, log: see `show`.
    """
    text = name.replace("_", " ")
    panel.plot(epochs, values, color=GENERATED, marker="o", markersize=4, label=text)
    if np.any(np.isfinite(np.asarray(floor, dtype=float))):
        line = {"color": REFERENCE, "linestyle": "dashed", "label": "floor: real against real"}
        panel.plot(epochs, floor, **line) if len(floor) > 1 else panel.axhline(floor[0], **line)
    if best is not None:
        value = values[list(epochs).index(best)]
        panel.plot([best], [value], "o", markersize=11, fillstyle="none", color=GENERATED, label=f"best: epoch {best}")
    panel.set(xlabel="epoch", ylabel=text, xlim=(epochs[0] - 1, epochs[-1] + 1))
    drawn = np.concatenate([np.asarray(values, dtype=float), np.asarray(floor, dtype=float)])
    drawn = drawn[np.isfinite(drawn)]
    if log and len(drawn) and drawn.min() > 0:
        panel.set(yscale="log", ylim=(drawn.min() / 1.3, drawn.max() * 1.3))
    else:
        panel.set_ylim(bottom=min(0.0, float(np.nanmin(values, initial=0.0))))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend()


@hep()
def beginning(
    curve: np.ndarray, names: Sequence[str], first: int = 10, status: str = "", *, step: str = "epoch"
) -> Figure:
    """Losses in the first epochs next to those of all epochs, for the critic of a WGAN.

    Args:
        curve: shape `(point, 1 + len(names))`: the epoch, then each loss.
        names: the losses, in the order of the columns.
        first: the last epoch of the left panel.
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
        # Over two decades a linear axis shows the largest values only; a critic's loss can have either sign.
        usual = float(np.median(np.abs(part[:, 1:]))) or 1.0
        if np.nanmax(np.abs(part[:, 1:]), initial=0) > 100 * usual:
            near = 10 ** np.floor(np.log10(usual))
            panel.set_yscale("symlog", linthresh=near)
            low, high = np.nanmin(part[:, 1:]), np.nanmax(part[:, 1:])
            panel.set_ylim(2 * low if low < 0 else -near, 2 * high if high > 0 else near)
    panels[0].legend(title=status or None)
    return figure
