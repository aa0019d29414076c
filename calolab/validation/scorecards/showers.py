"""The metrics of showers: response, separation powers, distances, classifiers, neighbours, correlations, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from calolab.samples import Sample
from calolab.spaces import Space, with_unit
from calolab.validation.feature_table import Features
from calolab.validation.features import high_level, shower_features
from calolab.validation.layer_sums import positions, transverse_axes
from calolab.validation.observables import energy
from calolab.validation.observables.profiles import layer_correlations, pieces
from calolab.validation.scorecards import families as shared
from calolab.validation.scorecards.measurement import ALL, Family, Measured, Settings
from calolab.validation.scorecards.records import Panel
from calolab.validation.separation import separations
from calolab.validation.shower_moments import shower_moments
from calolab.validation.similarity import shower_similarity

THRESHOLD = (
    3e-5  # of calorimeters in GeV: a tenth of what a minimum-ionising particle leaves in 0.5 mm of silicon [GeV]
)
RINGS = 15
# Groups of high-level features whose mean separation power is one metric; `*` stands for an axis across the shower.
GROUPS = {
    "total": ("energy_fraction", "total_energy"),
    "layers": ("layer_energy",),
    "centres": ("centre_*",),
    "widths": ("width_*",),
    "radial": ("centre_r", "width_r"),
    "sparsity": ("layer_sparsity", "sparsity"),
    "cells": ("cell_spectrum",),
}
SEPARATIONS = tuple(f"separation.{name}" for name in (*GROUPS, "mean"))
# Of the CaloChallenge (arXiv:2410.21611): 1 MeV in data set 1, 15.15 keV in data sets 2 and 3 [GeV].
CHALLENGE = {f"calochallenge-{name}": 1e-3 for name in ("photons", "pions")}
CHALLENGE |= {f"calochallenge-{name}": 15.15e-6 for name in ("2", "3")}
ENERGY_BINS = 5
SIMILARITY_DRAWS, PAIRS = 3, 200


@dataclass(frozen=True, eq=False)
class Side:
    """One prepared sample of showers.

    Args:
        sample: the showers, without cells below the threshold.
        high: the CaloChallenge's high-level features.
        features: those for the trees; None without incident energies.
        edges: bins of the incident energy [GeV]; None without incident energies.
    """

    sample: Sample
    high: Features
    features: Features | None
    edges: np.ndarray | None

    def __len__(self):
        return len(self.sample)

    def select(self, chosen: np.ndarray) -> Side:
        """The events at some positions."""
        return replace(
            self,
            sample=self.sample.select(chosen),
            high=self.high.select(chosen),
            features=None if self.features is None else self.features.select(chosen),
        )

    @property
    def distance_matrix(self) -> np.ndarray:
        """The vectors between which FPD and KPD are measured, shape `(event, feature)`."""
        return self.high.matrix("calochallenge")

    @property
    def tree_matrix(self) -> np.ndarray:
        """The features of the trees, with the incident energy, shape `(event, feature)`."""
        if self.features is None:
            return self.high.matrix("calochallenge")
        return np.column_stack([np.log(self.features.energy), self.features.matrix()])

    @property
    def tree_names(self) -> tuple[str, ...]:
        """Names of the columns of `tree_matrix`."""
        return () if self.features is None else ("log_energy", *self.features.names)


def kind(space: Space) -> str:
    """The kind of scorecard, `"showers"`."""
    return "showers"


def default_threshold(space: Space) -> float:
    """Cells below it count as zero [`space.unit`]: the CaloChallenge's threshold in its spaces, 3e-5 GeV elsewhere."""
    return CHALLENGE.get(space.name, THRESHOLD if space.unit == "GeV" else 0.0)


