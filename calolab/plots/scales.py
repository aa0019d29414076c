"""Scales set by the reference: axes and colours with which a bad generator does not hide the reference."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Colormap, ListedColormap, LogNorm, Normalize

from calolab.plots.style import DIFFERENCE_MAP, ENERGY_MAP, ticks_outside

# A generated sample extends the scale of its reference to at most this multiple.
REACH = 2.0
# Energies below this fraction of the largest all have the faintest colour of the logarithmic scale.
FAINTEST = 1e-4
# Cells beyond the scale: above its end, and below it or, where nothing should be negative, below zero.
OVER, UNDER = "#1fd6b5", "#8a3ffc"
# Up to this fraction of its end a signed logarithmic scale is linear.
LINEAR = 0.01
# Empty cells are black; the faintest deposit starts visibly above it.
_DIMMEST = 0.14


def top(reference: float, others: float = 0.0) -> float:
    """Upper end of a scale: the largest value, but at most twice that of the reference.

    Args:
        reference: largest value of the reference; 0 if it has none above zero.
        others: largest value of the other samples.
    """
    if reference > 0:
        return float(min(max(reference, others), REACH * reference))
    return float(others) if others > 0 else 1.0


def colour_map(signed: bool = False) -> Colormap:
    """The colours of cells, including those beyond either end of the scale."""
    if signed:
        return matplotlib.colormaps[DIFFERENCE_MAP].with_extremes(over=OVER, under=UNDER)
    # Fainter values also have the faintest colour.
    return ListedColormap(matplotlib.colormaps[ENERGY_MAP](np.linspace(_DIMMEST, 1, 256))).with_extremes(over=OVER)


def colour_norm(high: float, log: bool, *, low: float | None = None, signed: bool = False) -> Normalize:
    """The normalisation of a colour scale, from `low` or zero (or `-high` for a signed quantity) to `high`.

    Args:
        high: value of the last colour, positive.
        log: whether the colours are logarithmic; for a signed quantity on both sides of a linear range.
        low: value of the first logarithmic colour; by default four decades below `high`.
        signed: whether the quantity can be negative.
    """
    if signed:
        return AsinhNorm(LINEAR * high, -high, high) if log else Normalize(-high, high)
    return LogNorm(FAINTEST * high if low is None else low, high) if log else Normalize(0, high)


def draw_cells(panel: Axes, edges: Sequence, cells: np.ndarray, norm: Normalize, unit: str = "", signed: bool = False):
    """Draw cells into a panel, black where they are empty, and count those beyond the scale.

    Args:
        panel: where.
        edges: cell edges along the horizontal and the vertical axis.
        cells: shape `(column, row)`.
        norm: result of `colour_norm`.
        unit: unit of the cells.
        signed: whether the quantity can be negative.

    Returns:
        The image, for a colour bar.
    """
    shown = cells
    if not signed:
        panel.set_facecolor("black")
        shown = np.ma.masked_less_equal(cells, 0)
        if np.any(cells < 0):
            panel.pcolormesh(*edges, np.ma.masked_greater_equal(cells, 0).T, cmap=ListedColormap([UNDER]))
    image = panel.pcolormesh(*edges, shown.T, norm=norm, cmap=colour_map(signed))
    ticks_outside(panel)
    lines = beyond(cells, norm.vmax, unit, signed)
    if lines:
        colour, edge = ("black", "white") if signed else ("white", "black")
        text = panel.text(
            0.02, 0.98, "\n".join(lines), transform=panel.transAxes, ha="left", va="top", fontsize=9, color=colour
        )
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground=edge)])
    return image


def beyond(cells: np.ndarray, high: float, unit: str = "", signed: bool = False) -> list[str]:
    """Text that says how many cells are beyond either end of a colour scale, and how far; empty if none is.

    Args:
        cells: the values.
        high: end of the colour scale.
        unit: unit of the values.
        signed: whether the scale has two sides.
    """
    low = -high if signed else 0.0
    # An end that equals a cell's own value can be rounded.
    above, below = np.sum(cells > high * (1 + 1e-6)), np.sum(cells < low * (1 + 1e-6))
    lines = []
    if above:
        lines.append(f"{_cells(above)} above the scale, up to {cells.max():.3g} {unit}".rstrip())
    if below:
        where = "below the scale" if signed else "below zero"
        lines.append(f"{_cells(below)} {where}, down to {cells.min():.3g} {unit}".rstrip().replace("-", "−"))
    return lines


def extended(cells: Sequence[np.ndarray], norm: Normalize, signed: bool) -> str:
    """The ends of a colour bar that are extended, as the argument `extend` of matplotlib.

    Args:
        cells: arrays of the values that are drawn.
        norm: colour scale of matplotlib.
        signed: whether the scale has two sides.
    """
    low, high = min(float(one.min()) for one in cells), max(float(one.max()) for one in cells)
    ends = signed and low < norm.vmin * (1 + 1e-6), high > norm.vmax * (1 + 1e-6)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[ends]


def signed_ticks(low: float, high: float) -> dict[str, list]:
    """Zero and the powers of ten from `low` to `high` on either side, as the `ticks` and `labels` of a colour bar.

    Args:
        low, high: positive values.
    """
    powers = 10.0 ** np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    ticks = [*-powers[::-1], 0, *powers]
    return {"ticks": ticks, "labels": [f"{tick:g}".replace("-", "−") for tick in ticks]}


def mark_zero(bar) -> None:
    """Mark zero on the colour bar of a signed quantity, and label it with few numbers on either side."""
    high = bar.norm.vmax
    if isinstance(bar.norm, AsinhNorm):
        bar.set_ticks(**signed_ticks(LINEAR * high, high))
    bar.ax.minorticks_off()
    bar.ax.axhline(0, color="black", linewidth=1.4)


def mark_beyond(panel: Axes, positions, heights: np.ndarray, high: float, name: str, colour, unit: str = "") -> None:
    """Mark values above a panel's vertical scale or below zero with arrows at its borders, and write the most extreme.

    Args:
        panel: the panel, with a scale from zero, or a logarithmic one, to `high`.
        positions, heights: positions and heights of the points or bins, shape `(point,)`.
        high: upper end of the scale.
        name, colour: name and colour of the sample.
        unit: unit of the heights.
    """
    heights = np.asarray(heights, dtype=float)
    ends = [
        (heights > high * (1 + 1e-6), 0.97, "^", "up to", np.max, {"y": 0.92, "va": "top"}),
        (heights < -1e-6 * high, 0.03, "v", "down to", np.min, {"y": 0.08, "va": "bottom"}),
    ]
    for outside, edge, marker, words, extreme, place in ends:
        if not outside.any():
            continue
        where = np.asarray(positions)[outside]
        line = {"color": colour, "markersize": 4, "transform": panel.get_xaxis_transform()}
        panel.plot(where, np.full(len(where), edge), marker, **line)
        value = f"{extreme(heights[outside]):.3g}".replace("-", "−")
        words = f"{name} {words} {value} {unit}".rstrip()
        text = panel.text(0.015, s=words, transform=panel.transAxes, fontsize=9.5, color=colour, **place)
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="white")])


def _cells(number):
    return f"{number:,} cell{'' if number == 1 else 's'}"
