"""Constituents of jets or events in numpy arrays and plain text, padded with zeros."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calolab import files
from calolab.datasets import images, joining, layouts, root
from calolab.momenta import check_components
from calolab.particles import Particles

_ROWS = 1000  # events converted at a time
_MAGIC = b"\x93NUMPY"


def read(
    paths: Sequence[Path],
    *,
    columns: Sequence[str],
    labels: Mapping[str, float | np.ndarray] | None = None,
    events: int | None = None,
) -> Particles:
    """Read arrays of constituents, one file after the other, in pieces of events without their padding.

    Args:
        paths: numpy files with arrays of shape `(event, constituent, column)`; or text files with an event per line,
            whose constituents follow each other, separated by spaces, tabs or commas, and `#` before comments.
        columns: contents of the last axis, as for `Particles.from_padded` [GeV, rad].
        labels: labels, one value for all events, or for a single file one value per event.
        events: number of events, starting with the first; by default all.

    Raises:
        ValueError: if a file is truncated, contains Python objects, or does not fit the columns.
        MemoryError: if the constituents do not fit into the available memory.
    """
    if isinstance(columns, str | Mapping):
        raise ValueError(
            f'Arrays and text have columns in order, e.g. columns=("pt", "eta", "phi"); received {columns!r}. '
            "A map of branches is for ROOT files."
        )
    check_components(columns)
    arrays = [name for name, value in (labels or {}).items() if np.ndim(value)]
    if arrays and len(paths) > 1:
        raise ValueError(f"Labels {arrays} with one value per event are for a single file, received {len(paths)}.")

    def read_one(path: Path, missing: int | None) -> Particles:
        with open(path, "rb") as file:
            pieces = _arrays if file.read(len(_MAGIC)) == _MAGIC else _lines
        parts = [_particles(path, piece, columns) for piece in pieces(path, len(columns), missing)]
        if not parts:
            raise ValueError(f"{path}: holds zero events. Omit the file, or write it again.")
        counts = np.concatenate([part.counts for part in parts])
        flat = {name: np.concatenate([part.flat(name) for part in parts]) for name in parts[0].fields}
        if doubt := images.doubtful_unit(flat["pt"], layouts.layout("nanoaod")):
            doubt = doubt.partition(", half")[2].partition(", where")[0]
            warnings.warn(
                f"{path}: read as GeV, half{doubt.replace('cells that are not empty', 'constituents')}, where a few "
                "GeV are usual. Convert arrays in other units: Particles.from_padded(array / [1000, 1, 1]).",
                stacklevel=5,
            )
        held = {name: _column(path, name, value, len(counts), events) for name, value in (labels or {}).items()}
        return Particles.from_flat(counts, flat, held)

    return joining.read_each(paths, read_one, events)


def _column(path: Path, name: str, value: float | np.ndarray, read: int, events: int | None) -> np.ndarray:
    """A label of the events that were read; arrays have a value for each event of the file."""
    column = np.full(read, value) if np.ndim(value) == 0 else np.asarray(value)
    if column.ndim != 1 or len(column) < read or (events is None and len(column) != read):
        raise ValueError(f"{path}: label {name!r} needs one value per event, {read}, received shape {column.shape}.")
    return column[:read]


def _particles(path: Path, values: np.ndarray, columns: Sequence[str]) -> Particles:
    try:
        return Particles.from_padded(values, columns)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _arrays(path: Path, width: int, events: int | None):
    """Pieces of the array in a numpy file, which is mapped and not loaded as a whole; pickles are never loaded."""
    with files.diagnosed(path, lambda error: f"{path}: truncated, corrupt or unsupported numpy file ({error})."):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim != 3 or values.shape[2] != width:
        raise ValueError(
            f"{path}: expected an array of shape (event, constituent, {width}), one entry of the last axis per column, "
            f"received {values.shape}."
        )
    stop = len(values) if events is None else min(events, len(values))
    root.check_memory(path, values[:stop].nbytes)
    for start in range(0, stop, _ROWS):
        yield values[start : min(start + _ROWS, stop)]


def _lines(path: Path, width: int, events: int | None):
    """Pieces of a text file."""
    root.check_memory(path, path.stat().st_size if events is None else 0)
    done = 0
    with open(path, "rb") as file:
        if b"\0" in file.read(4096):
            raise ValueError(
                f"{path}: columns= is for ROOT files, numpy files and text, this is another binary file. Read its "
                "array, then pass it to Particles.from_padded(array, columns)."
            )
        file.seek(0)
        lines = (line.partition(b"#")[0].replace(b",", b" ").split() for line in file)
        rows = enumerate(filter(None, lines), start=1)
        while piece := list(itertools.islice(rows, _ROWS if events is None else min(_ROWS, events - done))):
            length = max(len(row) for _, row in piece)
            values = np.zeros((len(piece), length))
            for place, (number, row) in zip(values, piece):
                if len(row) % width:
                    raise ValueError(
                        f"{path}: event {number} has {len(row)} numbers, which is not a multiple of the {width} "
                        f"columns. Is the file truncated, or does it contain labels?"
                    )
                try:
                    place[: len(row)] = [float(word) for word in row]
                except ValueError as error:
                    raise ValueError(f"{path}: event {number} contains text that is not a number ({error}).") from error
            done += len(piece)
            yield values.reshape(len(piece), -1, width)
