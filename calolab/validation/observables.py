"""What a comparison looks at: each observable of both samples, with its binning, its distances and their floors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calolab.labels import SYMBOLS
from calolab.samples import Sample
from calolab.spaces import with_unit
from calolab.validation import cells, profiles, response
from calolab.validation.metrics import Distance, event_distances, kolmogorov_smirnov, projected_axes


@dataclass(frozen=True, eq=False)
class Observable:
    """One observable of a reference and of a generated sample.

    Args:
        name: the name under which a comparison finds it, e.g. `"first_moment_z"`.
        label: the same in words, e.g. `"mean depth"`.
        unit: of the observable, or along the axis of a profile; may be empty.
        edges: histogram or profile edges in `unit`, shape `(bins + 1,)`.
        reference, generated: one number per event, `(event,)`, NaN where an event has none; or one profile per event,
            `(event, bins)`.
        height: what a profile's bins hold, with unit; empty for one number per event.
        logarithmic: whether the edges are, as in a cell spectrum; positions are then log10.
        distances: by name: `"ks"`, `"w1"` (in standard deviations of the reference), `"separation"`, and for
            energy projections `"mse"`.
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

    @property
    def is_profile(self) -> bool:
        """Whether each event has a profile, rather than one number."""
        return self.reference.ndim == 2

    @property
    def undefined(self) -> tuple[int, int]:
        """Number of (reference, generated) events without this observable: they are left out of everything."""
        return tuple(int(np.sum(np.isnan(v))) if not self.is_profile else 0 for v in (self.reference, self.generated))

    @property
    def positions(self) -> np.ndarray:
        """Centres of the bins, shape `(bins,)`; of logarithmic bins log10."""
        edges = np.log10(self.edges) if self.logarithmic else self.edges
        return (edges[1:] + edges[:-1]) / 2

    def histogram(self, which: str) -> tuple[np.ndarray, np.ndarray]:
        """Contents and statistical errors of the bins for `"reference"` or `"generated"`, each of shape `(bins,)`.

        One number per event: fractions of the events, those outside of the edges in the outermost bins, with errors
        sqrt(n)/N. Profiles: mean over events and its standard error.
        """
        values = getattr(self, which)
        if self.is_profile:
            return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))
        values = values[np.isfinite(values)]
        counts = np.bincount(self.bins(values), minlength=len(self.edges) - 1)
        return counts / max(1, len(values)), np.sqrt(counts) / max(1, len(values))

    def beyond(self, which: str) -> tuple[float, float]:
        """Fractions of the events below the first and above the last edge, which stand in the outermost bins."""
        values = getattr(self, which)
        values = values[np.isfinite(values)]
        if self.is_profile or not len(values):
            return 0.0, 0.0
        return float(np.mean(values < self.edges[0])), float(np.mean(values > self.edges[-1]))

    def bins(self, values: np.ndarray) -> np.ndarray:
        """Which bin each value falls in; outside values in the outermost."""
        return np.searchsorted(self.edges[1:-1], values, side="right")

    def summary(self, which: str) -> tuple[float, float]:
        """Mean and standard deviation over events; of a profile, along its axis; NaN where nothing is defined."""
        values = getattr(self, which)
        if self.is_profile:
            weights = values.mean(axis=0)
            if not weights.sum() > 0:
                return float("nan"), float("nan")
            mean = np.average(self.positions, weights=weights)
            return float(mean), float(np.sqrt(np.average((self.positions - mean) ** 2, weights=weights)))
        values = values[np.isfinite(values)]
        return (float(values.mean()), float(values.std())) if len(values) else (float("nan"), float("nan"))

    def to_dict(self) -> dict:
        """Histograms, summaries and distances as plain numbers; not the values of single events."""
        sides = {}
        for which, undefined in zip(("reference", "generated"), self.undefined):
            contents, errors = self.histogram(which)
            mean, spread = self.summary(which)
            sides[which] = {
                "mean": mean,
                "standard_deviation": spread,
                "undefined_events": undefined,
                "contents": contents.tolist(),
                "errors": errors.tolist(),
            }
        return {
            "label": self.label,
            "unit": self.unit,
            "height": self.height,
            "edges": self.edges.tolist(),
            **sides,
            "distances": {name: distance.to_dict() for name, distance in self.distances.items()},
        }


