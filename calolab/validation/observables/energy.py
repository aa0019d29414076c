"""Energy response of a calorimeter: visible energy and fraction, linearity and resolution against incident energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calolab.samples import Sample
from calolab.validation.observables.profiles import pieces


def visible_energy(sample: Sample) -> np.ndarray:
    """Sum of all cells of each event, shape `(event,)`, in `space.unit` (GeV in a calorimeter)."""
    axes = tuple(range(1, 1 + len(sample.space.shape)))
    total = np.empty(len(sample))
    for piece in pieces(sample):
        sample.values[piece].sum(axis=axes, dtype=np.float64, out=total[piece])
    return total


def visible_fraction(sample: Sample) -> np.ndarray:
    """Visible energy over incident energy, shape `(event,)`: the sampling fraction where only sensitive slabs are read.

    Raises:
        ValueError: if the sample has no `energy` label, or one that is not positive.
    """
    energy = sample.labels.get("energy")
    if energy is None:
        raise ValueError(f"visible_fraction expects the label 'energy' [GeV], received {sorted(sample.labels)}.")
    if np.any(energy <= 0):
        raise ValueError(f"visible_fraction expects positive energies, the lowest is {energy.min()} GeV.")
    return visible_energy(sample) / energy


@dataclass(frozen=True, eq=False)
class EnergyResponse:
    """Visible fraction and its relative spread in bins of the incident energy; arrays of shape `(bin,)`.

    Args:
        energy: mean incident energy of the bin's events [GeV].
        events: number of events in each bin.
        fraction, fraction_error: mean visible fraction and its statistical error.
        resolution, resolution_error: standard deviation over mean of the visible fraction, and its statistical error.
        stochastic, constant: a and c of the fit `resolution² = a²/energy + c²` (a in sqrt(GeV)); NaN where fewer than
            three bins, or a negative square, leave it undetermined.
    """

    energy: np.ndarray
    events: np.ndarray
    fraction: np.ndarray
    fraction_error: np.ndarray
    resolution: np.ndarray
    resolution_error: np.ndarray
    stochastic: float
    constant: float

    def to_dict(self) -> dict:
        """All numbers as plain lists and floats."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}


def response(sample: Sample, edges: np.ndarray) -> EnergyResponse:
    """Linearity and resolution of a sample in bins of its `energy` label.

    Args:
        sample: labelled showers.
        edges: bin edges [GeV]; bins with fewer than five events are left out.
    """
    energy, fraction = sample.labels["energy"], visible_fraction(sample)
    chosen = [(energy >= low) & (energy < high) for low, high in zip(edges[:-1], edges[1:])]
    chosen = [mask for mask in chosen if np.count_nonzero(mask) >= 5 and fraction[mask].mean() > 0]
    events = np.array([np.count_nonzero(mask) for mask in chosen])
    mean_energy = np.array([energy[mask].mean() for mask in chosen])
    mean = np.array([fraction[mask].mean() for mask in chosen])
    spread = np.array([fraction[mask].std(ddof=1) for mask in chosen])
    resolution = spread / mean
    # The error of a standard deviation follows from the fourth moment: tails make it larger than a Gaussian's.
    fourth = np.array([np.mean((fraction[mask] - fraction[mask].mean()) ** 4) for mask in chosen])
    error = np.sqrt(np.maximum(fourth - spread**4, 0) / events) / (2 * np.where(spread > 0, spread, 1)) / mean
    stochastic, constant = _fit(mean_energy, resolution, error)
    return EnergyResponse(mean_energy, events, mean, spread / np.sqrt(events), resolution, error, stochastic, constant)


def energy_bins(energy: np.ndarray, per_bin: int = 60, most: int = 10) -> np.ndarray:
    """Edges [GeV] of bins of equal numbers of events, or one bin around each energy where only a few energies occur.

    Args:
        energy: incident energies [GeV], shape `(event,)`.
        per_bin: number of events per bin.
        most: maximum number of bins.
    """
    energy = np.asarray(energy, dtype=np.float64)
    points = np.unique(energy)
    if len(points) <= 30 and len(energy) >= 5 * len(points):
        middles = np.sqrt(points[1:] * points[:-1])
        return np.array([0.0, *middles, np.inf])
    bins = int(np.clip(len(energy) // per_bin, 1, most))
    edges = np.quantile(energy, np.linspace(0, 1, bins + 1))
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return edges


def _fit(energy, resolution, error):
    """Weighted straight line of resolution² against 1/energy; the square roots of its slope and offset."""
    if len(energy) < 3 or np.any(error == 0):
        return float("nan"), float("nan")
    slope, offset = np.polyfit(1 / energy, resolution**2, 1, w=1 / (2 * resolution * error))
    return tuple(float(np.sqrt(value)) if value >= 0 else float("nan") for value in (slope, offset))
