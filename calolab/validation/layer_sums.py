"""Weighted sums of the cells of each layer, from which all features of showers are computed, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from calolab.samples import Sample
from calolab.spaces import Space
from calolab.validation import binning
from calolab.validation.observables.profiles import pieces
from calolab.validation.threads import in_threads

# Axes of a layer of rings around the shower axis; its Cartesian axes are those of the CaloChallenge.
CYLINDER = {"alpha", "r"}
CARTESIAN = ("eta", "phi")
SPECTRUM_EDGES, SPECTRUM_DECADES = 50, 7
TINY = 1e-19  # added to a sum of energies before dividing by it, as in the CaloChallenge [GeV]


def is_cylinder(space: Space) -> bool:
    """Whether the cells of a space are rings around the shower axis, divided in the angle `alpha`."""
    return set(space.axes[:-1]) == CYLINDER


def transverse_axes(space: Space) -> tuple[str, str]:
    """Names of the two Cartesian axes across the shower: those of the space, or `("eta", "phi")` of a cylinder.

    Raises:
        ValueError: if the space is not a calorimeter with two transverse axes in mm.
    """
    if not space.has_depth or len(space.axes) != 3:
        raise ValueError(
            f"Features of showers need layers with two transverse axes; space {space.name!r} has the axes {space.axes}."
        )
    if is_cylinder(space):
        return CARTESIAN
    if CYLINDER & set(space.axes) or space.units[0] != space.units[1]:
        raise ValueError(
            f"Features of showers need the axes alpha and r, or two transverse axes in one unit; space {space.name!r} "
            f"has {', '.join(map(space.axis_label, space.axes))}."
        )
    return space.axes[0], space.axes[1]


def positions(space: Space, index: int) -> dict[str, np.ndarray]:
    """Positions of the cell centres of one layer across the shower, each of shape `(cells,)`, in flat order.

    Args:
        space: boxes of cells, or a cylinder with the axes `alpha` and `r`.
        index: index of the layer.

    Returns:
        By name: both axes of `transverse_axes`, and `"r"`. In a cylinder these are `r cos alpha`, `r sin alpha` and the
        centre of the ring, as in the CaloChallenge (arXiv:2410.21611); otherwise `r` is the distance from the middle
        of the layer.
    """
    names, layer = transverse_axes(space), space.layers[index]
    centres = [(np.array(edges[1:]) + edges[:-1]) / 2 for edges in layer.edges]
    grid = dict(zip(space.axes, (axis.ravel() for axis in np.meshgrid(*centres, indexing="ij"))))
    if is_cylinder(space):
        r, alpha = grid["r"], grid["alpha"]
        return {names[0]: r * np.cos(alpha), names[1]: r * np.sin(alpha), "r": r}
    middles = [(edges[0] + edges[-1]) / 2 for edges in layer.edges]
    grid["r"] = np.hypot(*(grid[name] - middle for name, middle in zip(names, middles)))
    return grid


def resolved(space: Space, index: int) -> tuple[str, ...]:
    """Names of the transverse axes along which one layer has more than one cell; in a cylinder more than one `alpha`.

    Args:
        space: the space.
        index: index of the layer.
    """
    names, shape = transverse_axes(space), space.layers[index].shape
    if is_cylinder(space):
        return names if shape[space.axes.index("alpha")] > 1 else ()
    return tuple(name for name, cells in zip(names, shape) if cells > 1)


def moment_weights(space: Space) -> list[np.ndarray]:
    """Weights for `layer_sums`: 1, then position and squared position along both transverse axes and in r.

    Args:
        space: the space.

    Returns:
        For each layer, or once if all are equal, shape `(7, cells)`.
    """
    names, weights = (*transverse_axes(space), "r"), []
    for index in range(1 if space.regular else len(space.layers)):
        found = positions(space, index)
        rows = [power for name in names for power in (found[name], found[name] ** 2)]
        weights.append(np.stack([np.ones(len(rows[0])), *rows]))
    return weights


def layer_sums(values: np.ndarray, space: Space, weights: list[np.ndarray]) -> np.ndarray:
    """Sums of the cells of each layer, multiplied by weights.

    Args:
        values: values of some events, shape `(event, *space.shape)`, any floating-point type; the sums have the same.
        space: the space of the values.
        weights: for each layer, or once if all are equal, an array of shape `(weight, cells)`, of the type of the
            values.

    Returns:
        Shape `(event, weight, layer)`.
    """
    if space.regular:
        return np.matmul(weights[0], values.reshape(len(values), -1, len(space.layers)))
    found = np.empty((len(values), len(weights[0]), len(space.layers)), dtype=values.dtype)
    for index, one in enumerate(weights):
        start, stop = space.layer_starts[index : index + 2]
        found[:, :, index] = values[:, start:stop] @ one.T
    return found


def energies(values: np.ndarray, threshold: float, first: int = 0) -> np.ndarray:
    """Cell energies with those below the threshold set to zero.

    Args:
        values: values of some events, event first [GeV].
        threshold: cells below it, and so negative ones, count as zero; 0 keeps all cells.
        first: number of the first event, for the error message.

    Raises:
        ValueError: for a negative cell where the threshold is zero.
    """
    if threshold > 0:
        return np.where(values < threshold, np.float32(0), values)
    if values.min(initial=0) < 0:
        event = first + int(np.flatnonzero(values.reshape(len(values), -1).min(axis=1) < 0)[0])
        raise ValueError(
            f"Features of showers expect cells of zero or more, received {values.min():.4g} in event {event}; set "
            "negative cells to zero, or give a positive threshold."
        )
    return values


def blocks(events: Sample) -> Iterator[tuple[int, Sample]]:
    """All events in order, in pieces of at most about 32 MiB, each with the number of its first event.

    Args:
        events: a sample, or a stream, of which one block of files is in memory at a time.
    """
    start = 0
    for sample in events.in_order() if hasattr(events, "in_order") else (events,):
        for piece in pieces(sample):
            yield start + piece.start, sample.select(piece)
        start += len(sample)


def spectrum_edges(events: Sample, threshold: float) -> np.ndarray:
    """The 50 logarithmic edges of the cell spectrum [GeV], from the threshold to the highest energy of a cell.

    With a threshold of zero they begin at the lowest positive energy, but at most seven decades below the highest.

    Args:
        events: showers as a sample or as a stream.
        threshold: cells below it count as zero [GeV].

    Raises:
        ValueError: if no cell has any energy.
    """
    lowest, highest = np.inf, 0.0
    for low, high in in_threads(partial(_range, threshold), blocks(events)):
        lowest, highest = min(lowest, low), max(highest, high)
    if not highest > 0:
        raise ValueError("No cell of these showers has any energy above the threshold: there is no cell spectrum.")
    return binning.spectrum_edges(threshold or lowest, highest, SPECTRUM_EDGES - 1, SPECTRUM_DECADES)


def _range(threshold, block):
    first, sample = block
    cells = energies(sample.values, threshold, first)
    return float(np.min(cells, where=cells > 0, initial=np.inf)), float(cells.max())


def spectrum(cells: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of positive cells of each event below the first edge, between neighbouring edges, and from the last edge.

    Args:
        cells: shape `(event, ...)` [GeV].
        edges: increasing and positive, shape `(edge,)`.

    Returns:
        Shape `(event, edge + 1)`; a value on an edge counts above it.
    """
    flat = cells.reshape(len(cells), -1)
    positive, size = flat > 0, len(edges) + 1
    bins = np.searchsorted(edges, flat[positive], side="right")
    owners = np.repeat(np.arange(len(flat)) * size, np.count_nonzero(positive, axis=1))
    return np.bincount(owners + bins, minlength=len(flat) * size).reshape(len(flat), size)
