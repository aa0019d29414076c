"""Slices through showers: one event of one or two samples, cell by cell, in one colour scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from calolab.labels import symbol, value_text
from calolab.plots import scales
from calolab.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, hep, new_figure
from calolab.samples import Sample
from calolab.spaces import Space, with_unit


def plane(space: Space, values: np.ndarray, axis: str, position: int | None) -> tuple[np.ndarray, tuple, tuple]:
    """One slice of an event, or with `position=None` the sum of all slices.

    Args:
        space: space of the values.
        values: one event, shape `space.shape`.
        axis: the axis along which slices follow each other; the depth if layers differ.
        position: index of the slice.

    Returns:
        The values over (column, row), the two edge arrays, and the names of the two axes: as seen along the beam, or
        from the side with the depth to the right; for an image of rows and columns, the columns are to the right.

    Raises:
        ValueError: if there is no such axis, or slices that differ in shape are to be summed.
    """
    if axis not in space.axes:
        raise ValueError(f"Space {space.name!r} has axes {space.axes}, received axis={axis!r}.")
    if not space.has_depth:
        turn = -1 if space.rows_first else 1
        return values.T if space.rows_first else values, space.layers[0].edges[::turn], space.axes[::turn]
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
def show(
    samples: Mapping[str, Sample],
    event: int,
    *,
    axis: str,
    position: int | None,
    log: bool = True,
    signed: bool | None = None,
    largest: float | None = None,
    facts: Mapping[str, str] | None = None,
    curves: Mapping[str, np.ndarray] | None = None,
    response: Mapping[str, object] | None = None,
) -> Figure:
    """One event of each sample, side by side in one colour scale: a slice, or with `position=None` the sum of all.

    Args:
        samples: one or two samples of one space under their names, the reference first. It sets the scales: the other
            extends them to at most twice its largest value, and cells beyond have a separate colour.
        event: index of the event in each.
        axis: the axis along which slices follow each other.
        position: index of the slice, or None for the sum.
        log: whether the colours are logarithmic.
        signed: whether the quantity can be negative; by default, whether a cell of the first sample is.
        largest: the value of the last colour; by default that of the event.
        facts: the title of each sample; by default its labels and visible energy.
        curves: further lines of the energy in each slice, shape `(line, slice)`, by name of their sample.
        response: a panel of the visible energy against the incident one: `energies` [GeV], `at`, and under each
            sample's name lines of shape `(line, energy)`, the last of them the one shown.

    Returns:
        The figure; if there are several slices, the energy in each is shown below.
    """
    space = next(iter(samples.values())).space
    signed = is_signed(next(iter(samples.values()))) if signed is None else signed
    planes = {name: plane(space, sample.values[event], axis, position) for name, sample in samples.items()}
    norm = scales.colour_norm(largest or _largest(samples, event, planes, position, signed), log, signed=signed)
    several = space.has_depth and len(space.layers) > 1
    heights = [*([1.5] if response else []), 4.6, *([1.7] if several else [])]
    figure = new_figure(5.0 * len(planes) + 0.9, sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if response:
        _response(parts.pop(0), response, space, dict(zip(samples, (REFERENCE, GENERATED))))
    panels = parts[0].subplots(1, len(planes), squeeze=False)[0]
    colours = dict(
        zip(samples, (REFERENCE, GENERATED) if len(samples) > 1 or "generated" not in samples else [GENERATED])
    )
    for panel, (name, (cells, edges, axes)) in zip(panels, planes.items()):
        image = scales.draw_cells(panel, edges, cells, norm, space.unit, signed)
        _name_axes(panel, space, axes)
        panel.set_title(name, loc="left", color=colours[name], fontweight="bold")
        title = (facts or {}).get(name, _facts(samples[name], event))
        panel.set_title(title, loc="right", fontsize=11 if len(title) < 36 else 9)
    what = ", event sum" if position is None and space.has_depth else " per cell"
    ends = scales.extended([cells for cells, _, _ in planes.values()], norm, signed)
    label = with_unit(f"{space.quantity}{what}", space.unit)
    bar = parts[0].colorbar(image, ax=list(panels), label=label, pad=0.015, extend=ends)
    if signed:
        scales.mark_zero(bar)
    if space.has_depth:
        parts[0].supxlabel(where(space, axis, position), fontsize=11)
    if several:
        _strip(parts[1], samples, event, axis, position, colours, curves or {})
    return figure


def draw(panels, planes, space: Space, largest: float, log: bool, signed: bool = False):
    """Draw planes into panels in one colour scale up to `largest`; returns the last image, for the colour bar.

    Args:
        panels: one panel per plane.
        planes: values, edges and names of the axes of each, from `plane`.
        space: space of the values.
        largest: end of the colour scale [`space.unit`].
        log: whether the colours are logarithmic.
        signed: whether the quantity can be negative.
    """
    norm = scales.colour_norm(largest if largest > 0 else 1.0, log, signed=signed)
    for panel, (cells, edges, names) in zip(panels, planes):
        image = scales.draw_cells(panel, edges, cells, norm, space.unit, signed)
        _name_axes(panel, space, names)
    return image


def is_signed(sample: Sample) -> bool:
    """Whether a sample's quantity can be negative, as the convergence can: true if one of its cells is."""
    return bool(len(sample) and sample.values.min() < 0)


