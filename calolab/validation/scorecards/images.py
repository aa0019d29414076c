"""The metrics of whole events and of jet images: jets, observables of the images, and their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from calolab.jets import Jets, cluster
from calolab.samples import Sample
from calolab.spaces import Space, with_unit
from calolab.validation import binning
from calolab.validation.distances import separation_power
from calolab.validation.observables import cells, jets
from calolab.validation.observables.jet_images import image_mass, image_pt, image_tau_21
from calolab.validation.scorecards import families as shared
from calolab.validation.scorecards.measurement import ALL, Family, Measured, Settings
from calolab.validation.scorecards.records import Panel
from calolab.validation.scores import ks_comb

BINS = 40
ANGLES = {"eta": ("η", ""), "phi": ("φ", "rad")}


@dataclass(frozen=True, eq=False)
class Side:
    """One prepared sample.

    Args:
        sample: the images, without pixels below the threshold.
        observables: numbers per event by name, shape `(event,)` each.
        labels: labels that both samples have, which are also inputs of distances and trees.
        words: label and unit of each observable.
        found: the jets of whole events; None for jet images.
    """

    sample: Sample
    observables: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    words: Mapping[str, tuple[str, str]]
    found: Jets | None

    def __len__(self):
        return len(self.sample)

    def select(self, chosen: np.ndarray) -> Side:
        """The events at some positions."""
        return replace(
            self,
            sample=self.sample.select(chosen),
            observables={name: column[chosen] for name, column in self.observables.items()},
            labels={name: column[chosen] for name, column in self.labels.items()},
            found=None if self.found is None else self.found.select(chosen),
        )

    @property
    def distance_matrix(self) -> np.ndarray:
        """The vectors between which FPD and KPD are measured: observables and labels, shape `(event, column)`."""
        return np.stack([*self.observables.values(), *self.labels.values()], axis=1)

    @property
    def tree_matrix(self) -> np.ndarray:
        """The inputs of the trees, which are the same."""
        return self.distance_matrix

    @property
    def tree_names(self) -> tuple[str, ...]:
        """Names of the columns of `tree_matrix`."""
        return (*self.observables, *self.labels)


def kind(space: Space) -> str:
    """`"events"` for whole events, `"jet images"` for jets.

    Raises:
        ValueError: for other images.
    """
    if space.axes == ("eta", "phi") and space.unit == "GeV":
        return "events" if space.quantity == "tower energy" else "jet images"
    raise ValueError(
        f"scorecard expects showers in a calorimeter, or images in eta and phi [GeV], received {space!r}. Maps are "
        "compared by compare_maps."
    )


def default_threshold(space: Space) -> float:
    """Pixels below it count as zero [GeV]: none."""
    return 0.0


def prepare(sample: Sample, reference: Side | None, settings: Settings) -> Side:
    """A sample with its observables.

    Args:
        sample: images in eta and phi.
        reference: the prepared reference; None for the reference itself.
        settings: settings of the measurement.
    """
    cut = replace(sample, values=np.where(sample.values < settings.threshold, 0, sample.values))
    found, observables, words = None, {}, {}
    if kind(sample.space) == "events":
        found = cluster(cut)
        for name, one in jets.variables(found).items():
            if not name.startswith("jet_"):
                observables[name], words[name] = one.values, (one.label, one.unit)
        for name, (label, unit) in ANGLES.items():
            observables[f"leading_{name}"] = np.nan_to_num(found.leading(name)[:, 0])
            words[f"leading_{name}"] = (f"leading jet's {label}", unit)
    else:
        observables = {"mass": image_mass(cut), "pt": image_pt(cut), "tau_21": np.nan_to_num(image_tau_21(cut))}
        words = {"mass": ("image mass", "GeV"), "pt": ("image pt", "GeV"), "tau_21": ("τ₂₁ of the pixels", "")}
    observables["pixels"] = cells.hits(cut, 0.0)
    observables["total"] = cut.values.sum(axis=(1, 2), dtype=np.float64)
    words |= {"pixels": ("pixels hit", ""), "total": (f"total {sample.space.quantity}", sample.space.unit)}
    known = sample.labels if reference is None else reference.labels
    labels = {
        name: sample.labels[name]
        for name in known
        if name in sample.labels and name != "weight" and np.ptp(known[name]) > 0
    }
    return Side(cut, observables, labels, words, found)


def families(real: Side, settings: Settings, train: Side | None) -> list[Family]:
    """The families of metrics that these images and options allow.

    Args:
        real: the prepared reference.
        settings: settings of the measurement.
        train: the prepared training sample, or None.
    """
    found = [
        Family(("separation.mean",), _separations, draws=ALL),
        *shared.distances(),
        *shared.judges(settings),
        *shared.neighbours(train),
    ]
    if real.found is not None:
        found.append(Family(("ks_comb",), _ks_comb, draws=ALL))
    return found


def _separations(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    """Mean separation power of the observables, in bins set by the reference."""
    powers = []
    for name, reference in first.observables.items():
        edges = _edges(name, reference, second.observables[name])
        contents = [binning.histogram(side.observables[name], edges).contents for side in (first, second)]
        powers.append(separation_power(*contents))
    return {"separation.mean": Measured(float(np.mean(powers)))}


def _ks_comb(first: Side, second: Side, settings: Settings, wanted) -> dict[str, Measured]:
    """The published sum of minus log p of jet pt, multiplicity and summed mass (arXiv:1711.03573)."""
    real, made = (jets.variables(side.found) for side in (first, second))
    measured = {
        name: jets.distances(name, real[name].values, made[name].values, (real[name].weights, made[name].weights))
        for name in jets.COMBINED
    }
    return {"ks_comb": Measured(ks_comb({name: one["minus_log_p"] for name, one in measured.items()}))}


def _edges(name: str, reference: np.ndarray, others: np.ndarray) -> np.ndarray:
    if name in ("multiplicity", "summed_mass", "leading_pt") or name.startswith("leading_mass"):
        return binning.jet_edges(name, reference, others)
    return binning.histogram_edges(reference, others, whole=name == "pixels")


def panels(sides: Mapping[str, Side], settings: Settings) -> dict[str, Panel]:
    """The distributions of the figure, with all events of every sample.

    Args:
        sides: the prepared samples by name, the reference first.
        settings: settings of the measurement.
    """
    real, found = next(iter(sides.values())), {}
    for name, (label, unit) in real.words.items():
        columns = {sample: side.observables[name] for sample, side in sides.items()}
        reference, *others = columns.values()
        edges = _edges(name, reference, np.concatenate([*others, np.empty(0)]))
        found[name] = shared.histogram_panel(name, with_unit(label, unit), columns, edges)
    edges = cells.spectrum_edges([side.sample for side in sides.values()], bins=BINS)
    what = with_unit(f"{real.sample.space.quantity} of a pixel", real.sample.space.unit)
    spectra = {name: cells.spectrum(side.sample, edges) for name, side in sides.items()}
    found["pixel_spectrum"] = shared.mean_panel("pixel_spectrum", what, "pixels per event", edges, spectra, "xy")
    return found


def matrices(sides: Mapping[str, Side]) -> dict[str, np.ndarray]:
    """Images have no correlations between layers.

    Args:
        sides: the prepared samples by name.
    """
    return {}
