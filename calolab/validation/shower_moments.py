"""First and second moments of whole showers along all directions, from their features in each layer."""

from __future__ import annotations

import numpy as np

from calolab.spaces import Space
from calolab.validation.feature_table import Features
from calolab.validation.layer_sums import TINY, transverse_axes


def moment_names(space: Space) -> tuple[str, ...]:
    """Names of the columns of `shower_moments`, e.g. `"first_moment_x"` and `"second_moment_x"`.

    Args:
        space: boxes of cells, or a cylinder with the axes `alpha` and `r`.
    """
    axes = (*transverse_axes(space), "r", space.axes[-1])
    return tuple(f"{order}_moment_{axis}" for axis in axes for order in ("first", "second"))


def shower_moments(features: Features) -> np.ndarray:
    """Energy-weighted mean position and variance of each shower along both transverse axes, in r and in depth.

    Moments of this kind, and the correlations between them, validate the 3DGAN (arXiv:2109.07388). Those across the
    shower are of the layers that have more than one cell along the axis.

    Args:
        features: of `high_level`.

    Returns:
        Shape `(event, column)`, with the columns of `moment_names` [mm and mm², along the depth in the unit of the
        space]; 0 for showers without energy.

    Raises:
        ValueError: if the features are not those of `high_level`.
    """
    energy, depth = features.group("layer_energy"), features.space.centres(features.space.axes[-1])
    parts = []
    for axis in (*transverse_axes(features.space), "r"):
        group = f"centre_{axis}"
        layers = [column.layer for column in features.columns if column.group == group]
        centres, widths = (features.group(f"{what}_{axis}") if layers else 0 for what in ("centre", "width"))
        parts.append((energy[:, layers], centres, widths))
    parts.append((energy, depth, 0.0))
    found = []
    for weights, centres, widths in parts:
        total = weights.sum(axis=1) + TINY
        mean = np.sum(weights * centres, axis=1) / total
        square = np.sum(weights * (np.square(centres) + np.square(widths)), axis=1) / total
        found += [mean, np.maximum(square - mean**2, 0)]
    return np.stack(found, axis=1)
