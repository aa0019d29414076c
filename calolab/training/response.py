"""The calorimeter's response: the total deposited energy E·P(E) that a generated shower should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from calolab.training import ranks

UNIT = 100.0  # The polynomial is in E = incident energy / 100 GeV, as published.
FIT_EVENTS = 10_000


@dataclass(frozen=True)
class Response:
    """Deposited energy E·P(E) [GeV] with E in units of 100 GeV; P is constant outside the fitted energies.

    Args:
        coefficients: of P, highest power first, as `numpy.polyval` takes them.
        low: lowest energy of the fit [GeV].
        high: highest energy of the fit [GeV].
        events: number of events fitted.
    """

    coefficients: tuple[float, ...]
    low: float
    high: float
    events: int

    def __post_init__(self):
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        """Expected total deposit [GeV] of showers with these incident energies [GeV]."""
        inside = np.clip(energy, self.low, self.high) / UNIT
        return energy / UNIT * np.polyval(self.coefficients, inside)

    def to_dict(self) -> dict:
        """The response as plain numbers that JSON can hold."""
        return {**asdict(self), "coefficients": list(self.coefficients)}

    @classmethod
    def from_dict(cls, content: Mapping) -> Response:
        """Rebuild a response from `to_dict`."""
        return cls(**content)


def fit_response(energy: np.ndarray, total: np.ndarray) -> Response:
    """Least-squares fit of P to deposited over incident energy.

    Events are weighted by their energy, since the ratio's variance falls with it. The degree follows the sample: the
    published 4 from 5000 events on, a constant below 20, and always less than the number of different energies.

    Args:
        energy: incident energies [GeV], shape `(event,)`.
        total: total deposited energies [GeV], shape `(event,)`.

    Raises:
        ValueError: if nothing was deposited.
    """
    energy, total = np.asarray(energy, dtype=np.float64), np.asarray(total, dtype=np.float64)
    if not np.sum(total) > 0:
        raise ValueError("The training sample deposits no energy at all; check the data and their unit (GeV).")
    scaled = energy / UNIT
    different = len(np.unique(np.round(energy, 6)))
    degree = min(int(np.searchsorted([20, 200, 1000, 5000], len(energy), side="right")), different - 1)
    low, high = float(energy.min()), float(energy.max())
    # A high power can bend below zero between sparse energies: a lower one then tells more.
    for power in range(degree, -1, -1):
        coefficients = np.polyfit(scaled, total / scaled, power, w=np.sqrt(scaled))
        if np.all(np.polyval(coefficients, np.linspace(low, high, 200) / UNIT) > 0):
            break
    return Response(tuple(coefficients), low, high, len(energy))


def pooled_response(data, parallel, seed: int) -> Response:
    """The response of the training sample, fitted to at most 10,000 events of all ranks, and equal on all of them.

    Args:
        data: this rank's `Sample` or `EventStream`.
        parallel: the ranks.
        seed: seed of the choice of events.
    """
    rows = -(-FIT_EVENTS // parallel.size)
    found = []
    for batch in data.batches(min(rows, 1000, len(data)), seed):
        found.append(np.stack([batch.labels["energy"], batch.values.reshape(len(batch), -1).sum(axis=1)], axis=1))
        if sum(map(len, found)) >= rows:
            break
    energy, total = ranks.pooled(parallel, np.concatenate(found)[:rows], rows).T
    return fit_response(energy, total)
