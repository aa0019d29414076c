"""Jets: particles, towers or whole-detector images clustered by FastJet, N-subjettiness, trimming, signal regions.

FastJet is by M. Cacciari, G. P. Salam and G. Soyez; its banner, which is switched off here, asks users to cite
arXiv:1111.6097. Its awkward bindings are described in arXiv:2202.03911.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import awkward as ak
import fastjet
import numpy as np

from calolab.momenta import cartesian, cylindrical
from calolab.names import check_name
from calolab.particles import Particles, from_images
from calolab.samples import Sample, real_numbers
from calolab.tables import Table

ALGORITHMS = {
    "antikt": fastjet.antikt_algorithm,
    "kt": fastjet.kt_algorithm,
    "cambridge": fastjet.cambridge_algorithm,
}
MOMENTUM = ("pt", "eta", "phi", "mass")
# Neutrinos and the lightest neutralino deposit no energy in a calorimeter, so they are not part of jets.
INVISIBLE = (12, 14, 16, 1000022)
# Events that are converted to particles at a time, and particles that are clustered at a time: FastJet keeps the
# history of each, about 450 bytes.
EVENTS, PARTICLES = 512, 200_000

fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)


@dataclass(frozen=True, eq=False)
class Jets:
    """The jets of each event, in order of decreasing pt; an event without jets is kept as an empty list.

    Args:
        columns: awkward records `(event, jet)` with the fields `pt` [GeV], `eta`, `phi` [rad] and `mass` [GeV]; on
            request also `constituents` and, after `trim`, `subjets`: records `(event, jet, particle)` with the same
            fields.
        labels: named arrays of shape `(event,)`, those of the clustered events; kept as float64.
        origin: origin of the events, as plain numbers and strings.
        radius: R of the algorithm that found the jets.

    Raises:
        ValueError: if a field is missing, a number is not finite, jets are not in order, or a label does not fit.
    """

    columns: ak.Array
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: Mapping[str, object] = field(default_factory=dict)
    radius: float = 1.0

    def __post_init__(self):
        columns = ak.Array(self.columns)
        if columns.ndim < 2 or not set(MOMENTUM) <= set(ak.fields(columns)):
            raise ValueError(
                f"Jets expect records (event, jet) with the fields {', '.join(MOMENTUM)}; received {columns.ndim} "
                f"dimensions and the fields {', '.join(ak.fields(columns)) or 'none'}."
            )
        for name in MOMENTUM:
            column = ak.to_numpy(ak.flatten(columns[name]))
            if not np.all(np.isfinite(column)):
                raise ValueError(f"Jets: {np.sum(~np.isfinite(column))} values of {name!r} are not finite.")
        if ak.any(columns.pt[:, 1:] > columns.pt[:, :-1]):
            raise ValueError("Jets expect each event's jets in order of decreasing pt; sort them first.")
        labels = {name: real_numbers(f"Label {name!r}", column, np.float64) for name, column in self.labels.items()}
        for name, column in labels.items():
            if column.shape != (len(columns),):
                raise ValueError(f"Label {name!r} must have shape ({len(columns)},), received {column.shape}.")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "origin", dict(self.origin))

    def __len__(self):
        return len(self.columns)

    @cached_property
    def multiplicity(self) -> np.ndarray:
        """Number of jets in each event, shape `(event,)`; zeros included."""
        return ak.to_numpy(ak.num(self.columns.pt, axis=1))

    @cached_property
    def summed_mass(self) -> np.ndarray:
        """Sum of the masses of all jets of each event, shape `(event,)` [GeV]; 0 without jets."""
        return ak.to_numpy(ak.sum(self.columns.mass, axis=1))

    @property
    def constituents(self) -> ak.Array:
        """The particles in each jet: records `(event, jet, particle)` with pt, eta, phi and mass [GeV].

        Raises:
            ValueError: if the jets were clustered without `constituents=True`.
        """
        return self._nested("constituents", "cluster(..., constituents=True) keeps them")

    @property
    def subjets(self) -> ak.Array:
        """The subjets kept by trimming, by decreasing pt: records `(event, jet, subjet)` with pt, eta, phi and mass.

        Raises:
            ValueError: if the jets were not trimmed.
        """
        return self._nested("subjets", "trim(jets) finds them")

    def flat(self, name: str) -> np.ndarray:
        """One field of all jets, event after event, shape `(jet,)` [GeV or rad]."""
        return ak.to_numpy(ak.flatten(self.columns[self._known(name)]))

    def leading(self, name: str, n: int = 1) -> np.ndarray:
        """One field of the `n` leading jets of each event, shape `(event, n)`; NaN where an event has fewer.

        Args:
            name: the field, e.g. `"pt"`.
            n: number of jets.
        """
        if n < 1:
            raise ValueError(f"leading(n=) expects at least 1, received {n}.")
        padded = ak.pad_none(self.columns[self._known(name)], n, axis=1, clip=True)
        return ak.to_numpy(ak.fill_none(padded, np.nan)).astype(np.float64)

    def select(self, chosen) -> Jets:
        """The events selected by a boolean mask, an index array or a slice, in that order."""
        labels = {name: column[chosen] for name, column in self.labels.items()}
        return replace(self, columns=self.columns[chosen], labels=labels)

    def within(self, minimum_pt: float = 0.0, maximum_eta: float = np.inf) -> Jets:
        """The jets with more than `minimum_pt` [GeV] and less than `maximum_eta` in absolute value, in all events.

        Args:
            minimum_pt: minimum transverse momentum [GeV].
            maximum_eta: maximum absolute value of eta.
        """
        chosen = (self.columns.pt > minimum_pt) & (np.abs(self.columns.eta) < maximum_eta)
        return replace(self, columns=self.columns[chosen])

    def _known(self, name):
        check_name("field of jets", name, MOMENTUM)
        return name

    def _nested(self, name, remedy):
        if name not in ak.fields(self.columns):
            raise ValueError(f"These jets have no {name}: {remedy}.")
        return self.columns[name]

    def __repr__(self):
        return f"Jets({len(self)} events, {self.multiplicity.sum()} jets of R = {self.radius:g})"

    def _repr_html_(self):
        counts, frequency = np.unique(self.multiplicity, return_counts=True)
        rows = [(f"{jets} jets", f"{events} events") for jets, events in zip(counts, frequency)]
        origin = ", ".join(f"{name} {value}" for name, value in self.origin.items())
        return Table(rows, title=repr(self), remark=origin)._repr_html_()


def cluster(
    source: Particles | Sample,
    *,
    radius: float = 1.0,
    minimum_pt: float = 200.0,
    maximum_eta: float = 2.0,
    algorithm: str = "antikt",
    constituent_pt: float = 0.1,
    constituents: bool = False,
) -> Jets:
    """Cluster each event into jets (anti-kt: arXiv:0802.1189), by default into the fat jets of the RPV search.

    A pixel of an image is a massless particle at the pixel's centre with pt = energy / cosh(eta). Neutrinos and
    neutralinos are left out where the particles' identity is known. Momenta are added (E scheme), phi is periodic.

    Args:
        source: particles, towers, or images in eta and phi [GeV].
        radius: R of the algorithm.
        minimum_pt: jets of lower transverse momentum are dropped [GeV].
        maximum_eta: jets beyond this pseudorapidity, of either sign, are dropped.
        algorithm: `"antikt"`, `"kt"` or `"cambridge"`.
        constituent_pt: only particles and pixels above this transverse momentum are clustered [GeV].
        constituents: whether to keep the particles of each jet.

    Returns:
        The jets of all events, including those without jets, with the labels of the source.

    Raises:
        TypeError: if `source` is neither particles nor a sample.
        ValueError: for a space that is not an image in eta and phi, a radius that is not positive, a negative cut, an
            unknown algorithm (the nearest is named), or a momentum that is not finite.
    """
    definition = _definition(algorithm, radius)
    for name, cut in (("minimum_pt", minimum_pt), ("maximum_eta", maximum_eta), ("constituent_pt", constituent_pt)):
        if not cut >= 0:
            raise ValueError(f"{name} must not be negative, received {cut}.")
    pieces = [
        _cluster(piece, definition, minimum_pt, maximum_eta, constituents)
        for particles in _particles(source, constituent_pt)
        for piece in _pieces(particles)
    ]
    columns = ak.to_packed(ak.concatenate(pieces))
    origin = {**source.origin, "jets": described(algorithm, radius, minimum_pt, maximum_eta)}
    return Jets(columns, source.labels, origin, float(radius))


def described(algorithm: str, radius: float, minimum_pt: float, maximum_eta: float) -> str:
    """How jets were found, as text; only jets with the same text are compared.

    Args:
        algorithm, radius, minimum_pt, maximum_eta: as for `cluster`.

    >>> described("antikt", 0.4, 30, 2.5)
    'antikt R = 0.4, pt > 30 GeV, |η| < 2.5'
    """
    return f"{algorithm} R = {radius:g}, pt > {minimum_pt:g} GeV, |η| < {maximum_eta:g}"


def trim(jets: Jets, subjet_radius: float = 0.3, fraction: float = 0.05) -> Jets:
    """Recluster each jet with kt and keep only subjets with enough of its pt: trimming (arXiv:0912.1342).

    Args:
        jets: with constituents.
        subjet_radius: R of the subjets.
        fraction: subjets with less than this fraction of the jet's transverse momentum are dropped.

    Returns:
        The trimmed jets in their new order, with `constituents` and `subjets`; jets without remaining subjets are
        dropped.

    Raises:
        ValueError: for jets without constituents, a radius that is not positive, or a fraction outside 0 to 1.
    """
    definition = _definition("kt", subjet_radius)
    if not 0 <= fraction <= 1:
        raise ValueError(f"trim(fraction=) expects 0 to 1, received {fraction}.")
    # Each jet is clustered as an event of its own, whose jets are the subjets.
    particles = Particles(ak.flatten(jets.constituents, axis=1))
    found = ak.concatenate([_cluster(piece, definition, 0.0, np.inf, True) for piece in _pieces(particles)])
    found = found[found.pt >= fraction * jets.flat("pt")]
    left = ak.to_numpy(ak.num(found.pt)) > 0
    found = ak.to_packed(found[left])
    event = np.repeat(np.arange(len(jets)), jets.multiplicity)[left]
    momentum = [
        np.bincount(np.repeat(np.arange(len(found)), ak.num(found.pt)), component, len(found))
        for component in cartesian(*(ak.to_numpy(ak.flatten(found[name])) for name in MOMENTUM))
    ]
    fields = cylindrical(*momentum)
    order = np.lexsort((-fields["pt"], event))
    fields = {name: column[order] for name, column in fields.items()}
    found = found[order]
    fields["constituents"] = ak.flatten(found.constituents, axis=2)
    fields["subjets"] = found[list(MOMENTUM)]
    counts = np.bincount(event, minlength=len(jets))
    how = f"{jets.origin.get('jets', '')}, trimmed to {fraction:.3g} with R = {subjet_radius:g}"
    columns = ak.unflatten(ak.zip(fields, depth_limit=1), counts)
    return replace(jets, columns=columns, origin={**jets.origin, "jets": how})


def n_subjettiness(jets: Jets, n: Sequence[int] = (1, 2, 3), beta: float = 1.0) -> np.ndarray:
    """N-subjettiness tau_N (arXiv:1011.2268) of each jet for 1, 2, 3, ... prongs; smaller for a better fit.

    Normalised measure with R0 = the jets' radius, kt axes improved by one minimisation pass.

    Args:
        jets: with constituents.
        n: numbers of prongs.
        beta: power of the angular distance.

    Returns:
        Shape `(jet, len(n))`, the jets event after event as in `jets.flat`; 0 for a jet of no more than `n` particles.

    Raises:
        ValueError: for jets without constituents, numbers below 1, or a power that is not positive.
    """
    n = [int(number) for number in n]
    if not n or min(n) < 1 or not beta > 0:
        raise ValueError(
            f"n_subjettiness expects numbers of prongs of at least 1 and beta > 0, received {n} and {beta}."
        )
    particles = Particles(ak.flatten(jets.constituents, axis=1))
    definition = _definition("antikt", jets.radius)
    taus = [np.zeros((0, len(n)))]
    for piece in _pieces(particles):
        sequence = fastjet.ClusterSequence(_momenta(piece), definition)
        taus.append(ak.to_numpy(sequence.njettiness(njets=n, beta=float(beta), R0=jets.radius)).reshape(-1, len(n)))
    return np.concatenate(taus)


def signal_regions(jets: Jets) -> dict[str, np.ndarray]:
    """The events in each signal region of an RPV search with many fat jets (arXiv:1711.03573).

    Both require three fat jets (pt > 200 GeV, |eta| < 2), the first above 440 GeV, and |eta1 - eta2| < 1.4; `"SR4j"`
    for four jets whose masses add up to more than 800 GeV, `"SR5j"` for five jets, of which the masses of the four
    leading ones add up to more than 600 GeV.

    Returns:
        One boolean array of shape `(event,)` per region.
    """
    fat = jets.within(minimum_pt=200.0, maximum_eta=2.0)
    number, eta = fat.multiplicity, fat.leading("eta", 2)
    summed_mass = np.nansum(fat.leading("mass", 4), axis=1)
    baseline = (number >= 3) & (fat.leading("pt")[:, 0] > 440) & (np.abs(eta[:, 0] - eta[:, 1]) < 1.4)
    return {
        "SR4j": baseline & (number >= 4) & (summed_mass > 800),
        "SR5j": baseline & (number >= 5) & (summed_mass > 600),
    }


def _definition(algorithm, radius):
    check_name("jet algorithm", algorithm, ALGORITHMS)
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"A jet radius must be positive and finite, received {radius}.")
    return fastjet.JetDefinition(ALGORITHMS[algorithm], float(radius))


def _particles(source, constituent_pt) -> Iterator[Particles]:
    """The source's events as particles, `EVENTS` at a time; yields at least once."""
    if not isinstance(source, (Particles, Sample)):
        raise TypeError(f"cluster expects Particles or a Sample of images, received {type(source).__name__}.")
    for start in range(0, max(1, len(source)), EVENTS):
        piece = source.select(slice(start, start + EVENTS))
        if isinstance(piece, Sample):
            yield from_images(piece, minimum_pt=constituent_pt)
            continue
        visible = piece.columns.pt > constituent_pt
        if "identity" in piece.fields:
            identity = np.abs(piece.columns.identity)
            for code in INVISIBLE:
                visible = visible & (identity != code)
        yield replace(piece, columns=piece.columns[visible])


