"""Compare generated maps with a reference: pixels, power spectrum and Minkowski functionals, each with its floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from calolab.names import check_name
from calolab.samples import Sample, side_names
from calolab.spaces import Space, with_unit
from calolab.validation.metrics import Distance, draw_like
from calolab.validation.observables import floored
from calolab.validation.texture import check_image, minkowski, pixel_contents, power_spectrum

_QUANTILES = 1000
MEASURES = {
    "pixels": "KS",
    "power_spectrum": "rms ln(gen./ref.)",
    "v0": "rms difference / rms",
    "v1": "rms difference / rms",
    "v2": "rms difference / rms",
}


@dataclass(frozen=True, eq=False)
class Curve:
    """One statistic of both samples along an axis.

    Args:
        name, label: e.g. `"v1"` and the same in words with its symbol.
        axis, height: what stands along the axis and what it holds, with units.
        positions: shape `(point,)`.
        reference, generated: means over the maps, shape `(point,)`.
        reference_error, generated_error: standard errors of these means.
        distance: of the two, with its floor.
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
    distance: Distance

    def to_dict(self) -> dict:
        """Everything as plain numbers, lists and strings."""
        content = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in vars(self).items()}
        return content | {"distance": self.distance.to_dict()}


@dataclass(frozen=True, eq=False)
class MapComparison:
    """Two samples of maps side by side; `compare_maps` makes it, `plot()` draws it.

    Args:
        space: the space of both.
        events: numbers of (reference, generated) maps.
        seed, repetitions: of the draws that give the floors.
        curves: by name: `pixels`, `power_spectrum`, `v0`, `v1`, `v2`.
        notes: what a reader must know before believing the numbers.
        names: what the two samples are called in tables and figures.
    """

    space: Space
    events: tuple[int, int]
    seed: int
    repetitions: int
    curves: Mapping[str, Curve]
    notes: tuple[str, ...] = ()
    names: tuple[str, str] = ("reference", "generated")

    def __getitem__(self, name: str) -> Curve:
        check_name("curve", name, self.curves)
        return self.curves[name]

    @property
    def distances(self) -> dict[str, Distance]:
        """The distances by name."""
        return {name: curve.distance for name, curve in self.curves.items()}

    def plot(self):
        """Pixel histogram and power spectrum with ratios, and the Minkowski functionals: a matplotlib figure."""
        from calolab.plots import texture  # matplotlib loads when something is drawn

        return texture.comparison(self)

    def to_dict(self) -> dict:
        """All results as plain numbers, lists and strings that JSON can hold (infinities become None)."""
        content = {
            "space": self.space.name,
            "events": list(self.events),
            "seed": self.seed,
            "repetitions": self.repetitions,
            "notes": list(self.notes),
            "names": list(self.names),
            "curves": {name: curve.to_dict() for name, curve in self.curves.items()},
        }
        return json.loads(json.dumps(content), parse_constant=lambda _: None)

    def _rows(self):
        for curve in self.curves.values():
            one = curve.distance
            verdict = "at the floor" if one.within_floor else f"{one.times_floor:.1f} × floor"
            floor = f"{one.floor:.3g} ± {one.floor_spread:.2g}"
            yield curve.label, MEASURES[curve.name], f"{one.value:.3g}", floor, verdict

    def _heading(self):
        (first, second), (a, b) = self.names, self.events
        return f"{self.space.name}, {a} {first} and {b} {second} maps"

    def __repr__(self):
        table = [("curve", "distance", "value", "floor", "verdict"), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths)).rstrip() for row in table]
        return "\n".join([self._heading(), *lines, *self.notes])

    def _repr_html_(self):
        body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in self._rows())
        head = "".join(f"<th>{title}</th>" for title in ("curve", "distance", "value", "floor", "verdict"))
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return (
            f"<b>{escape(self._heading())}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
            f"<small>Floor: mean and spread of {self.repetitions} draws of reference against reference with these "
            "numbers of maps. At the floor: not above the highest of these draws.</small>"
        )


