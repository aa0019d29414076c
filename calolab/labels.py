"""Labels of events: how each is written, its unit, and which values are possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Label:
    """Properties of a label, or of an axis with the same name.

    Args:
        symbol: its symbol in titles and on plots, e.g. `"E"`; empty to use its name.
        unit: its unit, e.g. `"GeV"`; empty if it has none.
        values: description of the possible values, e.g. `"positive [GeV]"`.
        is_possible: function from an array of values to a boolean array; only finite values are passed to it.
    """

    symbol: str = ""
    unit: str = ""
    values: str = ""
    is_possible: Callable[[np.ndarray], np.ndarray] = np.isfinite


def _is_positive(column: np.ndarray) -> np.ndarray:
    return column > 0


_POSITIVE = {"values": "positive [GeV]", "is_possible": _is_positive}

# Any other name is allowed: such a label is written by its name, without a unit, and may have any finite value.
LABELS = {
    "energy": Label("E", "GeV", **_POSITIVE),
    "theta": Label("θ", "rad"),
    "phi": Label("φ", "rad"),
    "eta": Label("η"),
    "alpha": Label("α", "rad"),
    "mtheta": Label("θ measured", "rad"),
    "gluino_mass": Label("m(g̃)", "GeV", **_POSITIVE),
    "neutralino_mass": Label("m(χ̃)", "GeV", **_POSITIVE),
    "mu": Label("μ", "", "0 or more", lambda column: column >= 0),
    "signal": Label("", "", "0 or 1", lambda column: np.isin(column, (0, 1))),
    "pt": Label("", "GeV"),
    "mass": Label("", "GeV"),
    **{f"overflow_{layer}": Label("", "GeV") for layer in range(3)},
}
SYMBOLS = {name: label.symbol for name, label in LABELS.items() if label.symbol}
UNITS = {name: label.unit for name, label in LABELS.items() if label.unit}


def symbol(name: str) -> str:
    """The symbol of a label or an axis, or its name if it has none.

    >>> symbol("energy"), symbol("redshift")
    ('E', 'redshift')
    """
    return SYMBOLS.get(name, name)


def value_text(name: str, value: float, digits: int = 4) -> str:
    """One value of a label with its unit, as in the title of an event.

    Args:
        name: name of the label.
        value: the value.
        digits: number of significant digits.

    >>> value_text("energy", 50.0), value_text("eta", 1.23456)
    ('50 GeV', '1.235')
    """
    return f"{value:.{digits}g} {UNITS.get(name, '')}".rstrip()


def range_text(name: str, values: Sequence[float] | np.ndarray, digits: int = 4) -> str:
    """The lowest and the highest value of a label with their unit.

    Args:
        name: name of the label.
        values: at least one value, in any order.
        digits: number of significant digits.

    >>> range_text("energy", [50.0, 10.0, 20.0])
    '10 to 50 GeV'
    """
    return f"{np.min(values):.{digits}g} to {value_text(name, np.max(values), digits)}"


# (heavier, lighter): masses that must be in this order where an event has both.
_ORDERED = (("gluino_mass", "neutralino_mass"),)


def check_finite(columns: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless all values of all labels are finite.

    Args:
        columns: an array for each label.
    """
    for name, column in columns.items():
        if not np.all(np.isfinite(column)):
            raise ValueError(f"Label {name!r} has {np.sum(~np.isfinite(column))} values that are not finite.")


def check_labels(columns: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless all labels have finite and possible values that are consistent with each other.

    Args:
        columns: an array of shape `(event,)` for each label.
    """
    check_finite(columns)
    for name, column in columns.items():
        label = LABELS.get(name, Label())
        impossible = column[~label.is_possible(column)]
        if len(impossible):
            raise ValueError(f"Label {name!r} must be {label.values}, received {impossible[0]}.")
    for heavier, lighter in _ORDERED:
        if {heavier, lighter} <= set(columns):
            wrong = columns[lighter] >= columns[heavier]
            if np.any(wrong):
                raise ValueError(
                    f"{heavier!r} must be larger than {lighter!r}, because the heavier particle decays to the lighter "
                    f"one; received {columns[heavier][wrong][0]} and {columns[lighter][wrong][0]} GeV."
                )


def event_weights(labels: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The label `weight` of events; None if they have no such label, or all have the same weight.

    Args:
        labels: an array of shape `(event,)` for each label.

    Raises:
        ValueError: if the sum of the weights is not positive.

    >>> event_weights({"weight": np.array([2.0, 2.0])}) is None
    True
    """
    weights = labels.get("weight")
    if weights is None or not len(weights) or np.all(weights == weights[0]):
        return None
    if not np.sum(weights) > 0:
        raise ValueError(f"The weights of events must have a positive sum, received {np.sum(weights):g}.")
    return np.asarray(weights, np.float64)


def effective_number(weights: np.ndarray) -> float:
    """Number of events of equal weight with the same statistical precision: (sum w)² / (sum w²); 0 without weights.

    Args:
        weights: shape `(event,)`, or how often each event counts.

    >>> effective_number(np.ones(7)), effective_number(np.array([3.0, 1.0]))
    (7.0, 1.6)
    """
    squares = np.sum(np.square(weights, dtype=np.float64))
    return float(np.sum(weights, dtype=np.float64) ** 2 / squares) if squares > 0 else 0.0
