"""Implausible values: labels, towers and cells that can be read but are probably wrong, with messages about them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Lowest and highest plausible value of a label, what is wrong with other values, and a hint.
_LABELS = {
    **dict.fromkeys(
        ("redshift", "gluino_mass", "neutralino_mass", "mass", "pt", "mu"),
        (0.0, np.inf, "below zero", "It cannot be negative."),
    ),
    **dict.fromkeys(
        ("theta", "mtheta", "phi"), (-2 * np.pi, 2 * np.pi, "beyond one turn, 2 pi rad", "Are they in degrees?")
    ),
    "eta": (-10.0, 10.0, "beyond 10", "No detector covers such pseudorapidities."),
    "energy": (0.0, 50_000.0, "above 50 TeV", "Are they in MeV? Set energy_factor= of the layout."),
}
# A larger fraction of empty showers is suspicious.
_EMPTY = 0.01


def doubtful_labels(labels: Mapping[str, np.ndarray], start: int = 0) -> dict[str, str]:
    """Messages about implausible labels, by label.

    Args:
        labels: columns of shape `(event,)`.
        start: index of the first of these events in the file.
    """
    doubts = {}
    for name, (low, high, where, question) in _LABELS.items():
        column = labels.get(name)
        if column is None or not len(column) or (column.min() >= low and column.max() <= high):
            continue
        wrong = (column < low) | (column > high)
        first = int(np.argmax(wrong))
        doubts[name] = (
            f"label {name!r} has values {where}, the first is {column[first]:g} in event {start + first}. {question}"
        )
    return doubts


def warn_of_labels(path: object, labels: Mapping[str, np.ndarray], stacklevel: int = 4) -> None:
    """Warn of implausible labels.

    Args:
        path: the file, for the message.
        labels: columns of shape `(event,)`.
        stacklevel: as for `warnings.warn`.
    """
    for doubt in doubtful_labels(labels).values():
        warnings.warn(f"{path}: {doubt}", stacklevel=stacklevel)


def doubtful_towers(n_events: int, columns: Mapping[str, np.ndarray]) -> list[str]:
    """Messages about implausible towers.

    Args:
        n_events: number of events.
        columns: `pt` [GeV], `eta` and `phi` [rad] of all towers, each of shape `(tower,)`.

    Raises:
        ValueError: if towers have no finite energy.
    """
    pt, eta, phi = columns["pt"], columns["eta"], columns["phi"]
    if not len(pt):
        return [
            f"none of the {n_events} events has a tower. Check that the calorimeter's output was written: "
            "`add Branch Calorimeter/towers Tower Tower` in the TreeWriter of the Delphes card."
        ]
    with np.errstate(over="ignore", invalid="ignore"):
        energy = pt * np.cosh(eta)
    if not np.isfinite(energy).all():
        wrong = int(np.argmax(~np.isfinite(energy)))
        raise ValueError(
            f"{np.sum(~np.isfinite(energy))} towers have no finite energy, the first with a transverse energy of "
            f"{pt[wrong]:g} GeV at eta {eta[wrong]:g}."
        )
    doubts = []
    if (far := np.abs(eta) > 10).any():
        reach = eta[np.argmax(np.abs(eta))]
        doubts.append(
            f"{far.sum()} towers lie beyond eta 10, up to {reach:g}. No detector covers such pseudorapidities."
        )
    if (far := np.abs(phi) > 2 * np.pi).any():
        reach = phi[np.argmax(np.abs(phi))]
        doubts.append(f"the phi of {far.sum()} towers is beyond one turn, 2 pi rad, up to {reach:g}. Is it in degrees?")
    if not pt.any():
        doubts.append(f"none of the {len(pt)} towers has any energy.")
    return doubts


@dataclass
class EmptyEvents:
    """Counts events whose cells are all zero, while they are read.

    Args:
        events: number of events so far.
        empty: number of empty events among them.
        inside, outside: energies of points inside and outside the cells [GeV]; zero for stored cells.
        first: number of the file, index in it, path and incident energy [GeV] of the first empty shower.
    """

    events: int = 0
    empty: int = 0
    first: tuple[int, int, str, float] | None = None
    inside: float = 0.0
    outside: float = 0.0

    def add(self, values: np.ndarray, energy: np.ndarray | None, path: str, start: int, number: int = 0) -> None:
        """Count neighbouring events of one file.

        Args:
            values: their cells, event first.
            energy: incident energies of showers [GeV], shape `(event,)`; None for other events.
            path: the file.
            start: index of the first of these events in the file.
            number: position of the file among all files.
        """
        flat = values.reshape(len(values), -1)
        empty = np.flatnonzero(flat.max(axis=1) <= 0)
        if len(empty):  # in signed images all cells may be negative
            empty = empty[~flat[empty].any(axis=1)]
        self.events, self.empty = self.events + len(values), self.empty + len(empty)
        if len(empty) and energy is not None:
            found = (number, start + int(empty[0]), path, float(energy[empty[0]]))
            self.first = min(self.first or found, found)

    def lost(self) -> str | None:
        """A message about points outside the cells; None if there are none."""
        if not self.outside:
            return None
        return (
            f"points outside the cells, with {self.outside / (self.inside + self.outside):.2g} of the energy, are left "
            "out. To include them, give a larger space=, or the origin of the points in the layout."
        )

    def doubt(self) -> str | None:
        """A message if more than 1 % of the showers, or all other events, are empty; otherwise None."""
        if self.first is None:
            all_empty = 0 < self.events == self.empty
            return f"all cells of all {self.events} events are zero." if all_empty else None
        if self.empty <= _EMPTY * self.events:
            return None
        _, event, path, energy = self.first
        return (
            f"{self.empty} of {self.events} showers contain no energy; the first is event {event} of "
            f"{Path(path).name} with an incident energy of {energy:g} GeV. Was the file written completely? To remove "
            "them, load the file and select the others: "
            "sample.select(sample.values.reshape(len(sample), -1).any(axis=1))."
        )
