"""Histograms of a reference and of other samples above their ratios: the panels of every comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from calolab.names import check_name
from calolab.plots import scales
from calolab.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, add_label, new_figure

# Smaller fractions beyond the edges are the tails that any sample has.
LEAST_BEYOND = 0.02
# How distances are written in the panels of showers and jet images.
DISTANCES = {"ks": "KS", "w1": "W₁/σ", "separation": "S"}


@dataclass(frozen=True, eq=False)
class DrawnHistogram:
    """Contents of bins and how they are drawn.

    Args:
        contents, errors: shape `(bins,)`.
        colour, line, marker: colour, line and marker of its steps and of its points in the ratio.
        beyond: fractions of its entries below the first and above the last edge; they are in the outermost bins.
        name: the name written where it exceeds the panel.
    """

    contents: np.ndarray
    errors: np.ndarray
    colour: str = GENERATED
    line: str = "-"
    marker: str = "o"
    beyond: tuple[float, float] = (0.0, 0.0)
    name: str = "generated"


def drawn(found, **look) -> DrawnHistogram:
    """A histogram and how it is drawn.

    Args:
        found: a `validation.binning.Histogram`, or an object with its `contents`, `errors` and `beyond`.
        **look: further fields of `DrawnHistogram`.
    """
    return DrawnHistogram(found.contents, found.errors, beyond=found.beyond, **look)


def both(observable, names: Sequence[str]) -> list[DrawnHistogram]:
    """The histograms of an observable's two samples with their names, the reference first.

    Args:
        observable: a `validation.Observable`, or an object with its attributes.
        names: names of the two samples.
    """
    return [drawn(observable.histogram(which), name=name) for which, name in zip(("reference", "generated"), names)]


def observable_grid(report, names: Sequence[str], subject: str) -> tuple[Figure, list[tuple]]:
    """A figure for observables of a report, in up to three columns.

    Args:
        report: a `validation.Report`, or an object with its `observables` and `names`.
        names: names of the observables, in order.
        subject: what belongs to all panels.

    Returns:
        The figure, and each observable with its cell for `draw_pair`.

    Raises:
        ValueError: without a name, or for an observable that the report lacks.
    """
    if not len(names):
        raise ValueError(f"Expected at least one observable to draw, received none of {', '.join(report.observables)}.")
    for name in names:
        check_name("observable", name, report.observables)
    columns = min(3, len(names))
    figure, cells = ratio_grid(-(-len(names) // columns), columns, subject, names=report.names)
    return figure, list(zip((report.observables[name] for name in names), cells))


def ratio_grid(
    rows: int,
    columns: int,
    subject: str,
    width: float = 5.2,
    height: float = 4.6,
    legend: Sequence | None = (),
    titles: bool = False,
    names: Sequence[str] = ("reference", "generated"),
) -> tuple[Figure, list]:
    """A figure with its label and legend at the top, and cells for pairs of adjacent panels; all lengths in inches.

    Args:
        rows, columns: numbers of rows and columns of cells.
        subject: what belongs to all panels.
        width, height: size of a cell with its margins.
        legend: handles; by default those of a reference and a generated sample, None for no legend.
        titles: whether the upper panels of the first row have titles.
        names: names of these two samples.
    """
    # One column is too narrow for the label and the subject in one line.
    lines = 1 + (legend is not None) + (columns == 1)
    titled = 0.25 * titles
    header = 0.13 + 0.27 * lines
    total = (columns * width, rows * height + header + titled)
    figure = new_figure(*total, arranged=False)
    left, right, bottom, gap = 0.85, 0.2, 0.65, 0.85
    inner = width - left - right, height - gap
    grid = figure.add_gridspec(
        rows,
        columns,
        left=left / total[0],
        right=1 - right / total[0],
        bottom=bottom / total[1],
        top=1 - (header + titled + gap - bottom) / total[1],
        wspace=(left + right) / inner[0],
        hspace=gap / inner[1],
    )
    if legend is not None:
        handles = list(legend) or legend_handles(names[0], {names[1]: {}})
        figure.legend(
            handles,
            [handle.get_label() for handle in handles],
            loc="lower left",
            bbox_to_anchor=(0.05 / total[0] if columns == 1 else left / total[0], 1 - header / total[1]),
            ncols=len(handles),
            borderpad=0,
            borderaxespad=0,
            columnspacing=1.5,
        )
    if columns == 1:
        figure.text(0.008, 1 - 0.5 / total[1], subject, fontsize=9.5)
    add_label(figure, subject if columns > 1 else "")
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return figure, [grid[place].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0) for place in places]


def legend_handles(reference: str, others: Mapping[str, Mapping[str, str]]) -> list[Patch | Line2D]:
    """The legend's entries of the reference, of its statistical band and of other histograms.

    Args:
        reference: name of the reference.
        others: for each name, the fields `colour` and `line` of `DrawnHistogram` that differ from its defaults.
    """
    looks = {name: {"colour": GENERATED, "line": "-", **look} for name, look in others.items()}
    return [
        Patch(facecolor=REFERENCE_FILL, edgecolor=REFERENCE, label=reference),
        Patch(facecolor=REFERENCE, alpha=0.35, label="statistical uncertainty"),
        *(
            Line2D([], [], color=look["colour"], linewidth=1.8, linestyle=look["line"], label=name)
            for name, look in looks.items()
        ),
    ]


def ratio_label(names: Sequence[str]) -> str:
    """The label of a ratio panel: `gen. / ref.`, or with the reference's name where the samples have names."""
    return "gen. / ref." if names[0] in ("reference", "real") else f"ratio to {names[0]}"


