"""Compare generated jet images with real ones, class by class: mass, pt, prongs and pixels, each with its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from calolab.names import check_name
from calolab.samples import Sample, side_names
from calolab.spaces import Space
from calolab.validation.cells import spectrum
from calolab.validation.jet_images import image_mass, image_pt, image_tau_21
from calolab.validation.metrics import draw_like
from calolab.validation.observables import Observable, histogram_edges, measure
from calolab.validation.table import header, rows

CLASSES = {1.0: "W boson", 0.0: "QCD"}
VARIABLES = {
    "mass": ("image mass", "GeV", image_mass),
    "pt": ("image pt", "GeV", image_pt),
    "tau_21": ("τ₂₁ of the pixels", "", image_tau_21),
}
_BINS = 40  # of the spectrum of the pixels


@dataclass(frozen=True, eq=False)
class JetImageComparison:
    """Two samples of jet images side by side; `compare_jet_images` makes it, `plot()` draws it.

    Args:
        space: the space of both.
        events: for each class, numbers of (reference, generated) images.
        classes: for each class, observables by name: `mass`, `pt`, `tau_21`, and `pixels`, the spectrum of the pixels.
        means: for each class, the mean images of reference and generated, and the standard error of their difference,
            each of shape `space.shape` [GeV].
        seed, repetitions: of the draws that give the floors.
        notes: what a reader must know before believing the numbers.
        names: what the two samples are called in tables and figures.
    """

    space: Space
    events: Mapping[str, tuple[int, int]]
    classes: Mapping[str, Mapping[str, Observable]]
    means: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    seed: int
    repetitions: int
    notes: tuple[str, ...] = ()
    names: tuple[str, str] = ("reference", "generated")

    def __getitem__(self, name: str) -> Mapping[str, Observable]:
        check_name("class", name, self.classes)
        return self.classes[name]

    def plot(self):
        """All observables with their ratios, one row per class: a matplotlib figure, which a notebook shows."""
        from calolab.plots import jet_images  # matplotlib loads when something is drawn

        return jet_images.comparison(self)

    def plot_means(self):
        """Mean images of both and their difference, one row per class: a matplotlib figure."""
        from calolab.plots import jet_images

        means = {name: dict(zip(self.names, pair[:2])) for name, pair in self.means.items()}
        return jet_images.means(means, self.space)

    def to_dict(self) -> dict:
        """Histograms, distances and mean images as plain numbers, lists and strings that JSON can hold."""
        return {
            "space": self.space.name,
            "seed": self.seed,
            "repetitions": self.repetitions,
            "notes": list(self.notes),
            "names": list(self.names),
            "classes": {
                name: {
                    "events": list(self.events[name]),
                    "observables": {one: observable.to_dict() for one, observable in observables.items()},
                    "means": [mean.tolist() for mean in self.means[name][:2]],
                }
                for name, observables in self.classes.items()
            },
        }

    def _rows(self):
        for name, observables in self.classes.items():
            for row in rows(_Named(observables, self.names)):
                yield [name, *row]

    def __repr__(self):
        table = [["class", *header(self)], *self._rows()]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in table]
        return "\n".join([self._heading(), *lines, *self.notes])

    def _repr_html_(self):
        style = 'style="padding:1px 6px;text-align:left;white-space:nowrap;font-size:12px"'
        head = "".join(f"<th {style}>{escape(text)}</th>" for text in ("class", *header(self)))
        body = "".join(
            f"<tr>{''.join(f'<td {style}>{escape(text)}</td>' for text in row)}</tr>" for row in self._rows()
        )
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return (
            f"<b>{escape(self._heading())}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
            f"<small>After each distance (its floor): the mean of {self.repetitions} draws of reference against "
            "reference with these numbers of images. At the floor: no distance is above the highest of these draws. W₁ "
            "in standard deviations σ of the reference; S separation power, 0 to 1. Pixels of one image are not "
            "independent: no p-value there.</small>"
        )

    def _heading(self):
        first, second = self.names
        numbers = "; ".join(f"{name}: {a:,} {first} and {b:,} {second}" for name, (a, b) in self.events.items())
        return f"{self.space.name}, {numbers}"


@dataclass(frozen=True)
class _Named:
    """What a table reads its rows from."""

    observables: Mapping[str, Observable]
    names: tuple[str, str]


def compare_jet_images(
    reference: Sample,
    generated: Sample,
    *,
    seed: int = 0,
    repetitions: int = 100,
    names: Sequence[str] | None = None,
) -> JetImageComparison:
    """Compare generated jet images with real ones in what LAGAN is judged by (arXiv:1701.05927), for each class.

    Mass, transverse momentum and tau_21 are those of the pixels, computed alike from both; an empty image has no
    tau_21 and counts with a mass and a momentum of zero. The floor beside each distance is the same distance between
    two samples that are both drawn, image by image and with replacement, from the reference.

    Args:
        reference: real images, e.g. those of Pythia that the generator was not trained on.
        generated: images in the same space.
        seed: of the draws for the floors.
        repetitions: how many draws.
        names: what the two samples are called in tables and figures, e.g. `("Geant4", "GFlash")`; by default the
            simulations that made them, if they are two different ones, or else `("reference", "generated")`.

    Returns:
        The comparison, by the label `signal` (1 for W bosons, 0 for QCD), or of `"all"` images where one sample has no
        such label; same arguments, same numbers.

    Raises:
        ValueError: if the spaces differ or hold no jet images, classes differ, a class has fewer than two images in a
            sample, or the reference is empty.
    """
    if reference.space != generated.space:
        raise ValueError(
            f"compare_jet_images expects both samples in one space, received {reference.space!r} and "
            f"{generated.space!r}."
        )
    if repetitions < 1:
        raise ValueError(f"compare_jet_images expects at least one repetition, received {repetitions}.")
    notes, events, classes, means = [], {}, {}, {}
    for name, *pair in _classes(reference, generated):
        if min(map(len, pair)) < 2 or not np.any(pair[0].values > 0):
            raise ValueError(
                f"compare_jet_images expects two or more images of class {name!r} in each sample, and not all of the "
                f"reference empty; received {len(pair[0])} and {len(pair[1])}."
            )
        empty = int(np.sum(~np.any(pair[1].values > 0, axis=(1, 2))))
        if empty:
            notes.append(f"{empty} of {len(pair[1])} generated images of class {name!r} are empty.")
        events[name] = tuple(map(len, pair))
        classes[name] = _observables(*pair, repetitions, seed)
        error = np.sqrt(sum(np.var(one.values, axis=0, dtype=np.float64) / len(one) for one in pair))
        means[name] = (*(np.mean(one.values, axis=0, dtype=np.float64) for one in pair), error)
    names = side_names(reference, generated, names)
    return JetImageComparison(reference.space, events, classes, means, seed, repetitions, tuple(notes), names)


def _classes(reference: Sample, generated: Sample):
    """Name, reference and generated images of each class."""
    if not all("signal" in sample.labels for sample in (reference, generated)):
        return [("all", reference, generated)]
    found = [set(np.unique(sample.labels["signal"])) for sample in (reference, generated)]
    if found[0] != found[1] or not found[0] <= set(CLASSES):
        raise ValueError(
            "compare_jet_images expects the same classes in both samples, the label signal 1 or 0; received "
            f"{sorted(found[0])} and {sorted(found[1])}."
        )
    return [
        (name, *(sample.select(sample.labels["signal"] == signal) for sample in (reference, generated)))
        for signal, name in CLASSES.items()
        if signal in found[0]
    ]


def _observables(reference: Sample, generated: Sample, repetitions: int, seed: int) -> dict[str, Observable]:
    made = {}
    for name, (label, unit, function) in VARIABLES.items():
        values = function(reference), function(generated)
        made[name] = Observable(name, label, unit, histogram_edges(*values), *values)
    filled = reference.values[reference.values > 0]
    # A generator leaves traces far below all real pixels: they count in the first bin.
    low, high = filled.min() * 0.999, max(filled.max(), generated.values.max()) * 1.001
    edges = np.geomspace(low, max(high, 2 * low), _BINS + 1)
    made["pixels"] = Observable(
        "pixels", "pixels", "GeV", edges, spectrum(reference, edges), spectrum(generated, edges),
        height="pixels per image and bin", logarithmic=True,
    )  # fmt: skip
    found = {}
    for name, observable in made.items():
        rng = np.random.default_rng(seed)
        # Observables of one number per image may be undefined in some; a spectrum is not.
        sizes = [
            len(values) if observable.is_profile else int(np.isfinite(values).sum())
            for values in (observable.reference, observable.generated)
        ]
        slots = sizes[0], sizes[1] or sizes[0]
        draws = tuple(draw_like(np.zeros(sizes[0]), np.zeros(size), repetitions, rng) for size in slots)
        found[name] = measure(observable, draws)[0]
    return found
