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

from calolab.datasets import archives, cells, images, layouts, readback
from calolab.datasets.cells import CellArray
from calolab.datasets.layouts import CONTAINERS, DESCRIPTION, ECAL, HCAL, Column, Layout
from calolab.datasets.readback import Tally
from calolab.datasets.streaming import EventStream
from calolab.files import complete, reserve
from calolab.labels import UNITS
from calolab.samples import Sample
from calolab.spaces import Space

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
        return _layout_of_showers(space)
    if set(space.units) == {"deg"} and path.suffix.lower() in CONTAINERS["fits"][1]:
        return "convergence"
    if space.axes == ("eta", "phi") and space.unit == "GeV":
        if space.quantity == "transverse momentum":
            return "lagan"
        return "rpv" if path.suffix.lower() in CONTAINERS["npz"][1] else "rpv-h5"
    return "image"


def _layout_of_showers(space: Space) -> str:
    for name in ("calochallenge", "par04", "calogan"):
        if space.name in np.atleast_1d(layouts.LAYOUTS[name].space):
            return name
    return "3dgan" if space.regular and len(space.shape) == 3 and "alpha" not in space.axes else "showers"


def write_showers(path: Path, sample: Sample | EventStream, layout: Layout, hcal: Sample | None) -> None:
    """Write showers to an HDF5 file.

    Args:
        path: the file.
        sample: showers [GeV].
        layout: how to store them.
        hcal: the hadronic calorimeter of the same events, or None.

    Raises:
        ValueError: if the layout cannot store them.
    """
    if not sample.space.has_depth:
        raise ValueError(f"{path}: layout {layout.name!r} is for showers in layers, received {sample.space!r}.")
    if layout.cells is not None:
        reserved = set(layout.datasets(ECAL))
        parts = {layout.datasets(ECAL)[0]: sample}
    else:
        reserved = {ECAL, HCAL, "target"}
        parts = {ECAL: sample} | ({} if hcal is None else {HCAL: hcal})
        for quantity, part in parts.items():
            if len(part.space.shape) != 3:
                raise ValueError(
                    f"{path}: layout {layout.name!r} is for boxes of cells (x, y, z), received space "
                    f"{part.space.name!r} of shape {part.space.shape}. Layout 'showers' stores any space."
                )
            if len(part) != len(sample):
                raise ValueError(
                    f"{path}: {quantity} has {len(part)} events, {ECAL} {len(sample)}. They must be the same events."
                )
    if layout.points is not None:
        raise ValueError(f"{path}: layout {layout.name!r} is only read. Save the cells with the default layout.")
    if "energy" not in sample.labels and layout.name != "showers":
        raise ValueError(f"{path}: layout {layout.name!r} needs the label 'energy', received {list(sample.labels)}.")
    _write(path, parts, layout, reserved | {DESCRIPTION})


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
    try:
        stored = [(array, part) for name, part in parts.items() for array in cells.arrays(layout, name, part.space)]
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Layout 'showers' stores any showers.") from error
    text = description(
        path,
        layout=asdict(layout),
        labels=list(sample.labels),
        spaces={name: part.space.to_dict() for name, part in parts.items()},
        origin=dict(sample.origin),
    )
    written = {array.dataset: Tally(np.dtype(layout.dtype), (len(part), *array.shape)) for array, part in stored}

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
                for array, part in stored:
                    tally = written[array.dataset]
                    pieces = tally.counted(_pieces(path, array, part, layout))
                    archive.write(array.dataset, tally.shape, tally.dtype, pieces)
                for name, column in columns():
                    archive.write(name, column.shape, column.dtype, [column])
                content = np.array([text.encode()])
                archive.write(DESCRIPTION, content.shape, content.dtype, [content])
            readback.verify(path, partial, written, text)
            return
        with _hdf5(partial) as (handle, make_room):
            for array, part in stored:
                pieces = written[array.dataset].counted(_pieces(path, array, part, layout))
                _write_cells(handle, make_room, array, part, layout, pieces)
            for name, column in columns():
                make_room(column.nbytes)
                dataset = handle.create_dataset(name, data=column, chunks=True, fletcher32=True)
                dataset.attrs["unit"] = _unit(layout, name)
            # ASCII, so that bytes are characters; the checksum detects later damage.
            make_room(len(text))
            handle.create_dataset(DESCRIPTION, data=np.array([text.encode()]), compression="gzip", fletcher32=True)
        readback.verify(path, partial, written, text)


