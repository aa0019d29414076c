"""Events in one file: open it, check it and read ranges of it; every error names file, dataset and remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from calolab.datasets import hdf5, layouts
from calolab.datasets.archives import DAMAGED, Archive, StoredArray
from calolab.datasets.cells import CellArray
from calolab.datasets.layouts import CONTAINERS, ECAL, HCAL, Layout
from calolab.datasets.points import PointArray
from calolab.datasets.signatures import container
from calolab.files import diagnosed


@dataclass(frozen=True)
class EventFile:
    """Description of a file after inspection; a few hundred bytes, so that it can be sent to engines.

    Args:
        path: absolute path.
        n_events: number of events.
        arrays: the datasets with the cells.
        layout: the layout with which it is read.
        block: number of events read at a time: whole chunks of the file.
        labels: names of the labels.
        constants: labels among them that are not in the file, with their value for all events.
    """

    path: str
    n_events: int
    arrays: tuple[CellArray | PointArray, ...]
    layout: Layout
    block: int
    labels: tuple[str, ...]
    constants: tuple[tuple[str, float], ...] = ()

    @property
    def dataset(self) -> str:
        """Name of the cells: `ECAL`, `HCAL` or those of the layout, separated by commas."""
        return ", ".join(array.dataset for array in self.arrays)


class UndefinedLabel(ValueError):
    """A label that is not finite, or an incident energy that is not positive, for some events of a file."""


@contextmanager
def open_file(path: str | Path) -> Iterator[h5py.File | Archive]:
    """Open an HDF5 file or an npz archive for reading and close it again.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither, is truncated or corrupt, or is being written.
        OSError: if it cannot be read at present, whatever its content.
    """
    kind = container(path)
    if kind not in ("hdf5", "npz"):
        raise ValueError(f"{path}: expected an HDF5 file or an npz archive, but this is {CONTAINERS[kind][0]}.")
    damaged = (OSError, RuntimeError, KeyError, *DAMAGED)  # raised if the inner structure is damaged
    what = CONTAINERS[kind][0].split(" ", 1)[1]

    def explain(error: Exception) -> str:
        return (
            f"{path}: truncated or corrupt {what} ({_reason(error)}). Copy, download or write it again; an interrupted "
            "copy is the usual cause."
        )

    with (
        diagnosed(path, explain, damaged),
        closing(hdf5.open_hdf5(path) if kind == "hdf5" else Archive(Path(path))) as handle,
    ):
        yield handle


def read_labels(
    handle: h5py.File | Archive, file: EventFile, start: int = 0, stop: int | None = None
) -> dict[str, np.ndarray]:
    """Labels of the events `start` to `stop`, each of shape `(event,)`, checked to be finite, energies also positive.

    Args:
        handle: the open file.
        file: its description.
        start, stop: range of events; by default all.

    Raises:
        ValueError: if a label is missing, has another length than the cells, or contains such a value.
    """
    stop = file.n_events if stop is None else stop
    columns, constants = {}, dict(file.constants)
    for label in file.labels:
        if label in constants:
            columns[label] = np.full(stop - start, float(constants[label]))
            continue
        place = file.layout.column_of(label)
        name = place.dataset
        stored = dataset(handle, file.path, name)
        if len(stored) != file.n_events:
            raise different_lengths(file.path, name, len(stored), file.dataset, file.n_events)
        with _reading(file, name, start, stop):
            column = np.asarray(stored[start:stop], dtype=np.float64)
        if place.column is not None and not (place.column == 0 and column.ndim == 1):
            if column.ndim != 2 or column.shape[1] <= place.column:
                raise ValueError(
                    f"{file.path}: dataset {name!r} has shape {stored.shape}, expected (event, n) with the {label} in "
                    f"column {place.column}. Choose another layout=: {', '.join(layouts.LAYOUTS)}."
                )
            column = column[:, place.column]
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            raise ValueError(f"{file.path}: dataset {name!r} has shape {stored.shape}, expected (event,).")
        positive = name == file.layout.energy
        bad = ~(np.isfinite(column) & (column > 0)) if positive else ~np.isfinite(column)
        if bad.any():
            first = int(np.argmax(bad))
            what = "NaN, infinite or non-positive energies" if positive else "NaN or infinite values"
            raise UndefinedLabel(
                f"{file.path}: dataset {name!r} holds {what}: {int(bad.sum())} events, the first is event "
                f"{start + first} with {column[first]}. Remove these events from the file."
            )
        if place.factor != 1:
            column = column / place.factor
        columns[label] = column
    return columns


def read_values(handle: h5py.File | Archive, file: EventFile, start: int, stop: int, out: np.ndarray) -> float:
    """Read the cells of the events `start` to `stop` and check them.

    Args:
        handle: the open file.
        file: its description.
        start, stop: range of events.
        out: array for the cells [GeV], C-contiguous float32, of shape `(stop - start, *space.shape)`.

    Returns:
        The energy outside the cells [GeV], which only files with points contain.

    Raises:
        ValueError: if the file is corrupt, or a cell is NaN, infinite or negative.
    """
    outside = 0.0
    for array in file.arrays:
        cells = dataset(handle, file.path, array.dataset)
        event = math.prod(cells.shape[1:])
        if len(cells) != file.n_events or not array.accepts(cells.shape[1:]):
            raise ValueError(
                f"{file.path}: changed while in use, dataset {array.dataset!r} now holds {len(cells)} events of "
                f"{event} cells instead of {file.n_events} of {math.prod(out.shape[1:])}. Open it again; programs that "
                "write such files should use a temporary name and rename the file when it is complete."
            )
        whole = array.covers(math.prod(out.shape[1:]))
        piece = (out if whole else np.empty((stop - start, event), np.float32)).reshape(-1, *cells.shape[1:])
        with _reading(file, array.dataset, start, stop):
            cells.read_direct(piece, np.s_[start:stop])
        if not whole:
            try:
                outside += array.unpack(piece, out)
            except ValueError as error:
                raise ValueError(
                    f"{file.path}: dataset {array.dataset!r}, events {start} to {stop - 1}: {error}."
                ) from error
    if file.layout.signed:
        if not np.isfinite(np.sum(out, dtype=np.float64)):
            event = start + int(np.argmin([np.isfinite(values).all() for values in out]))
            raise ValueError(
                f"{file.path}: dataset {file.dataset!r} holds a NaN or infinite value in event {event}. Remove "
                "the event, and write the file again."
            )
    # Finite floats that are not negative are exactly those whose bits, read as an unsigned integer, are below those of
    # infinity: one pass is enough in the usual case (-0.0 is allowed, but is found only by the slower check).
    elif out.view(np.uint32).max() >= 0x7F800000:
        for event, values in enumerate(out, start):
            good = np.isfinite(values) & (values >= 0)
            if not good.all():
                raise ValueError(
                    f"{file.path}: dataset {file.dataset!r} holds a NaN, infinite or negative energy, "
                    f"{values[~good][0] / file.layout.factor} GeV, in event {event} ({int((~good).sum())} cells). "
                    "Remove the event, or set such cells to zero, and write the file again."
                )
    if file.layout.factor != 1:
        out /= np.float32(file.layout.factor)
    return outside / file.layout.factor


def dataset(handle: h5py.File | Archive, path: str, name: str) -> h5py.Dataset | StoredArray:
    """One array of numbers in an open file.

    Args:
        handle: the file.
        path: its path, for messages.
        name: name of the array.

    Raises:
        ValueError: if there is no such array, it is a broken link or a link to another file, or it contains no numbers.
    """
    held = handle.get(name) if isinstance(handle, Archive) else hdf5.find(handle, path, name)
    if held is None:
        raise ValueError(
            f"{path}: missing dataset {name!r}; the file holds {holds(handle)}. Choose quantity= ({ECAL}, {HCAL}) or "
            f"layout= ({', '.join(layouts.LAYOUTS)}) accordingly."
        )
    if held.shape is None:
        raise ValueError(f"{path}: dataset {name!r} is declared but empty. Write the file again.")
    if held.ndim == 0 or held.dtype.kind not in "fiub":
        pickled = ", Python objects that are never loaded" if held.dtype.kind == "O" else ""
        raise ValueError(
            f"{path}: dataset {name!r} holds {held.dtype} of shape {held.shape}{pickled}, expected numbers, one row "
            "per event."
        )
    if getattr(held, "column_major", False):
        raise ValueError(
            f"{path}: dataset {name!r} is stored in Fortran order, in which events are not contiguous. Save it in C "
            f"order: np.savez(new_path, {name}=np.ascontiguousarray(np.load(path)[{name!r}]))."
        )
    return held


def different_lengths(path: str, name: str, length: int, other: str, n_events: int) -> ValueError:
    """The error to raise for datasets of different lengths.

    Args:
        path: the file.
        name, length: a dataset and its number of events.
        other, n_events: those of the cells.
    """
    return ValueError(
        f"{path}: dataset {name!r} has {length} events but {other!r} has {n_events}. The two must have the same "
        "length: write the file again, or shorten both to the events in common."
    )


def has(handle: h5py.File | Archive, name: str) -> bool:
    """Whether an open file has an entry with this name; broken links count.

    Args:
        handle: the file.
        name: name of the entry.
    """
    return name in handle if isinstance(handle, Archive) else hdf5.has(handle, name)


def check_content(handle: h5py.File | Archive, file: EventFile, datasets: Iterable[str] | None = None) -> None:
    """Reject a file whose cells or labels were never written, or are stored in files that are missing.

    npz archives need no such check, because their arrays are complete if they can be read.

    Args:
        handle: the open file.
        file: its description.
        datasets: names of the datasets to check; by default the cells and all labels.

    Raises:
        ValueError: naming what is missing.
        MemoryError: if what must be read in one piece is larger than the available memory.
    """
    if isinstance(handle, Archive):
        return
    if datasets is None:
        held = [label for label in file.labels if label not in dict(file.constants)]
        places = (file.layout.column_of(label).dataset for label in held)
        datasets = dict.fromkeys((*(array.dataset for array in file.arrays), *places))
    for name in datasets:
        hdf5.check_content(dataset(handle, file.path, name), file.path, name)


def holds(handle: h5py.File | Archive) -> str:
    """The names of the entries of an open file, as text."""
    names = sorted(handle)
    return ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20} more" if names[20:] else "") or "nothing"


def _reading(file: EventFile, dataset: str, start: int, stop: int) -> AbstractContextManager[None]:
    def explain(error: Exception) -> str:
        return (
            f"{file.path}: dataset {dataset!r} cannot be read between events {start} and {stop}: truncated or corrupt "
            f"({_reason(error)}). Copy, download or write the file again."
        )

    return diagnosed(file.path, explain, (OSError, *DAMAGED))


def _reason(error: Exception) -> str:
    """The message of HDF5, which h5py puts in parentheses, or the whole message."""
    inner = re.fullmatch(r"[^()]*\((.*)\)", str(error))
    return (inner[1] if inner else str(error)) or type(error).__name__
