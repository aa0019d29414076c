"""The report of a comparison: observables of a reference and of a generated sample, with distances and floors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from calolab.names import check_name
from calolab.scores import Score
from calolab.spaces import Space
from calolab.validation import report_table
from calolab.validation.distances import Distance
from calolab.validation.floors import DisjointHalves, Resampled
from calolab.validation.json_content import plain
from calolab.validation.observables.energy import EnergyResponse
from calolab.validation.observables.observable import Curve, Observable

KINDS = ("showers", "jets", "jet images", "maps")


@dataclass(frozen=True, eq=False)
class ShowerDetails:
    """Contents of a report on showers other than its observables.

    Args:
        threshold: cell energy above which a cell counts as hit [`space.unit`].
        empty: numbers of (reference, generated) events without any energy; their moments are undefined and left out.
        energies: (lowest, highest) incident energy of each sample [GeV]; None without that label.
        correlations: Pearson correlations between layer energies of (reference, generated), each of shape
            `(layer, layer)`; None for a plain image.
        responses: linearity and resolution of (reference, generated); None without incident energies.
    """

    threshold: float
    empty: tuple[int, int]
    energies: tuple[tuple[float, float], tuple[float, float]] | None
    correlations: tuple[np.ndarray, np.ndarray] | None
    responses: tuple[EnergyResponse, EnergyResponse] | None


@dataclass(frozen=True, eq=False)
class JetDetails:
    """Contents of a report on jets other than its observables.

    Args:
        clustering: description of how the jets were found.
        jets: numbers of (reference, generated) jets.
        regions: fractions of (reference, generated) events in each signal region.
    """

    clustering: str
    jets: tuple[int, int]
    regions: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class ImageDetails:
    """Contents of a report on one class of jet images other than its observables.

    Args:
        means: mean images of reference and generated, and the standard error of their difference, each of shape
            `space.shape` [GeV].
    """

    means: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Report:
    """The comparison of a reference and a generated sample; `report[name]` is one of its observables, parts or totals.

    `compare`, `compare_jets`, `compare_jet_images` and `compare_maps` make it, `plot()` draws it.

    Args:
        kind: `"showers"`, `"jets"`, `"jet images"` or `"maps"`.
        space: the space of both; None for jets, which have no space.
        events: numbers of (reference, generated) events.
        floors: how the floors were measured.
        observables: observables by name, each with its distances.
        totals: distances that belong to no single observable, by name: of showers `projection_error` (arXiv:2105.08960,
            [`space.unit`²]) and `correlations` (mean absolute difference of the layer correlations), of jets `ks_comb`.
        parts: reports of parts of the samples, by name: of jet images each class.
        details: contents that are specific to the kind of report.
        notes: warnings about the reliability of the numbers.
        names: names of the two samples in tables and figures.
    """

    kind: str
    space: Space | None
    events: tuple[int, int]
    floors: Resampled | DisjointHalves
    observables: Mapping[str, Observable | Curve] = field(default_factory=dict)
    totals: Mapping[str, Distance] = field(default_factory=dict)
    parts: Mapping[str, Report] = field(default_factory=dict)
    details: ShowerDetails | JetDetails | ImageDetails | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, str] = ("reference", "generated")

    def __post_init__(self):
        check_name("kind of report", self.kind, KINDS)

    def __getitem__(self, name: str) -> Observable | Curve | Distance | Report:
        found = {**self.totals, **self.parts, **self.observables}
        check_name("entry of the report", name, found)
        return found[name]

    @property
    def scores(self) -> dict[str, Score]:
        """All distances as scores: totals by their names, others as `"observable.distance"`; lower is better."""
        distances = dict(self.totals)
        for name, observable in self.observables.items():
            distances |= {f"{name}.{measure}": one for measure, one in observable.distances.items()}
        found = {name: distance.score(name) for name, distance in distances.items()}
        for part, report in self.parts.items():
            found |= {f"{part}.{name}": score for name, score in report.scores.items()}
        return found

    def plot(self, observables: Sequence[str] | None = None):
        """The main figure: observables of both samples with their ratios, distances and floors.

        Args:
            observables: names among `self.observables`, of showers and jets; by default the most important ones.

        Returns:
            A matplotlib figure, which a notebook shows.

        Raises:
            ValueError: for an unknown name, or names where all observables are drawn.
        """
        from calolab.plots import comparison, jet_images, jets, texture  # matplotlib loads when something is drawn

        if observables is not None and self.kind in ("jet images", "maps"):
            raise ValueError(f"A report on {self.kind} draws all its observables; leave out {list(observables)}.")
        draw = {
            "showers": lambda report: comparison.observables(report, observables),
            "jets": lambda report: jets.comparison(report, observables),
            "jet images": jet_images.comparison,
            "maps": texture.comparison,
        }
        return draw[self.kind](self)

    def plot_correlations(self):
        """Layer-energy correlations of the reference, of the generated sample, and their difference: a figure.

        Raises:
            ValueError: for samples without layers.
        """
        from calolab.plots import comparison

        return comparison.correlations(self)

    def plot_response(self):
        """Linearity and resolution against the incident energy: a figure.

        Raises:
            ValueError: for samples without incident energies.
        """
        from calolab.plots import comparison

        return comparison.response(self)

    def plot_means(self):
        """Mean images of both samples and their difference, one row per class: a figure.

        Raises:
            ValueError: for a report that is not on jet images.
        """
        from calolab.plots import jet_images

        if self.kind != "jet images":
            raise ValueError(f"plot_means draws reports on jet images, this is one on {self.kind}.")
        parts = self.parts or {"": self}
        means = {name: dict(zip(self.names, part.details.means[:2])) for name, part in parts.items()}
        return jet_images.means(means, self.space)

    def to_dict(self) -> dict:
        """All results as plain numbers, lists and strings that JSON can hold (not-a-number becomes None)."""
        return plain(
            {
                "kind": self.kind,
                "space": None if self.space is None else self.space.name,
                "events": self.events,
                "names": self.names,
                "notes": self.notes,
                "floors": self.floors,
                "observables": self.observables,
                "totals": self.totals,
                "parts": self.parts,
                "details": None if self.details is None else vars(self.details),
            }
        )

    def to_json(self) -> str:
        """`to_dict` as a JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def __repr__(self):
        return repr(report_table.table(self))

    def _repr_html_(self):
        return report_table.table(self)._repr_html_()
