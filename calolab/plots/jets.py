"""Figures of jets: real against generated events, under pile-up, at several mass points, and the choice of an epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from calolab.names import check_name
from calolab.plots import ratios
from calolab.plots.ratios import Histogram, number
from calolab.plots.style import GENERATED, REFERENCE, SERIES, add_label, hep, new_figure
from calolab.spaces import with_unit

MAIN = ("multiplicity", "summed_mass", "jet_pt", "jet_eta", "jet_phi", *(f"leading_mass_{k}" for k in range(1, 5)))
OVERLAID = ("multiplicity", "summed_mass", "jet_pt")
ALONE, HELD_OUT = SERIES[2], SERIES[3]
BINS = 25
# So many jets more than twice the reference's most have bins of their own.
FEW_JETS = 2
# What a legend has room for.
DISTANCES = {"ks": "KS", "separation": "χ²", "minus_log_p": "−log p"}


@hep()
def comparison(report, names: Sequence[str] | None = None) -> Figure:
    """One panel per variable, each over its ratio, with KS and chi-square distances and their floors.

    Args:
        report: what `validation.compare_jets` returns, or what has its attributes.
        names: variables to draw, in order; by default multiplicity (with its zeros), summed mass, jet pt, eta and phi,
            and the masses of the hardest jets that the report has.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow stand in the outermost bins.

    Raises:
        ValueError: for a variable that the report lacks.
    """
    names = [name for name in MAIN if name in report.variables] if names is None else list(names)
    chosen = [report[name] for name in names]
    columns = min(3, len(chosen))
    figure, cells = ratios.ratio_grid(-(-len(chosen) // columns), columns, _subject(report), names=report.names)
    label = ratios.ratio_label(report.names)
    for variable, cell in zip(chosen, cells):
        pair = ratios.both(variable, report.names)
        _panel(figure, cell, variable, variable.edges, pair[0], pair[1:], _notes(variable), label)
    return figure


@hep()
def pileup(report, alone=None, names: Sequence[str] = OVERLAID, mu: float | None = None) -> Figure:
    """Events under real and under generated pile-up, and alone, in one panel per variable over their ratios.

    Args:
        report: of `validation.compare_jets`: the reference are events with real pile-up, the generated ones the same
            kind of events with generated pile-up.
        alone: the `Jets` of the events without pile-up, or None.
        names: among `multiplicity`, `summed_mass` and `jet_pt`.
        mu: mean number of pile-up collisions, for the legend.

    Returns:
        The figure; ratios are to the events with real pile-up.

    Raises:
        ValueError: for other variables.
    """
    for name in names:
        check_name("variable under pile-up", name, OVERLAID)
    under = "pile-up" if mu is None else f"pile-up, μ = {mu:g}"
    handles = [
        *ratios.reference_handles(f"with real {under}", "statistical uncertainty"),
        Line2D([], [], color=GENERATED, linewidth=1.8, label="with generated pile-up"),
    ]
    if alone is not None:
        handles.append(Line2D([], [], color=ALONE, linewidth=1.8, linestyle="--", label="without pile-up"))
    figure, cells = ratios.ratio_grid(1, len(names), _subject(report), width=5.4, height=5.0, legend=handles)
    for name, cell in zip(names, cells):
        variable = report[name]
        columns = [variable.reference, variable.generated]
        looks = [{}, {"name": "generated"}]
        if alone is not None:
            columns.append(_column(alone, name))
            looks.append({"colour": ALONE, "line": "--", "marker": "s", "name": "without pile-up"})
        edges = binning(name, columns[:1], columns[1:])
        drawn = [_histogram(column, edges, **look) for column, look in zip(columns, looks)]
        _panel(figure, cell, variable, edges, drawn[0], drawn[1:], _notes(variable), "ratio to real")
    return figure


@hep()
def masses(
    reports: Mapping[str, object],
    held_out: Collection[str] = (),
    names: Sequence[str] = ("multiplicity", "summed_mass"),
) -> Figure:
    """A conditional GAN at several mass points: a column for each, in one binning, real against generated.

    Args:
        reports: what `validation.compare_jets` returns at each point, under its name, e.g. `"m(g̃) = 1600 GeV"`.
        held_out: names of the points that the GAN was not trained on: they are marked.
        names: variables to draw, a row for each.

    Raises:
        ValueError: if there is no report, or `held_out` names none of them.
    """
    reports = dict(reports)
    if not reports:
        raise ValueError("masses expects the report of one mass point at least.")
    for point in held_out:
        check_name("held-out mass point", point, reports)
    first = next(iter(reports.values()))
    figure, cells = ratios.ratio_grid(len(names), len(reports), f"jets, {first.clustering}", width=4.9, titles=True)
    for row, name in enumerate(names):
        sides = [(report[name].reference, report[name].generated) for report in reports.values()]
        edges = binning(name, *zip(*sides))
        histograms = [[_histogram(column, edges) for column in side] for side in sides]
        tops = []
        for column, (point, report) in enumerate(reports.items()):
            reference, generated = histograms[column]
            cell = cells[row * len(reports) + column]
            upper = _panel(figure, cell, report[name], edges, reference, [generated], _notes(report[name], ("ks",)))
            tops.append(upper)
            if row == 0:
                _name_point(upper, point, report, point in held_out)
        # Heights, too, can be compared along a row.
        highest = max(panel.get_ylim()[1] for panel in tops)
        for panel in tops:
            panel.set_ylim(0, highest)
    return figure


@hep()
def selection(
    scores: Sequence[float],
    floor: tuple[float, float] | None = None,
    *,
    parts: Mapping[str, Sequence[float]] | None = None,
    chosen: int | None = None,
    name: str = "ks_comb",
) -> Figure:
    """The score of each epoch, what real events score against real ones, and the epoch that was kept.

    Args:
        scores: by epoch, the first epoch first; the lowest is the best.
        floor: mean and standard deviation of the score between real and real events.
        parts: further scores by name, e.g. the variables that add up to it, drawn thinly.
        chosen: index of the epoch that was kept, from 0; by default the one with the lowest score.
        name: of the score.

    Raises:
        ValueError: if there is no score, a part has another length, or there is no such epoch.
    """
    scores = np.asarray(scores, dtype=float)
    parts = {part: np.asarray(column, dtype=float) for part, column in (parts or {}).items()}
    if not scores.size or any(column.shape != scores.shape for column in parts.values()):
        raise ValueError(
            f"selection expects one score per epoch, received {scores.size} of {name} and "
            f"{ {part: column.size for part, column in parts.items()} }."
        )
    chosen = int(np.nanargmin(scores)) if chosen is None else chosen
    if not 0 <= chosen < len(scores):
        raise ValueError(f"chosen= is an epoch from 0 to {len(scores) - 1}, received {chosen}.")
    epochs = np.arange(1, len(scores) + 1)
    figure = new_figure(8.0, 4.6)
    panel = figure.subplots()
    marker = "o" if len(scores) < 60 else ""
    for (part, column), colour in zip(parts.items(), SERIES[2:]):
        panel.plot(epochs, column, color=colour, linewidth=1.1, marker=marker, markersize=2.5, label=_spelt(part))
    panel.plot(epochs, scores, color=GENERATED, marker=marker, markersize=4, label=_spelt(name))
    if floor is not None:
        mean, spread = floor
        panel.axhspan(max(mean - spread, 0), mean + spread, color=REFERENCE, alpha=0.25, linewidth=0)
        panel.axhline(mean, color=REFERENCE, linewidth=1.0, label=f"real against real: {mean:.3g} ± {spread:.2g}")
    panel.axvline(chosen + 1, color=REFERENCE, linewidth=0.9, linestyle=":")
    panel.plot(
        chosen + 1, scores[chosen], marker="*", markersize=15, color=GENERATED, markeredgecolor=REFERENCE,
        linestyle="none", label=f"kept: epoch {chosen + 1}, {scores[chosen]:.4g}",
    )  # fmt: skip
    everything = np.concatenate([scores, *parts.values(), floor[:1] if floor is not None else []])
    positive = everything[everything > 0]
    if len(positive) and positive.max() > 20 * positive.min():
        panel.set_yscale("log")
        low, high = np.log10([positive.min(), positive.max()])
        # Room for the legend above the curves.
        panel.set_ylim(10 ** (low - 0.06 * (high - low)), 10 ** (high + 0.45 * (high - low)))
    else:
        panel.set_ylim(0, 1.5 * everything.max() or 1)
    panel.set(xlabel="epoch", ylabel=_spelt(name), xlim=(0.5, len(scores) + 0.5))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(loc="upper right", ncols=2, fontsize=10)
    add_label(panel, "lower is better", supplement="training")
    return figure


def binning(name: str, references: Sequence[np.ndarray], others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Edges that several samples share and that the references set: the others extend them to at most twice the width.

    There is one bin per number of jets from zero on; else they begin at zero or the references' least value.

    Args:
        name: `"multiplicity"`, or a variable with a mass or a momentum [GeV].
        references: the reference samples' values; those that are not finite do not count.
        others: those of the samples that are compared with them.
    """
    references, others = ([column[np.isfinite(column)] for column in columns] for columns in (references, others))
    references, others = ([column for column in columns if len(column)] for columns in (references, others))
    if not references:
        references, others = others, []
    if not references:
        return np.array([0.0, 1.0])
    if name == "multiplicity":
        most, beside = (max((column.max() for column in columns), default=0) for columns in (references, others))
        return np.arange(max(most, min(beside, 2 * most + FEW_JETS)) + 2) - 0.5
    low = 0.0 if "mass" in name else min(column.min() for column in references)
    # Few events far out would leave the others in few bins; they stand in the last one.
    high, beside = (
        max((np.quantile(column, 0.995) for column in columns), default=low) for columns in (references, others)
    )
    span = max(high - low, 1e-6)
    width = span / BINS
    power = 10.0 ** np.floor(np.log10(width))
    width = next(step * power for step in (1, 2, 2.5, 4, 5, 10) if step * power >= 0.999 * width)
    first = np.floor(low / width + 1e-9)
    last = np.ceil(max(high, min(beside, high + span)) / width - 1e-9)
    return width * np.arange(first, max(last, first + 1) + 1)


