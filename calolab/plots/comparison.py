"""Figures of a comparison: observables with ratio panels, layer correlations, response against energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from calolab.plots.style import DIFFERENCE_MAP, GENERATED, REFERENCE, REFERENCE_FILL, add_label, hep, new_figure

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
def observables(comparison, names: Sequence[str] | None = None) -> Figure:
    """One panel per observable, each over its ratio to the reference, with the distances and floors in its legend.

    Args:
        comparison: a `validation.Comparison`, or what has its attributes.
        names: observables to draw, in order; by default up to nine that tell most and that the comparison has.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow stand in the outermost bins.

    Raises:
        ValueError: for an observable that the comparison lacks.
    """
    if names is None:
        widths = [name for name in comparison.observables if name.startswith("second_moment")]
        wanted = dict.fromkeys([*MAIN, *widths, *comparison.observables])
        names = [name for name in wanted if name in comparison.observables][: len(MAIN)]
    chosen = [comparison[name] for name in names]
    columns = min(3, len(chosen))
    figure, cells = _ratio_grid(-(-len(chosen) // columns), columns, _subject(comparison))
    for observable, cell in zip(chosen, cells):
        _panel(figure, cell, observable, comparison.threshold)
    return figure


@hep()
def correlations(comparison) -> Figure:
    """Pearson correlations between layer energies: reference, generated, and their difference.

    Raises:
        ValueError: if the comparison has no layers.
    """
    found = comparison.correlations
    if found is None:
        raise ValueError(f"Space {comparison.space.name!r} has one layer only: there are no correlations to draw.")
    figure = new_figure(16, 5.0)
    panels = figure.subplots(1, 3)
    difference = found.generated - found.reference
    most = max(0.1, np.nanmax(np.abs(difference), initial=0.0))
    titles = ("reference", "generated", "generated − reference")
    for panel, title, matrix, limit in zip(
        panels, titles, (found.reference, found.generated, difference), (1, 1, most)
    ):
        panel.set_facecolor(REFERENCE_FILL)
        last = len(matrix) - 0.5
        image = panel.imshow(
            matrix, origin="lower", cmap=DIFFERENCE_MAP, vmin=-limit, vmax=limit, extent=(-0.5, last, -0.5, last)
        )
        panel.set(xlabel="layer", ylabel="layer")
        panel.set_title(title, loc="left", fontsize=13)
        bar = figure.colorbar(image, ax=panel, fraction=0.046, pad=0.02)
        bar.set_label("correlation ρ" if limit == 1 else "Δρ")
    distance = found.distance
    numbers = f"mean |Δρ| {_number(distance.value)} (floor {_number(distance.floor)})"
    panels[2].set_title(f"{titles[2]}, {numbers}", loc="left", fontsize=13)
    add_label(figure, _subject(comparison))
    return figure


@hep()
def response(comparison) -> Figure:
    """Visible fraction (linearity) and its relative spread (resolution) against incident energy, fits and ratios.

    Raises:
        ValueError: if the comparison has no incident energies.
    """
    if comparison.responses is None:
        raise ValueError("The samples have no label 'energy' [GeV]: there is no response to draw.")
    figure, cells = _ratio_grid(1, 2, _subject(comparison), width=6.5, height=5.0, legend=False)
    quantities = (("fraction", "mean visible fraction"), ("resolution", "resolution σ / mean"))
    for cell, (quantity, label) in zip(cells, quantities):
        upper, lower = _stacked(figure, cell)
        for curve, name, colour, marker in zip(
            comparison.responses, ("reference", "generated"), (REFERENCE, GENERATED), ("o", "s")
        ):
            values, errors = getattr(curve, quantity), getattr(curve, f"{quantity}_error")
            text = name
            if quantity == "resolution" and np.isfinite(curve.stochastic + curve.constant):
                energy = np.geomspace(curve.energy.min(), curve.energy.max(), 200)
                fit = np.sqrt(curve.stochastic**2 / energy + curve.constant**2)
                upper.plot(energy, fit, color=colour, linewidth=1.2, linestyle="--" if name == "generated" else "-")
                text += f": {100 * curve.stochastic:.1f} % / √(E/GeV) ⊕ {100 * curve.constant:.1f} %"
            upper.errorbar(curve.energy, values, errors, fmt=marker, color=colour, markersize=5, label=text)
        upper.set_ylabel(label)
        upper.margins(x=0.04, y=0.3)
        upper.legend(loc="upper right")
        _response_ratio(lower, *comparison.responses, quantity)
        lower.set_xlabel("incident energy [GeV]")
    return figure


def _ratio_grid(rows, columns, subject, width=5.2, height=4.6, legend=True):
    """A figure with its label and legend on top, and cells for pairs of panels that touch; all measures in inches."""
    # One column is too narrow for the label and the subject in one line.
    lines = 1 + legend + (columns == 1)
    header = 0.13 + 0.27 * lines
    total = (columns * width, rows * height + header)
    figure = new_figure(*total, arranged=False)
    left, right, bottom, gap = 0.85, 0.2, 0.65, 0.85
    inner = width - left - right, height - gap
    grid = figure.add_gridspec(
        rows,
        columns,
        left=left / total[0],
        right=1 - right / total[0],
        bottom=bottom / total[1],
        top=1 - (header + gap - bottom) / total[1],
        wspace=(left + right) / inner[0],
        hspace=gap / inner[1],
    )
    if legend:
        handles = [
            Patch(facecolor=REFERENCE_FILL, edgecolor=REFERENCE, label="reference"),
            Patch(facecolor=REFERENCE, alpha=0.35, label="statistical uncertainty"),
            Line2D([], [], color=GENERATED, linewidth=1.8, label="generated"),
        ]
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0.05 / total[0] if columns == 1 else left / total[0], 1 - header / total[1]),
            ncols=3,
            borderpad=0,
            borderaxespad=0,
            columnspacing=1.5,
        )
    if columns == 1:
        figure.text(0.008, 1 - 0.5 / total[1], subject, fontsize=9.5)
    add_label(figure, subject if columns > 1 else "")
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return figure, [grid[place].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0) for place in places]


def _panel(figure, cell, observable, threshold):
    """Reference and generated contents above, their ratio below."""
    upper, lower = _stacked(figure, cell)
    edges = observable.edges
    (reference, reference_error), (generated, generated_error) = map(observable.histogram, ("reference", "generated"))
    upper.stairs(reference, edges, fill=True, color=REFERENCE_FILL)
    upper.stairs(reference, edges, color=REFERENCE, linewidth=1.4)
    _band(upper, edges, reference, reference_error, color=REFERENCE, alpha=0.35)
    upper.stairs(generated, edges, color=GENERATED, linewidth=1.8)
    _scale(upper, observable, reference, np.maximum(reference + reference_error, generated))
    if observable.logarithmic and edges[0] < threshold < edges[-1]:
        upper.axvline(threshold, ymax=0.72, color=REFERENCE, linewidth=1.0, linestyle=":")
        place = {"xycoords": upper.get_xaxis_transform(), "textcoords": "offset points", "fontsize": 10.5}
        upper.annotate("hits", (threshold, 0.03), xytext=(4, 0), **place)
    upper.set_ylabel(observable.height or "fraction of events")
    upper.legend(
        handles=[Line2D([], [], color="none", label=line) for line in _numbers(observable)],
        loc="upper right", handlelength=0, handletextpad=0, fontsize=10.5, borderaxespad=0.4,
    )  # fmt: skip

    with np.errstate(divide="ignore", invalid="ignore"):
        shown = reference > 0
        ratio = np.where(shown, generated / reference, np.nan)
        ratio_error = np.where(shown & (generated > 0), generated_error / reference, np.nan)
        band = np.where(shown, reference_error / reference, np.nan)
    _band(lower, edges, np.where(shown, 1.0, np.nan), band, color=REFERENCE, alpha=0.3)
    centres = 10**observable.positions if observable.logarithmic else observable.positions
    _ratio_points(lower, centres, ratio, ratio_error, band, marker="o", size=2.8)
    unit = f" [{observable.unit}]" if observable.unit else ""
    lower.set_xlabel("cell energy" + unit if observable.name == "cell_spectrum" else _along(observable) + unit)


def _stacked(figure, cell):
    """An upper and a lower panel that share their horizontal axis and touch."""
    upper = figure.add_subplot(cell[0])
    lower = figure.add_subplot(cell[1], sharex=upper)
    upper.tick_params(axis="x", which="both", labelbottom=False)
    lower.set_ylabel("gen. / ref.", loc="center")
    return upper, lower


def _scale(panel, observable, reference, highest):
    """Logarithmic where the reference spans decades, with room for the legend above the curves."""
    top = highest.max() or 1.0
    panel.set_xlim(observable.edges[0], observable.edges[-1])
    if observable.logarithmic:
        panel.set_xscale("log")
    filled = reference[reference > 0]
    steep = observable.is_profile and len(filled) > 0 and filled.max() > 500 * filled.min()
    if steep or (observable.logarithmic and len(filled)):
        bottom = max(filled.min() / 3, 1e-7 * top)
        panel.set_yscale("log")
        panel.set_ylim(bottom, top * (top / bottom) ** 0.45)
    else:
        panel.set_ylim(0, 1.5 * top)
        # The zero would stand in the ratio panel's highest label.
        panel.yaxis.set_major_locator(MaxNLocator(6, prune="lower"))


def _ratio_points(panel, positions, ratio, error, band, marker, size):
    """Ratios on an axis about one that is as narrow as holds nearly all that are certain, and 0 to 2 at the widest."""
    trusted = np.abs(ratio - 1)[(band < 0.2) & np.isfinite(ratio)]
    reach = max(np.quantile(trusted, 0.95), 1.5 * np.nanmedian(band)) if len(trusted) else 1.0
    half = next((half for half in (0.05, 0.1, 0.2, 0.5) if reach < 0.85 * half), 1.0)
    panel.set_ylim(1 - half, 1 + half)
    panel.set_yticks([1 - half / 2, 1.0, 1 + half / 2])
    panel.axhline(1.0, color=REFERENCE, linewidth=0.9)
    panel.errorbar(positions, ratio, error, fmt=marker, color=GENERATED, markersize=size, elinewidth=1.0)
    # A point beyond the panel is shown as an arrow at its border, not lost.
    for outside, border, arrow in ((ratio > 1 + half, 1 + 0.92 * half, "^"), (ratio < 1 - half, 1 - 0.92 * half, "v")):
        panel.plot(positions[outside], np.full(outside.sum(), border), arrow, color=GENERATED, markersize=3.5)


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
    _ratio_points(panel, reference.energy[first], ratio, error, errors[0] / below, marker="s", size=4)


def _band(panel: Axes, edges, centre, half, **style):
    """A stepped band centre ± half."""
    low, high = (np.append(border, border[-1]) for border in (centre - half, centre + half))
    panel.fill_between(edges, low, high, step="post", linewidth=0, **style)


def _numbers(observable):
    """The distances for a legend, each with its floor."""
    names = {"ks": "KS", "w1": "W₁/σ", "separation": "S"}
    lines = [
        f"{text} {_number(observable.distances[name].value)} (floor {_number(observable.distances[name].floor)})"
        for name, text in names.items()
        if name in observable.distances
    ]
    undefined = observable.undefined[1]
    return lines + ([f"{undefined} empty showers left out"] if undefined else [])


def _number(value):
    if not np.isfinite(value):
        return "–"
    return f"{value:.3f}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def _along(observable):
    """What stands on the horizontal axis: the observable, or the axis of a profile."""
    if not observable.is_profile:
        return observable.label
    axis = observable.name.rpartition("_")[2]
    return "depth z" if "longitudinal" in observable.label else axis


def _subject(comparison):
    """What all panels have in common."""
    parts = [comparison.space.name]
    if comparison.energies is not None:
        low, high = comparison.energies[0]
        parts.append(f"{low:.3g}–{high:.3g} GeV" if high > low else f"{low:.3g} GeV")
    parts.append(f"N = {comparison.events[0]:,} reference, {comparison.events[1]:,} generated")
    parts.append(f"hits > {comparison.threshold:g} {comparison.space.unit}".rstrip())
    return ", ".join(parts)
