"""Writing of events to HDF5 files and npz archives."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from calolab.datasets import archives, images, readback
from calolab.datasets.layouts import CONTAINERS, DESCRIPTION, ECAL, HCAL, Layout
from calolab.datasets.readback import Tally
from calolab.datasets.streaming import EventStream
from calolab.files import complete, reserve
from calolab.labels import UNITS
from calolab.samples import Sample

if TYPE_CHECKING:
    from calolab.particles import Particles

_PIECE_BYTES = 2_000_000
_CHUNK_BYTES = 500_000
# Size of what HDF5 may write in addition to the data: a megabyte of cached chunks, and metadata.
_MARGIN_BYTES = 1_500_000


def fitting_layout(path: Path, sample: Sample | EventStream | Particles) -> str:
    """Name of the layout that fits a sample and the name of its file.

    Args:
        path: the file.
        sample: the events.
    """
    if not isinstance(sample, Sample | EventStream):
        return "delphes"
    space = sample.space
    if space.has_depth:
        return "3dgan"
    if set(space.units) == {"deg"} and path.suffix.lower() in CONTAINERS["fits"][1]:
        return "convergence"
    if space.axes == ("eta", "phi") and space.unit == "GeV":
        if space.quantity == "transverse momentum":
            return "lagan"
        return "rpv" if path.suffix.lower() in CONTAINERS["npz"][1] else "rpv-h5"
    return "image"


def write_showers(path: Path, sample: Sample | EventStream, layout: Layout, hcal: Sample | None) -> None:
    """Write showers to an HDF5 file.

    Args:
        path: the file.
        sample: showers in boxes of cells [GeV].
        layout: how to store them.
        hcal: the hadronic calorimeter of the same events, or None.

    Raises:
        ValueError: if the layout cannot store them.
    """
    reserved = {ECAL, HCAL, "target", DESCRIPTION, *(() if layout.energy == "energy" else ("energy",))}
    parts = {ECAL: sample} | ({} if hcal is None else {HCAL: hcal})
    for quantity, part in parts.items():
        if len(part.space.shape) != 3:
            raise ValueError(
                f"{path}: layout {layout.name!r} is for boxes of cells (x, y, z), received space "
                f"{part.space.name!r} of shape {part.space.shape}."
            )
        if len(part) != len(sample):
            raise ValueError(
                f"{path}: {quantity} has {len(part)} events, {ECAL} {len(sample)}. They must be the same events."
            )
    if "energy" not in sample.labels:
        raise ValueError(f"{path}: layout {layout.name!r} needs the label 'energy', received {list(sample.labels)}.")
    _write(path, parts, layout, reserved - {"energy"})


def write_images(path: Path, sample: Sample | EventStream, layout: Layout) -> None:
    """Write images to an HDF5 file or an npz archive.

    Args:
        path: the file.
        sample: the images.
        layout: how to store them.

    Raises:
        ValueError: if the layout cannot store them, or the name of the file gives other masses than the labels.
    """
    if sample.space.has_depth:
        raise ValueError(f"{path}: layout {layout.name!r} is for images without layers, received {sample.space!r}.")
    if not layout.signed and sample.space.unit != "GeV":
        raise ValueError(f"{path}: layout {layout.name!r} is for energies or momenta [GeV], received {sample.space!r}.")
    if layout.name in ("rpv", "rpv-h5"):
        for name, mass in images.masses(path).items():
            if name in sample.labels and not np.all(sample.labels[name] == mass):
                raise ValueError(
                    f"{path}: the name gives {name} {mass:g} GeV, but the label ranges from "
                    f"{sample.labels[name].min():g} to {sample.labels[name].max():g} GeV. Name the file after its "
                    "masses, or remove them from the name."
                )
    _write(path, {layout.cells: sample}, layout, {layout.cells, layout.cells.split("/")[0], DESCRIPTION})


def description(path: Path, **content) -> str:
    """The description of a file, as JSON in ASCII.

    Args:
        path: the file, for messages.
        **content: layout, labels, spaces and origin, as plain numbers, strings, lists and dictionaries.

    Raises:
        ValueError: if it contains anything except plain numbers and strings.
    """
    try:
        return json.dumps(content, default=_plain)
    except TypeError as error:
        raise ValueError(f"{path}: the sample's origin must be plain numbers and strings ({error}).") from error


def _write(path: Path, parts: dict[str, Sample | EventStream], layout: Layout, reserved: set[str]) -> None:
    sample = next(iter(parts.values()))
    _check_labels(path, sample.labels, layout, reserved)
    text = description(
        path,
        layout=asdict(layout),
        labels=list(sample.labels),
        spaces={name: part.space.to_dict() for name, part in parts.items()},
        origin=dict(sample.origin),
    )
    written = {name: Tally(np.dtype(np.float32), (len(part), *part.space.shape)) for name, part in parts.items()}

    def columns() -> Iterator[tuple[str, np.ndarray]]:
        for name, column in _columns(path, sample, layout):
            written[name] = Tally(column.dtype, column.shape)
            (column,) = written[name].counted([column])
            yield name, column

    size = sum(4 * len(part) * part.space.n_cells for part in parts.values())
    size += sum(column.nbytes for column in sample.labels.values())
    with complete(path, size) as partial:
        if layout.container == "npz":
            with archives.written(partial) as archive:
                for name, part in parts.items():
                    pieces = written[name].counted(_pieces(path, name, part, layout))
                    archive.write(name, written[name].shape, np.float32, pieces)
                for name, column in columns():
                    archive.write(name, column.shape, column.dtype, [column])
                content = np.array([text.encode()])
                archive.write(DESCRIPTION, content.shape, content.dtype, [content])
            readback.verify(path, partial, written, text)
            return
        with _hdf5(partial) as (handle, make_room):
            for name, part in parts.items():
                pieces = written[name].counted(_pieces(path, name, part, layout))
                _write_cells(handle, make_room, name, part, layout, pieces)
            for name, column in columns():
                make_room(column.nbytes)
                dataset = handle.create_dataset(name, data=column, chunks=True, fletcher32=True)
                label = "energy" if name == layout.energy else name
                dataset.attrs["unit"] = UNITS.get(dict(layout.labels).get(name, label), "")
            # ASCII, so that bytes are characters; the checksum detects later damage.
            make_room(len(text))
            handle.create_dataset(DESCRIPTION, data=np.array([text.encode()]), compression="gzip", fletcher32=True)
        readback.verify(path, partial, written, text)


@contextmanager
def _hdf5(path: Path) -> Iterator[tuple[h5py.File, Callable[[int], None]]]:
    """Create an HDF5 file; yields it and a function to be called with the number of bytes that are written next.

    If the disk becomes full during a write, HDF5 crashes when it closes the file (also through file objects of h5py).
    Therefore the bytes are allocated before HDF5 writes them.
    """
    with open(path, "wb") as disk:
        reserve(disk.fileno(), 0, _MARGIN_BYTES)
    with open(path, "r+b") as disk:
        with h5py.File(path, "w") as handle:

            def make_room(size: int) -> None:
                reserve(disk.fileno(), handle.id.get_filesize(), 2 * size + _MARGIN_BYTES)

            make_room(0)
            yield handle, make_room
            handle.flush()
            written = handle.id.get_filesize()
        disk.truncate(min(written, path.stat().st_size))


def _check_labels(path: Path, labels: Iterable[str], layout: Layout, reserved: set[str]) -> None:
    """Reject labels whose datasets would overwrite others."""
    names = {label: layout.dataset_of(label) for label in labels}
    counts = Counter(names.values())
    taken = reserved - {layout.energy}
    clash = sorted(label for label, name in names.items() if name in taken or counts[name] > 1)
    if clash:
        raise ValueError(f"{path}: labels {clash} have the names of datasets of layout {layout.name!r}. Rename them.")
    wrong = sorted(label for label in names if label in ("", ".", "..") or set(label) & {"/", "\0"})
    if wrong:
        raise ValueError(f"{path}: labels {wrong} cannot be names of datasets. Rename them.")


def _write_cells(
    handle: h5py.File,
    make_room: Callable[[int], None],
    name: str,
    sample: Sample | EventStream,
    layout: Layout,
    pieces: Iterable[np.ndarray],
) -> None:
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
    known = {1.0: sample.space.unit, 1000.0: "MeV"}
    axes = ", ".join(["event", *sample.space.axes]) + (" (z is depth)" if sample.space.has_depth else "")
    cells.attrs.update(axes=axes, unit=known.get(layout.factor, f"GeV x {layout.factor:g}"))
    start = 0
    for values in pieces:
        make_room(values.nbytes)
        cells[start : start + len(values)] = values
        start += len(values)


def _pieces(path: Path, name: str, sample: Sample | EventStream, layout: Layout) -> Iterator[np.ndarray]:
    """The cells as they are stored, some events at a time, after a check."""
    start = 0
    for piece in _parts(sample):
        if not layout.signed and piece.values.min() < 0:
            event = start + int(np.argmax(piece.values.reshape(len(piece), -1).min(axis=1) < 0))
            raise ValueError(
                f"{path}: dataset {name!r} would contain negative energies, the first in event {event}. Set them to "
                "zero first: np.maximum(sample.values, 0)."
            )
        with np.errstate(over="ignore"):  # reported below
            values = piece.values if layout.factor == 1 else piece.values * np.float32(layout.factor)
        if not np.isfinite(values.max()):
            raise ValueError(f"{path}: dataset {name!r} overflows float32 with the factor {layout.factor:g}.")
        yield values
        start += len(piece)


def _parts(sample: Sample | EventStream) -> Iterator[Sample]:
    if isinstance(sample, EventStream):
        yield from sample.in_order()
    else:
        events = max(1, _PIECE_BYTES // (4 * sample.space.n_cells))
        for start in range(0, len(sample), events):
            yield sample.select(slice(start, start + events))


def _columns(path: Path, sample: Sample | EventStream, layout: Layout) -> Iterator[tuple[str, np.ndarray]]:
    """The datasets of the labels."""
    for name, column in sample.labels.items():
        energy = name == "energy" and layout.energy is not None
        if energy and not (column > 0).all():
            raise ValueError(f"{path}: label 'energy' must be positive [GeV], the lowest is {column.min()}.")
        stored = column
        if energy and layout.column is not None:
            stored = np.zeros((len(column), layout.column + 1))
            stored[:, layout.column] = column
        yield layout.dataset_of(name), stored


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} {value!r}")