def where(space: Space, axis: str, position: int | None) -> str:
    """Text that says which slice is shown, e.g. `slice 9 along z, 40 to 44 mm`.

    Args:
        space: space of the sample.
        axis: the axis along which slices follow each other.
        position: index of the slice, or None for the sum.
    """
    if position is None:
        return f"sum along {symbol(axis)}"
    borders = space.edges(axis)
    unit = space.units[space.axes.index(axis)]
    return f"slice {position} along {symbol(axis)}, {borders[position]:.4g} to {borders[position + 1]:.4g} {unit}"


def _largest(samples, event, planes, position, signed):
    """The end of the scale: that of the event, not of the slice, so that slices can be compared."""
    shown = [p[0] for p in planes.values()] if position is None else [s.values[event] for s in samples.values()]
    sizes = [float(np.abs(cells).max() if signed else cells.max()) for cells in shown]
    return scales.top(sizes[0], max(sizes[1:], default=0.0))


def _name_axes(panel, space, names):
    panel.set(xlabel=space.axis_label(names[0]), ylabel=space.axis_label(names[1]))
    if space.rows_first and not panel.yaxis_inverted():
        panel.invert_yaxis()


def _facts(sample, event):
    labels = (f"{symbol(name)} {value_text(name, column[event], 3)}" for name, column in sample.labels.items())
    total = f"{'visible' if sample.space.has_depth else 'sum'} {sample.values[event].sum(dtype=float):.3g}"
    return ", ".join([*labels, f"{total} {sample.space.unit}".rstrip()]).replace("-", "−")


def _strip(figure, samples, event, axis, position, colours, curves):
    """The energy in each slice; the slice that is shown is marked."""
    panel = figure.subplots()
    space = next(iter(samples.values())).space
    borders = space.edges(axis)
    sums = {name: slice_sums(space, sample.values[event], axis) for name, sample in samples.items()}
    highest = [float(one.max()) for one in sums.values()]
    others = max([*highest[1:], *(float(lines.max()) for lines in curves.values())], default=0.0)
    high = 1.08 * scales.top(highest[0], others)
    if position is not None:
        panel.axvspan(borders[position], borders[position + 1], color=REFERENCE_FILL, alpha=0.6, linewidth=0)
    for name, one in sums.items():
        for line in curves.get(name, ()):
            panel.stairs(line, borders, baseline=None, color=colours[name], alpha=0.3, linewidth=0.8)
        panel.stairs(one, borders, baseline=None, color=colours[name], linewidth=1.8)
        scales.mark_beyond(panel, (borders[1:] + borders[:-1]) / 2, one, high, name, colours[name], space.unit)
    panel.set(xlim=(borders[0], borders[-1]), ylim=(0, high), xlabel=space.axis_label(axis))
    panel.set_ylabel(with_unit("per slice", space.unit))


def slice_sums(space: Space, values: np.ndarray, axis: str) -> np.ndarray:
    """The sum of the cells in each slice of one event along an axis, shape `(slice,)`.

    Args:
        space: space of the event.
        values: one event, shape `space.shape`.
        axis: the axis along which slices follow each other.
    """
    if not space.regular:
        starts = space.layer_starts
        return np.array([values[a:b].sum(dtype=float) for a, b in zip(starts, starts[1:])])
    others = tuple(k for k, name in enumerate(space.axes) if name != axis)
    return values.sum(axis=others, dtype=float)


def _response(figure, response, space, colours):
    """The visible energy of each line against the incident energy."""
    panel = figure.subplots()
    energies = response["energies"]
    lines = {name: np.atleast_2d(np.asarray(response[name], dtype=float)) for name in colours if name in response}
    tops = {name: float(np.nanmax(found)) if np.isfinite(found).any() else 0.0 for name, found in lines.items()}
    first = next(iter(tops))
    high = 1.08 * scales.top(tops[first], max(tops.values()))
    for name, found in lines.items():
        for line in found[:-1]:
            panel.plot(energies, line, color=colours[name], alpha=0.3, linewidth=0.8)
        panel.plot(energies, found[-1], color=colours[name], linewidth=2)
        # A point without neighbours has no line.
        finite = np.pad(np.isfinite(found[-1]), 1)
        alone = finite[1:-1] & ~finite[:-2] & ~finite[2:]
        panel.plot(energies[alone], found[-1][alone], "o", color=colours[name], markersize=4)
        scales.mark_beyond(panel, energies, found[-1], high, name, colours[name], space.unit)
    panel.axvline(response["at"], color=REFERENCE, linewidth=0.8)
    panel.set(xlim=(energies[0], energies[-1]), ylim=(0, high), xlabel="incident energy [GeV]")
    panel.set_ylabel(with_unit("visible", space.unit))
