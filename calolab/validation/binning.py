"""Binning: edges set by the reference, and histograms that count the entries beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Multiplicities of a generated sample have separate bins up to twice the reference's largest plus this number.
FEW_JETS = 2
# Bins of a figure in which several samples are drawn.
BINS = 25
STEPS = (1, 2, 2.5, 4, 5, 10)


@dataclass(frozen=True, eq=False)
class Histogram:
    """A histogram of one number per entry, or the mean of one profile per event.

    Args:
        edges: shape `(bins + 1,)`.
        contents, errors: fractions of the entries and their statistical errors sqrt(n)/N, of weighted entries
            sqrt(sum w²) / sum w, shape `(bins,)`; entries outside the edges are in the outermost bins. For profiles,
            the means over events and their standard errors.
        beyond: fractions of the entries below the first and above the last edge.
        entries: number of entries; 0 if it is not known.
    """

    edges: np.ndarray
    contents: np.ndarray
    errors: np.ndarray
    beyond: tuple[float, float] = (0.0, 0.0)
    entries: int = 0


def histogram(values: np.ndarray, edges: np.ndarray, weights: np.ndarray | None = None) -> Histogram:
    """Count numbers in bins; values that are not finite are left out.

    Args:
        values: shape `(entry,)`.
        edges: increasing edges, shape `(bins + 1,)`.
        weights: weights of the entries, same shape, with a positive sum; by default all count equally.
    """
    if weights is not None:
        return _weighted_histogram(values[np.isfinite(values)], edges, weights[np.isfinite(values)])
    values = values[np.isfinite(values)]
    counts = np.bincount(bin_of(values, edges), minlength=len(edges) - 1)
    entries = max(1, len(values))
    outside = (values < edges[0], values > edges[-1])
    beyond = tuple(float(np.mean(one)) for one in outside) if len(values) else (0.0, 0.0)
    return Histogram(edges, counts / entries, np.sqrt(counts) / entries, beyond, len(values))


def _weighted_histogram(values, edges, weights) -> Histogram:
    bins, total = bin_of(values, edges), weights.sum()
    total = total if total > 0 else 1.0
    contents, squares = (np.bincount(bins, one, minlength=len(edges) - 1) for one in (weights, weights**2))
    beyond = tuple(float(weights[outside].sum() / total) for outside in (values < edges[0], values > edges[-1]))
    return Histogram(edges, contents / total, np.sqrt(squares) / total, beyond, len(values))


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value; values outside the edges are in the outermost bins.

    Args:
        values: the values.
        edges: edges of the bins, in ascending order.
    """
    return np.searchsorted(edges[1:-1], values, side="right")


def histogram_edges(reference: np.ndarray, generated: np.ndarray, whole: bool = False) -> np.ndarray:
    """Equal bins fine enough for the reference, and extended to show a generated sample at other values.

    The bins span the central 99.6 % of the reference, about `2 n^(1/3)` of them (10 to 40); bins of the same width
    extend to the central 99.6 % of the generated sample, at most by the reference's own span on either side.

    Args:
        reference, generated: one number per event; NaN are left out.
        whole: whether values are counts: the edges are then halfway between whole numbers.
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


def spectrum_edges(lowest: float, highest: float, bins: int, decades: float = np.inf) -> np.ndarray:
    """Logarithmic edges from `lowest`, but at most `decades` below it, to just above `highest`.

    Args:
        lowest, highest: smallest and largest positive value.
        bins: number of bins.
        decades: the largest span.
    """
    lowest = max(lowest, highest * 10**-decades)
    return np.geomspace(lowest, np.nextafter(max(highest, 1.001 * lowest), np.inf), bins + 1)


def pixel_edges(lowest: float, highest: float, bins: int) -> np.ndarray:
    """Logarithmic edges around positive pixel values, over at least a factor of two.

    Args:
        lowest: smallest positive value of the reference; smaller values of another sample count in the first bin.
        highest: largest value of both.
        bins: number of bins.
    """
    low, high = lowest * 0.999, highest * 1.001
    return np.geomspace(low, max(high, 2 * low), bins + 1)


def multiplicity_edges(reference: float, generated: float) -> np.ndarray:
    """A bin for each number of jets from zero on.

    Args:
        reference, generated: largest multiplicity of either sample; the generated one extends the bins to at most twice
            the reference's and `FEW_JETS` more.
    """
    return np.arange(max(reference, min(generated, 2 * reference + FEW_JETS)) + 2) - 0.5


def jet_edges(name: str, reference: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Edges for a variable of jets in a report: a bin for each number of jets, the full range of phi, or the range.

    The reference sets the range, the generated sample extends it to at most twice its width. Masses and the leading
    jet's pt are 0 where an event has too few jets; these zeros have a separate bin.

    Args:
        name: name of the variable, e.g. `"summed_mass"`.
        reference, generated: finite values of the entries [GeV or rad].
    """
    if name == "multiplicity":
        return multiplicity_edges(reference.max(), generated.max(initial=0))
    if name == "jet_phi":
        return np.linspace(-np.pi, np.pi, 33)
    if name in ("jet_pt", "jet_eta"):
        return histogram_edges(reference, generated)
    positive = [values[values > 0] for values in (reference, generated)]
    if not len(positive[0]):
        return np.array([-0.5, 0.5, max(1.0, generated.max(initial=0) + 0.5)])
    found = histogram_edges(*positive)
    zero = (found[1] - found[0]) / 2
    return np.concatenate([[-zero, zero], found[found > zero]])


def shared_edges(name: str, references: Sequence[np.ndarray], others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Rounded edges that several samples share in a figure, set by the reference samples.

    The other samples extend them to at most twice the width. There is a bin for each number of jets from zero on;
    masses begin at zero, other variables at the smallest value of the references.

    Args:
        name: `"multiplicity"`, or a variable with a mass or a momentum [GeV].
        references: the values of the reference samples; those that are not finite are left out.
        others: the values of the samples that are compared with them.
    """
    references, others = _finite(references), _finite(others)
    if not references:
        references, others = others, []
    if not references:
        return np.array([0.0, 1.0])
    if name == "multiplicity":
        return multiplicity_edges(*(max((one.max() for one in side), default=0) for side in (references, others)))
    low = 0.0 if "mass" in name else min(column.min() for column in references)
    # A few extreme events would leave all others in few bins; they are counted in the last one.
    high, beside = (
        max((np.quantile(column, 0.995) for column in columns), default=low) for columns in (references, others)
    )
    span = high - low or max(beside - low, 1e-6 * abs(low)) or 1.0
    width = span / BINS
    power = 10.0 ** np.floor(np.log10(width))
    width = next(step * power for step in STEPS if step * power >= 0.999 * width)
    first = np.floor(low / width + 1e-9)
    last = np.ceil(max(high, min(beside, high + span)) / width - 1e-9)
    return width * np.arange(first, max(last, first + 1) + 1)


def _finite(columns: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The finite values of each column, without empty columns."""
    return [finite for column in columns if len(finite := column[np.isfinite(column)])]
