"""Particles: events with variable numbers of momenta, as simulated by Pythia, and their images in eta and phi."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape

import awkward as ak
import numpy as np

from calolab import spaces
from calolab.labels import range_text
from calolab.momenta import from_components
from calolab.samples import Sample, real_numbers
from calolab.spaces import Space
from calolab.tables import Table

MOMENTUM = ("pt", "eta", "phi", "mass")
OPTIONAL = ("identity", "x", "y", "z", "ecal", "hcal")
PIECE = 4096  # number of events that `images` sums at a time in double precision, which limits its memory


@dataclass(frozen=True, eq=False)
class Particles:
    """Events with any number of particles or calorimeter towers.

    Args:
        columns: awkward records `(event, particle)` with the fields `pt` [GeV], `eta`, `phi` [rad] and `mass` [GeV],
            and optionally `identity` (PDG code), `x`, `y`, `z` (production vertex [mm]), and for towers `ecal` and
            `hcal` (energies in the electromagnetic and hadronic calorimeter [GeV]).
        labels: named arrays of shape `(event,)`, e.g. `gluino_mass` [GeV]; stored as float64.
        origin: origin of the events, as plain numbers and strings.

    Raises:
        ValueError: if a field is missing, unknown or not finite, or a label does not match the events.
    """

    columns: ak.Array
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        columns = ak.Array(self.columns)
        names = set(ak.fields(columns))
        if columns.ndim != 2 or not set(MOMENTUM) <= names or names - {*MOMENTUM, *OPTIONAL}:
            raise ValueError(
                f"Particles expect records (event, particle) with the fields {', '.join(MOMENTUM)} and optionally "
                f"{', '.join(OPTIONAL)}; received {columns.ndim} dimensions and the fields "
                f"{', '.join(sorted(names)) or 'none'}."
            )
        for name in names:
            column = ak.to_numpy(ak.flatten(columns[name]))
            if not np.all(np.isfinite(column)):
                raise ValueError(f"Particles: {np.sum(~np.isfinite(column))} values of {name!r} are not finite.")
            if name in ("pt", "mass") and np.any(column < 0):
                raise ValueError(f"Particles: {name!r} must not be negative [GeV], the lowest is {column.min()}.")
        labels = {name: real_numbers(f"Label {name!r}", column, np.float64) for name, column in self.labels.items()}
        for name, column in labels.items():
            if column.shape != (len(columns),) or not np.all(np.isfinite(column)):
                raise ValueError(
                    f"Label {name!r} must contain one finite number per event, shape ({len(columns)},), received shape "
                    f"{column.shape} with {np.sum(~np.isfinite(column))} values that are not finite."
                )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "origin", dict(self.origin))

    @classmethod
    def from_flat(
        cls,
        counts: np.ndarray,
        columns: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray] | None = None,
        origin: Mapping[str, object] | None = None,
    ) -> Particles:
        """Events from flat columns.

        Args:
            counts: number of particles in each event, shape `(event,)`.
            columns: one array of shape `(particle,)` per field, one event after another.
            labels, origin: as for `Particles`.

        Raises:
            ValueError: if the length of a column is not the sum of the counts, or as for `Particles`.

        >>> pt, zero = np.array([3.0, 4.0, 5.0]), np.zeros(3)
        >>> Particles.from_flat([1, 2], {"pt": pt, "eta": zero, "phi": zero, "mass": zero})
        Particles(2 events of 1.5 particles on average)
        """
        counts = np.asarray(counts, dtype=np.int64)
        columns = {name: np.asarray(column) for name, column in columns.items()}
        wrong = {name: column.shape for name, column in columns.items() if column.shape != (counts.sum(),)}
        if wrong:
            raise ValueError(f"Columns must have shape ({counts.sum()},), the sum of the counts; received {wrong}.")
        return cls(ak.unflatten(ak.zip(columns), counts), labels or {}, origin or {})

    @classmethod
    def from_padded(
        cls,
        values: np.ndarray,
        columns: Sequence[str] = ("pt", "eta", "phi"),
        labels: Mapping[str, np.ndarray] | None = None,
        origin: Mapping[str, object] | None = None,
    ) -> Particles:
        """Events from one array of constituents that is padded with zeros.

        Args:
            values: shape `(event, constituent, column)`, in GeV and rad; constituents without transverse momentum are
                padding.
            columns: contents of the last axis: `pt`, `eta`, `phi` or `px`, `py`, `pz`, then `mass`, `energy` or neither
                for massless particles, and optional fields such as `identity`; in any order.
            labels, origin: as for `Particles`.

        Raises:
            ValueError: if the shape does not fit the columns, the columns define no momentum, or as for `Particles`.

        >>> Particles.from_padded([[[3.0, 0.1, 0.2], [2.0, 0.0, 0.1]], [[5.0, 0.3, 0.1], [0.0, 0.0, 0.0]]]).counts
        array([2, 1])
        """
        values, columns = np.asarray(values), list(columns)
        if values.ndim != 3 or values.shape[2] != len(columns) or len(set(columns)) < len(columns):
            raise ValueError(
                f"Expected constituents of shape (event, constituent, {len(columns)}) with the columns "
                f"{', '.join(columns)}, each once; received shape {values.shape}."
            )
        values = real_numbers("Constituents", values, np.float64)
        flat, kept = from_components(dict(zip(columns, values.reshape(-1, len(columns)).T)))
        return cls.from_flat(kept.reshape(values.shape[:2]).sum(axis=1), flat, labels, origin)

    def padded(self, columns: Sequence[str] = ("pt", "eta", "phi"), length: int | None = None) -> np.ndarray:
        """One array of the particles of each event, padded with zeros; `from_padded` is the inverse.

        Args:
            columns: fields of the last axis, or `"energy"`.
            length: number of particles per event; of longer events, the first particles are kept. By default the number
                in the longest event.

        Returns:
            Shape `(event, length, column)` [GeV, rad].

        Raises:
            ValueError: if there is no such field, or the length is negative.
        """
        length = int(self.counts.max(initial=0)) if length is None else length
        if length < 0:
            raise ValueError(f"padded(length=) expects 0 or more particles per event, received {length}.")
        event = np.repeat(np.arange(len(self)), self.counts)
        place = np.arange(len(event)) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        values = np.zeros((len(self), length, len(columns)))
        for number, name in enumerate(columns):
            values[event[place < length], place[place < length], number] = self.flat(name)[place < length]
        return values

    def __len__(self):
        return len(self.columns)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(ak.fields(self.columns))

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of particles in each event, shape `(event,)`."""
        return ak.to_numpy(ak.num(self.columns, axis=1))

    @property
    def energy(self) -> ak.Array:
        """Energies `(event, particle)` [GeV]."""
        columns = self.columns
        return np.sqrt((columns.pt * np.cosh(columns.eta)) ** 2 + columns.mass**2)

    def flat(self, name: str) -> np.ndarray:
        """One column of all events, shape `(particle,)`; `"energy"` [GeV] is calculated from momentum and mass.

        Raises:
            ValueError: if there is no such column.
        """
        if name != "energy" and name not in self.fields:
            raise ValueError(f"These particles have {', '.join(self.fields)}, received {name!r}.")
        return ak.to_numpy(ak.flatten(self.energy if name == "energy" else self.columns[name]))

    def select(self, chosen) -> Particles:
        """The events selected by a boolean mask, an index array or a slice, in that order."""
        labels = {name: column[chosen] for name, column in self.labels.items()}
        return replace(self, columns=self.columns[chosen], labels=labels)

    def __repr__(self):
        return f"Particles({len(self)} events of {self.counts.mean() if len(self) else 0:.1f} particles on average)"

    def _repr_html_(self):
        rows = [(name, range_text(name, column)) for name, column in self.labels.items() if len(column)]
        origin = ", ".join(f"{escape(str(k))} {escape(str(v))}" for k, v in self.origin.items())
        return (
            f"<b>{len(self)} events</b> of {self.counts.mean() if len(self) else 0:.1f} particles on average "
            f"({', '.join(self.fields)}){Table(rows).to_html()}<small>{origin}</small>"
        )