def observe(reference: Sample, generated: Sample, threshold: float) -> Iterator[Observable]:
    """All observables that the samples' space and labels allow, still without distances.

    Args:
        reference, generated: samples in one space.
        threshold: cell energy above which a cell counts as hit [`space.unit`]. Nothing else is cut: a cut on everything
            would make a generator with many tiny deposits look better than it is.
    """
    space = reference.space

    def both(name: str, label: str, unit: str, function: Callable, edges=None, whole=False, **more) -> Observable:
        values = function(reference), function(generated)
        edges = histogram_edges(*values, whole=whole) if edges is None else np.asarray(edges)
        return Observable(name, label, unit, edges, *values, **more)

    if "energy" in reference.labels:
        yield both("visible_fraction", "visible fraction", "", response.visible_fraction)
    total = "visible energy" if space.quantity == "deposited energy" else f"total {space.quantity}"
    yield both("visible_energy", total, space.unit, response.visible_energy)

    depth = space.axes[-1] if space.has_depth else None
    # The depth comes first: it is what showers are judged by.
    for axis in sorted(projected_axes(space), key=lambda a: a != depth):
        symbol = SYMBOLS.get(axis, axis)
        label, per = ("longitudinal profile", "layer") if axis == depth else (f"{symbol} profile", f"bin of {symbol}")
        what = space.quantity.removeprefix("deposited ")
        height = with_unit(f"{what} per {per}", space.unit)
        unit = space.units[space.axes.index(axis)]
        yield both(
            f"profile_{axis}", label, unit, lambda s, a=axis: profiles.profile(s, a), space.edges(axis), height=height
        )
    for axis in sorted(space.axes, key=lambda a: a != depth):
        yield from _moments(reference, generated, axis, "depth" if axis == depth else SYMBOLS.get(axis, axis))
    if depth:
        unit = space.units[-1]
        yield both("maximum", "shower maximum", unit, lambda s: profiles.maximum(s, depth), space.edges(depth))
    if len(space.layers[0].edges) == 2 and space.units[0] == space.units[1]:
        yield both("containment_radius", "radius of 90 % containment", space.units[0], profiles.containment_radius)
    cut = f"{threshold:g} {space.unit}".strip()
    yield both("hits", f"cells above {cut}", "", lambda s: cells.hits(s, threshold), whole=True)
    yield both("sparsity", "fraction of empty cells", "", cells.sparsity)
    edges = cells.spectrum_edges((reference, generated))
    spectrum = both("cell_spectrum", "cell spectrum", space.unit, lambda s: cells.spectrum(s, edges), edges)
    yield replace(spectrum, height="cells per event and bin", logarithmic=True)


def _moments(reference: Sample, generated: Sample, axis: str, word: str) -> Iterator[Observable]:
    """First and second moment along one axis, from one pass over each sample."""
    unit = reference.space.units[reference.space.axes.index(axis)]
    first, second = zip(profiles.moments(reference, axis), profiles.moments(generated, axis))
    yield Observable(f"first_moment_{axis}", f"mean {word}", unit, histogram_edges(*first), *first)
    label, squared = f"second moment of {word}", f"{unit}²" if unit else ""
    yield Observable(f"second_moment_{axis}", label, squared, histogram_edges(*second), *second)