def prepare(sample: Sample, reference: Side | None, settings: Settings) -> Side:
    """A sample with its features.

    Args:
        sample: showers.
        reference: the prepared reference, which sets bins and radii; None for the reference itself.
        settings: settings of the measurement.
    """
    sample = _above(sample, settings.threshold)
    labelled = "energy" in sample.labels
    first = reference is None
    edges = (
        reference.edges
        if not first
        else energy.energy_bins(sample.labels["energy"], most=ENERGY_BINS)
        if labelled
        else None
    )
    found = None
    if labelled:
        radii = None if first else reference.features.radii
        found = shower_features(sample, settings.threshold or THRESHOLD, radii=radii)
    high = high_level(sample, settings.threshold, None if first else reference.high.spectrum_edges)
    return Side(sample, high, found, edges)


def families(real: Side, settings: Settings, train: Side | None) -> list[Family]:
    """The families of metrics that these showers and options allow.

    Args:
        real: the prepared reference.
        settings: settings of the measurement.
        train: the prepared training sample, or None.
    """
    space, found = real.sample.space, []
    if real.edges is not None:
        found.append(Family(("response", "resolution", "linearity"), _energy, draws=ALL))
    found += [
        Family(SEPARATIONS, _separations, draws=ALL),
        *shared.distances(),
        *shared.judges(settings),
        *shared.neighbours(train),
    ]
    if len(space.layers) > 1:
        found.append(Family(("correlations.layers", "correlations.moments"), _correlations, draws=ALL))
    found.append(Family(("ssim", "diversity"), _similarity, draws=SIMILARITY_DRAWS))
    return found


def panels(sides: Mapping[str, Side], settings: Settings) -> dict[str, Panel]:
    """The distributions and curves of the figure, with all events of every sample.

    Args:
        sides: the prepared samples by name, the reference first.
        settings: settings of the measurement.
    """
    real = next(iter(sides.values()))
    space, found = real.sample.space, {}
    if real.edges is not None:
        found |= _energy_panels(sides, real)
        fractions = {name: side.high.group("energy_fraction")[:, 0] for name, side in sides.items()}
        found["energy_fraction"] = shared.histogram_panel("energy_fraction", "visible fraction", fractions)
    found["longitudinal"] = shared.mean_panel(
        "longitudinal",
        "layer",
        with_unit("energy per layer", space.unit),
        np.arange(len(space.layers) + 1.0),
        {name: side.high.group("layer_energy") for name, side in sides.items()},
    )
    edges, rings = _rings(space)
    profiles = {name: _radial(side.sample, rings, len(edges) - 1) for name, side in sides.items()}
    unit = space.units[space.axes.index("r")] if "r" in space.axes else space.units[0]
    found["radial"] = shared.mean_panel(
        "radial", with_unit("r", unit), with_unit("energy per ring", space.unit), edges, profiles, "y"
    )
    edges = real.high.spectrum_edges
    spectra = {name: side.high.spectrum[:, 1:-1].astype(np.float64) for name, side in sides.items()}
    what = with_unit("energy of a cell", space.unit)
    found["cell_spectrum"] = shared.mean_panel("cell_spectrum", what, "cells per event", edges, spectra, "xy")
    occupied = {name: 1 - side.high.group("sparsity")[:, 0] for name, side in sides.items()}
    found["occupancy"] = shared.histogram_panel("occupancy", "fraction of cells hit", occupied)
    return found


def matrices(sides: Mapping[str, Side]) -> dict[str, np.ndarray]:
    """Correlations between layer energies over incident energy by sample, shape `(layer, layer)` each.

    Args:
        sides: the prepared samples by name.
    """
    if len(next(iter(sides.values())).sample.space.layers) < 2:
        return {}
    return {name: layer_correlations(_layers(side)) for name, side in sides.items()}


def _above(sample: Sample, threshold: float) -> Sample:
    """The sample with cells below the threshold set to zero."""
    values = np.empty_like(sample.values)
    for piece in pieces(sample):
        values[piece] = np.where(sample.values[piece] < threshold, 0, sample.values[piece])
    return replace(sample, values=values)


