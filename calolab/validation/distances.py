"""Distances between two distributions, and the record of a distance with its statistical floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from calolab.labels import effective_number
from calolab.scores import Score

# Rounding errors of sums that should be zero are smaller than this: such distances are set to exactly zero.
ROUNDING = 1e-12
# The published metric limits p to at least exp(-700), so no variable contributes more.
CAP = 700.0
# Distances are proportional to these powers of a deviation. Minus log p of samples of one distribution does not depend
# on the numbers of events, so its floor is never scaled.
GROWTH = {"ks": 1, "w1": 1, "separation": 2, "mse": 2, "minus_log_p": 0}


@dataclass(frozen=True)
class Distance:
    """A distance with its floor, the same distance between samples that differ only by chance.

    Args:
        value: reference against generated.
        floor: mean over repeated draws of reference against reference, for the same numbers of events.
        floor_spread: standard deviation of those draws.
        floor_highest: the largest of them.
        power: 2 for a distance that grows with the square of a deviation, otherwise 1.
        p: probability of a larger value between samples of one distribution, if it is known.
    """

    value: float
    floor: float
    floor_spread: float
    floor_highest: float
    power: int = 1
    p: float | None = None

    @property
    def within_floor(self) -> bool:
        """Whether the value is at most the largest of the draws of reference against reference."""
        return self.value <= self.floor_highest

    @property
    def times_floor(self) -> float:
        """The value in units of the floor; for squared distances the square root, so that distances are comparable."""
        if self.floor == 0:
            return 1.0 if self.value == 0 else float("inf")
        return float((self.value / self.floor) ** (1 / self.power))

    def score(self, name: str) -> Score:
        """The distance as a score of this name; lower is better."""
        return Score(name, self.value, self.floor, self.floor_spread)

    def to_dict(self) -> dict:
        """The numbers, with `times_floor`."""
        return {**vars(self), "times_floor": self.times_floor}


def kolmogorov_smirnov(
    reference, generated, weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
) -> tuple[float, float]:
    """Largest difference of two cumulative distributions, and the probability of a larger one by chance.

    Args:
        reference, generated: one number per event, any lengths, in the same unit.
        weights: weights of the events of both, with positive sums; None where all events count equally.

    Returns:
        `(statistic, p)`, with p in the limit of many events, for the effective numbers of weighted ones, or exact if a
        sample without weights has fewer than ten. Ties, as in counts, make p too large, never too small.

    Raises:
        ValueError: if one is empty or not finite, or weights do not fit.

    >>> kolmogorov_smirnov([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    (0.0, 1.0)
    """
    reference, generated = _finite(reference), _finite(generated)
    if any(one is not None for one in weights):
        return _weighted_test(reference, generated, weights)
    few = min(len(reference), len(generated)) < 10
    result = stats.ks_2samp(reference, generated, method="exact" if few else "asymp")
    return float(result.statistic), float(result.pvalue)


def _weighted_test(reference, generated, weights):
    columns = [np.ones(len(v)) if w is None else _finite(w) for v, w in zip((reference, generated), weights)]
    for values, column in zip((reference, generated), columns):
        if column.shape != values.shape or not column.sum() > 0:
            raise ValueError(
                f"Expected {len(values)} weights with a positive sum, received shape {column.shape} with the sum "
                f"{column.sum():g}."
            )
    both = np.concatenate([reference, generated])
    order = np.argsort(both, kind="stable")
    first = np.concatenate([columns[0], np.zeros(len(generated))])[order]
    second = np.concatenate([np.zeros(len(reference)), columns[1]])[order]
    statistic = float(weighted_ks(both[order], first[None], second[None])[0])
    sizes = [effective_number(column) for column in columns]
    events = max(1, round(sizes[0] * sizes[1] / (sizes[0] + sizes[1])))
    return statistic, float(stats.kstwo.sf(min(statistic, 1.0), events))


def wasserstein(reference, generated) -> float:
    """The first Wasserstein distance between two distributions, in standard deviations of the reference.

    Args:
        reference, generated: one number per event, any lengths, in the same unit.

    Returns:
        The first Wasserstein distance; infinite if the reference is constant and the generated sample differs from it.

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

    >>> separation_power([3, 1], [1, 3])
    0.25
    """
    reference, generated = _finite(reference), _finite(generated)
    if reference.shape != generated.shape:
        raise ValueError(f"separation_power expects equal binning, received {reference.shape} and {generated.shape}.")
    for content in (reference, generated):
        if content.min() < 0 or not content.sum() > 0:
            raise ValueError("separation_power expects non-negative contents with a positive sum.")
    return float(_separation(reference / reference.sum(), generated / generated.sum()))


def weighted_distances(positions, reference, generated, bins, scale: float = 1.0) -> dict[str, float]:
    """KS, W1 and separation power between two weightings of the same sorted positions.

    Args:
        positions: sorted numbers, shape `(entry,)`: one per event, or the centres of a profile's bins.
        reference, generated: non-negative weights of the entries in either sample.
        bins: the histogram bin of each entry, shape `(entry,)`.
        scale: the unit of W1: the reference's standard deviation.
    """
    reference, generated = reference / reference.sum(), generated / generated.sum()
    difference, gaps = np.cumsum(reference - generated), np.diff(positions)
    # Negative weights may leave a bin with a negative sum, which counts as empty.
    contents = [np.maximum(np.bincount(bins, weights=weights), 0) for weights in (reference, generated)]
    found = {
        "ks": float(_largest(difference, positions)),
        "w1": _scaled(float(np.abs(difference[:-1]) @ gaps), scale),
        "separation": float(_separation(*contents)),
    }
    return {name: value if value > ROUNDING else 0.0 for name, value in found.items()}


def weighted_ks(positions, reference, generated) -> np.ndarray:
    """KS distances between pairs of weightings of the same sorted positions.

    Args:
        positions: sorted numbers, shape `(entry,)`.
        reference, generated: non-negative weights of the entries in the samples of each pair, shape `(pair, entry)`.

    Returns:
        Shape `(pair,)`; 1 where the weights of a sample are all zero.
    """
    sums = [weights.sum(axis=1, keepdims=True) for weights in (reference, generated)]
    shares = [weights / np.where(total > 0, total, 1) for weights, total in zip((reference, generated), sums)]
    found = _largest(np.cumsum(shares[0] - shares[1], axis=1), positions)
    found = np.where(found > ROUNDING, found, 0.0)
    return np.where(np.all(sums, axis=0)[:, 0], found, 1.0)


def ks_distances(positions, reference, generated, bins) -> dict[str, float]:
    """KS distance, separation power and minus log p of the KS test between two weightings of sorted positions.

    Args:
        positions, bins: see `weighted_distances`.
        reference, generated: 1 for the entries of either sample, or their weight, otherwise 0.

    Returns:
        `"ks"`, `"separation"` and `"minus_log_p"`, the latter for the effective numbers of entries; 1, 1 and 700 if one
        of the samples has no entry, or its weights have no positive sum.
    """
    sizes = effective_number(reference), effective_number(generated)
    if not all(sizes) or min(reference.sum(), generated.sum()) <= 0:
        return {"ks": 1.0, "separation": 1.0, "minus_log_p": CAP}
    found = weighted_distances(positions, reference, generated, bins)
    return {
        "ks": found["ks"],
        "separation": found["separation"],
        "minus_log_p": float(minus_log_p(found["ks"], *sizes)),
    }


def minus_log_p(distance: np.ndarray | float, n_reference: float, n_generated: float) -> np.ndarray:
    """Minus the natural logarithm of the p-value of the two-sample KS test, capped at 700, also if p underflows.

    It is Kolmogorov's limit for many events with Stephens's correction for few, as used for the published scores. For
    fewer than about 30 events, or far in the tail, the exact p-value of disjoint samples is larger.

    Args:
        distance: KS distances, any shape.
        n_reference, n_generated: numbers of entries of the two samples, of weighted entries the effective ones.

    Returns:
        Same shape; 700 where a sample has no entry.
    """
    distance = np.asarray(distance, dtype=np.float64)
    if not n_reference or not n_generated:
        return np.full(distance.shape, CAP)
    root = np.sqrt(n_reference * n_generated / (n_reference + n_generated))
    x = (root + 0.12 + 0.11 / root) * distance
    # The limit is 2 (exp(-2 x^2) - exp(-8 x^2) + ...): beyond x = 1 two terms give all significant digits.
    near = -np.log(special.kolmogorov(np.minimum(x, 1)))
    far = 2 * x**2 - np.log(2) - np.log1p(-np.exp(-6 * np.maximum(x, 1) ** 2))
    return np.minimum(np.where(x < 1, near, far), CAP) + 0.0


def _largest(difference, positions):
    """Largest absolute value of a cumulative difference along its last axis, of which positions are sorted."""
    # Among tied positions the cumulative difference is defined only at the last one.
    apart = np.append(np.diff(positions) > 0, True)[: len(positions)]
    return np.max(np.abs(difference[..., apart]), axis=-1, initial=0)


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
