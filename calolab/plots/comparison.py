"""Figures of a comparison: observables with ratio panels, layer correlations, response against energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from calolab.labels import symbol, value_text
from calolab.plots import ratios, scales
from calolab.plots.ratios import DrawnHistogram, number
from calolab.plots.style import DIFFERENCE_MAP, GENERATED, REFERENCE, REFERENCE_FILL, add_label, hep, new_figure
from calolab.spaces import with_unit

MAIN = (
    "visible_fraction",
    "profile_z",
    "profile_x",
    "first_moment_z",
    "second_moment_z",
    "second_moment_x",
    "cell_spectrum",
    "hits",
    "sparsity",
)


@hep()
def observables(report, names: Sequence[str] | None = None) -> Figure:
    """One panel per observable, each over its ratio to the reference, with the distances and floors in its legend.

    Args:
        report: result of `validation.compare`, or an object with its attributes.
        names: observables to draw, in order; by default up to nine of the most important ones.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow are in the outermost bins.

    Raises:
        ValueError: for an observable that the report lacks.
    """
    if names is None:
        widths = [name for name in report.observables if name.startswith("second_moment")]
        wanted = dict.fromkeys([*MAIN, *widths, *report.observables])
        names = [name for name in wanted if name in report.observables][: len(MAIN)]
    figure, chosen = ratios.observable_grid(report, names, _subject(report))
    for observable, cell in chosen:
        _panel(figure, cell, observable, report.details.threshold, report.names)
    return figure


@hep()
def correlations(report) -> Figure:
    """Pearson correlations between layer energies: reference, generated, and their difference.

    Raises:
        ValueError: if the report has no layers.
    """
    found = report.details.correlations
    if found is None:
        raise ValueError(f"Space {report.space.name!r} has one layer only: there are no correlations to draw.")
    figure = new_figure(16, 5.0)
    panels = figure.subplots(1, 3)
    reference, generated = found
    difference = generated - reference
    most = max(0.1, np.nanmax(np.abs(difference), initial=0.0))
    titles = (*report.names, " − ".join(reversed(report.names)))
    for panel, title, matrix, limit in zip(panels, titles, (reference, generated, difference), (1, 1, most)):
        panel.set_facecolor(REFERENCE_FILL)
        last = len(matrix) - 0.5
        image = panel.imshow(
            matrix, origin="lower", cmap=DIFFERENCE_MAP, vmin=-limit, vmax=limit, extent=(-0.5, last, -0.5, last)
        )
        panel.set(xlabel="layer", ylabel="layer")
        panel.set_title(title, loc="left", fontsize=13)
        bar = figure.colorbar(image, ax=panel, fraction=0.046, pad=0.02)
        bar.set_label("correlation ρ" if limit == 1 else "Δρ")
    distance = report.totals["correlations"]
    numbers = f"mean |Δρ| {number(distance.value)} (floor {number(distance.floor)})"
    panels[2].set_title(f"{titles[2]}, {numbers}", loc="left", fontsize=13)
    add_label(figure, _subject(report))
    return figure


@hep()
def response(report) -> Figure:
    """Visible fraction (linearity) and its relative spread (resolution) against incident energy, fits and ratios.

    Raises:
        ValueError: if the report has no incident energies.
    """
    if report.details.responses is None:
        raise ValueError("The samples have no label 'energy' [GeV]: there is no response to draw.")
    figure, cells = ratios.ratio_grid(1, 2, _subject(report), width=6.5, height=5.0, legend=None)
    quantities = (("fraction", "mean visible fraction"), ("resolution", "resolution σ / mean"))
    for cell, (quantity, label) in zip(cells, quantities):
        upper, lower = ratios.stacked(figure, cell, ratios.ratio_label(report.names))
        for curve, name, colour, marker in zip(
            report.details.responses, report.names, (REFERENCE, GENERATED), ("o", "s")
        ):
            values, errors = getattr(curve, quantity), getattr(curve, f"{quantity}_error")
            text = name
            if quantity == "resolution" and np.isfinite(curve.stochastic + curve.constant):
                energy = np.geomspace(curve.energy.min(), curve.energy.max(), 200)
                fit = np.sqrt(curve.stochastic**2 / energy + curve.constant**2)
                upper.plot(energy, fit, color=colour, linewidth=1.2, linestyle="--" if marker == "s" else "-")
                text += f": {100 * curve.stochastic:.1f} % / √(E/GeV) ⊕ {100 * curve.constant:.1f} %"
            upper.errorbar(curve.energy, values, errors, fmt=marker, color=colour, markersize=5, label=text)
        upper.set_ylabel(label)
        upper.margins(x=0.04, y=0.3)
        _limit(upper, report, quantity)
        upper.legend(loc="upper right")
        _response_ratio(lower, *report.details.responses, quantity)
        lower.set_xlabel("incident energy [GeV]")
    return figure


def _limit(panel, report, quantity):
    """Limits of a panel, beyond which a second curve is cut off and marked, so that it does not flatten the first."""
    found = [getattr(curve, quantity) for curve in report.details.responses]
    tops = [float(np.nanmax(values)) if np.isfinite(values).any() else 0.0 for values in found]
    high = scales.top(*tops)
    if tops[1] > high:
        panel.set_ylim(0, 1.3 * high)
        energies = report.details.responses[1].energy
        scales.mark_beyond(panel, energies, found[1], 1.3 * high, report.names[1], GENERATED)


def _panel(figure, cell, observable, threshold, names):
    """Reference and generated contents above, their ratio below."""
    edges = observable.edges
    reference, generated = ratios.both(observable, names)
    filled = reference.contents[reference.contents > 0]
    # Logarithmic if the reference spans decades.
    steep = observable.is_profile and len(filled) > 0 and filled.max() > 500 * filled.min()
    along = "cell energy" if observable.name == "cell_spectrum" else _along(observable)
    upper, _ = ratios.draw_pair(
        figure,
        cell,
        edges,
        reference,
        [generated],
        labels=(with_unit(along, observable.unit), observable.height or "fraction of events"),
        ratio=ratios.ratio_label(names),
        notes=ratios.distance_notes(observable, events="showers"),
        logarithmic=(observable.logarithmic, steep or observable.logarithmic),
    )
    if observable.logarithmic and edges[0] < threshold < edges[-1]:
        upper.axvline(threshold, ymax=0.72, color=REFERENCE, linewidth=1.0, linestyle=":")
        place = {"xycoords": upper.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 10.5}
        upper.annotate("hits", (threshold, 0.03), xytext=(4, 0), **place)


def _response_ratio(panel, reference, generated, quantity):
    """Generated over reference in the bins that both have."""
    # Bins with too few events are missing from a curve: pair those that are each other's nearest.
    apart = np.abs(reference.energy[:, None] - generated.energy)
    if not apart.size:
        return
    first = np.flatnonzero(apart.argmin(axis=0)[apart.argmin(axis=1)] == np.arange(len(apart)))
    second = apart.argmin(axis=1)[first]
    below, above = getattr(reference, quantity)[first], getattr(generated, quantity)[second]
    errors = [getattr(c, f"{quantity}_error")[k] for c, k in ((reference, first), (generated, second))]
    panel.fill_between(
        reference.energy[first], 1 - errors[0] / below, 1 + errors[0] / below, color=REFERENCE, alpha=0.3, linewidth=0
    )
    ratio, error = above / below, errors[1] / below
    points = (ratio, error, DrawnHistogram(above, errors[1], marker="s"))
    ratios.ratio_points(panel, reference.energy[first], [points], errors[0] / below, size=4)


def _along(observable):
    """The label of the horizontal axis: the observable, or the axis of a profile."""
    if not observable.is_profile:
        return observable.label
    axis = observable.name.rpartition("_")[2]
    return "depth z" if "longitudinal" in observable.label else symbol(axis)


def _subject(report):
    """The text that applies to all panels."""
    parts = [report.space.name]
    if report.details.energies is not None:
        low, high = report.details.energies[0]
        highest = value_text("energy", high, 3)
        parts.append(f"{low:.3g}–{highest}" if high > low else highest)
    parts.append(f"N = {ratios.event_numbers(report)}")
    parts.append(f"hits > {report.details.threshold:g} {report.space.unit}".rstrip())
    return ", ".join(parts)