def contents(column: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of the finite values in each bin and their errors sqrt(n)/N; outside values in the outermost bins."""
    values = column[np.isfinite(column)]
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1)
    return counts / max(1, len(values)), np.sqrt(counts) / max(1, len(values))


def beyond(column: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """Fractions of the finite values below the first and above the last edge."""
    values = column[np.isfinite(column)]
    return (float(np.mean(values < edges[0])), float(np.mean(values > edges[-1]))) if len(values) else (0.0, 0.0)


def _histogram(column, edges, **look):
    return Histogram(*contents(column, edges), beyond=beyond(column, edges), **look)


def _panel(figure, cell, variable, edges, reference, others, notes, label="gen. / ref."):
    upper, lower = ratios.stacked(figure, cell, label)
    ratios.draw(upper, lower, edges, reference, others, notes=notes)
    per = "jets" if variable.name.startswith("jet_") else "events"
    upper.set_ylabel(f"fraction of {per}")
    lower.set_xlabel(with_unit(variable.label, variable.unit))
    if variable.name == "multiplicity":
        lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        lower.xaxis.set_minor_locator(MaxNLocator(1))
    return upper


def _notes(variable, names=tuple(DISTANCES)):
    """The distances for a legend, each with its floor and the floor's spread."""
    lines = []
    for name in names:
        if name in variable.distances:
            one = variable.distances[name]
            lines.append(f"{DISTANCES[name]} {number(one.value)} (floor {number(one.floor)} ± {one.floor_spread:.1g})")
    return lines


def _name_point(panel, point, report, held_out):
    who = f"{point}{', held out' if held_out else ''}"
    panel.set_title(who, loc="left", color=HELD_OUT if held_out else REFERENCE, fontweight="bold")
    panel.set_title(f"N = {report.events[0]:,}, {report.events[1]:,}", loc="right", fontsize=10)
    if held_out:
        for spine in panel.spines.values():
            spine.set(color=HELD_OUT, linewidth=2)


def _column(jets, name):
    """A variable's values straight from jets."""
    return np.asarray(jets.flat("pt") if name == "jet_pt" else getattr(jets, name), dtype=float)


def _spelt(name):
    return {"ks_comb": "KS score (ks_comb)"}.get(name, name.replace("_", " "))


def _subject(report):
    """What all panels have in common."""
    (first, second), (a, b) = report.names, report.events
    return f"jets, {report.clustering}, N = {a:,} {first}, {b:,} {second} events"
