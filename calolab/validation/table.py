"""A comparison as a compact table: in HTML for a notebook, in text for a terminal."""

from __future__ import annotations

import math
from html import escape

from calolab.labels import SYMBOLS
from calolab.spaces import with_unit

_DISTANCES = (("ks", "KS"), ("w1", "W₁/σ"), ("separation", "S"))


def verdict(observable) -> str:
    """How an observable stands against its floor, in plain words; its worst distance decides."""
    judged = observable.distances.values()
    if any(math.isnan(distance.value) for distance in judged):
        return "undefined"
    if all(distance.within_floor for distance in judged):
        return "at the floor"
    times = max(distance.times_floor for distance in judged if not distance.within_floor)
    return f"{times:.1f} × floor" if math.isfinite(times) else "floor is 0"


def heading(comparison) -> str:
    """What was compared: space, events, energies, threshold."""
    (first, second), (a, b) = comparison.names, comparison.events
    where = f"{comparison.space.name}, {a} {first} and {b} {second} events"
    if comparison.energies:
        low, high = comparison.energies[0]
        where += f", {low:.3g} to {high:.3g} GeV" if high > low else f", {low:.3g} GeV"
    return f"{where}, hits above {comparison.threshold:g} {comparison.space.unit}".rstrip()


def footing(comparison) -> str:
    """How to read the numbers."""
    return (
        f"After each distance (its floor): the mean of {comparison.repetitions} draws of reference against reference "
        "with these numbers of events and energies. At the floor: no distance is above the highest of these draws; "
        "else the worst, of S and MSE the root. W₁ in standard deviations σ of the reference; S separation power, "
        "0 to 1; MSE mean squared error. Cells and layers of one shower are not independent: no p-value there."
    )


def rows(comparison) -> list[list[str]]:
    """One list of texts per observable: name, unit, reference, generated, p, one text per distance, verdict."""
    table = []
    for observable in comparison.observables.values():
        unit = f"log₁₀ {observable.unit}" if observable.logarithmic else observable.unit
        sides = [_spread(*observable.summary(which)) for which in ("reference", "generated")]
        distances = [_distance(observable.distances.get(name)) for name, _ in _DISTANCES]
        p = observable.distances["ks"].p
        probability = "–" if p is None else "< 1e-99" if p < 1e-99 else f"{p:.2g}"
        table.append([observable.label, unit, *sides, probability, *distances, verdict(observable)])
    return table


def header(comparison) -> list[str]:
    """The heads of the columns of `rows`."""
    return ["observable", "unit", *comparison.names, "p(KS)", *(name for _, name in _DISTANCES), "verdict"]


def summary_lines(comparison) -> list[str]:
    """The numbers that belong to no single observable, and the notes."""
    errors = [
        f"{_along(name)} {_distance(observable.distances['mse'])}"
        for name, observable in comparison.observables.items()
        if "mse" in observable.distances
    ]
    total = _distance(comparison.projection_error)
    unit = comparison.space.unit
    lines = [f"{with_unit('MSE of mean projections', f'{unit}²' if unit else '')}: {', '.join(errors)}; sum {total}"]
    if comparison.correlations is not None:
        lines.append(f"Layer correlations: mean |Δρ| {_distance(comparison.correlations.distance)}")
    return lines + list(comparison.notes)


def text_table(comparison) -> str:
    """The table for a terminal."""
    table = [header(comparison), *rows(comparison)]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in table]
    return "\n".join([heading(comparison), *lines, *summary_lines(comparison)])


def html_table(comparison) -> str:
    """The table for a notebook; plain HTML that needs no script and follows the page's colours."""
    cell = "padding:1px 6px;text-align:{};white-space:nowrap;font-size:12px"
    left, right = cell.format("left"), cell.format("right")

    def row(texts, tag, bold=False):
        last = len(texts) - 1
        styles = [left if column in (0, 1, last) else right for column in range(len(texts))]
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
    """A mean and standard deviation with as many digits as the deviation deserves."""
    if math.isnan(mean):
        return "–"
    if deviation <= 0:
        return f"{mean:.4g} ± 0"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    if digits > 6:
        return f"{mean:.3g} ± {deviation:.2g}"
    # Adding zero turns a rounded minus zero into zero.
    return f"{round(mean, digits) + 0.0:.{digits}f} ± {deviation:.{digits}f}"


def _along(profile):
    """The axis of a profile, as it is written."""
    axis = profile.removeprefix("profile_")
    return SYMBOLS.get(axis, axis)


def _distance(distance):
    if distance is None:
        return ""
    return "–" if math.isnan(distance.value) else f"{_short(distance.value)} ({_short(distance.floor)})"


def _short(value):
    return f"{value:.3f}" if 0.01 <= value < 100 else f"{value:.2g}"
