"""The standard normal distribution."""

from __future__ import annotations

from keras import ops

SQRT_2 = 2**0.5


def probability(normal):
    """Cumulative probability of the standard normal distribution."""
    return 0.5 * (1.0 + ops.erf(normal / SQRT_2))


def normal_quantile(probability):
    """Inverse of `probability`."""
    return ops.erfinv(2.0 * probability - 1.0) * SQRT_2
