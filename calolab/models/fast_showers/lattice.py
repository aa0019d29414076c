"""The cells of a calorimeter of square layers, in the order in which `calolab-fast` generates them.

Layers are generated in three groups: every fourth, those in the middle between them, and the odd ones. In each group
the cells are generated in four classes, which are the parities of their distances in x and y to the core cell in the
centre of the layer. A *plane* holds the cells of a class as an array of its own, so that the neighbours of all its
cells at some distance are a contiguous part of another plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

CLASSES = ((0, 0), (1, 1), (0, 1), (1, 0))
GROUPS = ((0, 4), (2, 4), (1, 2))  # first layer and step
RING, OUTSIDE = 1, 2  # zones of a layer: the core cell, the eight cells around it, and all others
INNER = 17  # side of the inner part, which has most of the hits
SPECTRUM_RADII = (1.2, 1.6, 2.6, 3.7, 5.2, 8.0)  # limits of the radial bins of the template of spectra [pads]


@dataclass(frozen=True)
class Lattice:
    """Positions, zones and classes of the cells of a layer.

    Args:
        side: pads along x and y, an odd number.
        layers: number of layers.
    """

    side: int
    layers: int

    @property
    def cells(self) -> int:
        """Cells of a layer."""
        return self.side**2

    @cached_property
    def axis(self) -> np.ndarray:
        """Distance to the centre along an axis [pads], `(side,)`."""
        return np.arange(self.side) - float(self.side // 2)

    @cached_property
    def x(self) -> np.ndarray:
        """Distance of each cell to the core cell along x [pads], `(side, side)`."""
        return np.repeat(self.axis[:, None], self.side, axis=1)

    @cached_property
    def y(self) -> np.ndarray:
        """Distance of each cell to the core cell along y [pads], `(side, side)`."""
        return self.x.T

    @cached_property
    def radius(self) -> np.ndarray:
        """Distance of each cell to the core cell [pads], `(side, side)`."""
        return np.hypot(self.x, self.y)

    @cached_property
    def zone(self) -> np.ndarray:
        """0 for the core cell, `RING` or `OUTSIDE`, `(side, side)`."""
        far = np.maximum(abs(self.x), abs(self.y))
        return np.where(far > 1, OUTSIDE, np.where(far > 0, RING, 0))

    @cached_property
    def radii(self) -> np.ndarray:
        """Index of each cell's radius among all that occur, `(side, side)`."""
        return np.unique(np.round(self.radius, 3), return_inverse=True)[1].reshape(self.side, self.side)

    @cached_property
    def radial_bins(self) -> np.ndarray:
        """Index of each cell's radial bin of the template of spectra, `(side, side)`."""
        return np.digitize(self.radius, SPECTRUM_RADII)

    @cached_property
    def static(self) -> np.ndarray:
        """Features of a cell that are the same in all layers, `(4, side, side)`."""
        ring, outside = self.zone == RING, self.zone == OUTSIDE
        return np.stack([self.radius / 5, np.log1p(self.radius) - 1.5, ring, outside]).astype(np.float32)

    @cached_property
    def order(self) -> np.ndarray:
        """Indices of all cells of a layer in the order of their classes, `(side²,)`."""
        return np.concatenate([self.members(which) for which in range(4)])

    @cached_property
    def place(self) -> np.ndarray:
        """The inverse of `order`."""
        return np.argsort(self.order)

    @property
    def margin(self) -> int:
        """Cells between the edge of a layer and its inner part, an even number."""
        return max(0, (self.side - INNER) // 2 // 2 * 2)

    def span(self, parity: int, margin: int = 0) -> slice:
        """Positions along an axis with this parity of the distance to the centre.

        Args:
            parity: 0 or 1.
            margin: number of positions left out on both sides, an even number.
        """
        return slice(margin + (parity + self.side // 2) % 2, self.side - margin, 2)

    def shape(self, which: int, margin: int = 0) -> tuple[int, int]:
        """Shape of the plane of a class.

        Args:
            which: index of the class.
            margin: as for `span`.
        """
        return tuple(len(range(self.side)[self.span(parity, margin)]) for parity in CLASSES[which])

    def of(self, which: int, values: np.ndarray, margin: int = 0) -> np.ndarray:
        """Values of the cells of a class, `(..., cell)`.

        Args:
            which: index of the class.
            values: those of all cells of a layer, `(..., side, side)`.
            margin: as for `span`.
        """
        along_x, along_y = (self.span(parity, margin) for parity in CLASSES[which])
        return values[..., along_x, along_y].reshape(*values.shape[:-2], -1)

    def members(self, which: int) -> np.ndarray:
        """Indices of the cells of a class among all cells of a layer."""
        return self.of(which, np.arange(self.cells).reshape(self.side, self.side))

    def slices(self, which: int) -> slice:
        """Where the cells of a class are in `order`."""
        before = sum(len(self.members(one)) for one in range(which))
        return slice(before, before + len(self.members(which)))

    def zones(self, which: int, margin: int = 0) -> np.ndarray:
        """Whether the cells of a class are in the ring, and whether they are outside, `(2, cell)`.

        Args:
            which: index of the class.
            margin: as for `span`.
        """
        zone = self.of(which, self.zone, margin)
        return np.stack([zone == RING, zone == OUTSIDE]).astype(np.float32)

    def left(self, which: int) -> np.ndarray:
        """Number of cells in the ring and outside in this class and those after it, `(2,)`."""
        return sum((self.zones(one).sum(axis=1) for one in range(which, 4)), np.zeros(2, np.float32))

    def group(self, which: int) -> range:
        """Layers of a group."""
        first, step = GROUPS[which]
        return range(first, self.layers, step)

    @property
    def width(self) -> int:
        """Side of a plane with a border of at least one cell, the same for all classes."""
        return 2 + (self.side + 1) // 2

    def within(self, source: int, target: int, shift: tuple[int, int], margin: int = 0) -> tuple[slice, slice]:
        """Where the neighbours of a plane's cells are in the plane of another class with its border.

        Args:
            source: class of the neighbours.
            target: class of the cells.
            shift: distance of the neighbours along x and y, at most 2.
            margin: as for `span`.
        """
        found = []
        for here, there, step, number in zip(CLASSES[target], CLASSES[source], shift, self.shape(target, margin)):
            first = (self.span(here).start + step - self.span(there).start) // 2 + 1 + margin // 2
            found.append(slice(first, first + number))
        return tuple(found)

    def neighbours(self, which: int, reach: int) -> list[tuple[int, int, int]]:
        """Distances along x and y, and the class, of the cells around those of a class, also of its own.

        Args:
            which: index of the class.
            reach: largest distance.
        """
        along_x, along_y = CLASSES[which]
        steps = range(-reach, reach + 1)
        return [(dx, dy, CLASSES.index(((along_x + dx) % 2, (along_y + dy) % 2))) for dx in steps for dy in steps]

    def mean(self, reach: int) -> np.ndarray:
        """Matrix of the sliding mean of `2 * reach + 1` positions along an axis, with zeros outside, `(side, side)`."""
        near = abs(self.axis[:, None] - self.axis) <= reach
        return (near / (2 * reach + 1)).astype(np.float32)

    def mean_of_plane(self, reach: int, target: int, source: int, margin: int = 0) -> list[np.ndarray]:
        """The sliding mean along x and along y from the plane of a class with its border to that of another class.

        Args:
            reach: as for `mean`.
            target: class of the positions of the means.
            source: class of the values.
            margin: as for `span`.

        Returns:
            Matrices of shape (cells of the target along the axis, `width`), which sum the values.
        """
        found = []
        for here, there in zip(CLASSES[target], CLASSES[source]):
            matrix = self.mean(reach)[self.span(here, margin), self.span(there)]
            found.append(np.pad(matrix, ((0, 0), (1, self.width - 1 - matrix.shape[1]))))
        return found
