"""Single numpy arrays of cells (.npy), such as the showers of LCD; their labels are given by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calolab import memory, spaces
from calolab.datasets import cells, plausible, response
from calolab.datasets.layouts import ECAL, Layout
from calolab.datasets.plausible import EmptyEvents
from calolab.files import diagnosed
from calolab.samples import Sample, real_numbers
from calolab.spaces import Space

_PIECE_BYTES = 2_000_000


def read(
    paths: Sequence[Path],
    *,
    layout: Layout,
    space: str | Space | None = None,
    labels: Mapping[str, float | np.ndarray] | None = None,
    events: int | None = None,
    shuffle: int | None = None,
    certain: bool = False,
) -> Sample:
    """Read one array of cells, event first; it is mapped into memory, and only the chosen events are read.

    Args:
        paths: one file.
        layout: defines the factor on energies and the order of the axes.
        space: the space of the cells; by default `clic-ecal` or `clic-ecal-51`, by shape.
        labels: labels of the events: one value for all, or arrays of shape `(event,)` for all events of the file.
        events: number of events, starting with the first; by default all.
        shuffle: seed of a random choice of events, in random order.
        certain: whether an implausible response is a warning instead of an error.

    Raises:
        ValueError: if the file is damaged, its shape is not that of the space, labels have another length, or cells are
            NaN, infinite or negative.
        MemoryError: if the events do not fit into the available memory.
    """
    if len(paths) != 1:
        raise ValueError(f"Numpy arrays are read one by one, with the labels of each; received {len(paths)} files.")
    path = Path(paths[0])

    def explain(error: Exception) -> str:
        return f"{path}: truncated or corrupt numpy array ({error}). Copy, download or write it again."

    with diagnosed(path, explain):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    if stored.ndim < 2 or len(stored) == 0 or stored.dtype.kind not in "fiub":
        raise ValueError(
            f"{path}: holds {stored.dtype} of shape {stored.shape}, expected numbers, event first, at least one event."
        )
    found, array = _find_space(path, stored.shape, layout, space)
    columns = _columns(path, labels or {}, len(stored))
    chosen = np.arange(len(stored)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(stored))
    chosen = chosen[:events]
    needed, free = 4 * found.n_cells * len(chosen), memory.available()
    if needed > free.bytes:
        raise MemoryError(f"{path}: {needed / 1e9:.2g} GB of events do not fit into {free}. Use events=n.")
    values = np.empty((len(chosen), *found.shape), np.float32)
    rows = max(1, _PIECE_BYTES // (4 * found.n_cells))
    for start in range(0, len(chosen), rows):
        part = values[start : start + rows]
        array.unpack(_checked(path, stored, chosen[start : start + rows], layout.signed), part)
        part /= np.float32(layout.factor)
    columns = {name: column[chosen] for name, column in columns.items()}
    plausible.warn_of_labels(path, columns)
    if "energy" in columns and found.has_depth:
        response.check(path, ECAL, layout, found, values[: response.EVENTS], columns["energy"], raises=not certain)
    _warn_of_empty(path, values, columns)
    return Sample(values, columns, found, {"file": str(path)})


def _find_space(path: Path, shape: tuple[int, ...], layout: Layout, space: str | Space | None):
    candidates = [spaces.space(one) for one in (response.CLIC if space is None else [space])]
    for found in candidates:
        (array,) = cells.arrays(layout, ECAL, found)
        if array.accepts(shape[1:]):
            return found, array
    expected = " or ".join(f"(event, {', '.join(map(str, one.shape))}) for space {one.name!r}" for one in candidates)
    raise ValueError(
        f"{path}: has shape {shape}, expected {expected}. Set space= to the space of these cells; "
        "for constituents of events, give columns=."
    )


def _columns(path: Path, labels: Mapping[str, float | np.ndarray], n_events: int) -> dict[str, np.ndarray]:
    columns = {}
    for name, given in labels.items():
        column = real_numbers(f"labels[{name!r}]", given, np.float64)
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim and column.shape != (n_events,):
            raise ValueError(
                f"{path}: holds {n_events} events, but labels[{name!r}] has shape {column.shape}. Give one value for "
                "all events, or one for each."
            )
        columns[name] = np.broadcast_to(column, n_events)
        if name == "energy" and not np.all(columns[name] > 0):
            raise ValueError(f"{path}: labels['energy'] must be positive [GeV], the lowest is {columns[name].min()}.")
    return columns


def _checked(path: Path, stored: np.ndarray, chosen: np.ndarray, signed: bool) -> np.ndarray:
    """Cells of some events in single precision, after a check."""
    piece = np.asarray(stored[chosen], np.float32)
    good = np.isfinite(piece) if signed else np.isfinite(piece) & (piece >= 0)
    if not good.all():
        event = int(np.argmin(good.reshape(len(piece), -1).all(axis=1)))
        raise ValueError(
            f"{path}: holds a NaN, infinite or negative energy, {piece[event][~good[event]][0]}, in event "
            f"{chosen[event]}. Remove the event, or set such cells to zero, and write the file again."
        )
    return piece


def _warn_of_empty(path: Path, values: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    empty = EmptyEvents()
    empty.add(values, columns.get("energy"), str(path), 0)
    if doubt := empty.doubt():
        plausible.warnings.warn(f"{path}: {doubt}", stacklevel=4)
