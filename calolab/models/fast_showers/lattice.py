"""The cells of a calorimeter of square layers, in the order in which `calolab-fast` generates them.

Layers are generated in three groups: every fourth, those in the middle between them, and the odd ones. In each group
the cells are generated in four classes, which are the parities of their distances in x and y to the core cell in the
centre of the layer. In the first group, the first class is generated in four quarters, which are the parities of half
these distances: its cells have no others between them. Most hits are in the *near* cells, in the inner part of a layer;
in `clic-ecal`, three quarters of all cells are *far* ones around it, with a tenth of the hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from keras import ops

CLASSES = ((0, 0), (1, 1), (0, 1), (1, 0))
GROUPS = ((0, 4), (2, 4), (1, 2))  # first layer and step
RING, OUTSIDE = 1, 2  # zones of a layer: the core cell, the eight cells around it, and all others
INNER = 13  # side of the inner part
SPECTRUM_RADII = (1.2, 1.6, 2.6, 3.7, 5.2, 8.0)  # limits of the radial bins of the template of spectra [pads]


@dataclass(frozen=True)
class Part:
    """The cells of a layer that are generated in one pass, independently of each other.

    Args:
        which: index of their class.
        quarter: index of the quarter of the class; None for all of them.
    """

    which: int
    quarter: int | None = None


_CLASSES = tuple(map(Part, range(1, 4)))
PARTS = ((*(Part(0, quarter) for quarter in range(4)), *_CLASSES), (Part(0), *_CLASSES), (Part(0), *_CLASSES))
PASSES = tuple((group, part) for group, parts in enumerate(PARTS) for part in parts)


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
        return np.digitize(self.radius, SPECTRUM_RADII).astype(np.int32)

    @cached_property
    def static(self) -> np.ndarray:
        """Features of a cell that are the same in all layers, `(4, side, side)`."""
        ring, outside = self.zone == RING, self.zone == OUTSIDE
        return np.stack([self.radius / 5, np.log1p(self.radius) - 1.5, ring, outside]).astype(np.float32)

    @cached_property
    def order(self) -> np.ndarray:
        """Indices of all cells of a layer in the order of their classes, `(side²,)`."""
        return np.concatenate([self.members(Part(which)) for which in range(4)])

    @cached_property
    def place(self) -> np.ndarray:
        """The inverse of `order`."""
        return np.argsort(self.order).astype(np.int32)

    def positions(self, part: Part) -> tuple[range, range]:
        """Positions of a part's cells along x and along y."""
        quarter, found = CLASSES[part.quarter or 0], []
        for parity, half in zip(CLASSES[part.which], quarter):
            first = (parity + self.side // 2) % 2
            here = range(first, self.side, 2)
            if part.quarter is not None:
                here = here[((first - self.side // 2) // 2 + half) % 2 :: 2]
            found.append(here)
        return tuple(found)

    def members(self, part: Part) -> np.ndarray:
        """Indices of a part's cells among all cells of a layer, in their order along x and y."""
        along_x, along_y = self.positions(part)
        return np.ravel(np.array(along_x)[:, None] * self.side + np.array(along_y)).astype(np.int32)

    def regions(self, part: Part) -> list[np.ndarray]:
        """Indices of a part's near cells, and of its far ones if there are any."""
        members = self.members(part)
        is_far = np.ravel(np.maximum(abs(self.x), abs(self.y)))[members] > INNER // 2
        return [members[~is_far], members[is_far]] if is_far.any() else [members]

    def drawn(self, part: Part) -> np.ndarray:
        """Indices of a part's cells in the order in which they are drawn: near ones first."""
        return np.concatenate(self.regions(part))

    def of(self, part: Part, values: np.ndarray) -> np.ndarray:
        """Values of a part's cells in the order in which they are drawn, `(..., cell)`.

        Args:
            part: the part.
            values: those of all cells of a layer, `(..., side, side)`.
        """
        return values.reshape(*values.shape[:-2], -1)[..., self.drawn(part)]

    def natural_order(self, *parts: Part) -> np.ndarray:
        """Where the cells of parts, in their order along x and y, are among those that are drawn, part by part."""
        return np.argsort(np.concatenate([self.drawn(part) for part in parts])).astype(np.int32)

    def zones(self, part: Part) -> np.ndarray:
        """Whether a part's cells are in the ring, and whether they are outside, 1 or 0, `(2, cell)`."""
        return self.of(part, self.moments[:2])

    @cached_property
    def moments(self) -> np.ndarray:
        """Factors of a cell's energy in the sums of a layer, `(5, side, side)`.

        The sums are the energies in the ring and outside [GeV], all energies times x and y [GeV pads], and those
        outside times the squared radius [GeV pads²].
        """
        ring, outside = self.zone == RING, self.zone == OUTSIDE
        return np.stack([ring, outside, self.x, self.y, self.radius**2 * outside]).astype(np.float32)

    def left(self, group: int, number: int) -> np.ndarray:
        """Number of cells in the ring and outside in a part of a group and those after it, `(2,)`.

        Args:
            group: index of the group.
            number: index of the part.
        """
        return sum((self.zones(one).sum(axis=1) for one in PARTS[group][number:]), np.zeros(2, np.float32))

    def group(self, which: int) -> range:
        """Layers of a group."""
        first, step = GROUPS[which]
        return range(first, self.layers, step)

    def sources(self, part: Part) -> list[Part]:
        """The parts that are generated before a part, in the same layer: classes, or quarters of the first one."""
        if part.quarter is None:
            return list(map(Part, range(part.which)))
        return [Part(0, quarter) for quarter in range(part.quarter)]

    def shifts(self, part: Part, source: Part, reach: int) -> list[tuple[int, int]]:
        """Distances along x and y of the cells of a source around those of a part.

        Args:
            part: the part.
            source: one of its sources.
            reach: largest distance; that of quarters is 2.
        """
        unit, reach = (1, reach) if part.quarter is None else (2, 2)
        here, there = (CLASSES[one.which if part.quarter is None else one.quarter] for one in (part, source))
        steps = range(-reach, reach + 1, unit)
        pairs = [(dx, dy) for dx in steps for dy in steps]
        return [(dx, dy) for dx, dy in pairs if ((here[0] + dx // unit) % 2, (here[1] + dy // unit) % 2) == there]

    def around(self, cells: np.ndarray, shifts: Sequence[tuple[int, int]], source: Part | None = None) -> np.ndarray:
        """Where the neighbours of some cells are among those of a source, one distance after the other.

        Args:
            cells: indices of the cells among all cells of a layer.
            shifts: distances of the neighbours along x and y.
            source: the cells that are numbered, in their order along x and y; None for all cells of a layer.

        Returns:
            Indices, `(shift * cell,)`; the number of the source's cells stands for cells beyond the edge.
        """
        members = np.arange(self.cells) if source is None else self.members(source)
        reach = max(abs(step) for shift in shifts for step in shift)
        numbers = np.full(self.cells, len(members))
        numbers[members] = np.arange(len(members))
        numbers = np.pad(numbers.reshape(self.side, self.side), reach, constant_values=len(members))
        x, y = np.divmod(cells, self.side)
        found = [numbers[x + reach + dx, y + reach + dy] for dx, dy in shifts]
        return np.concatenate(found).astype(np.int32)

    def mean(self, reach: int) -> np.ndarray:
        """Matrix of the sliding mean of `2 * reach + 1` positions along an axis, with zeros outside, `(side, side)`."""
        near = abs(self.axis[:, None] - self.axis) <= reach
        return (near / (2 * reach + 1)).astype(np.float32)

    def means(self, reach: int, part: Part, source: Part) -> tuple[np.ndarray, np.ndarray]:
        """Matrices of the sliding means over the cells of a source along x and along y, at the cells of a part.

        Args:
            reach: as for `mean`.
            part: the part, where the means are.
            source: the cells that are averaged.
        """
        along = zip(*map(self.positions, (part, source)))
        return tuple(self.mean(reach)[np.ix_(here, there)] for here, there in along)


def summed(factors: np.ndarray, values):
    """Sums over cells, `(sum, layer, event)`.

    Args:
        factors: factors of the cells in each sum, `(sum, cell)`.
        values: values of the cells, `(cell, layer, event)`.
    """
    found = ops.matmul(factors, ops.reshape(values, (values.shape[0], -1)))
    return ops.reshape(found, (len(factors), values.shape[1], -1))