def stacked(figure: Figure, cell, label: str = "gen. / ref.") -> tuple[Axes, Axes]:
    """An upper and a lower panel, adjacent, that share their horizontal axis.

    Args:
        figure: the figure.
        cell: cell of a grid of panels.
        label: label of the lower panel's vertical axis.
    """
    upper = figure.add_subplot(cell[0])
    lower = figure.add_subplot(cell[1], sharex=upper)
    upper.tick_params(axis="x", which="both", labelbottom=False)
    lower.set_ylabel(label, loc="center")
    return upper, lower


def draw_pair(
    figure: Figure,
    cell,
    edges: np.ndarray,
    reference: DrawnHistogram,
    others: Sequence[DrawnHistogram],
    *,
    labels: tuple[str, str],
    ratio: str = "gen. / ref.",
    notes: Sequence[str] = (),
    logarithmic: tuple[bool, bool] = (False, False),
) -> tuple[Axes, Axes]:
    """Draw histograms into an upper panel and their ratios to the reference into a lower one.

    Args:
        figure: the figure.
        cell: cell of `ratio_grid`.
        edges: edges of the bins, shape `(bins + 1,)`.
        reference: grey, with its statistical band.
        others: as steps, with error bars in the ratio.
        labels: labels of the horizontal axis and of the upper panel's vertical axis.
        ratio: label of the lower panel's vertical axis.
        notes: lines for the upper right corner.
        logarithmic: whether the horizontal and the upper vertical axis are.

    Returns:
        The upper and the lower panel.
    """
    upper, lower = stacked(figure, cell, ratio)
    lower.set_xlabel(labels[0])
    upper.set_ylabel(labels[1])
    upper.stairs(reference.contents, edges, fill=True, color=REFERENCE_FILL)
    upper.stairs(reference.contents, edges, color=REFERENCE, linewidth=1.4)
    band(upper, edges, reference.contents, reference.errors, color=REFERENCE, alpha=0.35)
    for other in others:
        upper.stairs(other.contents, edges, color=other.colour, linewidth=1.8, linestyle=other.line)
    centres = np.sqrt(edges[1:] * edges[:-1]) if logarithmic[0] else (edges[1:] + edges[:-1]) / 2
    _scale(upper, edges, reference, others, logarithmic, len(notes))
    for other in others:
        scales.mark_beyond(upper, centres, other.contents, upper.get_ylim()[1], other.name, other.colour)
    _mark_overflow(upper, edges, [reference, *others])
    if notes:
        upper.legend(
            handles=[Line2D([], [], color="none", label=line) for line in notes],
            loc="upper right", handlelength=0, handletextpad=0, fontsize=10.5, borderaxespad=0.4,
        )  # fmt: skip

    quotients = []
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = reference.contents > 0
        uncertain = np.where(shown, reference.errors / reference.contents, np.nan)
        for other in others:
            quotient = np.where(shown, other.contents / reference.contents, np.nan)
            error = np.where(shown & (other.contents > 0), other.errors / reference.contents, np.nan)
            quotients.append((quotient, error, other))
    band(lower, edges, np.where(shown, 1.0, np.nan), uncertain, color=REFERENCE, alpha=0.3)
    ratio_points(lower, centres, quotients, uncertain, size=2.8)
    return upper, lower


