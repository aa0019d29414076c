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


def hit_pairs(sample: Sample, threshold: float = 3e-5, reach: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of hits in the same layer, by the distance between their cells.

    Args:
        sample: showers in a calorimeter with Cartesian cells and equal layers.
        threshold: minimum energy of a hit [`space.unit`].
        reach: largest distance, in cells.

    Returns:
        The distances in cells in increasing order, shape `(distance,)`: 0, 1 (cells that share an edge), the square
        root of 2 (a corner), and so on; and the number of pairs, shape `(event, distance)`. The pairs at distance 0
        are the hits themselves.

    Raises:
        ValueError: for another kind of space, or a reach below 0 or as large as the window.
    """
    space = sample.space
    if not space.regular or len(space.shape) != 3 or "alpha" in space.axes:
        raise ValueError(f"hit_pairs needs equal layers of Cartesian cells; {space.name!r} has the axes {space.axes}.")
    if not 0 <= reach < min(space.shape[:2]):
        raise ValueError(f"hit_pairs(reach=) expects 0 to below {min(space.shape[:2])} cells, received {reach}.")
    shifts = _shifts(reach)
    squares = sorted({dx * dx + dy * dy for dx, dy in shifts})
    counts = np.zeros((len(sample), len(squares)), dtype=np.int64)
    for piece in pieces(sample):
        hit = sample.values[piece] >= threshold
        for dx, dy in shifts:
            counts[piece, squares.index(dx * dx + dy * dy)] += _shifted_pairs(hit, dx, dy)
    return np.sqrt(squares), counts


def _shifts(reach):
    """Displacements up to a distance; of a displacement and its opposite, only one."""
    most = int(reach)
    both = [(dx, dy) for dx in range(most + 1) for dy in range(-most, most + 1) if dx * dx + dy * dy <= reach * reach]
    return [(dx, dy) for dx, dy in both if dx > 0 or dy >= 0]


def _shifted_pairs(hit, dx, dy):
    """Pairs of hits, shape `(event, x, y, layer)`, at one displacement (dx is not negative), shape `(event,)`."""
    wide, high = hit.shape[1:3]
    first = hit[:, : wide - dx, max(0, -dy) : high - max(0, dy)]
    second = hit[:, dx:, max(0, dy) : high - max(0, -dy)]
    return np.count_nonzero(first & second, axis=(1, 2, 3))


def _count(sample, threshold):
    """Cells above a threshold per event, as integers."""
    axes = tuple(range(1, 1 + len(sample.space.shape)))
    counts = [np.count_nonzero(sample.values[piece] > threshold, axis=axes) for piece in pieces(sample)]
    return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)
