"""A comparison of jets as a compact table: in HTML for a notebook, in text for a terminal."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape

from calolab.validation import table


def verdict(observable) -> str:
    """How a variable stands against its floor by KS distance and separation: minus log p only tells of the numbers."""
    judged = {name: one for name, one in observable.distances.items() if name != "minus_log_p"}
    return table.verdict(replace(observable, distances=judged))


def heading(comparison) -> str:
    """What was compared: the algorithm, events and jets."""
    (events, generated_events), (jets, generated_jets) = comparison.events, comparison.jets
    first, second = comparison.names
    return (
        f"Jets, {comparison.clustering}: {jets} in {events} {first} events, {generated_jets} in {generated_events} "
        f"{second} events"
    )


def summary_lines(comparison) -> list[str]:
    """The combined score, the signal regions and the notes."""
    combined = comparison.combined
    regions = ", ".join(
        f"{name} {reference:.3f} | {generated:.3f}" for name, (reference, generated) in comparison.regions.items()
    )
    return [
        f"ks_comb = {_measured(combined)}: minus log p of jet pt, multiplicity and summed mass",
        f"Fraction of events in the signal regions, {' | '.join(comparison.names)}: {regions}",
        *comparison.notes,
    ]


def footing(comparison) -> str:
    """How to read the numbers."""
    halves = comparison.halves
    scaled = ", scaled to these numbers of events" if halves.scale < 1 else ""
    return (
        f"After each number (its floor): mean ± standard deviation over {halves.repetitions} draws of {halves.events} "
        f"against {halves.events} other real events{scaled}. At the floor: neither KS distance nor "
        "χ² is above the highest of these draws; else the worst, of χ² the root. χ² is the separation power of the "
        "histograms, 0 to 1. −log p of the KS test, at most 700, grows with the number of events, and p is no "
        "probability for whole numbers or for several jets of one event: there χ² and the floors count."
    )


def header(comparison) -> list[str]:
    """The heads of the columns of `rows`."""
    return ["variable", "unit", *comparison.names, "−log p (floor)", "KS (floor)", "χ² (floor)", "verdict"]


def rows(comparison) -> list[list[str]]:
    """One list of texts per variable, in the order of `header`."""
    return [
        [
            one.label,
            one.unit,
            *(_spread(*one.summary(which)) for which in ("reference", "generated")),
            *(_measured(one.distances[name]) for name in ("minus_log_p", "ks", "separation")),
            verdict(one),
        ]
        for one in comparison.variables.values()
    ]


def text_table(comparison) -> str:
    """The table for a terminal."""
    lines = [header(comparison), *rows(comparison)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in lines]
    return "\n".join([heading(comparison), *lines, *summary_lines(comparison)])


def html_table(comparison) -> str:
    """The table for a notebook; plain HTML that needs no script and follows the page's colours."""
    cell = "padding:1px 6px;white-space:nowrap;font-size:12px;text-align:"

    def row(texts, tag, bold=False):
        last = len(texts) - 1
        styles = [cell + ("left" if column in (0, 1, last) else "right") for column in range(len(texts))]
        styles[last] += ";font-weight:600" if bold else ""
        cells = (f'<{tag} style="{style}">{escape(text)}</{tag}>' for style, text in zip(styles, texts))
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row(texts, "td", bold=texts[-1] != "at the floor") for texts in rows(comparison))
    notes = "".join(f"<div>{escape(line)}</div>" for line in summary_lines(comparison))
    return (
        f"<div><b>{escape(heading(comparison))}</b>"
        f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f"<thead>{row(header(comparison), 'th')}</thead><tbody>{body}</tbody></table>{notes}"
        f"<small>{escape(footing(comparison))}</small></div>"
    )


def _spread(mean, deviation):
    return "–" if math.isnan(mean) else f"{_short(mean)} ± {_short(deviation)}"


def _measured(distance):
    return f"{_short(distance.value)} ({_short(distance.floor)} ± {_short(distance.floor_spread)})"


def _short(value):
    """Three digits, as a plain number where that is readable."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = 3 if value == 0 or abs(value) < 1 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{round(value, digits) + 0.0:.{digits}f}"
    return f"{value:.2g}"
