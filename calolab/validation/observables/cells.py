"""Cells of each shower, regardless of position: how many are hit, how many are empty, and their energy spectrum."""

from __future__ import annotations

import numpy as np

from calolab.samples import Sample
from calolab.validation import binning
from calolab.validation.observables.profiles import pieces


def hits(sample: Sample, threshold: float = 3e-4) -> np.ndarray:
    """Number of cells above a threshold [`space.unit`; GeV in a calorimeter], shape `(event,)`.

    The default, 0.3 MeV, is that of the 3DGAN papers (arXiv:2109.07388): about two minimum-ionising particles in 0.5 mm
    of silicon.

    Args:
        sample: the sample.
        threshold: minimum energy of a hit [`space.unit`].
    """
    return _count(sample, threshold).astype(np.float64)


def sparsity(sample: Sample, threshold: float = 0.0) -> np.ndarray:
    """Fraction of cells with no more than `threshold` [`space.unit`], shape `(event,)`; 1 for an empty event.

    Args:
        sample: the sample.
        threshold: largest energy of an empty cell [`space.unit`].
    """
    return 1 - _count(sample, threshold) / sample.space.n_cells


def spectrum(sample: Sample, edges: np.ndarray) -> np.ndarray:
    """Histogram of the positive cells of each event.

    Args:
        sample: the events.
        edges: increasing positive edges [`space.unit`], usually logarithmic; cells outside are in the outermost bins.

    Returns:
        Shape `(event, len(edges) - 1)`: number of cells.
    """
    edges = np.asarray(edges, dtype=np.float64)
    bins = len(edges) - 1
    counts = np.empty((len(sample), bins), dtype=np.int32)
    for piece in pieces(sample):
        values = sample.values[piece].reshape(len(counts[piece]), -1)
        event, cell = np.nonzero(values > 0)
        bin_of_cell = binning.bin_of(values[event, cell], edges)
        counts[piece] = np.bincount(event * bins + bin_of_cell, minlength=len(values) * bins).reshape(-1, bins)
    return counts


def spectrum_edges(samples, bins: int = 60, decades: float = 7) -> np.ndarray:
    """Logarithmic edges that span the positive cells of all samples, at most `decades` below the largest cell.

    Args:
        samples: the samples.
        bins: number of bins.
        decades: maximum width of the range in powers of ten.

    Raises:
        ValueError: if no sample has a positive cell.
    """
    lowest, highest = np.inf, 0.0
    for sample in samples:
        for piece in pieces(sample):
            values = sample.values[piece]
            highest = max(highest, float(values.max()))
            lowest = min(lowest, float(np.min(values, where=values > 0, initial=np.inf)))
    if not highest > 0:
        raise ValueError("No cell of these samples has any energy: there is no cell spectrum.")
    return binning.spectrum_edges(lowest, highest, bins, decades)


def _count(sample, threshold):
    """Cells above a threshold per event, as integers."""
    axes = tuple(range(1, 1 + len(sample.space.shape)))
    counts = [np.count_nonzero(sample.values[piece] > threshold, axis=axes) for piece in pieces(sample)]
    return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)
