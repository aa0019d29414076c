"""Figures of maps: their texture compared with a reference, and maps side by side in one colour scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from calolab.labels import value_text
from calolab.plots.ratios import DrawnHistogram, event_numbers, ratio_label, ratio_points, stacked
from calolab.plots.style import ENERGY_MAP, GENERATED, REFERENCE, REFERENCE_FILL, add_label, hep, new_figure
from calolab.samples import Sample
from calolab.spaces import with_unit

WORDS = {"pixels": "KS", "power_spectrum": "rms ln ratio", **dict.fromkeys(("v0", "v1", "v2"), "relative rms")}


@hep()
def comparison(report) -> Figure:
    """Pixel histogram and power spectrum over their ratios to the reference, and the Minkowski functionals below.

    Args:
        report: result of `validation.compare_maps`, or an object with its attributes.

    Returns:
        The figure. Grey is the reference, bands are standard errors of the means over maps; each legend has the
        distance with its floor, mean and spread.
    """
    width, height = 15.6, 9.6
    figure = new_figure(width, height, arranged=False)
    left, right = 0.95 / width, 1 - 0.25 / width
    upper = figure.add_gridspec(1, 2, left=left, right=right, top=1 - 1.0 / height, bottom=0.5, wspace=0.17)
    lower = figure.add_gridspec(1, 3, left=left, right=right, top=0.5 - 0.85 / height, bottom=0.7 / height, wspace=0.28)
    for name, cell in zip(("pixels", "power_spectrum"), upper):
        _with_ratio(figure, cell, report[name], ratio_label(report.names))
    for name, cell in zip(("v0", "v1", "v2"), lower):
        panel = figure.add_subplot(cell)
        curve = report[name]
        _curves(panel, curve)
        low, high = _limits(curve)
        panel.set(xlabel=curve.axis, xlim=curve.positions[[0, -1]], ylim=(low, high + 0.3 * (high - low)))
        panel.set_ylabel(curve.height)
        if low < 0 < high:
            panel.axhline(0, color=REFERENCE, linewidth=0.7)
        _distance(panel, curve)
    handles = [
        (Line2D([], [], color=REFERENCE, linewidth=1.6), Patch(facecolor=REFERENCE_FILL)),
        (Line2D([], [], color=GENERATED, linewidth=1.8), Patch(facecolor=GENERATED, alpha=0.25)),
    ]
    words = [f"{name} ± standard error" for name in report.names]
    place = (left, 1 - 0.78 / height)
    figure.legend(handles, words, loc="lower left", bbox_to_anchor=place, ncols=2, borderpad=0, borderaxespad=0)
    add_label(figure, f"{report.space.name}, N = {event_numbers(report)} maps")
    return figure


@hep()
def gallery(samples: Mapping[str, Sample], events: int | Sequence[int] = 4, label: str | None = None) -> Figure:
    """Maps of one or more samples, a row for each, all in one colour scale.

    Args:
        samples: maps of one space under their names.
        events: number of maps, starting with the first, or their indices.
        label: a label to write over each map, e.g. `"redshift"`.

    Returns:
        The figure; colours span the central 99.8 % of all pixels shown.

    Raises:
        ValueError: if there is no sample, spaces differ or are not plain images, or a sample has too few maps.
    """
    samples = dict(samples)
    chosen = list(range(events)) if isinstance(events, int) else list(events)
    _check(samples, chosen)
    space = next(iter(samples.values())).space
    low, high = np.quantile([sample.values[chosen] for sample in samples.values()], (0.001, 0.999))
    rows, columns, side = len(samples), len(chosen), 3.0
    aspect = np.ptp(space.layers[0].edges[0]) / np.ptp(space.layers[0].edges[1])
    figure = new_figure(0.9 + side * columns + 1.2, rows * (side * aspect + 0.12 + 0.22 * (label is not None)) + 0.95)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    (top, bottom), (begin, end) = ((axis[0], axis[-1]) for axis in space.layers[0].edges)
    for line, (name, sample) in zip(panels, samples.items()):
        for panel, event in zip(line, chosen):
            image = panel.imshow(
                sample.values[event], cmap=ENERGY_MAP, vmin=low, vmax=high, extent=(begin, end, bottom, top)
            )
            panel.tick_params(which="both", color="white")
            if label is not None and label in sample.labels:
                text = value_text(label, sample.labels[label][event], 3)
                panel.set_title(f"{label.replace('_', ' ')} {text}", fontsize=11)
        line[0].set_ylabel(f"{name}\n{space.axis_label(space.axes[0])}")
    for panel in panels[-1]:
        panel.set_xlabel(space.axis_label(space.axes[1]))
        panel.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
        panel.yaxis.set_major_locator(MaxNLocator(5, prune="both"))
    figure.get_layout_engine().set(h_pad=0.03, hspace=0.0)
    bar = figure.colorbar(image, ax=panels, extend="both", fraction=0.05, pad=0.012, aspect=14 * rows)
    bar.set_label(with_unit(space.quantity, space.unit))
    add_label(figure, f"{space.shape[0]} × {space.shape[1]} pixels")
    return figure


def _with_ratio(figure, cell, curve, label):
    """Both curves above, the ratio of the generated to the reference below."""
    upper, lower = stacked(figure, cell.subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0), label)
    _curves(upper, curve, spectrum=curve.name == "power_spectrum")
    reference, generated = curve.reference, curve.generated
    # Bins that are nearly empty in the reference are omitted.
    shown = reference > (1e-4 * reference.max() if curve.name == "pixels" else 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, error, uncertain = (
            np.where(shown, values / reference, np.nan)
            for values in (generated, curve.generated_error, curve.reference_error)
        )
    lower.fill_between(curve.positions, 1 - uncertain, 1 + uncertain, color=REFERENCE_FILL, linewidth=0)
    look = DrawnHistogram(generated, curve.generated_error)
    ratio_points(lower, curve.positions, [(ratio, error, look)], uncertain, size=2.8)
    lower.set_xlabel(curve.axis)
    if curve.name == "power_spectrum":
        upper.set(xscale="log", yscale="log", xlim=(0.9 * curve.positions[0], 1.1 * curve.positions[-1]))
        upper.set_ylabel(r"$\ell\,(\ell + 1)\,C_\ell\,/\,2\pi$")
        low, high = upper.get_ylim()
        upper.set_ylim(low, high * (high / low) ** 0.25)
    else:
        filled = np.flatnonzero((reference > 0) | (generated > 0))
        upper.set(
            yscale="log", xlim=curve.positions[filled[[0, -1]]], ylim=(reference.max() * 2e-5, reference.max() * 6)
        )
        upper.set_ylabel(curve.height)
    _distance(upper, curve)


def _curves(panel, curve, spectrum=False):
    """Reference and generated with bands; a power spectrum times l (l + 1) / 2π."""
    x = curve.positions
    scale = x * (x + 1) / (2 * np.pi) if spectrum else 1
    for name, colour, fill, alpha in (
        ("reference", REFERENCE, REFERENCE_FILL, 1),
        ("generated", GENERATED, GENERATED, 0.25),
    ):
        mean, error = getattr(curve, name) * scale, getattr(curve, f"{name}_error") * scale
        panel.fill_between(x, mean - error, mean + error, color=fill, alpha=alpha, linewidth=0)
        # An empty bin cannot be drawn on a logarithmic axis.
        mean = np.where(mean > 0, mean, np.nan) if curve.name == "pixels" else mean
        panel.plot(x, mean, color=colour, linewidth=1.8 if name == "generated" else 1.6)


def _limits(curve):
    """The range of the reference with its band; the generated curve extends it by at most its width on each side."""
    ends = []
    for name in ("reference", "generated"):
        mean, error = getattr(curve, name), getattr(curve, f"{name}_error")
        ends.append((float(np.min(mean - error)), float(np.max(mean + error))))
    (low, high), (below, above) = ends
    span = (high - low) or abs(high) or 1.0
    low, high = max(min(low, below), low - span), min(max(high, above), high + span)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _distance(panel, curve):
    """Distance and floor, in the place of a legend."""
    one = curve.distance
    text = f"{WORDS[curve.name]} {one.value:.2g} (floor {one.floor:.2g} ± {one.floor_spread:.1g})"
    panel.text(0.97, 0.96, f"{curve.label}\n{text}", transform=panel.transAxes, ha="right", va="top", fontsize=11)


def _check(samples, chosen):
    if not samples or not chosen:
        raise ValueError("gallery expects at least one sample and one map of it.")
    spaces = {sample.space for sample in samples.values()}
    first = next(iter(samples.values())).space
    if len(spaces) > 1 or first.has_depth or len(first.axes) != 2:
        raise ValueError(
            f"gallery expects maps of one plain image space, received {', '.join(s.name for s in spaces)}."
        )
    short = {name: len(sample) for name, sample in samples.items() if max(chosen) >= len(sample)}
    if short:
        raise ValueError(f"gallery shows map {max(chosen)} of each sample, but there are only {short}.")
