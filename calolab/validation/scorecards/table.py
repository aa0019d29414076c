"""A scorecard as a table: one row per metric, one column per generator, each value with its floor."""

from __future__ import annotations

import math

from calolab.spaces import with_unit
from calolab.tables import Table, with_error
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
        rows.append([group, _label(metric), *cells, floor_number(floors, metric.factor)])
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


def number(value: float, error: float | None = None, factor: float = 1.0) -> str:
    """A number of a scorecard, to two digits of its error, or without one to three digits.

    Args:
        value: the number.
        error: its error; None or zero where it is not known.
        factor: factor by which both are multiplied.

    >>> number(0.0041234, 0.0009), number(0.0123, factor=1e3)
    ('0.00412 ± 0.00090', '12.3')
    """
    value *= factor
    if math.isnan(value):
        return "–"
    if error:
        return with_error(value, error * factor)
    if value == 0 or 0.001 <= abs(value) < 1e5:
        digits = 3 if abs(value) < 1 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{round(value, digits) + 0.0:.{digits}f}"
    return f"{value:.2g}"


def _label(metric) -> str:
    return f"{metric.label} × 10³" if metric.factor == 1e3 else metric.label


def _cell(entry, factor) -> str:
    if entry is None:
        return ""
    text = number(entry.value, entry.error, factor)
    return f"{text} {AT_FLOOR}" if entry.at_floor else text


def floor_number(entry, factor: float = 1.0) -> str:
    """The floor of an entry of a scorecard; empty without one, e.g. where there are too few events to halve them.

    Args:
        entry: the entry.
        factor: factor by which it is multiplied.
    """
    return "" if entry.floor is None else number(entry.floor, entry.floor_spread, factor)


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
        f"Floor: the same metric between {compared:,} and {compared:,} different events of {card.reference}, with its "
        f"standard deviation over at most {card.settings['repetitions']} draws. {AT_FLOOR}: within twice the "
        "uncertainty of the floor, or better (density: within). Separation powers: 0 equal, 1 disjoint. AUC: 0.5 if a "
        "classifier cannot tell the samples apart, 1 if it always can."
    )
