"""A report as a compact table: heading, one row per observable with distances and floors, totals and notes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from calolab.labels import range_text, symbol, value_text
from calolab.spaces import with_unit
from calolab.tables import Table, with_error
from calolab.validation.observables.maps import MEASURES

# Columns of distances by kind of report. Minus log p also depends on the numbers of events, so it is not used for the
# verdict.
_RESAMPLED_DISTANCES = {"ks": "KS (floor)", "w1": "W₁/σ (floor)", "separation": "S (floor)"}
DISTANCES = {
    "showers": _RESAMPLED_DISTANCES,
    "jets": {"minus_log_p": "−log p (floor)", "ks": "KS (floor)", "separation": "χ² (floor)"},
    "jet images": _RESAMPLED_DISTANCES,
}
AT_FLOOR = "at the floor"
_RESAMPLED = (
    "After each distance (its floor): the mean of {repetitions} draws of reference against reference with these "
    "numbers of {noun}. At the floor: no distance is above the highest of these draws; otherwise the largest ratio, "
    "for S and MSE of the roots. W₁ in standard deviations σ of the reference; S separation power, 0 to 1; MSE mean "
    "squared error. {dependent} of one {one} are not independent: no p-value there."
)


def verdict(observable) -> str:
    """Text on how an observable compares with its floor, from its worst distance other than minus log p."""
    distances = [one for name, one in observable.distances.items() if name != "minus_log_p"]
    if any(math.isnan(distance.value) for distance in distances):
        return "undefined"
    if all(distance.within_floor for distance in distances):
        return AT_FLOOR
    times = max(distance.times_floor for distance in distances if not distance.within_floor)
    return f"{times:.1f} × floor" if math.isfinite(times) else "floor is 0"


def subject(report) -> str:
    """Description of the comparison: space or clustering, numbers of events, energies, threshold."""
    (first, second), (a, b) = report.names, report.events
    if report.kind == "jets":
        jets = report.details.jets
        return f"Jets, {report.details.clustering}: {jets[0]} in {a} {first} events, {jets[1]} in {b} {second} events"
    if report.kind == "maps":
        return f"{report.space.name}, {a} {first} and {b} {second} maps"
    if report.kind == "jet images":
        numbers = "; ".join(f"{name}: {a:,} {first} and {b:,} {second}" for name, (a, b) in _events(report))
        return f"{report.space.name}, {numbers}"
    where = f"{report.space.name}, {a} {first} and {b} {second} events"
    if report.details.energies:
        low, high = report.details.energies[0]
        where += f", {range_text('energy', (low, high), 3) if high > low else value_text('energy', low, 3)}"
    return f"{where}, hits above {report.details.threshold:g} {report.space.unit}".rstrip()


def table(report) -> Table:
    """The report as a table, which is text in a terminal and HTML in a notebook."""
    header, rows = _MAKE[report.kind](report)
    right = [column for column, name in enumerate(header) if "(" in name or name in report.names]
    return Table(rows, header, right, subject(report), [*_totals(report), *report.notes], _remark(report))


def _showers(report):
    return _header(report, "observable"), [_row(one, report.kind) for one in report.observables.values()]


def _jets(report):
    return _header(report, "variable"), [_row(one, report.kind) for one in report.observables.values()]


def _jet_images(report):
    parts = report.parts or {"": report}
    rows = [[name, *_row(one, part.kind)] for name, part in parts.items() for one in part.observables.values()]
    return ["class", *_header(report, "observable")], rows


def _maps(report):
    rows = [
        [curve.label, MEASURES[measure], _number(one.value), _floor(one), verdict(curve)]
        for curve in report.observables.values()
        for measure, one in curve.distances.items()
    ]
    return ["curve", "distance", "value", "floor", "verdict"], rows


_MAKE = {"showers": _showers, "jets": _jets, "jet images": _jet_images, "maps": _maps}


def _header(report, first) -> list[str]:
    p = [] if report.kind == "jets" else ["p(KS)"]
    return [first, "unit", *report.names, *p, *DISTANCES[report.kind].values(), "verdict"]


def _row(observable, kind) -> list[str]:
    unit = f"log₁₀ {observable.unit}" if observable.logarithmic else observable.unit
    sides = [with_error(*observable.summary(which)) for which in ("reference", "generated")]
    p = [] if kind == "jets" else [_p(observable)]
    distances = [_measured(observable.distances.get(name), spread=kind == "jets") for name in DISTANCES[kind]]
    return [observable.label, unit, *sides, *p, *distances, verdict(observable)]


def _p(observable) -> str:
    p = observable.distances["ks"].p
    return "–" if p is None else "< 1e-99" if p < 1e-99 else f"{p:.2g}"


def _totals(report) -> Iterator[str]:
    """The numbers that belong to no single observable."""
    totals = report.totals
    if "projection_error" in totals:
        errors = [
            f"{symbol(name.removeprefix('profile_'))} {_measured(observable.distances['mse'])}"
            for name, observable in report.observables.items()
            if "mse" in observable.distances
        ]
        what = with_unit("MSE of mean projections", f"{report.space.unit}²" if report.space.unit else "")
        yield f"{what}: {', '.join(errors)}; sum {_measured(totals['projection_error'])}"
    if "correlations" in totals:
        yield f"Layer correlations: mean |Δρ| {_measured(totals['correlations'])}"
    if "ks_comb" in totals:
        combined = _measured(totals["ks_comb"], spread=True)
        yield f"ks_comb = {combined}: minus log p of jet pt, multiplicity and summed mass"
    if report.kind == "jets":
        regions = ", ".join(f"{name} {a:.3f} | {b:.3f}" for name, (a, b) in report.details.regions.items())
        yield f"Fraction of events in the signal regions, {' | '.join(report.names)}: {regions}"


def _remark(report) -> str:
    """How to read the numbers."""
    floors = report.floors
    if report.kind == "jets":
        scaled = ", scaled to these numbers of events" if floors.scale < 1 else ""
        return (
            f"After each number (its floor): mean ± standard deviation over {floors.repetitions} draws of "
            f"{floors.events} against {floors.events} other real events{scaled}. At the floor: neither KS distance nor "
            "χ² is above the highest of these draws; otherwise the larger ratio, for χ² of the roots. χ² is the "
            "separation power of the histograms, 0 to 1. −log p of the KS test, at most 700, grows with the number of "
            "events, and p is no probability for whole numbers or for several jets of one event: use χ² and the "
            "floors there."
        )
    if report.kind == "maps":
        return (
            f"Floor: mean and standard deviation of {floors.repetitions} draws of reference against reference with "
            "these numbers of maps. At the floor: not above the highest of these draws."
        )
    words = {"noun": "images", "dependent": "Pixels", "one": "image"}
    if report.kind == "showers":
        words = {"noun": "events and energies", "dependent": "Cells and layers", "one": "shower"}
    return _RESAMPLED.format(repetitions=floors.repetitions, **words)


def _events(report):
    return [(name, part.events) for name, part in report.parts.items()] or [("all", report.events)]


def _measured(distance, spread=False):
    """A distance with its floor, and optionally the floor's spread."""
    if distance is None:
        return ""
    if math.isnan(distance.value):
        return "–"
    return f"{_number(distance.value)} ({_floor(distance) if spread else _number(distance.floor)})"


def _floor(distance):
    return f"{_number(distance.floor)} ± {_number(distance.floor_spread)}"


def _number(value):
    """Three digits, as a plain number where that is readable."""
    if value == 0 or 0.01 <= abs(value) < 1e5:
        digits = 3 if abs(value) < 1 else max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{round(value, digits) + 0.0:.{digits}f}"
    return f"{value:.2g}"
