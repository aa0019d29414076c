"""Figures of jets: real against generated events, under pile-up, at several mass points, and the choice of an epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.names import check_name
from calolab.plots import ratios
from calolab.plots.style import GENERATED, REFERENCE, SERIES, add_label, hep, new_figure
from calolab.spaces import with_unit

MAIN = ("multiplicity", "summed_mass", "jet_pt", "jet_eta", "jet_phi", *(f"leading_mass_{k}" for k in range(1, 5)))
HELD_OUT = SERIES[3]
# The histograms of events without pile-up.
ALONE = {"colour": SERIES[2], "line": "--", "marker": "s"}
DISTANCES = {"ks": "KS", "separation": "χ²", "minus_log_p": "−log p"}


@hep()
def comparison(report, names: Sequence[str] | None = None) -> Figure:
    """One panel per variable, each over its ratio, with KS and chi-square distances and their floors.

    Args:
        report: result of `validation.compare_jets`, or an object with its attributes.
        names: variables to draw, in order; by default multiplicity (with its zeros), summed mass, jet pt, eta and phi,
            and the masses of the leading jets that the report has.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow are in the outermost bins.

    Raises:
        ValueError: for a variable that the report lacks.
    """
    names = [name for name in MAIN if name in report.observables] if names is None else list(names)
    figure, chosen = ratios.observable_grid(report, names, _subject(report))
    label = ratios.ratio_label(report.names)
    for variable, cell in chosen:
        _panel(figure, cell, variable, ratios.both(variable, report.names), _notes(variable), label)
    return figure


@hep()
def pileup(report, alone: Mapping[str, object] | None = None, mu: float | None = None) -> Figure:
    """Events under real and under generated pile-up, and alone, in one panel per variable over their ratios.

    Args:
        report: result of `validation.pileup_overlay`: the reference are events with real pile-up, the generated ones
            the same kind of events with generated pile-up.
        alone: the histograms of the events without pile-up in the same binning, by variable; may be empty.
        mu: mean number of pile-up collisions, for the legend.

    Returns:
        The figure; ratios are to the events with real pile-up.
    """
    under = "pile-up" if mu is None else f"pile-up, μ = {mu:g}"
    others = {"with generated pile-up": {}, **({"without pile-up": ALONE} if alone else {})}
    handles = ratios.legend_handles(f"with real {under}", others)
    variables = report.observables
    figure, cells = ratios.ratio_grid(1, len(variables), _subject(report), width=5.4, height=5.0, legend=handles)
    for (name, variable), cell in zip(variables.items(), cells):
        histograms = ratios.both(variable, ("reference", "generated"))
        if alone:
            histograms.append(ratios.drawn(alone[name], name="without pile-up", **ALONE))
        _panel(figure, cell, variable, histograms, _notes(variable), "ratio to real")
    return figure


@hep()
def masses(reports: Mapping[str, object], held_out: Collection[str] = ()) -> Figure:
    """A conditional GAN at several mass points: a column for each, a row per variable, real against generated.

    Args:
        reports: result of `validation.share_binning`: the report at each point by its name, e.g.
            `"m(g̃) = 1600 GeV"`, all in one binning.
        held_out: names of the points that the GAN was not trained on: they are marked.

    Raises:
        ValueError: if there is no report, `held_out` names none of them, or the reports differ in binning.
    """
    reports = dict(reports)
    if not reports:
        raise ValueError("masses expects the report of at least one mass point.")
    for point in held_out:
        check_name("held-out mass point", point, reports)
    first = next(iter(reports.values()))
    names = list(first.observables)
    if any(not np.array_equal(report[name].edges, first[name].edges) for report in reports.values() for name in names):
        raise ValueError("masses expects reports in one binning: give those of validation.share_binning(reports).")
    subject = f"jets, {first.details.clustering}"
    figure, cells = ratios.ratio_grid(len(names), len(reports), subject, width=4.9, titles=True)
    for row, name in enumerate(names):
        tops = []
        for column, (point, report) in enumerate(reports.items()):
            variable = report[name]
            histograms = ratios.both(variable, ("reference", "generated"))
            cell = cells[row * len(reports) + column]
            upper = _panel(figure, cell, variable, histograms, _notes(variable, ("ks",)))
            tops.append(upper)
            if row == 0:
                _name_point(upper, point, report, point in held_out)
        # One height per row, so that its panels can be compared.
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
    """The score of each epoch, its floor between real events, and the epoch that was kept.

    Args:
        scores: score of each epoch, in order; the lowest is the best.
        floor: mean and standard deviation of the score of real events against each other.
        parts: further scores by name, e.g. the variables that add up to it, drawn thinly.
        chosen: index of the epoch that was kept, from 0; by default the one with the lowest score.
        name: name of the score.

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


def _panel(figure, cell, variable, histograms, notes, ratio="gen. / ref."):
    """Draw the histograms of a variable, the reference first, over their ratios; returns the upper panel."""
    per = "jets" if variable.name.startswith("jet_") else "events"
    labels = with_unit(variable.label, variable.unit), f"fraction of {per}"
    upper, lower = ratios.draw_pair(
        figure, cell, variable.edges, histograms[0], histograms[1:], labels=labels, ratio=ratio, notes=notes
    )
    if variable.name == "multiplicity":
        lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        lower.xaxis.set_minor_locator(MaxNLocator(1))
    return upper


def _notes(variable, names=tuple(DISTANCES)):
    """The distances for a legend, each with its floor and the floor's spread."""
    return ratios.distance_notes(variable, {name: DISTANCES[name] for name in names}, spread=True)


def _name_point(panel, point, report, held_out):
    who = f"{point}{', held out' if held_out else ''}"
    panel.set_title(who, loc="left", color=HELD_OUT if held_out else REFERENCE, fontweight="bold")
    panel.set_title(f"N = {report.events[0]:,}, {report.events[1]:,}", loc="right", fontsize=10)
    if held_out:
        for spine in panel.spines.values():
            spine.set(color=HELD_OUT, linewidth=2)


def _spelt(name):
    return {"ks_comb": "KS score (ks_comb)"}.get(name, name.replace("_", " "))


def _subject(report):
    """The text that applies to all panels."""
    return f"jets, {report.details.clustering}, N = {ratios.event_numbers(report)} events"
