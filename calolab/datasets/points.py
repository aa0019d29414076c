"""Showers as clouds of points, put into the cells of a space; energy is conserved except outside the cells."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calolab.spaces import Layer, Space, pad_edges

# Depths of the silicon of the 30 layers of ILD's ECAL [mm from the beam] in the files of CaloClouds 3: ten pairs of
# layers with thin absorbers and five with thick ones.
_ILD_PAIRS = [*(1811.60 + 12.47 * np.arange(10)), *(1938.40 + 16.67 * np.arange(5))]
_ILD_GAPS = [3.13] * 10 + [5.23] * 5
_ILD_CELL = 5.0883  # [mm]


def ild_ecal(cells: int = 90) -> Space:
    """The silicon-tungsten ECAL of ILD: 30 layers, with boundaries midway between their silicon, and square cells.

    Args:
        cells: number of cells of 5.0883 mm along x and y, around zero.
    """
    silicon = np.array([depth for pair, gap in zip(_ILD_PAIRS, _ILD_GAPS) for depth in (pair, pair + gap)])
    inside = (silicon[1:] + silicon[:-1]) / 2
    borders = [2 * silicon[0] - inside[0], *inside, 2 * silicon[-1] - inside[-1]]
    edges = (pad_edges(cells, _ILD_CELL), pad_edges(cells, _ILD_CELL))
    layers = tuple(Layer(edges, depth=(float(begin), float(end))) for begin, end in pairwise(borders))
    return Space("ild-ecal", ("x", "y", "z"), ("mm", "mm", "mm"), layers)


@dataclass(frozen=True)
class PointArray:
    """A dataset with the points of each event, padded with points without energy.

    A point belongs to the layer whose depths contain it and to the cell there that contains its other coordinates;
    lower edges belong to a cell, upper ones do not. In a space with the axes alpha and r these follow from x and y.

    Args:
        dataset: its name.
        space: the space of the cells.
        columns, origin, depth_in_layers: meaning of the numbers of a point, as in `layouts.Points`.
    """

    dataset: str
    space: Space
    columns: tuple[str, ...]
    origin: tuple[float, float, float]
    depth_in_layers: bool

    @property
    def shape(self) -> tuple:
        """Shape of an event, for messages."""
        return ("point", len(self.columns))

    def covers(self, n_cells: int) -> bool:
        """False: the cells of an event are made from its points, they are not stored."""
        return False

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an event of this shape can be read: points and their numbers, in either order.

        Args:
            shape: shape of a dataset, without its first axis.
        """
        return len(shape) == 2 and len(self.columns) in shape

    def unpack(self, stored: np.ndarray, values: np.ndarray) -> float:
        """Add the energies of points to the cells that contain them.

        Args:
            stored: points of some events, event first.
            values: C-contiguous array for the cells, of shape `(event, *space.shape)`.

        Returns:
            The energy of all points outside the cells.

        Raises:
            ValueError: if an energy or coordinate is NaN or infinite, an energy is negative, or all points are outside.
        """
        if stored.shape[-1] != len(self.columns):
            stored = stored.swapaxes(1, 2)
        table = dict(zip(self.columns, np.moveaxis(stored, -1, 0)))
        event, number = np.nonzero(table["energy"])
        table = {name: column[event, number].astype(np.float64) for name, column in table.items()}
        energy = table.pop("energy")
        bad = ~np.isfinite(energy) | (energy < 0) | ~np.all([np.isfinite(c) for c in table.values()], axis=0)
        if bad.any():
            raise ValueError(
                f"{bad.sum()} points hold NaN, infinite or negative numbers, the first with the energy {energy[bad][0]}"
            )
        layer, transverse = self._located(table)
        cell = self._cells(layer, transverse)
        inside = cell >= 0
        total, lost = float(energy.sum()), float(energy[~inside].sum())
        if total > 0 and not inside.any():
            depth = table[self.space.axes[-1]]
            raise ValueError(
                f"all points are outside the cells of {self.space.name!r}; their depths are {depth.min():.4g} to "
                f"{depth.max():.4g}, those of the cells {self.space.layers[0].depth[0]:.4g} to "
                f"{self.space.layers[-1].depth[1]:.4g}. If depths are numbers of layers, use layout='ild-layers'"
            )
        size = len(values) * self.space.n_cells
        found = np.bincount(event[inside] * self.space.n_cells + cell[inside], energy[inside], minlength=size)
        values[...] = found.reshape(values.shape)
        return lost

    def _located(self, table: dict[str, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The layer of each point, -1 outside, and its coordinates along the axes of a layer."""
        space, shift = self.space, dict(zip(("x", "y", "z"), self.origin))
        moved = {name: column - shift.get(name, 0.0) for name, column in table.items()}
        depth = moved[space.axes[-1]]
        if self.depth_in_layers:
            layer = np.floor(depth).astype(np.int64)
            layer[(layer < 0) | (layer >= len(space.layers))] = -1
        else:
            begins, ends = np.array([one.depth for one in space.layers]).T
            layer = np.searchsorted(begins, depth, side="right") - 1
            layer[(layer >= 0) & (depth >= ends[layer])] = -1
        if space.axes[:-1] == ("alpha", "r") and "alpha" not in moved:
            # The angle pi is that of -pi, where the first cell begins.
            alpha = np.arctan2(moved["y"], moved["x"])
            moved |= {"alpha": np.where(alpha >= np.pi, -np.pi, alpha), "r": np.hypot(moved["x"], moved["y"])}
        return layer, [moved[axis] for axis in space.axes[:-1]]

    def _cells(self, layer: np.ndarray, transverse: list[np.ndarray]) -> np.ndarray:
        """Index of the cell of each point in C order of the space; -1 outside."""
        space = self.space
        cell = np.full(len(layer), -1, np.int64)
        groups = [(layer >= 0, 0)] if space.regular else [(layer == i, i) for i in range(len(space.layers))]
        for chosen, index in groups:
            shape, position, good = space.layers[index].shape, np.zeros(chosen.sum(), np.int64), True
            for edges, cells, column in zip(space.layers[index].edges, shape, transverse):
                along = np.searchsorted(edges, column[chosen], side="right") - 1
                good &= (along >= 0) & (along < cells)
                position = position * cells + along
            if space.regular:
                position = position * len(space.layers) + layer[chosen]
            else:
                position += space.layer_starts[index]
            cell[chosen] = np.where(good, position, -1)
        return cell
