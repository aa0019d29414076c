"""Separation powers of features: histograms of each feature in both samples, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calolab.validation.binning import histogram_edges, spectrum_edges
from calolab.validation.distances import separation_power
from calolab.validation.feature_table import Feature, Features
from calolab.validation.floors import Draws

BINNINGS = ("reference", "calochallenge")
CELL_SPECTRUM = Feature("cell_spectrum", "cell_spectrum", "energy of a cell", "GeV")
# The total energy is left out where it is also known divided by the incident energy, whose spectrum it follows.
REPLACED = {"total_energy": "energy_fraction"}
# The CaloChallenge's ranges by the outer radius of a layer up to which they apply [mm]: of the centres along eta and
# phi (on both sides of zero), of their widths, of the centre in r and of the width in r.
RANGES = {100.0: (30.0, 30.0, 42.0, 20.0), 1000.0: (100.0, 100.0, 500.0, 500.0), np.inf: (500.0, 400.0, 1500.0, 1500.0)}


@dataclass(frozen=True, eq=False)
class FeatureHistogram:
    """Histograms of one feature of a reference and of a generated sample.

    Args:
        feature: description of the feature.
        edges: shape `(bins + 1,)`.
        reference, generated: number of entries below the first edge, in each bin and above the last edge, shape
            `(bins + 2,)`.
        inside: whether only the entries within the edges count for the separation power.
    """

    feature: Feature
    edges: np.ndarray
    reference: np.ndarray
    generated: np.ndarray
    inside: bool = False

    @cached_property
    def separation(self) -> float:
        """Separation power, 0 for equal shapes and 1 for disjoint ones (arXiv:2009.03796); 0 if both are empty."""
        return _separation(self.reference, self.generated, self.inside)


@dataclass(frozen=True, eq=False)
class Separations:
    """Separation powers of all features of two samples.

    Args:
        histograms: histograms by name of the feature, with those of the cells as `"cell_spectrum"`.
    """

    histograms: Mapping[str, FeatureHistogram]

    @cached_property
    def groups(self) -> dict[str, float]:
        """The mean separation power of the features of each group, such as that of the energies of all layers."""
        return _group_means({one.feature: one.separation for one in self.histograms.values()})

    @cached_property
    def mean(self) -> float:
        """Mean over the groups."""
        return float(np.mean(list(self.groups.values())))


def feature_edges(reference: Features, binning: str = "reference") -> dict[str, np.ndarray]:
    """Histogram edges of each feature.

    Args:
        reference: the features of the reference sample.
        binning: `"reference"`: equal bins over the central 99.6 % of the reference, for energies in the logarithm;
            entries beyond are in two additional bins. Or `"calochallenge"`, the ranges and bins of the CaloChallenge
            (arXiv:2410.21611), which begin at the threshold and leave entries beyond out; those of centres and widths
            depend on the size of the layer.

    Returns:
        By the name of the feature, in its unit.

    Raises:
        ValueError: for an unknown binning, or that of the CaloChallenge without a threshold.
    """
    if binning not in BINNINGS:
        raise ValueError(f"binning expects {' or '.join(map(repr, BINNINGS))}, received {binning!r}.")
    if binning == "calochallenge" and not reference.threshold > 0:
        raise ValueError("The binning of the CaloChallenge begins at the threshold: compute the features with one.")
    make = _reference_edges if binning == "reference" else _challenge_edges
    return {
        column.name: make(column, reference.values[:, index], reference)
        for index, column in enumerate(reference.columns)
        if REPLACED.get(column.group) not in reference.groups
    }


def separations(reference: Features, generated: Features, binning: str = "reference") -> Separations:
    """Separation powers of all features and of the energies of the cells.

    Args:
        reference, generated: features of both samples, made with the same thresholds, edges and radii.
        binning: see `feature_edges`.

    Raises:
        ValueError: if the features are not of one kind, or as `feature_edges`.
    """
    check_alike(reference, generated)
    edges, inside = feature_edges(reference, binning), binning == "calochallenge"
    indices, sides = {column.name: index for index, column in enumerate(reference.columns)}, (reference, generated)
    found = {}
    for name, one in edges.items():
        contents = [_contents(_bins(side.values[:, indices[name]], one), one) for side in sides]
        found[name] = FeatureHistogram(reference.columns[indices[name]], one, *contents, inside)
    contents = [side.spectrum.sum(axis=0, dtype=np.int64) for side in sides]
    found[CELL_SPECTRUM.name] = FeatureHistogram(CELL_SPECTRUM, reference.spectrum_edges, *contents, inside)
    return Separations(found)


def separation_floors(reference: Features, draws: Draws, binning: str = "reference") -> dict[str, np.ndarray]:
    """Separation powers of each group between samples drawn from the reference, which differ by chance only.

    Args:
        reference: features of the reference sample.
        draws: how often each of its events counts in both samples, e.g. from `floors.Resampled`.
        binning: as for `separations`.

    Returns:
        By group, and their mean as `"mean"`, each of shape `(repetitions,)`.
    """
    inside, pairs = binning == "calochallenge", list(zip(draws.first, draws.second))
    indices, found = {column.name: index for index, column in enumerate(reference.columns)}, {}
    for name, edges in feature_edges(reference, binning).items():
        bins = _bins(reference.values[:, indices[name]], edges)
        found[reference.columns[indices[name]]] = np.array(
            [_separation(*(_contents(bins, edges, counts) for counts in pair), inside) for pair in pairs]
        )
    spectra = [[counts @ reference.spectrum for counts in pair] for pair in pairs]
    found[CELL_SPECTRUM] = np.array([_separation(*pair, inside) for pair in spectra])
    groups = {name: draws.scale**2 * values for name, values in _group_means(found).items()}
    return {**groups, "mean": np.mean(list(groups.values()), axis=0)}


def check_alike(reference: Features, generated: Features) -> None:
    """Raise ValueError unless the features of two samples can be compared.

    Args:
        reference, generated: the features.
    """
    if reference.names != generated.names:
        different = sorted(set(reference.names) ^ set(generated.names))
        raise ValueError(
            f"The features of both samples must be the same, {len(different)} are not in both, such as "
            f"{different[:3]}: give the spaces, labels and radii of the reference to both."
        )
    if reference.threshold != generated.threshold:
        raise ValueError(
            f"The features have the thresholds {reference.threshold} and {generated.threshold} GeV: use one for both."
        )
    if not np.array_equal(reference.spectrum_edges, generated.spectrum_edges):
        raise ValueError(
            "The cell spectra have different edges: high_level(generated, spectrum_edges=reference.spectrum_edges)."
        )


def _reference_edges(column, values, reference):
    if column.unit == "GeV" and np.any(values > 0):
        positive = values[values > 0]
        edges = np.exp(histogram_edges(*[np.log(positive)] * 2))
        return edges if np.all(np.diff(edges) > 0) else spectrum_edges(positive.min(), positive.max(), 1)
    return histogram_edges(values, values)


def _challenge_edges(column, values, reference):
    if column.unit == "GeV":
        return np.geomspace(reference.threshold, max(values.max(), 1.001 * reference.threshold), 40)
    if column.group == "energy_fraction":
        return np.linspace(0.5, 1.5, 101)
    if column.group in ("layer_sparsity", "sparsity"):
        return np.linspace(0, 1, 21)
    if column.layer is None or not column.group.startswith(("centre_", "width_")):
        return _reference_edges(column, values, reference)
    axes = zip(reference.space.axes, reference.space.layers[column.layer].edges)
    size = max(abs(edge) for axis, edges in axes if axis != "alpha" for edge in edges)
    centre, width, radial_centre, radial_width = next(limits for largest, limits in RANGES.items() if size <= largest)
    if column.group == "centre_r":
        return np.linspace(0, radial_centre, 101)
    if column.group == "width_r":
        return np.linspace(0, radial_width, 101)
    return np.linspace(-centre, centre, 101) if column.group.startswith("centre_") else np.linspace(0, width, 101)


def _bins(values, edges):
    """The bin of each value, from 0 (below the first edge) to the number of edges (above the last one)."""
    bins = np.searchsorted(edges, values, side="right")
    bins[values == edges[-1]] = len(edges) - 1
    return bins


def _contents(bins, edges, counts=None):
    return np.bincount(bins, counts, minlength=len(edges) + 1)


def _separation(reference, generated, inside):
    contents = [one[1:-1] if inside else one for one in (reference, generated)]
    filled = [bool(one.sum() > 0) for one in contents]
    return separation_power(*contents) if all(filled) else float(any(filled))


def _group_means(values):
    """The mean over the features of each group, of numbers or arrays by feature."""
    groups = {}
    for feature, value in values.items():
        groups.setdefault(feature.group, []).append(value)
    return {name: np.mean(many, axis=0) + 0.0 for name, many in groups.items()}
