"""Structural similarity (SSIM) of showers: of the mean images, and of pairs of showers as a measure of diversity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from calolab.samples import Sample
from calolab.spaces import Space
from calolab.validation.layer_sums import energies
from calolab.validation.threads import in_threads

WINDOW = 7  # cells along each axis, fewer where a layer has fewer
K1, K2 = 0.01, 0.03
POWER = 0.85
TRANSFORMS = ("log", "power")
NEIGHBOURS = 20  # in incident energy, of which one is the partner of a shower
AT_A_TIME = 8  # pairs that a thread compares together
FEWEST_EVENTS = 10


@dataclass(frozen=True)
class Similarity:
    """Structural similarities of a reference and a generated sample; 1 for equal images.

    Args:
        mean_images: similarity of the mean showers of both samples.
        within_reference, within_generated: mean over random pairs of showers within either sample. It is larger for a
            generated sample with too little variety than for the reference, and smaller for one with too much noise.
        within_reference_error, within_generated_error: standard errors of these means.
        pairs: number of pairs in each sample.
    """

    mean_images: float
    within_reference: float
    within_generated: float
    within_reference_error: float
    within_generated_error: float
    pairs: int

    @property
    def excess(self) -> float:
        """Similarity within the generated sample minus that within the reference; 0 for an ideal generator."""
        return self.within_generated - self.within_reference

    @property
    def excess_error(self) -> float:
        """Standard error of `excess`."""
        return float(np.hypot(self.within_reference_error, self.within_generated_error))


def structural_similarity(first: np.ndarray, second: np.ndarray, data_range: float) -> np.ndarray:
    """Structural similarity of pairs of images in any number of dimensions (Wang et al., IEEE TIP 13, 600).

    Means, variances and covariances are those in windows of 7 cells along each axis, or of the largest odd number where
    there are fewer, and the result is the mean over all windows that are within the image, as in scikit-image.

    Args:
        first, second: shape `(pair, ...)`.
        data_range: difference of the largest and the smallest possible value.

    Returns:
        Shape `(pair,)`, from -1 to 1.

    Raises:
        ValueError: if the shapes differ, there is no axis of an image, or the range is not positive.
    """
    first, second = (np.asarray(one, dtype=np.float64) for one in (first, second))
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(
            f"structural_similarity expects two arrays of one shape (pair, ...), received {first.shape} and "
            f"{second.shape}."
        )
    if not 0 < data_range < np.inf:
        raise ValueError(f"data_range expects a positive number, received {data_range}.")
    window = (1, *(min(WINDOW, cells - (cells + 1) % 2) for cells in first.shape[1:]))
    inner = (slice(None), *(slice(w // 2, cells - w // 2) for w, cells in zip(window[1:], first.shape[1:])))
    cells = np.prod(window)

    def mean(values):
        return ndimage.uniform_filter(values, window)[inner]

    means = mean(first), mean(second)
    unbiased = cells / max(1, cells - 1)
    variances = [unbiased * (mean(one * one) - m * m) for one, m in zip((first, second), means)]
    covariance = unbiased * (mean(first * second) - means[0] * means[1])
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    similarity = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    similarity /= (means[0] ** 2 + means[1] ** 2 + c1) * (variances[0] + variances[1] + c2)
    return similarity.mean(axis=tuple(range(1, similarity.ndim)))


def shower_similarity(
    reference: Sample,
    generated: Sample,
    *,
    transform: str = "log",
    threshold: float = 3e-5,
    pairs: int = 500,
    seed: int = 0,
) -> Similarity:
    """Structural similarity between the mean showers of two samples, and between random showers of each.

    Cells are transformed, because few of them contain most of the energy; the range of values is that of the
    transformed reference. The partner of a shower is one of the 20 nearest to it in incident energy, so that the
    similarity within a sample does not depend on its energies only (3DGAN: EPJC 82, 386). Layers that differ in cells
    are compared one by one, and their similarities averaged.

    Args:
        reference, generated: showers in one calorimeter.
        transform: `"log"` for `log(1 + E / threshold)`, or `"power"` for `E^0.85`.
        threshold: cells below it count as zero [GeV].
        pairs: number of pairs in each sample.
        seed: seed of the pairs.

    Raises:
        ValueError: if the spaces differ or have no depth, a sample has fewer than ten events, or the reference has no
            energy.
    """
    _check(reference, generated, transform, threshold, pairs)
    change = (lambda e: np.log1p(e / threshold)) if transform == "log" else (lambda e: e**POWER)
    means, largest = [], 0.0
    for sample in (reference, generated):
        total = np.zeros(sample.space.shape)
        for start in range(0, len(sample), 256):
            images = change(energies(sample.values[start : start + 256], threshold, start))
            total += images.sum(axis=0, dtype=np.float64)
            largest = max(largest, float(images.max())) if sample is reference else largest
        means.append(total[None] / len(sample))
    if not largest > 0:
        raise ValueError("No cell of the reference has any energy above the threshold: there are no images to compare.")
    space, within = reference.space, []
    for sample, rng in zip((reference, generated), np.random.default_rng(seed).spawn(2)):
        chosen = _pairs(sample, pairs, rng)

        def compare(rows, sample=sample, chosen=chosen):
            images = [change(energies(sample.values[one], threshold)) for one in chosen[:, rows]]
            return _similarity(*images, space, largest)

        slices = [slice(start, start + AT_A_TIME) for start in range(0, pairs, AT_A_TIME)]
        found = np.concatenate(list(in_threads(compare, slices)))
        within.append((float(found.mean()), float(found.std(ddof=1) / np.sqrt(pairs))))
    between = float(_similarity(*means, space, largest)[0])
    return Similarity(between, within[0][0], within[1][0], within[0][1], within[1][1], pairs)


def _check(reference, generated, transform, threshold, pairs):
    if reference.space != generated.space:
        raise ValueError(f"Cannot compare samples in {reference.space.name!r} and {generated.space.name!r}.")
    if not reference.space.has_depth:
        raise ValueError(f"shower_similarity expects showers in a calorimeter, received {reference.space.name!r}.")
    if transform not in TRANSFORMS:
        raise ValueError(f"transform expects {' or '.join(map(repr, TRANSFORMS))}, received {transform!r}.")
    if not 0 < threshold < np.inf or pairs < 2:
        raise ValueError(f"Expected a positive threshold [GeV] and at least 2 pairs, received {threshold} and {pairs}.")
    if min(len(reference), len(generated)) < FEWEST_EVENTS:
        raise ValueError(
            f"shower_similarity needs at least {FEWEST_EVENTS} events in each sample, received {len(reference)} and "
            f"{len(generated)}."
        )


def _pairs(sample, pairs, rng):
    """Indices of the first and second shower of each pair, shape `(2, pair)`; the second is near in incident energy."""
    order = rng.permutation(len(sample))
    if "energy" in sample.labels:
        order = order[np.argsort(sample.labels["energy"][order], kind="stable")]
    reach = min(NEIGHBOURS // 2, len(order) - 1)
    first = rng.integers(len(order), size=pairs)
    step = rng.integers(1, reach + 1, size=pairs) * rng.choice((-1, 1), size=pairs)
    second = first + step
    second = np.where((second < 0) | (second >= len(order)), first - step, second) % len(order)
    return np.stack([order[first], order[second]])


def _similarity(first: np.ndarray, second: np.ndarray, space: Space, data_range: float) -> np.ndarray:
    """Structural similarity of showers, shape `(pair,)`; the mean over layers where these differ in cells."""
    if space.regular:
        return structural_similarity(first, second, data_range)
    found = []
    for layer, start, stop in zip(space.layers, space.layer_starts[:-1], space.layer_starts[1:]):
        both = (one[:, start:stop].reshape(len(one), *layer.shape) for one in (first, second))
        found.append(structural_similarity(*both, data_range))
    return np.mean(found, axis=0)
