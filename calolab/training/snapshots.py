"""One generated event per epoch, always with the same latent vector and labels, as a small image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calolab.samples import Sample
from calolab.spaces import Space

LARGEST = 64  # cells along an axis of an image; finer cells are averaged


@dataclass(frozen=True)
class Plane:
    """The plane in which an event is shown.

    Args:
        axes: names of its horizontal and its vertical axis.
        edges: cell edges along both, in the axes' units.
        note: which part of the event it shows, e.g. `"sum along x"`; empty if it shows the whole event.
    """

    axes: tuple[str, str]
    edges: tuple[tuple[float, ...], tuple[float, ...]]
    note: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along both axes."""
        return tuple(len(edges) - 1 for edges in self.edges)


def plane_of(space: Space) -> Plane:
    """The plane in which events of a space are shown: a shower in a side view, an image unchanged.

    If the layers of a calorimeter have different cells, it is the thickest layer.
    """
    if not space.has_depth:
        names = space.axes[::-1] if space.rows_first else space.axes
        edges = [_coarse(space.edges(name)) for name in names]
        coarse = " x ".join(str(_factor(cells)) for cells in space.shape[:2])
        note = "" if space.shape[0] <= LARGEST else f"mean of {coarse} cells"
    elif space.regular:
        names = (space.axes[2], space.axes[1])
        edges, note = [_coarse(space.edges(name)) for name in names], f"sum along {space.axes[0]}"
    else:
        index = _thickest(space)
        names, edges, note = space.axes[:2], [_coarse(e) for e in space.layers[index].edges], f"layer {index}"
    return Plane(tuple(names), tuple(tuple(float(edge) for edge in along) for along in edges), note)


def picture(space: Space, values: np.ndarray) -> np.ndarray:
    """One event as an image in the plane of `plane_of`.

    Args:
        space: space of the values.
        values: one event, shape `space.shape`.

    Returns:
        float32, shape `plane_of(space).shape`.
    """
    if not space.has_depth:
        cells = values.T if space.rows_first else values
    elif space.regular:
        cells = values.sum(axis=0, dtype=float).T
    else:
        index = _thickest(space)
        start, stop = space.layer_starts[index : index + 2]
        cells = values[start:stop].reshape(space.layers[index].shape)
    for axis in (0, 1):
        factor = _factor(cells.shape[axis])
        starts = np.arange(0, cells.shape[axis], factor)
        counts = np.diff([*starts, cells.shape[axis]])
        shape = (-1, 1) if axis == 0 else (1, -1)
        cells = np.add.reduceat(np.asarray(cells, dtype=float), starts, axis=axis) / counts.reshape(shape)
    return np.ascontiguousarray(cells, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Images of one event, generated again after every epoch, and of the training event whose labels it has.

    Args:
        reference: one event of the training sample.
        latent: its latent vector, shape `(1, latent_size)`.
    """

    reference: Sample
    latent: np.ndarray

    @classmethod
    def of(cls, gan, data, seed: int) -> Snapshots:
        """Snapshots for a GAN and its training data, with the labels of their first event.

        Args:
            gan: the `GAN`.
            data: a `Sample` or `EventStream`.
            seed: seed of the latent vector.
        """
        first = data.select(slice(0, 1)) if isinstance(data, Sample) else data.head(1)
        return cls(first, np.random.default_rng(seed).standard_normal((1, gan.latent_size), dtype=np.float32))

    @property
    def example(self) -> dict:
        """The reference event: its `labels` by name and its image, `event`."""
        labels = {name: float(column[0]) for name, column in self.reference.labels.items()}
        return {"labels": labels, "event": picture(self.reference.space, self.reference.values[0])}

    def take(self, gan) -> np.ndarray:
        """Image of the event that the GAN generates with its current weights; nothing is compiled for it."""
        labels = {name: self.reference.labels[name].astype(np.float32)[:, None] for name in gan.conditions}
        values = np.asarray(gan.generator({"latent": self.latent, **labels}, training=False))[0, ..., 0]
        return picture(gan.space, values.astype(np.float32))


def _thickest(space: Space) -> int:
    return int(np.argmax([layer.depth[1] - layer.depth[0] for layer in space.layers]))


def _factor(cells: int) -> int:
    """Number of cells along an axis that are averaged to one of the image."""
    return -(-cells // LARGEST)


def _coarse(edges) -> tuple:
    """Edges of the averaged cells."""
    return (*edges[: -1 : _factor(len(edges) - 1)], edges[-1])
