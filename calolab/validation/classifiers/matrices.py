"""Matrices of features (event, feature) of two samples, checked and prepared in the same way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calolab.samples import real_numbers


def checked_matrices(reference, generated, names: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices as float32, after a check that a classifier can compare them.

    Args:
        reference, generated: features, shape `(event, feature)`; one-dimensional arrays are one feature.
        names: names of the features, for error messages.

    Raises:
        ValueError: for other shapes, different numbers of features, or values that are not finite as float32.
    """
    found = []
    for side, given in (("reference", reference), ("generated", generated)):
        matrix = real_numbers(f"Features of the {side} sample", given, np.float32)
        matrix = matrix[:, None] if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or not matrix.shape[1]:
            raise ValueError(
                f"Features of the {side} sample must have shape (event, feature), received {matrix.shape}. Samples of "
                "images go to cnn_test."
            )
        bad = np.flatnonzero(~np.isfinite(matrix).all(axis=0))
        if len(bad):
            which = names[bad[0]] if len(names) == matrix.shape[1] else f"feature {bad[0]}"
            count = np.sum(~np.isfinite(matrix[:, bad[0]]))
            raise ValueError(
                f"Features must be finite: {len(bad)} features of the {side} sample are not, the first is {which} "
                f"({count} of {len(matrix)} events). Leave these features or events out."
            )
        found.append(matrix)
    if found[0].shape[1] != found[1].shape[1]:
        raise ValueError(
            f"Both samples must have the same features, received {found[0].shape[1]} and {found[1].shape[1]}."
        )
    return found[0], found[1]


def count(number: int, noun: str) -> str:
    """A number with its noun, e.g. `"174 features"`.

    Args:
        number: the number.
        noun: the noun in the singular.
    """
    return f"{number} {noun}{'s' * (number != 1)}"
