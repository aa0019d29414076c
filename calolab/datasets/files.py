"""Files of showers: load them, stream them, save them, in the HDF5 layouts of 3DGAN."""

from __future__ import annotations

import difflib
import glob
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import psutil

from calolab.datasets import layouts
from calolab.datasets.events import inspect
from calolab.datasets.layouts import DESCRIPTION, ECAL, HCAL, Layout
from calolab.datasets.streaming import EventStream
from calolab.samples import LABEL_UNITS, Sample
from calolab.spaces import Space

Paths = str | os.PathLike | Iterable[str | os.PathLike]

# A stream keeps three windows at most: one in use, one ready, one being read.
_WINDOW_BYTES = 64_000_000
_BLOCK_BYTES = 2_000_000
_CHUNK_BYTES = 500_000
_AXES = "event, x, y, z (z is depth)"


def stream(
    paths: Paths,
    *,
    space: str | Space | None = None,
    layout: str | Layout | None = None,
    quantity: str = ECAL,
    window: int | None = None,
) -> EventStream:
    """Open showers on disk as one sample that is read as it is used; for what does not fit into memory.

    Args:
        paths: a file, a pattern such as `"showers/*.h5"` (its matches in sorted order), or several of them.
        space: what the cells mean, a name or a `Space`; by default what the file says, else by shape: 25x25x25 is
            `clic-ecal`, 51x51x25 is `clic-ecal-51`. HCAL cells of unknown size are merely numbered.
        layout: a name of `layouts.LAYOUTS` or a `Layout`: `3dgan` (GeV), `3dgan-target` (GeV, energy in column 1 of
            `target`), `3dgan-angle` (GeV x 50). By default what the file says, else by the names of its datasets. The
            angle files of 3DGAN exist with and without the factor 50: a mean response that does not fit is an error.
        quantity: the dataset to read, `"ECAL"` or `"HCAL"`.
        window: events shuffled among each other at a time; by default 64 MB of them. Memory grows by about three
            windows.

    Returns:
        The stream. Its labels are `energy` [GeV], and `theta` and `mtheta` [rad] where the files have them; datasets
        that are not read are named in its origin.

    Raises:
        FileNotFoundError: if a path or pattern finds no file.
        ValueError: if a file is not HDF5, truncated or corrupt, lacks a dataset, has another shape or zero events,
            lengths that differ, energies that are NaN or not positive, or if the files do not fit together.
    """
    files, space_found, origins = [], None, []
    for path in _find(paths):
        file, found, origin = inspect(path, space=space, layout=layout, quantity=quantity, block_bytes=_BLOCK_BYTES)
        if files and found != space_found:
            raise ValueError(
                f"{file.path}: dataset {quantity!r} lies in space {found.name!r} {found.shape}, but {files[0].path} "
                f"in {space_found.name!r} {space_found.shape}. Stream them apart."
            )
        if files and set(file.labels) != set(files[0].labels):
            raise ValueError(
                f"{file.path}: labels {', '.join(file.labels)}, but {files[0].path} has "
                f"{', '.join(files[0].labels)}. Stream them apart."
            )
        files.append(file)
        origins.append(origin)
        space_found = found
    window = max(1, _WINDOW_BYTES // (4 * space_found.n_cells)) if window is None else window
    shared = {k: v for k, v in origins[0].items() if all(k in other and other[k] == v for other in origins)}
    where = files[0].path if len(files) == 1 else f"{len(files)} files, {files[0].path} to {files[-1].path}"
    return EventStream(tuple(files), space_found, window, origin=shared | {"file": where})


def load(
    paths: Paths,
    *,
    space: str | Space | None = None,
    layout: str | Layout | None = None,
    quantity: str = ECAL,
    events: int | None = None,
) -> Sample:
    """Read showers into memory; several files become one sample.

    Args:
        paths, space, layout, quantity: as for `stream`.
        events: how many events, from the first on; by default all.

    Returns:
        The sample, cells in GeV.

    Raises:
        FileNotFoundError, ValueError: as `stream`; also for cells that are NaN, infinite or negative.
        MemoryError: if the events do not fit into the memory that is free.
    """
    found = stream(paths, space=space, layout=layout, quantity=quantity)
    needed = 4 * found.space.n_cells * (len(found) if events is None else min(events, len(found)))
    free = psutil.virtual_memory().available
    if needed > free:
        raise MemoryError(
            f"{needed / 1e9:.1f} GB of showers do not fit into the {free / 1e9:.1f} GB of free memory. Use "
            "datasets.stream(paths) in place of load, or load(paths, events=n)."
        )
    return found.head(events)


def save(
    path: str | os.PathLike,
    sample: Sample | EventStream,
    *,
    layout: str | Layout = "3dgan",
    hcal: Sample | None = None,
    overwrite: bool = False,
) -> Path:
    """Write showers as HDF5 that 3DGAN's tools and `load` read; the file appears when it is complete.

    Cells are stored as float32 in compressed chunks of a few events (gzip level 1, which shrinks sparse showers most
    quickly; every HDF5 tool reads it). Beside them stand the labels and a JSON text, `calolab`, with the space and the
    origin, so that `load` returns what was saved; with a factor of 50, to float32 rounding.

    Args:
        path: the file to write.
        sample: showers in a regular space, with the label `energy`; a stream is written without loading it whole.
        layout: a name of `layouts.LAYOUTS` or a `Layout`. Column 0 of `target`, which nothing here reads, is zero.
        hcal: the same events' hadronic calorimeter, written as `HCAL`.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        FileExistsError: if the file exists and `overwrite` is false.
        ValueError: if the layout cannot hold the sample: no energy, no box of cells, negative or empty values.
    """
    path, layout = Path(path), layouts.layout(layout)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Choose another path, or pass overwrite=True to replace it.")
    reserved = {ECAL, HCAL, "target", DESCRIPTION, *(() if layout.energy == "energy" else ("energy",))}
    parts = {ECAL: sample} | ({} if hcal is None else {HCAL: hcal})
    for quantity, part in parts.items():
        if len(part) == 0:
            raise ValueError(f"{path}: {quantity} holds zero events; there is nothing to save.")
        if len(part.space.shape) != 3:
            raise ValueError(
                f"{path}: layout {layout.name!r} holds boxes of cells (x, y, z), received space "
                f"{part.space.name!r} of shape {part.space.shape}."
            )
        if len(part) != len(sample):
            raise ValueError(f"{path}: {quantity} has {len(part)} events, {ECAL} {len(sample)}: give the same events.")
    if "energy" not in sample.labels:
        raise ValueError(f"{path}: layout {layout.name!r} needs the label 'energy', received {list(sample.labels)}.")
    clash = sorted(set(sample.labels) & reserved - {"energy"})
    if clash:
        raise ValueError(f"{path}: labels {clash} have the names of datasets of layout {layout.name!r}. Rename them.")
    description = {
        "layout": asdict(layout),
        "labels": list(sample.labels),
        "spaces": {quantity: part.space.to_dict() for quantity, part in parts.items()},
        "origin": dict(sample.origin),
    }
    with _complete(path) as handle:
        for quantity, part in parts.items():
            _write_values(handle, path, quantity, part, layout)
        _write_labels(handle, path, sample, layout)
        try:
            text = json.dumps(description, default=_plain)
        except TypeError as error:
            raise ValueError(f"{path}: the sample's origin must be plain numbers and strings ({error}).") from error
        # ASCII, as json writes by default, so bytes are characters; the checksum finds what is damaged later.
        handle.create_dataset(DESCRIPTION, data=np.array([text.encode()]), compression="gzip", fletcher32=True)
    return path


def _write_values(handle: h5py.File, path: Path, name: str, sample: Sample | EventStream, layout: Layout) -> None:
    shape = sample.space.shape
    rows = max(1, _CHUNK_BYTES // (4 * sample.space.n_cells))
    cells = handle.create_dataset(
        name,
        (len(sample), *shape),
        np.float32,
        chunks=(min(rows, len(sample)), *shape),
        compression="gzip",
        compression_opts=1,
    )
    cells.attrs.update(axes=_AXES, unit="GeV" if layout.factor == 1 else f"GeV x {layout.factor:g}")
    start = 0
    for piece in _pieces(sample):
        if piece.values.min() < 0:
            event = start + int(np.argmax(piece.values.reshape(len(piece), -1).min(axis=1) < 0))
            raise ValueError(
                f"{path}: dataset {name!r} would hold negative energies, the first in event {event}. Set them to zero "
                "first: np.maximum(sample.values, 0)."
            )
        with np.errstate(over="ignore"):  # refused below, in words
            values = piece.values if layout.factor == 1 else piece.values * np.float32(layout.factor)
        if not np.isfinite(values.max()):
            raise ValueError(f"{path}: dataset {name!r} overflows float32 with the factor {layout.factor:g}.")
        cells[start : start + len(piece)] = values
        start += len(piece)


def _write_labels(handle: h5py.File, path: Path, sample: Sample | EventStream, layout: Layout) -> None:
    for name, column in sample.labels.items():
        if name == "energy" and not (column > 0).all():
            raise ValueError(f"{path}: label 'energy' must be positive [GeV], the lowest is {column.min()}.")
        stored = column
        if name == "energy" and layout.column is not None:
            stored = np.zeros((len(column), layout.column + 1))
            stored[:, layout.column] = column
        dataset = handle.create_dataset(
            layout.energy if name == "energy" else name, data=stored, chunks=True, fletcher32=True
        )
        dataset.attrs["unit"] = LABEL_UNITS.get(name, "")


def _pieces(sample: Sample | EventStream) -> Iterator[Sample]:
    if isinstance(sample, EventStream):
        yield from sample.in_order()
    else:
        events = max(1, _BLOCK_BYTES // (4 * sample.space.n_cells))
        for start in range(0, len(sample), events):
            yield sample.select(slice(start, start + events))


@contextmanager
def _complete(path: Path) -> Iterator[h5py.File]:
    """A file under a temporary name beside `path` that takes its place when the block ends well."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory to save {path.name} in. Make it first.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(partial, "w") as handle:
            yield handle
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} {value!r}")


def _find(paths: Paths) -> list[Path]:
    """The files that paths and patterns name, each once."""
    found = []
    for entry in [paths] if isinstance(paths, str | os.PathLike) else list(paths):
        path = Path(entry).expanduser()
        if path.is_dir():
            raise ValueError(f"{path} is a directory; name its files, e.g. '{path / '*.h5'}'.")
        matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        if not matches:
            beside = sorted(file.name for file in path.parent.glob("*")) if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.4)
            hint = f"Nearest there: {', '.join(near)}." if near else f"Looked in {path.parent.absolute()}."
            raise FileNotFoundError(f"No file matches {str(entry)!r}. {hint}")
        found += matches
    if not found:
        raise FileNotFoundError("Expected at least one path, received an empty list.")
    places = [path.resolve() for path in found]
    twice = sorted({str(path) for path, place in zip(found, places) if places.count(place) > 1})
    if twice:
        raise ValueError(f"Named more than once, so that its events would count twice: {', '.join(twice)}.")
    return found
