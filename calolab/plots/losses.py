"""The losses of a training, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import REFERENCE, SERIES, hep, new_figure

SUMS = ("discriminator", "generator")  # what is minimised
# The data that a loss is computed on, by the prefix of its name.
GROUPS = {"": "minimised", "real": "on real events", "fake": "on generated events", "generator": "of the generator"}
COLOURS = (*SERIES[1:], "#7f7f7f", "#6a3d9a", "#000000")  # of style.css: --calolab-series-1 to -8
# Lengths of dashes and gaps in line widths, of the groups in their order, and again where a group has many losses.
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (2, 4), (9, 3), (9, 2, 1, 2, 1, 2), (1, 3))


@dataclass(frozen=True)
class Style:
    """How one loss is drawn: no two losses alike.

    Args:
        name: the loss.
        text: its name within its group, e.g. `auxiliary`.
        group: what it is computed on.
        colour: index in `COLOURS`; losses of the same head have the same.
        dash: index in `DASHES`; losses of one group have the same.
    """

    name: str
    text: str
    group: str
    colour: int
    dash: int


def styles(names: Sequence[str]) -> list[Style]:
    """How losses are drawn, in the order of their names: a colour for each head, a dash for each group."""
    split = []
    for name in names:
        word, _, rest = name.partition("_")
        split.append((word, rest) if rest and word in GROUPS else ("", name))
    # The two sums have colours of their own; heads take the others in the order in which they come.
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
    draw(figure.subplots(), curve, names, shown, status, log=log, step=step)
    return figure


def draw(
    panel: Axes,
    curve: np.ndarray,
    names: Sequence[str],
    shown: Sequence[str],
    status: str = "",
    *,
    log: bool = True,
    step: str = "training step",
) -> None:
    """Draw the losses into a panel; arguments as of `show`."""
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
        # A critic's loss may have either sign.
        panel.set_yscale("log" if np.all(drawn > 0) else "symlog")
    if drawn.size:
        outside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if drawn.shape[1] > 5 else {}
        panel.legend(title=f"training {status}" if status else None, handlelength=2.6, **outside)


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
