"""Distances between two distributions, and the floor that statistics alone put under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from calolab.samples import Sample
from calolab.validation.profiles import profile

NEIGHBOURS = 20
# Sums of many weights that ought to cancel leave this much: no distance, and no floor to divide by.
ROUNDING = 1e-12


def kolmogorov_smirnov(reference, generated) -> tuple[float, float]:
    """Largest difference of two cumulative distributions, and the probability of a larger one among like samples.

    Args:
        reference, generated: one number per event, any lengths; both in one unit, which does not matter.

    Returns:
        `(statistic, p)`; p in the limit of many events. Ties, as in counts, make it too large at most.

    Raises:
        ValueError: if one is empty or not finite.
    """
    reference, generated = _finite(reference), _finite(generated)
    result = stats.ks_2samp(reference, generated, method="asymp")
    return float(result.statistic), float(result.pvalue)


def wasserstein(reference, generated) -> float:
    """Mean distance by which to move the one distribution into the other, in the reference's standard deviations.

    Args:
        reference, generated: one number per event, any lengths, in one unit.

    Returns:
        The first Wasserstein distance; infinite if the reference is constant and the generated differs from it.

    Raises:
        ValueError: if one is empty or not finite.
    """
    reference, generated = _finite(reference), _finite(generated)
    return _scaled(stats.wasserstein_distance(reference, generated), reference.std())


def separation_power(reference, generated) -> float:
    """Separation of two histograms with the same bins, `1/2 sum (h1 - h2)² / (h1 + h2)` (arXiv:2009.03796, eq. 15).

    Args:
        reference, generated: non-negative bin contents of one shape; each is normalised to a sum of one.

    Returns:
        0 for equal shapes, 1 for histograms that share no bin.

    Raises:
        ValueError: if shapes differ, a content is negative, or a histogram is empty.
    """
    reference, generated = _finite(reference), _finite(generated)
    if reference.shape != generated.shape:
        raise ValueError(f"separation_power expects equal binning, received {reference.shape} and {generated.shape}.")
    for content in (reference, generated):
        if content.min() < 0 or not content.sum() > 0:
            raise ValueError("separation_power expects non-negative contents with a positive sum.")
    return float(_separation(reference / reference.sum(), generated / generated.sum()))


def projection_error(reference: Sample, generated: Sample) -> dict[str, float]:
    """Mean squared error of the mean energy projections along each axis, by which the Conv2D 3DGAN papers judge.

    Project every shower on x, y and z (energy per column or layer [GeV]), average over events, and take the mean over
    the bins of an axis of the squared difference (arXiv:2103.13698, arXiv:2105.08960). The sum over the axes is the one
    number to compare models by; it depends on the energies of the sample and on the unit, so compare like with like.

    Returns:
        One value per axis of the space that all layers share, and their sum as `"sum"` [`space.unit` squared].

    Raises:
        ValueError: if the samples lie in different spaces.
    """
    if reference.space != generated.space:
        raise ValueError(f"Cannot compare samples in {reference.space.name!r} and {generated.space.name!r}.")
    errors = {}
    for axis in projected_axes(reference.space):
        means = [profile(sample, axis).mean(axis=0) for sample in (reference, generated)]
        errors[axis] = float(np.mean((means[1] - means[0]) ** 2))
    return {**errors, "sum": sum(errors.values())}


def projected_axes(space) -> tuple[str, ...]:
    """The axes along which all layers share their bins: all of a regular space, only the depth where layers differ."""
    return space.axes if space.regular else space.axes[-1:]


@dataclass(frozen=True)
class Distance:
    """One distance, beside what the same distance is between samples that differ by chance only.

    Args:
        value: reference against generated.
        floor: mean over repeated draws of reference against reference, with the same numbers of events.
        floor_spread: standard deviation of those draws.
        floor_highest: the largest of them.
        power: 2 for a distance that grows with the square of a deviation, else 1.
        p: probability of a larger value between like samples, where it is known.
    """

    value: float
    floor: float
    floor_spread: float
    floor_highest: float
    power: int = 1
    p: float | None = None

    @property
    def within_floor(self) -> bool:
        """Whether reference against reference reached this value, too."""
        return self.value <= self.floor_highest

    @property
    def times_floor(self) -> float:
        """How many times the floor the value is; of squared distances the root, so that all count alike."""
        if self.floor == 0:
            return 1.0 if self.value == 0 else float("inf")
        return float((self.value / self.floor) ** (1 / self.power))

    def to_dict(self) -> dict:
        """The numbers, with `times_floor`."""
        return {**vars(self), "times_floor": self.times_floor}


def draw_like(energy, slots, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Draw events from a reference with replacement, with the energies that another sample has.

    Every slot takes one of the about `NEIGHBOURS` reference events nearest to it in energy, so that two draws differ by
    chance only, yet as little as two samples with the same energies do.

    Args:
        energy: incident energy of each reference event, shape `(event,)`; all equal draws from the whole reference.
        slots: incident energy of each event of the sample to imitate, shape `(slot,)`.
        repetitions: how many draws.
        rng: where the randomness comes from.

    Returns:
        How often each reference event was drawn, shape `(repetitions, event)`.
    """
    energy, slots = np.asarray(energy, dtype=np.float64), np.asarray(slots, dtype=np.float64)
    order = np.argsort(energy, kind="stable")
    first = np.searchsorted(energy[order], slots, side="left")
    last = np.searchsorted(energy[order], slots, side="right")
    # Where the reference has many events of exactly the slot's energy, all of them stand to choose, and no others.
    window = min(NEIGHBOURS + 1, len(energy))
    enough = last - first >= window
    low = np.where(enough, first, np.clip((first + last - window) // 2, 0, len(energy) - window))
    width = np.where(enough, last - first, window)
    counts = np.empty((repetitions, len(energy)), dtype=np.int32)
    for repetition in range(repetitions):
        drawn = order[low + np.floor(rng.random(len(slots)) * width).astype(np.int64)]
        counts[repetition] = np.bincount(drawn, minlength=len(energy))
    return counts


def event_distances(positions, reference, generated, bins, scale) -> dict[str, float]:
    """KS, W1 and separation power between two weightings of the same sorted positions.

    Args:
        positions: sorted numbers, shape `(entry,)`: one per event, or the centres of a profile's bins.
        reference, generated: non-negative weights of the entries in the one and in the other sample.
        bins: which bin of the histogram each entry falls in, shape `(entry,)`.
        scale: the unit of W1: the reference's standard deviation.
    """
    reference, generated = reference / reference.sum(), generated / generated.sum()
    difference = np.cumsum(reference - generated)
    gaps = np.diff(positions)
    # Within ties the cumulative difference has no meaning before the last of them.
    apart = np.append(gaps > 0, True)
    contents = [np.bincount(bins, weights=weights) for weights in (reference, generated)]
    found = {
        "ks": float(np.max(np.abs(difference[apart]))),
        "w1": _scaled(float(np.abs(difference[:-1]) @ gaps), scale),
        "separation": float(_separation(*contents)),
    }
    return {name: value if value > ROUNDING else 0.0 for name, value in found.items()}


def _separation(reference, generated):
    total = reference + generated
    return 0.5 * np.sum((reference - generated) ** 2 / np.where(total > 0, total, 1))


def _scaled(distance, scale):
    if scale > 0:
        return float(distance / scale)
    return 0.0 if distance == 0 else float("inf")


def _finite(values):
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0 or not np.all(np.isfinite(values)):
        bad = np.sum(~np.isfinite(values))
        raise ValueError(
            f"A distance expects at least one number and all finite, received {values.size}, {bad} not finite."
        )
    return values
