"""Showers in three projections: one event or the mean of all, energies summed along the line of sight."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from calolab.plots import scales
from calolab.plots.slices import draw, plane
from calolab.plots.style import DIFFERENCE_MAP, REFERENCE_FILL, SERIES, add_label, hep, new_figure, ticks_outside
from calolab.samples import Sample
from calolab.spaces import with_unit


@hep()
def views(samples: Sample | Mapping[str, Sample], event: int | None = None) -> Figure:
    """Each sample projected along every axis, in one logarithmic colour scale; for two means also their ratio.

    If the cells of the layers differ, the columns are the layers; a plain image has one.

    Args:
        samples: one sample, or up to six in one space by name, the reference first.
        event: index of one event, or None for the mean over all events.

    Returns:
        The figure: a row per sample, and for the means of two samples a row with second over first.

    Raises:
        ValueError: if there is no sample, or their spaces differ.
    """
    samples = (
        {"mean shower" if event is None else f"event {event}": samples} if isinstance(samples, Sample) else samples
    )
    if not samples:
        raise ValueError("views expects at least one sample.")
    space = next(iter(samples.values())).space
    if any(sample.space != space for sample in samples.values()):
        raise ValueError(f"views expects samples of one space, received {[s.space.name for s in samples.values()]}.")
    images = [_mean(sample) if event is None else sample.values[event] for sample in samples.values()]
    sides = _sides(space)
    planes = [[plane(space, image, axis, position) for axis, position in sides] for image in images]
    compared = event is None and len(images) == 2

    rows, columns = len(images) + compared, len(sides)
    figure = new_figure(4.9 * columns + 0.9, 3.9 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False)
    signed = min(float(image.min()) for image in images[:1]) < 0
    tops = [[float(np.abs(p[0]).max() if signed else p[0].max()) for p in row] for row in planes]
    largest = [scales.top(column[0], max(column)) for column in zip(*tops)]
    label = with_unit(space.quantity, space.unit)
    for row, (name, sample), colour in zip(range(rows), samples.items(), SERIES):
        for column in range(columns):
            # Sums along different axes differ in height: a scale per column, the same for all samples.
            shown = panels[row, column], planes[row][column]
            image = draw(shown[:1], shown[1:], space, largest[column], log=True, signed=signed)
            ends = scales.extended([shown[1][0]], image.norm, signed)
            figure.colorbar(image, ax=panels[row, column], pad=0.015, label=label, extend=ends)
        who = f"{name}, {len(sample):,} events" if event is None else f"{name}, {_facts(sample, event)}"
        panels[row, 0].set_title(who, loc="left", color=colour)
    if compared:
        _ratios(figure, panels[-1], planes, space, list(samples))
    add_label(figure, f"{space.name}, {'mean of all events' if event is None else f'event {event}'}")
    return figure


def _sides(space):
    """The columns: the sum along each axis, along the beam first; or each layer where layers differ."""
    if not space.has_depth:
        return [(space.axes[0], None)]
    if not space.regular:
        return [(space.axes[-1], index) for index in range(len(space.layers))]
    return [(axis, None) for axis in reversed(space.axes)]


def _mean(sample):
    """The mean event, without a float64 copy of the sample."""
    return np.mean(sample.values, axis=0, dtype=np.float64)


def _facts(sample, event):
    energy = sample.labels.get("energy")
    visible = f"visible {sample.values[event].sum(dtype=float):.3g} {sample.space.unit}"
    return visible if energy is None else f"{energy[event]:.3g} GeV, {visible}"


def _ratios(figure, panels, planes, space, names):
    """Second over first, from a third to three times, where the first holds more than a millionth of its maximum."""
    for panel, first, second in zip(panels, *planes):
        cells, edges, axes = first
        known = cells > 1e-6 * cells.max(initial=0)
        ratio = np.divide(second[0], cells, out=np.full(cells.shape, np.nan), where=known)
        # Zero over a positive mean has the lowest colour; grey is for cells where both are zero.
        ratio[known & (ratio <= 0)] = 1e-9
        panel.set_facecolor(REFERENCE_FILL)
        image = panel.pcolormesh(*edges, ratio.T, norm=LogNorm(1 / 3, 3, clip=True), cmap=DIFFERENCE_MAP)
        ticks_outside(panel)
        bar = figure.colorbar(image, ax=panel, pad=0.015, label=f"{names[1]} / {names[0]}", ticks=[1 / 3, 0.5, 1, 2, 3])
        bar.ax.set_yticklabels(["1/3", "1/2", "1", "2", "3"])
        bar.ax.minorticks_off()
        panel.set(xlabel=space.axis_label(axes[0]), ylabel=space.axis_label(axes[1]))