def concatenate(parts: Sequence[Particles]) -> Particles:
    """Concatenate sets of events; fields and labels must have the same names.

    Raises:
        ValueError: if there are no sets, or they have different fields or labels.

    >>> one = Particles.from_flat([1], {"pt": [3.0], "eta": [0.1], "phi": [0.2], "mass": [0.0]})
    >>> concatenate([one, one]).counts
    array([1, 1])
    """
    parts = _alike(parts, "concatenate")
    first = parts[0]
    if any(set(part.labels) != set(first.labels) for part in parts):
        raise ValueError(f"Cannot concatenate events with the labels {[sorted(part.labels) for part in parts]}.")
    labels = {name: np.concatenate([part.labels[name] for part in parts]) for name in first.labels}
    return replace(first, columns=ak.concatenate([part.columns for part in parts]), labels=labels)


def merge(parts: Sequence[Particles]) -> Particles:
    """Overlay sets of events: event i of the result contains the particles of event i of every set.

    Labels and origin are those of the first set.

    Raises:
        ValueError: if there are no sets, or they have different fields or numbers of events.

    >>> one = Particles.from_flat([1], {"pt": [3.0], "eta": [0.1], "phi": [0.2], "mass": [0.0]})
    >>> merge([one, one]).counts
    array([2])
    """
    parts = _alike(parts, "merge")
    if any(len(part) != len(parts[0]) for part in parts):
        raise ValueError(f"merge expects equal numbers of events, received {[len(part) for part in parts]}.")
    return replace(parts[0], columns=ak.concatenate([part.columns for part in parts], axis=1))


