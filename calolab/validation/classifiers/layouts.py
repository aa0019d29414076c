"""Cells as images for a convolutional network: layers of equal cells are the channels of one image, with symmetries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np

from calolab.spaces import Layer, Space

FULL_CIRCLE = 2 * np.pi


@dataclass(frozen=True, eq=False)
class Branch:
    """One image of an event, made of all layers that have the same cells.

    Args:
        index: positions of its pixels among the flat cells of an event, once for each symmetry, shape
            `(symmetry, row, column, layer)`; the first symmetry changes nothing.
        periodic: whether the last column is next to the first one.
    """

    index: np.ndarray
    periodic: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the image: rows, columns and channels."""
        return self.index.shape[1:]


def branches(space: Space, augment: bool) -> list[Branch]:
    """The images of which an event in this space consists, with the symmetries that they have in common.

    Boxes of square cells have the eight symmetries of the square, other boxes reflections. Cells in an angle of 360
    degrees have rotations by cells and reflections; their angle is along the columns.

    Args:
        space: of the events.
        augment: whether to use symmetries; without them there is only the identity.

    Raises:
        ValueError: if a layer has more than two axes.
    """
    if len(space.layers[0].edges) > 2:
        raise ValueError(f"Images need layers with one or two axes, space {space.name!r} has the axes {space.axes}.")
    groups: dict[tuple, list[int]] = {}
    for number, layer in enumerate(space.layers):
        groups.setdefault(layer.edges, []).append(number)
    kinds = [space.layers[numbers[0]] for numbers in groups.values()]
    angle = _angle(space)
    turns, square, mirrored = 1, False, [False, False]
    if augment and angle is not None:
        turns = reduce(gcd, [layer.shape[angle] for layer in kinds if layer.shape[angle] > 1], 0) or 1
        # A radius has a direction; any other axis beside an angle, such as eta, can be mirrored.
        mirrored = [angle != 0 or turns > 1, angle != 1 or turns > 1]
        if "r" in space.axes:
            mirrored[1 - angle] = False
    elif augment:
        mirrored = [all(_is_even(layer, axis) for layer in kinds) for axis in (0, 1)]
        square = all(mirrored) and all(layer.edges[0] == layer.edges[-1] for layer in kinds)
    cells = _cells(space)
    made = []
    for numbers in groups.values():
        image = np.stack([cells[number] for number in numbers], axis=-1)
        images = [np.roll(image, turn * image.shape[angle or 0] // turns, axis=angle or 0) for turn in range(turns)]
        for axis in (0, 1):
            images += [np.flip(one, axis) for one in images] if mirrored[axis] else []
        images += [one.swapaxes(0, 1) for one in images] if square else []
        if angle == 0:
            images = [one.swapaxes(0, 1) for one in images]
        made.append(Branch(np.stack(images).astype(np.int32), periodic=angle is not None and images[0].shape[1] > 1))
    return made


def _cells(space: Space) -> list[np.ndarray]:
    """For each layer the positions of its cells among the flat cells of an event, in two dimensions."""
    shapes = [layer.shape if len(layer.shape) == 2 else (*layer.shape, 1) for layer in space.layers]
    if space.regular:
        everything = np.arange(space.n_cells).reshape(*shapes[0], len(shapes))
        return [everything[..., number] for number in range(len(shapes))]
    return [start + np.arange(np.prod(shape)).reshape(shape) for start, shape in zip(space.layer_starts, shapes)]


def _angle(space: Space) -> int | None:
    """The transverse axis that is a full circle in all layers, if there is one."""
    for axis in range(len(space.layers[0].edges)):
        spans = [layer.edges[axis][-1] - layer.edges[axis][0] for layer in space.layers]
        if space.units[axis] == "rad" and np.allclose(spans, FULL_CIRCLE):
            return axis
    return None


def _is_even(layer: Layer, axis: int) -> bool:
    """Whether the cells along an axis are the same when mirrored."""
    if axis >= len(layer.edges):
        return False
    widths = np.diff(layer.edges[axis])
    return bool(np.allclose(widths, widths[::-1]))
