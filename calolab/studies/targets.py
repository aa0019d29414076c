"""Targets of a shower generator: what must agree with Geant4, how it is measured, and how well it must agree."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from calolab.samples import Sample
from calolab.spaces import with_unit
from calolab.tables import Table
from calolab.validation.layer_sums import positions, transverse_axes
from calolab.validation.observables.cells import hit_pairs
from calolab.validation.observables.profiles import layer_correlations, pieces
from calolab.validation.scorecards import showers
from calolab.validation.scorecards.families import correlation_distance, judges
from calolab.validation.scorecards.measurement import Settings

POINTS = (10.0, 25.0, 50.0, 75.0, 100.0)  # energies at which response and resolution are compared [GeV]
WINDOWS = (5.0, 17.5, 37.5, 62.5, 87.5, 112.5)  # a shower counts at the nearest of these energies [GeV]
FEWEST = 20  # showers of each sample in a window
RINGS = (0.5, 1.5, 2.5, 4.5, 7.5)  # radii between the radial bins [cells]
SMALLEST_LAYER, SMALLEST_RING = 0.01, 0.001  # fraction of the energy from which a layer or radial bin is compared
HARD = 5e-4  # energy of a hard hit [GeV]
LIMITS = {
    "response": 0.01,
    "resolution": 0.05,
    "layers": 0.03,
    "radial": 0.05,
    "hits": 0.03,
    "pairs": 0.03,
    "pairs.hard": 0.03,
    "correlations.mean": 0.05,
    "correlations.largest": 0.05,
    "auc.trees": 0.65,
    "auc.cnn": 0.75,
    "speed.batch": 2.0,
    "speed.one": 10.0,
}
_CERTAIN = 2.0  # standard errors by which a deviation must exceed its limit


@dataclass(frozen=True)
class Target:
    """One quantity with its limit.

    Args:
        name: e.g. `"response.25"`.
        about: what is compared.
        value: the relative deviation of generated from reference showers, or the number that is limited; NaN if it
            could not be measured.
        limit: largest absolute value that meets the target.
        error: statistical error of the value; None if it has none.
        compared: number of quantities of which the value is the one with the largest deviation.
        unit: `"%"` if the value is a fraction that is shown in per cent, otherwise its unit.
        note: what else must be known.
    """

    name: str
    about: str
    value: float
    limit: float
    error: float | None = None
    compared: int = 1
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return abs(self.value) <= self.limit

    @property
    def verdict(self) -> str:
        """`"met"`, `"not met"`, or `"undecided"` if the excess over the limit is within the statistical error.

        The excess of one quantity is within it up to two standard errors; that of the largest of several up to as many
        as the largest of so many perfect ones exceeds equally rarely. Without a value it is `"not measured"`.
        """
        if math.isnan(self.value):
            return "not measured"
        if self.met:
            return "met"
        errors = norm.isf(norm.sf(_CERTAIN) / self.compared)
        return "undecided" if abs(self.value) - self.limit <= errors * (self.error or 0.0) else "not met"

    def to_dict(self) -> dict:
        """The record as plain numbers and strings, with `met` and `verdict`."""
        return {**vars(self), "met": self.met, "verdict": self.verdict}

    @classmethod
    def from_dict(cls, content: Mapping) -> Target:
        """Rebuild a record from `to_dict`, also after a round trip through JSON, which has no NaN."""
        chosen = {name: content[name] for name in cls.__dataclass_fields__}
        return cls(**chosen | {"value": math.nan if content["value"] is None else content["value"]})

    @property
    def texts(self) -> tuple[str, str, str]:
        """Value, error and limit as texts with their unit."""
        factor = 100 if self.unit == "%" else 1
        unit = f" {self.unit}" if self.unit else ""
        value = "–" if math.isnan(self.value) else f"{factor * self.value:.3g}{unit}"
        error = "" if self.error is None else f"{factor * self.error:.2g}{unit}"
        return value, error, f"{factor * self.limit:g}{unit}"


def table(targets: Sequence[Target], title: str = "") -> Table:
    """The targets as a table.

    Args:
        targets: the targets.
        title: a line above the table.
    """
    rows = [(one.about, *one.texts, one.verdict) for one in targets]
    notes = [f"{one.about}: {one.note}" for one in targets if one.note]
    return Table(rows, ("target", "value", "error", "limit", ""), (1, 2, 3), title, notes)


def shower_targets(reference: Sample, generated: Sample, threshold: float = showers.THRESHOLD) -> list[Target]:
    """Compare response, resolution, profiles, hits, neighbouring hits and correlations with the limits of `LIMITS`.

    Mean energies and numbers are those per incident energy, so the labels of the samples need not be equal, but should
    have the same distribution. Neighbouring hits are pairs of cells of one layer that share an edge.

    Args:
        reference, generated: labelled showers in one regular calorimeter with Cartesian cells.
        threshold: cells below it count as zero; the others are hits [GeV].

    Raises:
        ValueError: for another kind of space, different spaces, or without the label `energy`.
    """
    _check(reference, generated)
    first, second = (_Measured.of(sample, threshold) for sample in (reference, generated))
    found = _response(first, second)
    for name, about, smallest in (
        ("layers", "energy of a layer", SMALLEST_LAYER),
        ("radial", "energy of a radial bin", SMALLEST_RING),
    ):
        found.append(_largest(name, about, getattr(first, name), getattr(second, name), first, second, smallest))
    found += [
        _largest(name, about, first.counts[:, [column]], second.counts[:, [column]], first, second)
        for column, (name, about) in enumerate(
            (
                ("hits", "number of hits"),
                ("pairs", "pairs of neighbouring hits"),
                ("pairs.hard", f"pairs of neighbouring hits above {1e3 * HARD:g} MeV"),
            )
        )
    ]
    return found + _correlations(first, second)


def judge_targets(
    reference: Sample, generated: Sample, *, seed: int = 0, trainings: int | None = None, progress: bool = True
) -> list[Target]:
    """Compare the AUC of the scorecard's classifiers, trained with all events of both samples, with their limits.

    A scorecard halves the reference for its floors, and an AUC grows with the number of events, so the figures differ.

    Args:
        reference, generated: labelled showers in one space.
        seed: seed of the trainings.
        trainings: of each classifier; by default five of trees and one of the network.
        progress: whether to show progress.
    """
    threshold = showers.default_threshold(reference.space)
    settings = Settings(threshold, "default", "reference", seed, trainings, 1, None, progress)
    real = showers.prepare(reference, None, settings)
    made = showers.prepare(generated, real, settings)
    words = {"auc.trees": "AUC of trees on features", "auc.cnn": "AUC of a CNN on cells"}
    found = []
    for family in judges(settings):
        name = family.metrics[0]
        measured = family.measure(real, made, settings, family.metrics)[name]
        found.append(Target(name, words[name], measured.value, LIMITS[name], measured.error, note=measured.note))
    return found


def memorisation_target(entry) -> Target:
    """Whether generated showers are no closer to the training sample than other real showers are.

    Args:
        entry: the entry `memorised` of a scorecard; the limit is its floor plus two standard deviations.
    """
    limit = entry.floor + 2 * (entry.uncertainty or 0.0)
    return Target("memorised", "closer to training showers than real ones", entry.value, limit, note=entry.note)


def speed_targets(
    generator, labels: Mapping[str, np.ndarray], *, seed: int = 0, batch_size: int = 128, repeats: int = 5
) -> list[Target]:
    """Measure the wall time of generation per shower on this machine.

    Args:
        generator: a `Generator`.
        labels: labels of at least `batch_size` showers.
        seed: seed of the latent vectors.
        batch_size: showers that are generated at a time, for the first target; the second is for one shower.
        repeats: number of measurements, of which the median is taken.
    """
    found = []
    for name, size in (("speed.batch", batch_size), ("speed.one", 1)):
        some = {label: np.asarray(column)[:size] for label, column in labels.items()}
        generator.generate(some, seed=seed, batch_size=size)  # compiles
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            generator.generate(some, seed=seed, batch_size=size)
            taken.append(1e3 * (time.perf_counter() - began) / size)
        about = f"time per shower, {size} at a time"
        found.append(Target(name, about, float(np.median(taken)), LIMITS[name], unit="ms"))
    return found


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is compared of each shower, `(event, ...)`: incident energies, layers, radial bins [GeV], and numbers."""

    energy: np.ndarray
    layers: np.ndarray
    radial: np.ndarray
    counts: np.ndarray  # hits, pairs of hits, pairs of hard hits

    @classmethod
    def of(cls, sample: Sample, threshold: float) -> _Measured:
        space = sample.space
        edges = space.layers[0].edges[0]
        ring = np.digitize(positions(space, 0)["r"] / (edges[1] - edges[0]), RINGS)
        rings = np.eye(len(RINGS) + 1)[ring]
        layers, radial = [], []
        for piece in pieces(sample):
            cells = sample.values[piece]
            cells = np.where(cells >= threshold, cells, 0)
            layers.append(cells.sum(axis=(1, 2), dtype=np.float64))
            radial.append(cells.sum(axis=3, dtype=np.float64).reshape(len(cells), -1) @ rings)
        counts = [hit_pairs(sample, lowest, reach=1)[1] for lowest in (threshold, HARD)]
        counts = np.column_stack([counts[0], counts[1][:, 1]])
        return cls(sample.labels["energy"], np.concatenate(layers), np.concatenate(radial), counts)

    @property
    def fraction(self) -> np.ndarray:
        """Visible over incident energy, shape `(event,)`."""
        return self.layers.sum(axis=1) / self.energy

    def per_energy(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of columns over the sum of incident energies, and their standard errors."""
        ratio = columns.sum(axis=0) / self.energy.sum()
        residual = columns - ratio * self.energy[:, None]
        return ratio, residual.std(axis=0, ddof=1) / (np.sqrt(len(columns)) * self.energy.mean())


def _response(first: _Measured, second: _Measured) -> list[Target]:
    """Deviations of mean and relative width of the visible fraction at each energy."""
    found = []
    for point, low, high in zip(POINTS, WINDOWS[:-1], WINDOWS[1:]):
        sides = [one.fraction[(one.energy >= low) & (one.energy < high)] for one in (first, second)]
        mean = width = (math.nan, None)
        if min(map(len, sides)) >= FEWEST and all(side.mean() > 0 for side in sides):
            mean = _ratio(*(_mean(side) for side in sides))
            width = _ratio(*(_width(side) for side in sides))
        for name, (value, error) in (("response", mean), ("resolution", width)):
            about = f"{name} at {point:g} GeV"
            found.append(Target(f"{name}.{point:g}", about, value, LIMITS[name], error, unit="%"))
    return found


def _mean(fraction):
    return fraction.mean(), fraction.std(ddof=1) / np.sqrt(len(fraction))


def _width(fraction):
    """Standard deviation over mean, and its error from the fourth moment."""
    mean, spread = fraction.mean(), fraction.std(ddof=1)
    fourth = np.mean((fraction - mean) ** 4)
    error = np.sqrt(max(fourth - spread**4, 0) / len(fraction)) / (2 * spread) if spread > 0 else 0.0
    return spread / mean, error / mean


def _ratio(reference, generated) -> tuple[float, float | None]:
    """Deviation of the ratio of two numbers from 1, and its error, if the generated number were as expected."""
    (real, real_error), (made, made_error) = reference, generated
    if not real > 0:
        return math.nan, None
    return float(made / real - 1), float(np.hypot(real_error, made_error) / real)


def _largest(name, about, real, made, first, second, smallest=0.0) -> Target:
    """The largest deviation among the columns that hold at least a fraction of the total."""
    sums, errors = first.per_energy(real)
    others, other_errors = second.per_energy(made)
    chosen = np.flatnonzero((sums > 0) & (sums >= smallest * sums.sum()))
    if not len(chosen):
        return Target(name, about, math.nan, LIMITS[name], unit="%")
    deviations = [_ratio((sums[i], errors[i]), (others[i], other_errors[i])) for i in chosen]
    value, error = max(deviations, key=lambda one: abs(one[0]))
    about = about if len(chosen) == 1 else f"{about}, largest of {len(chosen)}"
    return Target(name, about, value, LIMITS[name], error, len(chosen), unit="%")


def _correlations(first: _Measured, second: _Measured) -> list[Target]:
    """Mean difference of all correlations of layers, and the largest one among layers that hold enough energy."""
    shares = [one.layers / one.energy[:, None] for one in (first, second)]
    mean = correlation_distance(*shares)
    found = [Target("correlations.mean", "correlation of two layers, mean", mean, LIMITS["correlations.mean"])]
    held = first.layers.sum(axis=0)
    chosen = held >= SMALLEST_LAYER * held.sum()
    above = np.triu_indices(np.count_nonzero(chosen), k=1)
    real, made = (layer_correlations(share[:, chosen])[above] for share in shares)
    name, about = "correlations.largest", f"correlation of two layers, largest of {len(real)}"
    difference = np.abs(real - made)
    if not np.isfinite(difference).any():
        return [*found, Target(name, about, math.nan, LIMITS[name])]
    worst = int(np.nanargmax(difference))
    error = (1 - real[worst] ** 2) * np.sqrt(sum(1 / len(share) for share in shares))
    return [*found, Target(name, about, float(difference[worst]), LIMITS[name], float(error), len(real))]


def _check(reference: Sample, generated: Sample) -> None:
    space = reference.space
    if generated.space != space:
        raise ValueError(f"Targets need samples in one space, received {space.name!r} and {generated.space.name!r}.")
    if not space.regular or len(space.shape) != 3 or "alpha" in space.axes:
        raise ValueError(
            f"Targets are for calorimeters whose layers all have the same boxes of cells; {space.name!r} has the axes "
            f"{', '.join(map(space.axis_label, space.axes))}."
        )
    transverse_axes(space)  # refuses other axes
    for name, sample in (("reference", reference), ("generated", generated)):
        if "energy" not in sample.labels:
            raise ValueError(f"Targets need the label {with_unit('energy', 'GeV')!r}; the {name} sample lacks it.")
