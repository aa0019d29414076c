"""The record of features: one row of numbers per event, with a description of each column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calolab.spaces import Space
from calolab.validation import layer_sums

MEV = 1e3  # MeV per GeV
TINY_LOGARITHM = 1e-8  # added to an energy before its logarithm, as in the CaloChallenge [MeV]


@dataclass(frozen=True)
class Feature:
    """One number per event.

    Args:
        name: e.g. `"centre_x_3"`.
        group: the features of all layers of one kind share it, e.g. `"centre_x"`.
        label: description of the feature.
        unit: unit of the values, or an empty string.
        layer: index of its layer, or None for a feature of the whole shower.
    """

    name: str
    group: str
    label: str
    unit: str = ""
    layer: int | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """Features of events, one row per event, made by `high_level` or `shower_features`.

    Args:
        columns: description of each feature.
        values: shape `(event, feature)`, float64.
        energy: incident energies [GeV], shape `(event,)`, or None if the sample has no such label.
        threshold: cells below it count as zero [GeV].
        space: the space of the events.
        spectrum: number of cells of each event in bins of their energy, shape `(event, bins + 2)`; the first column
            has the positive cells below the first edge, the last one those above the last edge.
        spectrum_edges: logarithmic edges [GeV], shape `(bins + 1,)`.
        radii: radii of the features within radii [mm]; empty if there are none.

    Raises:
        ValueError: if shapes disagree, or a value is not finite.
    """

    columns: tuple[Feature, ...]
    values: np.ndarray
    energy: np.ndarray | None
    threshold: float
    space: Space
    spectrum: np.ndarray
    spectrum_edges: np.ndarray
    radii: tuple[float, ...] = ()

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns):
            raise ValueError(
                f"Features expect values of shape (event, {len(self.columns)}), received {self.values.shape}."
            )
        if self.spectrum.shape != (len(self.values), len(self.spectrum_edges) + 1):
            raise ValueError(
                f"Features expect a spectrum of shape {(len(self.values), len(self.spectrum_edges) + 1)}, received "
                f"{self.spectrum.shape}."
            )
        if self.energy is not None and self.energy.shape != (len(self.values),):
            raise ValueError(f"Features of {len(self.values)} events received {self.energy.shape} energies.")
        if not np.isfinite(np.sum(self.values)):
            column = self.columns[int(np.flatnonzero(~np.isfinite(self.values).all(axis=0))[0])]
            raise ValueError(f"Features must be finite, {column.name!r} is not in at least one event.")

    def __len__(self):
        return len(self.values)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each feature."""
        return tuple(column.name for column in self.columns)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in order, each once."""
        return tuple(dict.fromkeys(column.group for column in self.columns))

    def group(self, name: str) -> np.ndarray:
        """Values of all features of a group, shape `(event, feature)`.

        Raises:
            ValueError: if there is no such group.
        """
        chosen = [index for index, column in enumerate(self.columns) if column.group == name]
        if not chosen:
            raise ValueError(f"These features have the groups {', '.join(self.groups)}, received {name!r}.")
        return self.values[:, chosen]

    def select(self, chosen) -> Features:
        """The events that a boolean mask, an index array or a slice selects, in that order."""
        energy = None if self.energy is None else self.energy[chosen]
        return replace(self, values=self.values[chosen], spectrum=self.spectrum[chosen], energy=energy)

    def matrix(self, kind: str = "values") -> np.ndarray:
        """The features as an array for a classifier or a distance, shape `(event, column)`.

        Args:
            kind: `"values"`, all features as they are; or `"calochallenge"`, for `high_level` only: the vector of the
                CaloChallenge's high-level classifier and of its FPD and KPD (arXiv:2410.21611), in MeV and mm: log10
                of the incident energy (where it is known) and of the layer energies, centres and widths over 100,
                log10 of the total energy, sparsity, centre and width in r over 100.

        Raises:
            ValueError: for another kind, or features that are not those of `high_level`.
        """
        if kind == "values":
            return self.values
        if kind != "calochallenge":
            raise ValueError(f"matrix(kind) expects 'values' or 'calochallenge', received {kind!r}.")
        if "layer_sparsity" not in self.groups:
            raise ValueError("matrix('calochallenge') needs the features of high_level; these are others.")
        across = layer_sums.transverse_axes(self.space)
        order = ["layer_energy", *(f"{what}_{axis}" for what in ("centre", "width") for axis in across)]
        order += ["total_energy", "layer_sparsity", "centre_r", "width_r"]
        parts = [] if self.energy is None else [np.log10(MEV * self.energy)[:, None]]
        for group in order:
            if group not in self.groups:
                continue
            values = self.group(group)
            if group.endswith("energy"):
                values = np.log10(MEV * values + TINY_LOGARITHM)
            parts.append(values if group == "layer_sparsity" or group.endswith("energy") else values / 100)
        return np.concatenate(parts, axis=1)
