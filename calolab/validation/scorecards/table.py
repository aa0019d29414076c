"""A scorecard as a table: one row per metric, one column per generator, each value with its floor."""

from __future__ import annotations

import math

from calolab.spaces import with_unit
from calolab.tables import Table
from calolab.validation.scorecards.metrics import GROUPS, METRICS

AT_FLOOR = "✓"


def table(card) -> Table:
    """The scorecard as a table, which is text in a terminal and HTML in a notebook.

    Args:
        card: the scorecard.
    """
    rows, before = [], None
    for name in card.metrics:
        metric = METRICS[name]
        entries = card[name]
        floors = next(iter(entries.values()))
        group = GROUPS[metric.group] if metric.group != before else ""
        before = metric.group
        cells = [_cell(entries.get(generator), metric.factor) for generator in card.generators]
        rows.append([group, _label(metric), *cells, _floor(floors, metric.factor)])
    header = ["", "metric", *card.generators, "floor"]
    right = range(2, len(header))
    notes = [*_entry_notes(card), *card.notes]
    return Table(rows, header, right, subject(card), notes, _remark(card))


def subject(card) -> str:
    """Description of the comparison: space, numbers of events, energies, threshold.

    Args:
        card: the scorecard.
    """
    compared = card.events["compared"]
    text = f"{card.space.name}, {compared:,} events of each against {compared:,} of {card.reference}"
    if card.energies:
        low, high = card.energies
        text += f", {low:.3g} to {high:.3g} GeV" if high > low else f", {low:.3g} GeV"
    if card.settings.get("threshold"):
        text += f", cells above {with_unit(format(card.settings['threshold'], 'g'), card.space.unit)}"
    return text


def number(value: float, factor: float = 1.0) -> str:
    """A number of a scorecard with three significant digits, as a plain number where that is readable.

    Args:
        value: the number.
        factor: factor by which it is multiplied.
    """
    value *= factor
    if math.isnan(value):
        return "–"
    if value == 0 or 0.001 <= abs(value) < 1e5:
        digits = 3 if abs(value) < 1 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{round(value, digits) + 0.0:.{digits}f}"
    return f"{value:.2g}"


def _label(metric) -> str:
    return f"{metric.label} × 10³" if metric.factor == 1e3 else metric.label


def _cell(entry, factor) -> str:
    if entry is None:
        return ""
    text = number(entry.value, factor)
    if entry.error and not math.isnan(entry.value):
        text += f" ± {number(entry.error, factor)}"
    return f"{text} {AT_FLOOR}" if entry.at_floor else text


def _floor(entry, factor) -> str:
    if entry.floor is None:
        return ""
    if math.isnan(entry.floor):
        return number(entry.floor)
    spread = f" ± {number(entry.floor_spread, factor)}" if entry.floor_spread else ""
    return number(entry.floor, factor) + spread


def _entry_notes(card) -> list[str]:
    """The notes of single entries, each once with the metrics and generators that it is about."""
    notes = {}
    for generator, entries in card.results.items():
        for entry in entries.values():
            if entry.note:
                notes.setdefault(entry.note, {}).setdefault(METRICS[entry.metric].label, []).append(generator)
    several = len(card.results) > 1
    return [
        "; ".join(f"{label} ({', '.join(generators)})" if several else label for label, generators in about.items())
        + f": {note}"
        for note, about in notes.items()
    ]


def _remark(card) -> str:
    compared = card.events["compared"]
    return (
        f"Floor: the same metric between {compared:,} and {compared:,} different events of {card.reference}, with the "
        f"standard deviation of {card.settings['repetitions']} draws (classifiers and images: over seeds). {AT_FLOOR}: "
        "within twice the uncertainty of the floor, or better. S: separation power (0 equal, 1 disjoint). AUC: 0.5 if "
        "a classifier cannot tell the samples apart, 1 if it always can."
    )
