"""A page of figures of a scorecard: metrics with their floors, distributions, response and layer correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calolab.plots import ratios, scales
from calolab.plots.style import DIFFERENCE_MAP, REFERENCE, SERIES, hep

MARKERS = ("o", "s", "^", "D", "v", "P")
COLUMNS = 3
# Panels of numbers: group of metrics, title, and whether the axis is logarithmic.
NUMBERS = (
    ("classifiers", "AUC of classifiers and its floor", False),
    ("separation", "separation powers and their floors", True),
    ("neighbours", "nearest neighbours and their floors", False),
)


@hep()
def page(card) -> Figure:
    """The whole scorecard on one page.

    Args:
        card: a `validation.Scorecard`, or an object with its attributes.

    Returns:
        The figure. The reference is grey with its statistical band, the generators are in colours; crosses and bands
        are floors.
    """
    colours = SERIES[1:]
    looks = {
        name: (colours[index % len(colours)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(card.generators)
    }
    numbers = [one for one in NUMBERS if len(list(_drawn(card, one[0]))) > 1]
    handles = ratios.legend_handles(card.reference, {name: {"colour": colour} for name, (colour, _) in looks.items()})
    rows = -(-(len(numbers) + len(card.panels) + _has_matrices(card)) // COLUMNS)
    figure, grid = ratios.ratio_grid(rows, COLUMNS, _subject(card), legend=handles, titles=True)
    cells = iter(grid)
    for group, title, logarithmic in numbers:
        whole = figure.add_subplot(next(cells)[:, :])
        _numbers(whole, card, list(_drawn(card, group)), title, logarithmic, looks)
    for panel in card.panels.values():
        (_curve if panel.is_curve else _distribution)(figure, next(cells), card, panel, looks)
    if _has_matrices(card):
        _correlations(figure, figure.add_subplot(next(cells)[:, :]), card)
    return figure


def _subject(card) -> str:
    compared = card.events["compared"]
    text = f"{card.space.name}, {compared:,} events each"
    if card.energies:
        text += f", {card.energies[0]:.3g} to {card.energies[1]:.3g} GeV"
    return text


def _drawn(card, group: str):
    """The metrics of a group that are drawn; for classifiers only the AUC."""
    return (name for name in card.metrics if card.groups[name] == group and not name.startswith("jsd"))


def _numbers(axes: Axes, card, names: Sequence[str], title: str, logarithmic: bool, looks) -> None:
    """One row per metric: every generator's value with its error, and the floor as a band."""
    rows = np.arange(len(names))[::-1]
    for row, name in zip(rows, names):
        entries = card[name]
        floor = next(iter(entries.values()))
        if floor.floor is not None:
            half = floor.floor_spread or 0.0
            span = [row - 0.3, row + 0.3]
            axes.fill_betweenx(span, floor.floor - half, floor.floor + half, color=REFERENCE, alpha=0.25, linewidth=0)
            axes.plot([floor.floor] * 2, span, color=REFERENCE, linewidth=1.6)
        for shift, (generator, entry) in zip(_shifts(len(entries)), entries.items()):
            colour, marker = looks[generator]
            if math.isfinite(entry.value):
                axes.errorbar(
                    entry.value, row + shift, xerr=entry.error, fmt=marker, color=colour, markersize=5.5, elinewidth=1.2
                )
    if logarithmic:
        axes.set_xscale("log")
    elif title.startswith("AUC"):
        axes.set_xlim(min(0.47, axes.get_xlim()[0]), 1.015)
    else:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    for row, name in zip(rows, names):
        place = (0.015, row + 0.3)
        axes.text(*place, card.labels[name], transform=axes.get_yaxis_transform(), fontsize=10, va="bottom")
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(names) - 0.2)
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(title, loc="left", fontsize=12)


def _shifts(n: int) -> np.ndarray:
    return np.zeros(1) if n == 1 else np.linspace(0.18, -0.18, n)


def _distribution(figure: Figure, cell, card, panel, looks) -> None:
    """A distribution of all samples above, and its ratio to the reference below."""
    entries = {}
    for name, contents in panel.contents.items():
        colour, marker = looks.get(name, (REFERENCE, "o"))
        entries[name] = ratios.DrawnHistogram(contents, panel.errors[name], colour, marker=marker, name=name)
    reference = entries.pop(card.reference)
    ratios.draw_pair(
        figure,
        cell,
        panel.edges,
        reference,
        list(entries.values()),
        labels=(panel.x, panel.y),
        ratio=ratios.ratio_label([card.reference]),
        logarithmic=("x" in panel.logarithmic, "y" in panel.logarithmic),
    )


def _curve(figure: Figure, cell, card, panel, looks) -> None:
    """A curve of all samples above, and its ratio to the reference below."""
    upper, lower = ratios.stacked(figure, cell, ratios.ratio_label([card.reference]))
    reference, error = panel.contents[card.reference], panel.errors[card.reference]
    upper.errorbar(panel.edges, reference, error, fmt="o-", color=REFERENCE, markersize=4)
    found = []
    for generator, (colour, marker) in looks.items():
        contents, errors = panel.contents[generator], panel.errors[generator]
        upper.errorbar(panel.edges, contents, errors, fmt=f"{marker}-", color=colour, markersize=4)
        look = ratios.DrawnHistogram(contents, errors, colour, marker=marker)
        found.append((contents / reference, errors / reference, look))
    most = max(float(np.nanmax(one)) for one in panel.contents.values())
    upper.set_ylim(0, 1.25 * scales.top(float(np.nanmax(reference)), most))
    ratios.ratio_points(lower, panel.edges, found, error / reference, size=4)
    upper.set_ylabel(panel.y)
    lower.set_xlabel(panel.x)


def _has_matrices(card) -> bool:
    return card.reference in card.matrices and len(card.matrices) > 1


def _correlations(figure: Figure, axes: Axes, card) -> None:
    """Layer correlations of the first generator minus those of the reference."""
    generator = next(name for name in card.generators if name in card.matrices)
    difference = card.matrices[generator] - card.matrices[card.reference]
    most = max(0.1, float(np.nanmax(np.abs(difference), initial=0.0)))
    last = len(difference) - 0.5
    image = axes.imshow(
        difference, origin="lower", cmap=DIFFERENCE_MAP, vmin=-most, vmax=most, extent=(-0.5, last, -0.5, last)
    )
    axes.set(xlabel="layer", ylabel="layer")
    axes.set_title(f"layer correlations, {generator} − {card.reference}", loc="left", fontsize=12)
    figure.colorbar(image, ax=axes, fraction=0.13, pad=0.03, aspect=22).set_label("Δρ")
