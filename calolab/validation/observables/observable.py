"""The entries of a report: an observable of both samples, or a curve of both, with distances and floors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from calolab.validation.binning import Histogram, histogram
from calolab.validation.distances import Distance


@dataclass(frozen=True, eq=False)
class Observable:
    """One observable of a reference and of a generated sample.

    Args:
        name: its name in a report, e.g. `"first_moment_z"`.
        label: description of the observable, e.g. `"mean depth"`.
        unit: unit of the observable, or along the axis of a profile; may be empty.
        edges: histogram or profile edges in `unit`, shape `(bins + 1,)`.
        reference, generated: one number per event, `(event,)`, NaN where an event has none, or one per jet, `(jet,)`;
            or one profile per event, `(event, bins)`.
        height: the quantity in the bins of a profile, with its unit; empty for numbers.
        logarithmic: whether the edges are, as in a cell spectrum; positions are then log10.
        distances: distances by name: `"ks"`, `"w1"` (in standard deviations of the reference), `"separation"` (0 to 1),
            for energy projections `"mse"`, and for jets `"minus_log_p"` of the KS test.
        weights: weights of the numbers of (reference, generated), each of their shape; None where all count equally.
    """

    name: str
    label: str
    unit: str
    edges: np.ndarray
    reference: np.ndarray
    generated: np.ndarray
    height: str = ""
    logarithmic: bool = False
    distances: Mapping[str, Distance] = field(default_factory=dict)
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    @property
    def is_profile(self) -> bool:
        """Whether each event has a profile, rather than one number."""
        return self.reference.ndim == 2

    @property
    def undefined(self) -> tuple[int, int]:
        """Number of (reference, generated) events without this observable, which are left out."""
        return tuple(int(np.sum(np.isnan(v))) if not self.is_profile else 0 for v in (self.reference, self.generated))

    @property
    def positions(self) -> np.ndarray:
        """Centres of the bins, shape `(bins,)`; of logarithmic bins log10."""
        edges = np.log10(self.edges) if self.logarithmic else self.edges
        return (edges[1:] + edges[:-1]) / 2

    def histogram(self, which: str) -> Histogram:
        """The histogram, or the mean profile, of `"reference"` or `"generated"`."""
        values = getattr(self, which)
        if not self.is_profile:
            return histogram(values, self.edges, self._weights(which))
        errors = values.std(axis=0) / np.sqrt(len(values))
        return Histogram(self.edges, values.mean(axis=0), errors, entries=len(values))

    def summary(self, which: str) -> tuple[float, float]:
        """Mean and standard deviation over entries; of a profile, along its axis; NaN where nothing is defined."""
        values = getattr(self, which)
        if self.is_profile:
            weights = values.mean(axis=0)
            if not weights.sum() > 0:
                return float("nan"), float("nan")
            mean = np.average(self.positions, weights=weights)
            return float(mean), float(np.sqrt(np.average((self.positions - mean) ** 2, weights=weights)))
        weights = self._weights(which)
        if weights is not None and weights[np.isfinite(values)].sum() > 0:
            weights, values = weights[np.isfinite(values)], values[np.isfinite(values)]
            mean = np.average(values, weights=weights)
            return float(mean), float(np.sqrt(max(0.0, np.average((values - mean) ** 2, weights=weights))))
        values = values[np.isfinite(values)]
        return (float(values.mean()), float(values.std())) if len(values) else (float("nan"), float("nan"))

    def _weights(self, which: str) -> np.ndarray | None:
        return self.weights[("reference", "generated").index(which)]

    def to_dict(self) -> dict:
        """Histograms, summaries and distances as plain numbers, without the values of single events."""
        sides = {}
        for which, undefined in zip(("reference", "generated"), self.undefined):
            found = self.histogram(which)
            mean, spread = self.summary(which)
            sides[which] = {
                "mean": mean,
                "standard_deviation": spread,
                "undefined_events": undefined,
                "contents": found.contents.tolist(),
                "errors": found.errors.tolist(),
            }
        return {
            "label": self.label,
            "unit": self.unit,
            "height": self.height,
            "edges": self.edges.tolist(),
            **sides,
            "distances": {name: distance.to_dict() for name, distance in self.distances.items()},
        }


@dataclass(frozen=True, eq=False)
class Curve:
    """One statistic of both samples along an axis, such as a power spectrum.

    Args:
        name, label: name, e.g. `"v1"`, and description with its symbol.
        axis, height: the quantity along the axis and the quantity of the curve, with units.
        positions: shape `(point,)`.
        reference, generated: means over the events, shape `(point,)`.
        reference_error, generated_error: standard errors of these means.
        distances: one distance, by the name of its measure.
    """

    name: str
    label: str
    axis: str
    height: str
    positions: np.ndarray
    reference: np.ndarray
    generated: np.ndarray
    reference_error: np.ndarray
    generated_error: np.ndarray
    distances: Mapping[str, Distance]

    @property
    def distance(self) -> Distance:
        """The distance of the two curves."""
        return next(iter(self.distances.values()))

    def to_dict(self) -> dict:
        """Everything as plain numbers, lists and strings."""
        content = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in vars(self).items()}
        return content | {"distances": {name: one.to_dict() for name, one in self.distances.items()}}