def compare_maps(
    reference: Sample,
    generated: Sample,
    *,
    seed: int = 0,
    repetitions: int = 100,
    thresholds: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> MapComparison:
    """Compare two samples of maps in their pixels, angular power spectra and Minkowski functionals.

    The distances: for the pixels the Kolmogorov-Smirnov distance (to 0.001: between a thousand quantiles of the
    reference); for the power spectrum the root mean square, over the bins, of the logarithm of the ratio of the means;
    for each functional the root mean square difference of the mean curves over that of the reference's. The floor is
    the same distance between two samples that are both drawn, map by map and with replacement, from the reference (of
    equal redshift where both are labelled), with as many maps as the two samples have: what a perfect generator would
    score. Maps that overlap or are mirror images of each other are not independent, so that their floor is too low.

    Args:
        reference: maps in a plain image in degrees, e.g. ray-traced ones.
        generated: maps in the same space.
        seed: of the draws for the floors.
        repetitions: how many draws.
        names: what the two samples are called in tables and figures, e.g. `("Geant4", "GFlash")`; by default the
            simulations that made them, if they are two different ones, or else `("reference", "generated")`.
        thresholds: of the functionals [`space.unit`]; by default 41 within -2.5 to 5 standard deviations about the
            reference's mean, as far as its pixels reach.

    Returns:
        The comparison; same arguments, same numbers.

    Raises:
        ValueError: if the spaces differ or are no images in degrees, a sample has fewer than two maps, or the reference
            is constant.
    """
    if reference.space != generated.space:
        raise ValueError(
            f"compare_maps expects both samples in one space, received {reference.space!r} and {generated.space!r}."
        )
    check_image(reference.space)
    if min(len(reference), len(generated)) < 2 or repetitions < 1:
        raise ValueError(
            f"compare_maps expects two or more maps in each sample and at least one repetition, received "
            f"{len(reference)}, {len(generated)} and {repetitions}."
        )
    mean, sigma = (float(f(reference.values, dtype=np.float64)) for f in (np.mean, np.std))
    if not sigma > 1e-6 * abs(mean):
        raise ValueError(f"All pixels of the reference are {mean:.4g}: there is no texture to compare with.")
    if thresholds is None:
        lowest, highest = np.quantile(reference.values, (1e-4, 1 - 1e-4))
        thresholds = np.linspace(max(mean - 2.5 * sigma, lowest), min(mean + 5 * sigma, highest), 41)

    slots = [sample.labels.get("redshift", np.zeros(len(sample))) for sample in (reference, generated)]
    labelled = ["redshift" in sample.labels for sample in (reference, generated)]
    slots = slots if all(labelled) else [np.zeros(len(slot)) for slot in slots]
    rng = np.random.default_rng(seed)
    draws = [_draw(slots[0], slot, repetitions, rng) for slot in slots]

    value, degree = with_unit(reference.space.quantity, reference.space.unit), reference.space.units[0]
    multipoles, spectra = power_spectrum(reference)
    functionals = zip(*(minkowski(sample, thresholds) for sample in (reference, generated)))
    measured = {
        "power_spectrum": ("power spectrum", "multipole ℓ", "Cℓ", multipoles, spectra, power_spectrum(generated)[1]),
    }
    functions = (
        ("v0", "area V₀", "V₀"),
        ("v1", "boundary V₁", f"V₁ [1/{degree}]"),
        ("v2", "genus V₂", f"V₂ [1/{degree}²]"),
    )
    for (name, label, height), pair in zip(functions, functionals):
        measured[name] = (label, value, height, thresholds, *pair)
    curves = {"pixels": _pixels(reference, generated, draws, value)}
    for name, content in measured.items():
        curves[name] = _curve(name, *content, draws, _logarithmic if name == "power_spectrum" else _scaled)
    return MapComparison(
        reference.space,
        (len(reference), len(generated)),
        seed,
        repetitions,
        curves,
        tuple(_notes(reference, generated, slots, labelled)),
        side_names(reference, generated, names),
    )


def _draw(redshift, slots, repetitions, rng):
    """How often each reference map is drawn, shape `(repetitions, event)`: for every slot one of its redshift."""
    if not np.isin(slots, redshift).all():
        return draw_like(redshift, slots, repetitions, rng)
    counts = np.zeros((repetitions, len(redshift)), dtype=np.int32)
    for depth, number in zip(*np.unique(slots, return_counts=True)):
        alike = np.flatnonzero(redshift == depth)
        counts[:, alike] = draw_like(np.zeros(len(alike)), np.zeros(number), repetitions, rng)
    return counts


def _curve(name, label, axis, height, positions, reference, generated, draws, distance):
    means = [counts @ reference / counts.sum(axis=1, keepdims=True) for counts in draws]
    drawn = np.array([distance(a, b) for a, b in zip(*means)])
    mean = reference.mean(axis=0), generated.mean(axis=0)
    errors = [values.std(axis=0, ddof=1) / np.sqrt(len(values)) for values in (reference, generated)]
    return Curve(name, label, axis, height, positions, *mean, *errors, floored(distance(*mean), drawn))


def _pixels(reference, generated, draws, value):
    """Histogram in equal bins to look at, distance in quantiles of the reference."""
    low, high = np.quantile(reference.values, (2e-4, 1 - 2e-4))
    edges = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 61)
    quantiles = np.unique(np.quantile(reference.values, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    density = [pixel_contents(sample, edges)[:, 1:-1] / np.diff(edges) for sample in (reference, generated)]
    fine = [pixel_contents(sample, quantiles) for sample in (reference, generated)]
    shown = _curve("pixels", "pixels", value, "density", (edges[1:] + edges[:-1]) / 2, *density, draws, _largest)
    judged = _curve("pixels", "pixels", value, "density", quantiles, *fine, draws, _largest)
    return Curve(**{**vars(shown), "distance": judged.distance})


def _largest(reference, generated):
    return np.max(np.abs(np.cumsum(generated - reference)))


def _logarithmic(reference, generated):
    with np.errstate(divide="ignore"):  # Maps without any power are infinitely far.
        return np.sqrt(np.mean(np.log(generated / reference) ** 2))


def _scaled(reference, generated):
    return np.sqrt(np.mean((generated - reference) ** 2) / np.mean(reference**2))


def _notes(reference, generated, slots, labelled):
    if len(reference) < 30:
        yield f"Only {len(reference)} reference maps: their own spread is known poorly, and so is the floor."
    if labelled[0] != labelled[1]:
        yield "Only one sample has the label 'redshift': whether both look equally deep cannot be checked."
    elif abs(slots[0].mean() - slots[1].mean()) > 0.02 * slots[0].mean():
        yield f"Mean redshifts differ: reference {slots[0].mean():.3g}, generated {slots[1].mean():.3g}."
    flat = int(np.sum(np.ptp(generated.values.reshape(len(generated), -1), axis=1) == 0))
    if flat:
        yield f"{flat} of {len(generated)} generated maps are constant."
