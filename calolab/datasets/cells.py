"""How the cells of an event are stored in datasets: which cells each contains, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calolab.datasets.layouts import Layout
from calolab.datasets.points import PointArray
from calolab.spaces import Space


@dataclass(frozen=True)
class CellArray:
    """A dataset with cells of each event.

    Args:
        dataset: its name.
        shape: shape in which the cells of an event are written.
        start, stop: range of the cells in the event's values, in C order.
        axes: number of cells along each axis, in the order of the file; None in the order of the space.
        order: position of each axis of the file among the axes of the space, likewise.
    """

    dataset: str
    shape: tuple[int, ...]
    start: int
    stop: int
    axes: tuple[int, ...] | None = None
    order: tuple[int, ...] | None = None

    def covers(self, n_cells: int) -> bool:
        """Whether the dataset contains all cells of an event in the order of the space.

        Args:
            n_cells: number of cells in the space.
        """
        return self.order is None and self.stop - self.start == n_cells

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether cells of an event of this shape can be read; an axis for one channel, last or first, does not count.

        Args:
            shape: shape of a dataset, without its first axis.
        """
        one_channel = (shape[:-1] if shape[-1:] == (1,) else None, shape[1:] if shape[:1] == (1,) else None)
        return self.shape in (shape, *one_channel) or (self.axes is not None and shape == self.axes)

    def unpack(self, stored: np.ndarray, values: np.ndarray) -> float:
        """Copy cells as they are stored to their positions in the values of events.

        Args:
            stored: cells of some events, event first.
            values: the events' values, C-contiguous, of shape `(event, *space.shape)`.

        Returns:
            The energy that is stored outside the cells: none.
        """
        if self.order is None:
            values.reshape(len(values), -1)[:, self.start : self.stop] = stored.reshape(len(values), -1)
        else:
            turned = (0, *(1 + position for position in np.argsort(self.order)))
            values[...] = stored.reshape(len(values), *self.axes).transpose(turned)
        return 0.0

    def pack(self, values: np.ndarray) -> np.ndarray:
        """Cells in the form in which they are stored, shape `(event, *self.shape)`.

        Args:
            values: values of some events, of shape `(event, *space.shape)`.
        """
        if self.order is None:
            stored = values.reshape(len(values), -1)[:, self.start : self.stop]
        else:
            stored = values.transpose(0, *(1 + position for position in self.order))
        return stored.reshape(len(values), *self.shape)


def arrays(layout: Layout, quantity: str, space: Space) -> tuple[CellArray | PointArray, ...]:
    """The datasets in which a layout stores the cells of a space.

    Args:
        layout: the layout.
        quantity: name of the dataset, for layouts that do not define it.
        space: the space of the cells.

    Raises:
        ValueError: if the layout is for other spaces.
    """
    names = layout.datasets(quantity)
    if layout.points is not None:
        needed = {*layout.points.columns, *(("alpha", "r") if {"x", "y"} <= set(layout.points.columns) else ())}
        if not space.has_depth or not needed >= set(space.axes):
            raise ValueError(f"layout {layout.name!r} has points {layout.points.columns}, received {space!r}")
        points = layout.points
        return (PointArray(names[0], space, points.columns, points.origin, points.depth_in_layers),)
    if len(names) > 1:
        if space.regular or len(space.layers) != len(names):
            raise ValueError(
                f"layout {layout.name!r} stores {len(names)} layers that differ, in datasets {', '.join(names)}; "
                f"received {space!r}"
            )
        starts = space.layer_starts
        return tuple(
            CellArray(name, layer.shape, start, stop)
            for name, layer, start, stop in zip(names, space.layers, starts, starts[1:])
        )
    shape, axes, order = space.shape, None, None
    if layout.axes is not None:
        if sorted(layout.axes) != sorted(space.axes) or not space.has_depth:
            raise ValueError(f"layout {layout.name!r} is for the axes {', '.join(layout.axes)}, received {space!r}")
        if space.regular:
            order = tuple(space.axes.index(axis) for axis in layout.axes)
            axes = tuple(space.shape[position] for position in order)
        elif layout.axes != (space.axes[-1], *space.axes[:-1]):
            raise ValueError(
                f"layout {layout.name!r} is for layers with the same cells, received {space!r}, whose layers differ"
            )
        shape = (math.prod(shape),) if layout.flat else axes or shape
    return (CellArray(names[0], shape, 0, space.n_cells, axes, order),)
