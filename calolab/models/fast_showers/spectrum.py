"""The histogram of a hit's energy: bins of the log of its ratio to the threshold."""

from __future__ import annotations

import numpy as np
from keras import ops

# Wide enough for cells of 0.15 GeV with a threshold of 3e-5 GeV; more energy is in the last bin.
EDGES = np.concatenate([np.arange(0, 4, 0.125), np.arange(4, 8.51, 0.25)]).astype(np.float32)
BINS = np.diff(EDGES)


def log_energy(energy: np.ndarray, threshold: float) -> np.ndarray:
    """Log of the ratio of energies to the threshold.

    Args:
        energy: energies of hits [GeV].
        threshold: lowest energy of a hit [GeV].
    """
    return np.log(energy / np.float32(threshold))


def log_likelihood(log_probabilities, log_energies):
    """Log probability density of log energies, `(hit,)`.

    Args:
        log_probabilities: of the bins, `(hit, bin)`.
        log_energies: log of the ratio of the energy to the threshold, `(hit,)`.
    """
    index = ops.searchsorted(EDGES, log_energies, side="right") - 1
    index = ops.clip(ops.cast(index, "int32"), 0, len(BINS) - 1)
    found = ops.take_along_axis(log_probabilities, index[:, None], axis=1)[:, 0]
    return found - ops.take(np.log(BINS), index)


def drawn(chances, uniform):
    """Log energies, each a continuous function of a number from 0 to 1, by the inverse of the cumulative distribution.

    Args:
        chances: probabilities of the bins, `(hit, bin)`.
        uniform: numbers from 0 to 1, `(..., hit)`.
    """
    below = ops.matmul(chances, _BELOW)
    parts = ops.clip((uniform[..., None] - below) / ops.maximum(chances, 1e-9), 0.0, 1.0)
    return ops.matmul(parts, BINS[:, None])[..., 0] + EDGES[0]


def cumulative(chances, log_energies):
    """The inverse of `drawn`: probabilities of lower energies, `(hit,)`.

    Args:
        chances: as for `drawn`.
        log_energies: log of the ratio of the energy to the threshold, `(hit,)`.
    """
    parts = ops.clip((log_energies[:, None] - EDGES[:-1]) / BINS, 0.0, 1.0)
    return ops.sum(chances * parts, axis=1)


def deviation(chances):
    """Standard deviation of the energy in units of the threshold, `(hit,)`.

    Args:
        chances: as for `drawn`.
    """
    mean, square = ops.unstack(ops.matmul(chances, _MOMENTS), 2, axis=1)
    return ops.sqrt(ops.maximum(square - ops.square(mean), 1e-6))


# Sums the probabilities of all lower bins; a matrix product is faster than a cumulative sum.
_BELOW = np.triu(np.ones((len(BINS), len(BINS)), dtype=np.float32), 1)
# Mean of the energy and of its square in each bin, where its logarithm is uniform.
_MOMENTS = np.stack([np.diff(np.exp(n * EDGES.astype(float))) / (n * BINS) for n in (1, 2)], axis=1).astype(np.float32)