def ratio_points(panel: Axes, positions, ratios: Sequence[tuple], uncertain, size: float) -> None:
    """Draw ratios on an axis around one that contains nearly all well-measured ratios, at most 0 to 2.

    Args:
        panel: where.
        positions: shape `(point,)`.
        ratios: for each set of points, the ratios, their errors, and an object with `colour` and `marker`.
        uncertain: relative uncertainty of the reference at each point.
        size: size of the markers.
    """
    certain = [np.abs(ratio - 1)[(uncertain < 0.2) & np.isfinite(ratio)] for ratio, _, _ in ratios]
    trusted = np.concatenate([*certain, np.zeros(0)])
    reach = max(np.quantile(trusted, 0.95), 1.5 * np.nanmedian(uncertain)) if len(trusted) else 1.0
    half = next((half for half in (0.05, 0.1, 0.2, 0.5) if reach < 0.85 * half), 1.0)
    panel.set_ylim(1 - half, 1 + half)
    panel.set_yticks([1 - half / 2, 1.0, 1 + half / 2])
    panel.axhline(1.0, color=REFERENCE, linewidth=0.9)
    for ratio, error, look in ratios:
        panel.errorbar(positions, ratio, error, fmt=look.marker, color=look.colour, markersize=size, elinewidth=1.0)
        # A point beyond the panel is shown as an arrow at its border.
        borders = ((ratio > 1 + half, 1 + 0.92 * half, "^"), (ratio < 1 - half, 1 - 0.92 * half, "v"))
        for outside, border, arrow in borders:
            panel.plot(positions[outside], np.full(outside.sum(), border), arrow, color=look.colour, markersize=3.5)


def band(panel: Axes, edges, centre, half, **style) -> None:
    """A stepped band centre ± half.

    Args:
        panel: the panel.
        edges: edges of the bins, shape `(bin + 1,)`.
        centre, half: middle and half height of the band in each bin, shape `(bin,)`.
        **style: options of matplotlib.
    """
    low, high = (np.append(border, border[-1]) for border in (centre - half, centre + half))
    panel.fill_between(edges, low, high, step="post", linewidth=0, **style)


def number(value: float) -> str:
    """A distance as written in legends."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.1e}".replace("e-0", "e-")


def distance_notes(
    observable, words: Mapping[str, str] = DISTANCES, *, spread: bool = False, events: str = "events"
) -> list[str]:
    """The distances of an observable for a panel's corner, each with its floor, and the number of excluded events.

    Args:
        observable: a `validation.Observable`, or an object with its `distances` and `undefined`.
        words: text for each distance, by name; those that the observable lacks are omitted.
        spread: whether the floor's standard deviation is also written.
        events: what the events are called, in the plural.
    """
    lines = []
    for name, text in words.items():
        if name in observable.distances:
            one = observable.distances[name]
            floor = f"{number(one.floor)} ± {one.floor_spread:.1g}" if spread else number(one.floor)
            lines.append(f"{text} {number(one.value)} (floor {floor})")
    left_out = observable.undefined[1]
    return [*lines, f"{left_out} empty {events} left out"] if left_out else lines


def event_numbers(report) -> str:
    """The numbers of events of a report's two samples, e.g. `200 Geant4, 180 GAN`."""
    return ", ".join(f"{number:,} {name}" for number, name in zip(report.events, report.names))


def _scale(panel, edges, reference, others, logarithmic, lines):
    """Limits set by the reference, with room for the notes above the curves."""
    # The limits include the statistical band of the reference.
    top = scales.top(
        float((reference.contents + reference.errors).max()),
        max((float(other.contents.max()) for other in others), default=0.0),
    )
    panel.set_xlim(edges[0], edges[-1])
    if logarithmic[0]:
        panel.set_xscale("log")
    filled = reference.contents[reference.contents > 0]
    if logarithmic[1] and len(filled):
        bottom = max(filled.min() / 3, 1e-7 * top)
        panel.set_yscale("log")
        panel.set_ylim(bottom, top * (top / bottom) ** 0.45)
    else:
        panel.set_ylim(0, (1.5 if lines < 4 else 1.3 + 0.07 * lines) * top)
        # The zero would overlap the ratio panel's highest label.
        panel.yaxis.set_major_locator(MaxNLocator(6, prune="lower"))


def _mark_overflow(panel, edges, histograms):
    """Arrows at the ends of the axis, with the fraction of the entries beyond, which are in the outermost bins."""
    for line, one in enumerate(one for one in histograms if max(one.beyond) >= LEAST_BEYOND):
        look = {"transform": panel.get_xaxis_transform(), "fontsize": 9.5, "color": one.colour, "va": "center"}
        look["path_effects"] = [patheffects.withStroke(linewidth=2.5, foreground="white")]
        height = 0.5 - 0.08 * line
        # Beside the outermost bin, which includes them.
        if one.beyond[1] >= LEAST_BEYOND:
            panel.text(edges[-2], height, f"{percent(one.beyond[1])} beyond ▸ ", ha="right", **look)
        if one.beyond[0] >= LEAST_BEYOND:
            panel.text(edges[1], height, f" ◂ {percent(one.beyond[0])} beyond", ha="left", **look)


def percent(fraction: float) -> str:
    """A fraction in per cent with two digits, as written in a panel."""
    return f"{100 * fraction:.0f} %" if fraction >= 0.095 else f"{100 * fraction:.2g} %"
