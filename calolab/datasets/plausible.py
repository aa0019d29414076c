"""Values that can be read but can hardly be right: what speaks against labels, towers and cells, in words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from calolab.samples import Sample

# The lowest and highest value that a label may have, what is wrong with others, and what to ask.
_LABELS = {
    **dict.fromkeys(
        ("redshift", "gluino_mass", "neutralino_mass", "mass", "pt", "mu"),
        (0.0, np.inf, "below zero", "It cannot be negative."),
    ),
    **dict.fromkeys(
        ("theta", "mtheta", "phi"), (-2 * np.pi, 2 * np.pi, "beyond one turn, 2 pi rad", "Are they in degrees?")
    ),
    "eta": (-10.0, 10.0, "beyond 10", "No detector covers such pseudorapidities."),
}
# More empty showers than this fraction are no chance.
_EMPTY = 0.01


def doubtful_labels(labels: Mapping[str, np.ndarray], start: int = 0) -> dict[str, str]:
    """What speaks against labels, by label.

    Args:
        labels: columns of shape `(event,)`.
        start: number of the first of these events in the file.
    """
    doubts = {}
    for name, (low, high, where, question) in _LABELS.items():
        column = labels.get(name)
        if column is None or not len(column) or (column.min() >= low and column.max() <= high):
            continue
        wrong = (column < low) | (column > high)
        first = int(np.argmax(wrong))
        doubts[name] = (
            f"label {name!r} holds values {where}, the first is {column[first]:g} in event {start + first}. {question}"
        )
    return doubts


def warn_of_labels(path: object, labels: Mapping[str, np.ndarray], stacklevel: int = 4) -> None:
    """Warn of labels that can hardly be right."""
    for doubt in doubtful_labels(labels).values():
        warnings.warn(f"{path}: {doubt}", stacklevel=stacklevel)


def doubtful_towers(n_events: int, columns: Mapping[str, np.ndarray]) -> list[str]:
    """What speaks against the towers of a file.

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
        doubts.append(f"none of the {len(pt)} towers holds any energy.")
    return doubts


def doubtful_cells(sample: Sample, quantity: str) -> str | None:
    """What speaks against the cells of showers or images, or None.

    Args:
        sample: the events.
        quantity: the dataset that held them.
    """
    if quantity != "ECAL" or "energy" not in sample.labels:
        return None if sample.values.any() else f"none of the {len(sample)} events holds anything but zeros."
    empty = ~sample.values.reshape(len(sample), -1).any(axis=1)
    if empty.sum() <= _EMPTY * len(sample):
        return None
    return (
        f"{empty.sum()} of {len(sample)} showers hold no energy at all, the first is event {int(np.argmax(empty))} of "
        f"{sample.labels['energy'][empty][0]:g} GeV. Was the file written to its end? To leave them out: "
        "sample.select(sample.values.any(axis=(1, 2, 3)))."
    )