def _pieces(particles) -> Iterator[Particles]:
    """Events in pieces of about `PARTICLES` particles; at least one piece."""
    last = np.cumsum(particles.counts)
    starts = np.unique(np.searchsorted(last, np.arange(0, max(1, particles.counts.sum()), PARTICLES)))
    for start, stop in zip(starts, [*starts[1:], len(particles)]):
        yield particles.select(slice(start, stop))


def _cluster(particles, definition, minimum_pt, maximum_eta, constituents) -> ak.Array:
    """The jets of one piece of events as records `(event, jet)`, sorted."""
    momenta = _momenta(particles)
    sequence = fastjet.ClusterSequence(momenta, definition)
    jets = sequence.inclusive_jets(min_pt=float(minimum_pt))
    event = np.repeat(np.arange(len(particles)), ak.to_numpy(ak.num(jets.px)))
    fields = cylindrical(*(ak.to_numpy(ak.flatten(jets[name])) for name in ("px", "py", "pz", "E")))
    order = np.lexsort((-fields["pt"], event))
    order = order[np.abs(fields["eta"][order]) < maximum_eta]
    chosen = {name: column[order] for name, column in fields.items()}
    if constituents:
        index = ak.flatten(sequence.constituent_index(min_pt=float(minimum_pt)), axis=1)[order]
        size = ak.to_numpy(ak.num(index))
        starts = np.concatenate([[0], np.cumsum(particles.counts)])
        position = ak.to_numpy(ak.flatten(index)) + np.repeat(starts[event[order]], size)
        inside = {name: particles.flat(name)[position] for name in MOMENTUM}
        chosen["constituents"] = ak.unflatten(ak.zip(inside), size)
    counts = np.bincount(event[order], minlength=len(particles))
    return ak.unflatten(ak.zip(chosen, depth_limit=1), counts)


def _momenta(particles):
    """Particles in FastJet's format: records `(event, particle)` with px, py, pz and E [GeV]."""
    with np.errstate(over="ignore"):
        components = cartesian(*(particles.flat(name).astype(np.float64) for name in MOMENTUM))
    if not all(np.all(np.isfinite(component)) for component in components):
        raise ValueError("Clustering expects finite momenta: check pt and eta of the particles for extreme values.")
    return ak.unflatten(ak.zip(dict(zip(("px", "py", "pz", "E"), components))), particles.counts)
