"""Slices through showers: one event of one or two samples, cell by cell, in one colour scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from calolab.plots.style import ENERGY_MAP, GENERATED, REFERENCE, hep, new_figure
from calolab.samples import LABEL_UNITS, Sample
from calolab.spaces import Space

# Energies below this fraction of the largest are drawn alike on the logarithmic scale.
FAINTEST = 1e-4


def plane(space: Space, values: np.ndarray, axis: str, position: int | None) -> tuple[np.ndarray, tuple, tuple]:
    """One slice of an event, or with `position=None` the sum of all slices.

    Args:
        space: what the values mean.
        values: one event, shape `space.shape`.
        axis: the axis along which slices follow each other; the depth where layers differ.
        position: index of the slice.

    Returns:
        The values over (column, row), the two edge arrays, and the names of the two axes: as seen along the beam, or
        from the side with the depth to the right.

    Raises:
        ValueError: if there is no such axis, or slices that differ in shape are to be summed.
    """
    if axis not in space.axes:
        raise ValueError(f"Space {space.name!r} has axes {space.axes}, received axis={axis!r}.")
    if not space.has_depth:
        return values, space.layers[0].edges, space.axes
    if not space.regular:
        if axis != space.axes[-1] or position is None:
            raise ValueError(f"The layers of {space.name!r} differ: show one of them, along {space.axes[-1]!r}.")
        start, stop = space.layer_starts[position : position + 2]
        layer = space.layers[position]
        return values[start:stop].reshape(layer.shape), layer.edges, space.axes[:2]
    along = space.axes.index(axis)
    cells = values.sum(axis=along, dtype=float) if position is None else values.take(position, axis=along)
    names = [name for name in space.axes if name != axis]
    if axis != space.axes[-1]:
        cells, names = cells.T, names[::-1]
    return cells, tuple(space.edges(name) for name in names), tuple(names)


@hep()
def show(samples: Mapping[str, Sample], event: int, *, axis: str, position: int | None, log: bool = True) -> Figure:
    """One event of each sample, side by side in one colour scale: a slice, or with `position=None` the sum of all.

    Args:
        samples: one or two samples of one space under their names.
        event: index of the event in each.
        axis: the axis along which slices follow each other.
        position: index of the slice, or None for the sum.
        log: whether the colours are logarithmic.
    """
    space = next(iter(samples.values())).space
    planes = [plane(space, sample.values[event], axis, position) for sample in samples.values()]
    # As in the viewer, the scale belongs to the event, so that slices can be compared with each other.
    shown = [cells for cells, _, _ in planes] if position is None else [s.values[event] for s in samples.values()]
    figure = new_figure(5.0 * len(planes) + 0.9, 4.6)
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    image = draw(panels, planes, space, max(float(cells.max()) for cells in shown), log)
    for panel, (name, sample), colour in zip(panels, samples.items(), (REFERENCE, GENERATED)):
        facts = [f"{label} {column[event]:.3g} {LABEL_UNITS.get(label, '')}" for label, column in sample.labels.items()]
        facts.append(f"visible {sample.values[event].sum(dtype=float):.3g} {space.unit}")
        panel.set_title(name, loc="left", color=colour, fontweight="bold")
        panel.set_title(", ".join(facts), loc="right", fontsize=11)
    what = ", event sum" if position is None and space.has_depth else " per cell"
    figure.colorbar(image, ax=list(panels), label=f"{space.quantity}{what} [{space.unit}]", pad=0.015)
    if space.has_depth:
        figure.supxlabel(where(space, axis, position), fontsize=11)
    return figure


def draw(panels, planes, space: Space, largest: float, log: bool):
    """Draw planes into panels in one colour scale up to `largest`; returns the last image, for the colour bar."""
    largest = largest if largest > 0 else 1.0
    norm = LogNorm(FAINTEST * largest, largest, clip=True) if log else Normalize(0, largest, clip=True)
    for panel, (cells, (columns, rows), names) in zip(panels, planes):
        panel.set_facecolor("black")
        image = panel.pcolormesh(columns, rows, np.ma.masked_less_equal(cells.T, 0), norm=norm, cmap=ENERGY_MAP)
        panel.set(xlabel=space.axis_label(names[0]), ylabel=space.axis_label(names[1]))
        panel.tick_params(which="both", top=False, right=False, direction="out")
        panel.minorticks_off()
    return image


def where(space: Space, axis: str, position: int | None) -> str:
    """In words, which slice is shown: `slice 9 along z, 40 to 44 mm`."""
    if position is None:
        return f"sum along {axis}"
    borders = space.edges(axis)
    unit = space.units[space.axes.index(axis)]
    return f"slice {position} along {axis}, {borders[position]:.4g} to {borders[position + 1]:.4g} {unit}"
