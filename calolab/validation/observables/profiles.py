"""The shape of each shower: profiles along an axis, their moments and maximum, the containment radius.

All functions read a sample in pieces of a few dozen megabytes, so that memory does not grow with the sample. A shower
without energy has no shape: its moments, maximum and radius are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calolab.samples import Sample

PIECE_BYTES = 32 * 2**20


def pieces(sample: Sample) -> Iterator[slice]:
    """Slices of events that cover a sample in order, each of at most about 32 MiB of values."""
    size = max(1, PIECE_BYTES // max(1, 4 * sample.space.n_cells))
    yield from (slice(start, start + size) for start in range(0, len(sample), size))


def profile(sample: Sample, axis: str) -> np.ndarray:
    """Sum of each event's cells in every bin along one axis: the longitudinal profile (`z`) or a transverse one.

    Args:
        sample: the events.
        axis: a name of `sample.space.axes`. Along the depth there is one bin per layer.

    Returns:
        Shape `(event, bins)`, in `space.unit`; the bins add up to the event's visible energy.

    Raises:
        ValueError: for an unknown axis, or a transverse one where the layers differ in cells.
    """
    space = sample.space
    bins = len(space.edges(axis)) - 1
    summed = np.empty((len(sample), bins))
    if not space.regular:
        for index in range(bins):
            layer = sample.layer(index)
            layer.sum(axis=(1, 2), dtype=np.float64, out=summed[:, index])
        return summed
    others = tuple(1 + i for i, name in enumerate(space.axes) if name != axis)
    for piece in pieces(sample):
        sample.values[piece].sum(axis=others, dtype=np.float64, out=summed[piece])
    return summed


def moments(sample: Sample, axis: str, cells: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Energy-weighted mean position of each event along an axis, and the second central moment about it.

    Args:
        sample: the events.
        axis: a name of `sample.space.axes`. Where layers differ in cells, each cell counts at its own layer's position.
        cells: count positions as cell indices 0, 1, ... as the 3DGAN papers do (arXiv:2109.07388) instead of using
            the cell centres of the space; along the depth the centres are those of the sensitive slabs.

    Returns:
        `(first, second)`, each of shape `(event,)`: in mm and mm² (or the axis's own unit), or in cells and cells².
        NaN for an event whose cells do not add up to a positive sum.

    Raises:
        ValueError: for an unknown axis, or cell indices along an axis whose cells differ from layer to layer.
    """
    space = sample.space
    if space.regular or axis == space.axes[-1] or cells:
        weights = profile(sample, axis)
        positions = np.arange(weights.shape[1]) if cells else space.centres(axis)
        projections = [(weights, positions)]
    else:
        projections = list(_layer_projections(sample, _position(space, axis)))
    total = sum(weights.sum(axis=1) for weights, _ in projections)
    total = np.where(total > 0, total, np.nan)
    first = sum(weights @ positions for weights, positions in projections) / total
    second = sum(
        np.einsum("ec,ec->e", weights, (positions - first[:, None]) ** 2) for weights, positions in projections
    )
    return first, second / total


def maximum(sample: Sample, axis: str) -> np.ndarray:
    """Position of the highest bin of each event's profile along an axis, e.g. the depth of the shower maximum.

    Args:
        sample: the sample.
        axis: name of the axis.

    Returns:
        Shape `(event,)`, in mm (or the axis's own unit); NaN for an empty event.
    """
    heights = profile(sample, axis)
    positions = sample.space.centres(axis)[heights.argmax(axis=1)]
    return np.where(heights.sum(axis=1) > 0, positions, np.nan)


def containment_radius(sample: Sample, fraction: float = 0.9) -> np.ndarray:
    """Transverse radius about each shower's barycentre within which the cells contain a fraction of the energy.

    Args:
        sample: events with two transverse axes.
        fraction: the share of the visible energy, between 0 and 1; 0.9 is the usual r90.

    Returns:
        Shape `(event,)`, in mm (or the transverse axes' own unit); NaN for an empty event. It is never smaller
        than the distance from the barycentre to the nearest cell centre.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"containment_radius expects a fraction between 0 and 1, received {fraction}.")
    space = sample.space
    centre = [moments(sample, axis)[0] for axis in space.axes[:2]]
    grids = [
        np.meshgrid(*((np.array(e[1:]) + e[:-1]) / 2 for e in layer.edges), indexing="ij") for layer in space.layers
    ]
    # Layers with the same cells are summed first, which leaves 25 times fewer cells to sort.
    grids = grids[:1] if space.regular else grids
    across, along = (np.concatenate([grid[i].ravel() for grid in grids]) for i in (0, 1))
    radius = np.empty(len(sample))
    for piece in pieces(sample):
        values = sample.values[piece]
        energy = values.sum(axis=-1, dtype=np.float64) if space.regular and space.has_depth else values
        energy = energy.reshape(len(values), -1)
        squared = (across - centre[0][piece, None]) ** 2 + (along - centre[1][piece, None]) ** 2
        order = np.argsort(squared, axis=1)
        held = np.cumsum(np.take_along_axis(energy, order, axis=1), axis=1, dtype=np.float64)
        last = np.argmax(held >= fraction * held[:, -1:], axis=1)
        radius[piece] = np.sqrt(np.take_along_axis(squared, np.take_along_axis(order, last[:, None], 1), 1)[:, 0])
    return radius


def layer_correlations(energies: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Pearson correlation between the energies of every two layers.

    Args:
        energies: shape `(event, layer)`, as returned by `profile(sample, "z")`, preferably divided by each event's
            incident energy: otherwise a spread of incident energies correlates all layers.
        weights: how often each event counts, shape `(event,)`; once by default.

    Returns:
        Shape `(layer, layer)`; NaN where a layer never varies.
    """
    weights = np.ones(len(energies)) if weights is None else np.asarray(weights, dtype=np.float64)
    centred = energies - np.average(energies, axis=0, weights=weights)
    covariance = (centred * weights[:, None]).T @ centred / weights.sum()
    spread = np.sqrt(np.diag(covariance))
    spread = np.where(spread > 1e-12 * np.abs(energies).max(initial=0), spread, np.nan)
    return np.clip(covariance / np.outer(spread, spread), -1, 1)


def _position(space, axis):
    """The index of a named axis; `space.edges` refuses transverse axes of layers that differ."""
    if axis not in space.axes:
        raise ValueError(f"Space {space.name!r} has axes {space.axes}, received {axis!r}.")
    return space.axes.index(axis)


def _layer_projections(sample, position):
    """For every layer, the energies along one transverse axis `(event, cells)` and the cells' centres."""
    for index, layer in enumerate(sample.space.layers):
        edges = np.array(layer.edges[position])
        others = tuple(1 + i for i in range(len(layer.edges)) if i != position)
        yield sample.layer(index).sum(axis=others, dtype=np.float64), (edges[1:] + edges[:-1]) / 2