def _energy(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    """Largest deviations of mean and resolution of the visible fraction, over the bins with enough events of both."""
    both = [energy.response(side.sample, first.edges) for side in (first, second)]
    if not len(both[0].energy) or len(both[0].energy) != len(both[1].energy):
        return {name: Measured(np.nan, note="too few events in a bin of energy") for name in wanted}
    mean = both[1].fraction / both[0].fraction - 1
    width = both[1].resolution / both[0].resolution - 1
    found = {
        "response": np.abs(mean).max(),
        "resolution": np.abs(width).max(),
        "linearity": mean.std(),
    }
    return {name: Measured(float(found[name])) for name in wanted}


def _separations(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    """Separation powers of the high-level features and of the spectrum of the cells, by kind, and their mean."""
    powers = separations(first.high, second.high, settings.binning).groups
    across = transverse_axes(first.sample.space)
    found = {}
    for name, groups in GROUPS.items():
        members = [group.replace("*", axis) for group in groups for axis in across]
        held = [powers[one] for one in dict.fromkeys(members) if one in powers]
        if held:
            found[f"separation.{name}"] = float(np.mean(held))
    found["separation.mean"] = float(np.mean(list(found.values())))
    return {name: Measured(found[name]) for name in wanted if name in found}


def _similarity(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    """Dissimilarity of the mean images, and by how much the similarity within the second side differs."""
    found = shower_similarity(
        first.sample, second.sample, threshold=settings.threshold or THRESHOLD, pairs=PAIRS, seed=settings.seed
    )
    measured = {
        "ssim": Measured(1 - found.mean_images),
        "diversity": Measured(abs(found.excess), found.excess_error),
    }
    return {name: measured[name] for name in wanted}


def _correlations(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    found = {}
    if "correlations.layers" in wanted:
        found["correlations.layers"] = Measured(shared.correlation_distance(_layers(first), _layers(second)))
    if "correlations.moments" in wanted:
        found["correlations.moments"] = Measured(
            shared.correlation_distance(*(shower_moments(side.high) for side in (first, second)))
        )
    return found


def _layers(side: Side) -> np.ndarray:
    """Layer energies, over the incident energy where it is known, shape `(event, layer)`."""
    layers = side.high.group("layer_energy")
    return layers if side.high.energy is None else layers / side.high.energy[:, None]


def _energy_panels(sides: Mapping[str, Side], real: Side) -> dict[str, Panel]:
    """Mean and resolution of the visible fraction against the incident energy, where all samples have all bins."""
    responses = {name: energy.response(side.sample, real.edges) for name, side in sides.items()}
    numbers = {len(one.energy) for one in responses.values()}
    if len(numbers) > 1 or max(numbers) < 2:
        return {}
    points = next(iter(responses.values())).energy
    drawn = (("response", "fraction", "mean visible fraction"), ("resolution", "resolution", "resolution σ / mean"))
    return {
        name: Panel(
            name,
            "incident energy [GeV]",
            label,
            points,
            {sample: getattr(one, quantity) for sample, one in responses.items()},
            {sample: getattr(one, f"{quantity}_error") for sample, one in responses.items()},
        )
        for name, quantity, label in drawn
    }


def _rings(space: Space) -> tuple[np.ndarray, list[np.ndarray]]:
    """Edges of rings around the shower axis [mm], and the ring of each cell of each layer."""
    radii = [positions(space, index)["r"] for index in range(len(space.layers))]
    edges = np.linspace(0, 1.0001 * max(radius.max() for radius in radii), RINGS + 1)
    return edges, [np.searchsorted(edges, radius, side="right") - 1 for radius in radii]


def _radial(sample: Sample, rings: list[np.ndarray], n_rings: int) -> np.ndarray:
    """Energy of each event in each ring, shape `(event, ring)`."""
    found = np.zeros((len(sample), n_rings))
    for piece in pieces(sample):
        some = sample.select(piece)
        for layer, ring in enumerate(rings):
            cells = some.layer(layer).reshape(len(some), -1)
            found[piece] += cells @ np.eye(n_rings, dtype=cells.dtype)[ring]
    return found