def images(particles: Particles, space: Space | str = "whole-detector") -> Sample:
    """Sum the particles of each event in the cells of an image; particles outside its window are dropped.

    Args:
        particles: the events.
        space: an image with the axes eta and phi; depending on its quantity, transverse momentum or energy is summed
            [GeV].

    Returns:
        Values `(event, eta, phi)` [GeV] with the labels and origin of the particles.

    Raises:
        ValueError: if the space is not an image in eta and phi.

    >>> one = {"pt": [3.0], "eta": [0.1], "phi": [0.2], "mass": [0.0]}
    >>> image = images(Particles.from_flat([1], one), "jet-image")
    >>> image.values.shape, float(image.values.sum())
    ((1, 25, 25), 3.0)
    """
    space = _eta_phi(space, "images")
    momentum = space.quantity == "transverse momentum"
    values = np.zeros((len(particles), *space.shape), np.float32)
    for start in range(0, len(particles), PIECE):
        piece = particles.select(slice(start, start + PIECE))
        weights = piece.flat("pt" if momentum else "energy")
        eta, phi = (
            _bins(position, np.asarray(edges))
            for position, edges in zip((piece.flat("eta"), _wrapped(piece.flat("phi"))), space.layers[0].edges)
        )
        inside = (eta >= 0) & (phi >= 0)
        event = np.repeat(np.arange(len(piece)), piece.counts)
        cell = (event * space.shape[0] + eta) * space.shape[1] + phi
        sums = np.bincount(cell[inside], weights[inside], minlength=len(piece) * space.n_cells)
        values[start : start + PIECE] = sums.reshape(len(piece), *space.shape)
    return Sample(values, particles.labels, space, particles.origin)


def from_images(sample: Sample, minimum_pt: float = 0.1) -> Particles:
    """One massless particle per cell, at the centre of the cell.

    Args:
        sample: images in eta and phi, of energy or transverse momentum [GeV].
        minimum_pt: cells with this transverse momentum or less are omitted [GeV].

    Raises:
        ValueError: if the space is not an image in eta and phi.

    >>> one = Particles.from_flat([1], {"pt": [3.0], "eta": [0.1], "phi": [0.2], "mass": [0.0]})
    >>> from_images(images(one, "jet-image")).flat("pt")
    array([3.])
    """
    space = _eta_phi(sample.space, "from_images")
    eta, phi = space.centres("eta"), space.centres("phi")
    per_pt = np.ones_like(eta) if space.quantity == "transverse momentum" else np.cosh(eta)
    # The minimum energy of each row of cells, so that the array is compared once and in its own precision.
    floor = (minimum_pt * per_pt).astype(np.float32)
    found = np.flatnonzero(sample.values > floor[:, None])
    event, cell = np.divmod(found, space.n_cells)
    row, column = np.divmod(cell, space.shape[1])
    columns = {
        "pt": sample.values.ravel()[found] / per_pt[row],
        "eta": eta[row],
        "phi": phi[column],
        "mass": np.zeros(len(found)),
    }
    return Particles.from_flat(np.bincount(event, minlength=len(sample)), columns, sample.labels, sample.origin)


def _alike(parts, what):
    parts = list(parts)
    if not parts:
        raise ValueError(f"{what} expects at least one set of events.")
    if any(set(part.fields) != set(parts[0].fields) for part in parts):
        raise ValueError(f"{what} expects the same fields in all, received {[sorted(part.fields) for part in parts]}.")
    return parts


def _eta_phi(space, what):
    space = spaces.space(space)
    if space.axes != ("eta", "phi") or space.has_depth:
        raise ValueError(
            f"{what} expects an image with the axes eta and phi, such as 'whole-detector'; space {space.name!r} has "
            f"the axes {space.axes}{' and layers in depth' if space.has_depth else ''}."
        )
    return space


def _wrapped(phi):
    """Angles mapped to the range from -pi to pi."""
    phi = np.asarray(phi, dtype=np.float64)
    return np.where(np.abs(phi) > np.pi, np.remainder(phi + np.pi, 2 * np.pi) - np.pi, phi)


def _bins(position, edges):
    """Index of the bin that contains each position, including the last edge; -1 outside."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    if np.allclose(np.diff(edges), width):
        # Equal bins need no search; a comparison with the edges corrects rounding errors.
        found = np.clip(((position - edges[0]) / width).astype(np.int64), 0, len(edges) - 2)
        found += (position >= edges[found + 1]).astype(np.int64) - (position < edges[found])
    else:
        found = np.searchsorted(edges, position, side="right") - 1
    found = np.where(position == edges[-1], len(edges) - 2, found)
    return np.where((position >= edges[0]) & (position <= edges[-1]), found, -1)