def histogram_edges(reference: np.ndarray, generated: np.ndarray, whole: bool = False) -> np.ndarray:
    """Equal bins fine enough for the reference, and extended to show a generated sample that lies beside it.

    The bins span the reference's central 99.6 %, about `2 n^(1/3)` of them (10 to 40); bins of the same width reach
    on as far as the generated sample's central 99.6 %, at most by the reference's own span on either side.

    Args:
        reference, generated: one number per event; NaN are left out.
        whole: whether values are counts: edges then lie between whole numbers.
    """
    reference, generated = reference[np.isfinite(reference)], generated[np.isfinite(generated)]
    low, high = np.quantile(reference, (0.002, 0.998))
    beside = np.quantile(generated, (0.002, 0.998)) if len(generated) else (low, high)
    span = high - low or max(beside[1] - beside[0], 1e-6 * abs(low)) or 1.0
    width = span / np.clip(round(2 * len(reference) ** (1 / 3)), 10, 40)
    width = max(1.0, np.ceil(width)) if whole else width
    low = np.floor(low) - 0.5 if whole else low
    below = np.ceil(np.clip(low - beside[0], 0, span) / width)
    above = np.ceil((high + np.clip(beside[1] - high, 0, span) - low) / width)
    return low + width * np.arange(-below, max(above, 1) + 1)


def measure(observable: Observable, draws: tuple[np.ndarray, np.ndarray]) -> tuple[Observable, dict[str, np.ndarray]]:
    """Compute an observable's distances and, from draws of reference against reference, their floors.

    Args:
        observable: without distances.
        draws: how often each event that has this observable is drawn to stand for the reference and for the generated
            sample, two arrays of shape `(repetitions, event)`.

    Returns:
        The observable with distances, and each distance's value in all draws, shape `(repetitions,)`.
    """
    if observable.is_profile:
        values, drawn = _profile_distances(observable, draws)
    else:
        values, drawn = _number_distances(observable, draws)
    p = values.pop("p", None)
    distances = {
        name: floored(
            value, drawn[name], power=2 if name in ("separation", "mse") else 1, p=p if name == "ks" else None
        )
        for name, value in values.items()
    }
    return replace(observable, distances=distances), drawn


def floored(value: float, drawn: np.ndarray, **more) -> Distance:
    """A distance with the floor that the same distance has in draws of reference against reference."""
    return Distance(float(value), float(drawn.mean()), float(drawn.std()), float(drawn.max()), **more)


def _number_distances(observable, draws):
    reference, generated = (v[np.isfinite(v)] for v in (observable.reference, observable.generated))
    scale = reference.std()
    order = np.argsort(reference, kind="stable")
    positions, bins = reference[order], observable.bins(reference[order])
    drawn = [event_distances(positions, a[order], b[order], bins, scale) for a, b in zip(*draws)]
    drawn = {name: np.array([one[name] for one in drawn]) for name in drawn[0]}
    if not len(generated):
        return dict.fromkeys(drawn, float("nan")), drawn
    both = np.concatenate([reference, generated])
    order = np.argsort(both, kind="stable")
    member = order < len(reference)
    values = event_distances(
        both[order], member.astype(float), (~member).astype(float), observable.bins(both[order]), scale
    )
    return {**values, "p": kolmogorov_smirnov(reference, generated)[1]}, drawn


def _profile_distances(observable, draws):
    # An image's error is a matter of the projections that the papers use; a cell spectrum is none.
    projected = not observable.logarithmic
    bins, scale = np.arange(len(observable.positions)), observable.summary("reference")[1]

    def distances(reference, generated):
        found = {"ks": np.nan, "w1": np.nan, "separation": np.nan}
        if reference.sum() > 0 and generated.sum() > 0:
            found = event_distances(observable.positions, reference, generated, bins, scale)
        return {**found, "mse": np.mean((reference - generated) ** 2)} if projected else found

    means = [counts @ observable.reference / counts.sum(axis=1, keepdims=True) for counts in draws]
    drawn = [distances(a, b) for a, b in zip(*means)]
    values = distances(observable.reference.mean(axis=0), observable.generated.mean(axis=0))
    return values, {name: np.array([one[name] for one in drawn]) for name in values}