def _unit(layout: Layout, name: str) -> str:
    """The unit of a dataset with labels."""
    known = [layout.column_of("energy"), *layout.labels]
    place = next((column for column in known if column.dataset == name), Column(name, name))
    unit = UNITS.get(place.label, "")
    return "MeV" if (unit, place.factor) == ("GeV", 1000.0) else unit


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
    places = {label: layout.column_of(label) for label in labels}
    names = {label: place.dataset for label, place in places.items()}
    taken = reserved - {layout.energy}
    shared = Counter(names.values())
    columns = Counter((place.dataset, place.column) for place in places.values())
    clash = sorted(
        label
        for label, place in places.items()
        if place.dataset in taken
        or (shared[place.dataset] > 1 and place.column is None)
        or columns[place.dataset, place.column] > 1
    )
    if clash:
        raise ValueError(f"{path}: labels {clash} have the names of datasets of layout {layout.name!r}. Rename them.")
    wrong = sorted(label for label in names if label in ("", ".", "..") or set(label) & {"/", "\0"})
    if wrong:
        raise ValueError(f"{path}: labels {wrong} cannot be names of datasets. Rename them.")


def _write_cells(
    handle: h5py.File,
    make_room: Callable[[int], None],
    array: CellArray,
    sample: Sample | EventStream,
    layout: Layout,
    pieces: Iterable[np.ndarray],
) -> None:
    rows, is_small = max(1, _CHUNK_BYTES // (4 * sample.space.n_cells)), layout.dtype == "float16"
    held = handle.create_dataset(
        array.dataset,
        (len(sample), *array.shape),
        layout.dtype,
        chunks=(min(rows, len(sample)), *array.shape),
        compression="gzip",
        compression_opts=9 if is_small else 1,
        shuffle=is_small,
    )
    known = {1.0: sample.space.unit, 1000.0: "MeV"}
    axes = ", ".join(["event", *(layout.axes or sample.space.axes)]) + (
        " (z is depth)" if sample.space.has_depth else ""
    )
    held.attrs.update(axes=axes, unit=known.get(layout.factor, f"GeV x {layout.factor:g}"))
    start = 0
    for values in pieces:
        make_room(values.nbytes)
        held[start : start + len(values)] = values
        start += len(values)


def _pieces(path: Path, array: CellArray, sample: Sample | EventStream, layout: Layout) -> Iterator[np.ndarray]:
    """The cells as they are stored in a dataset, some events at a time, after a check."""
    start, name = 0, array.dataset
    for piece in _parts(sample):
        stored = array.pack(piece.values)
        if not layout.signed and stored.min() < 0:
            event = start + int(np.argmax(stored.reshape(len(piece), -1).min(axis=1) < 0))
            raise ValueError(
                f"{path}: dataset {name!r} would contain negative energies, the first in event {event}. Set them to "
                "zero first: np.maximum(sample.values, 0)."
            )
        with np.errstate(over="ignore"):  # reported below
            values = stored if layout.factor == 1 else stored * np.float32(layout.factor)
            values = values.astype(layout.dtype, copy=False)
        if not np.isfinite(values.max()):
            raise ValueError(f"{path}: dataset {name!r} overflows {layout.dtype} with the factor {layout.factor:g}.")
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
    """The datasets of the labels; columns of one dataset without a label are zero."""
    stored: dict[str, list[Column]] = {}
    for label in sample.labels:
        place = layout.column_of(label)
        stored.setdefault(place.dataset, []).append(place)
    for name, places in stored.items():
        columns = {place: sample.labels[place.label] for place in places}
        for place, column in columns.items():
            if place.label == "energy" and layout.energy is not None and not (column > 0).all():
                raise ValueError(f"{path}: label 'energy' must be positive [GeV], the lowest is {column.min()}.")
        if places[0].column is None:
            yield name, columns[places[0]] * places[0].factor
            continue
        table = np.zeros((len(sample), 1 + max(place.column for place in places)))
        for place, column in columns.items():
            table[:, place.column] = column * place.factor
        yield name, table


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} {value!r}")
