"""Readout: sums of energy deposits in the cells of a calorimeter."""

from __future__ import annotations

import numpy as np

from calolab.spaces import Space


def in_cells(
    space: Space,
    n_events: int,
    event: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    layer: np.ndarray,
    energy: np.ndarray,
    follow: bool,
) -> np.ndarray:
    """Sum deposits in the cells of a regular space with cells of equal size.

    Args:
        space: the calorimeter.
        n_events: number of events.
        event, x, y, layer, energy: event, position [mm], layer and energy [GeV] of each deposit, shape `(deposit,)`.
        follow: whether the window follows the shower, so that its middle cell contains the energy barycentre of the
            event; otherwise it is fixed.

    Returns:
        Energies [GeV], shape `(event, *space.shape)`, float32; deposits outside the window are lost.

    >>> from calolab import spaces
    >>> zero = np.zeros(2, int)
    >>> cells = in_cells(spaces.space("clic-ecal"), 1, zero, zero, zero, zero, np.array([0.5, 0.25]), follow=False)
    >>> float(cells[0, 12, 12, 0])
    0.75
    """
    inside = np.ones(len(energy), bool)
    cell = event
    for position, edges in zip((x, y), space.layers[0].edges):
        number = len(edges) - 1
        size = (edges[-1] - edges[0]) / number
        index = np.floor((position - np.float32(edges[0])) * np.float32(1 / size)).astype(np.int32)
        if follow:
            index -= _shift(n_events, event, position - (edges[0] + edges[-1]) / 2, energy, size)[event]
        inside &= (index >= 0) & (index < number)
        cell = cell * number + index
    cell = cell * len(space.layers) + layer
    if not inside.all():
        cell, energy = cell[inside], energy[inside]
    values = np.bincount(cell, energy, minlength=n_events * space.n_cells)
    return values.reshape(n_events, *space.shape).astype(np.float32)


def layer_of(space: Space, z: np.ndarray) -> np.ndarray:
    """The layer that contains a depth.

    Args:
        space: the calorimeter.
        z: depths [mm], of any shape.

    >>> from calolab import spaces
    >>> layer_of(spaces.space("clic-ecal"), np.array([1.0, 5.0]))
    array([0, 1])
    """
    return np.clip(np.searchsorted(space.edges("z"), z, side="right") - 1, 0, len(space.layers) - 1)


def _shift(n_events, event, offset, energy, size) -> np.ndarray:
    """Number of cells by which the window moves along one axis in each event."""
    total = np.bincount(event, energy, minlength=n_events)
    mean = np.bincount(event, energy * offset, minlength=n_events) / np.where(total > 0, total, 1)
    return np.rint(mean / size).astype(np.int32)
