"""Events in one HDF5 file: look into it, check it, read ranges of it; every error names file, dataset and remedy."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from calolab import spaces
from calolab.datasets import layouts
from calolab.datasets.layouts import ANGLES, DESCRIPTION, ECAL, HCAL, Layout
from calolab.spaces import Layer, Space

# Visible fractions between which the cells of an electron or photon in CLIC's ECAL, about 0.02 of its energy, are
# believed to be GeV: a forgotten or superfluous factor of 50 falls outside on either side.
BELIEVABLE_RESPONSE = (0.002, 0.3)
_RESPONSE_EVENTS = 16
LARGE_CHUNK_BYTES = 64_000_000
_CLIC = ("clic-ecal", "clic-ecal-51")
_SIGNATURES = {
    b"root": "a ROOT file",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"PK\x03\x04": "a zip or npz archive: unpack it first",
    b"SIMPLE": "a FITS file",
    b"<": "a web page, so the download went wrong: fetch it again",
}


@dataclass(frozen=True)
class EventFile:
    """What the reader knows of one file after a look into it; a few hundred bytes, so that it travels to engines.

    Args:
        path: absolute path.
        n_events: number of events.
        dataset: `ECAL` or `HCAL`.
        layout: the layout with which it is read.
        block: events that are read at a time: whole chunks of the file.
        labels: names of the labels it holds.
    """

    path: str
    n_events: int
    dataset: str
    layout: Layout
    block: int
    labels: tuple[str, ...]


@contextmanager
def open_file(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading and close it again.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an HDF5 file, or is truncated or corrupt.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    if not h5py.is_hdf5(path):
        with open(path, "rb") as file:
            start = file.read(8)
        found = next((what for key, what in _SIGNATURES.items() if start.startswith(key)), f"it begins with {start!r}")
        found = "the file is empty: fetch or write it again" if not start else found
        raise ValueError(f"{path}: expected an HDF5 file, but this is not one ({found}).")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise _corrupt(path, error) from error
    try:
        with handle:
            yield handle
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises where a file's inner structure is damaged
        raise _corrupt(path, error) from error


def inspect(
    path: str | Path, *, space: str | Space | None, layout: str | Layout | None, quantity: str, block_bytes: int
) -> tuple[EventFile, Space, dict]:
    """Look into a file and check all that can be checked without reading its cells, but for the first few events.

    Args:
        path: the file.
        space: what the cells mean; None finds it from the file or from the shape.
        layout: how the file stores them; None finds it from the file.
        quantity: `ECAL` or `HCAL`.
        block_bytes: about how many bytes are read at a time.

    Returns:
        The file's record, its space, and where its events come from.

    Raises:
        FileNotFoundError, ValueError: naming file, dataset and remedy.
    """
    path = str(Path(path).absolute())
    if quantity not in (ECAL, HCAL):
        raise ValueError(f"quantity expects {ECAL!r} or {HCAL!r}, received {quantity!r}.")
    with open_file(path) as handle:
        described = _description(handle, path)
        chosen, certain = _choose_layout(handle, path, layout, described)
        cells = _dataset(handle, path, quantity)
        if cells.ndim < 2:
            raise ValueError(f"{path}: dataset {quantity!r} has shape {cells.shape}, expected (event, x, y, z).")
        if len(cells) == 0:
            raise ValueError(f"{path}: dataset {quantity!r} holds zero events. Leave the file out, or write it again.")
        found = _find_space(path, quantity, cells.shape, space, described)
        others = (name for name in described.get("labels", ()) if name != "energy" and name not in ANGLES)
        labels = ("energy", *(angle for angle in ANGLES if angle in handle), *others)
        event_bytes = 4 * found.n_cells
        chunk = cells.chunks[0] if cells.chunks else 1
        if chunk * event_bytes > LARGE_CHUNK_BYTES:
            warnings.warn(
                f"{path}: dataset {quantity!r} is stored in chunks of {chunk} events, each of which takes "
                f"{chunk * event_bytes / 1e6:.0f} MB to read. Rewrite it once in small ones: "
                f"datasets.save(new_path, datasets.stream({path!r})).",
                stacklevel=3,
            )
        block = chunk * max(1, block_bytes // (chunk * event_bytes))
        file = EventFile(path, len(cells), quantity, chosen, block, labels)
        columns = read_labels(handle, file)
        if quantity == ECAL and found.name in _CLIC and not certain:
            _check_response(handle, file, found, columns["energy"], raises=layout is None)
        read = {DESCRIPTION, quantity, chosen.energy, *labels}
        unread = sorted(set(handle) - read)
    origin = dict(described.get("origin", {}))
    return file, found, origin | ({"not read": ", ".join(unread)} if unread else {})


def read_labels(handle: h5py.File, file: EventFile, start: int = 0, stop: int | None = None) -> dict[str, np.ndarray]:
    """Labels of the events `start` to `stop`, each of shape `(event,)`, checked: finite, and energies positive.

    Raises:
        ValueError: if a label is missing, has another length than the cells, or holds such a value.
    """
    stop = file.n_events if stop is None else stop
    columns = {}
    for label in file.labels:
        name = file.layout.energy if label == "energy" else label
        stored = _dataset(handle, file.path, name)
        if len(stored) != file.n_events:
            raise ValueError(
                f"{file.path}: dataset {name!r} has {len(stored)} events but {file.dataset!r} has {file.n_events}. The "
                "two must have the same length: write the file again, or cut both to the events that belong together."
            )
        with _reading(file, name, start, stop):
            column = np.asarray(stored[start:stop], dtype=np.float64)
        if name == file.layout.energy and file.layout.column is not None:
            if column.ndim != 2 or column.shape[1] <= file.layout.column:
                raise ValueError(
                    f"{file.path}: dataset {name!r} has shape {stored.shape}, expected (event, n) with the energy in "
                    f"column {file.layout.column}. Choose another layout=: {', '.join(layouts.LAYOUTS)}."
                )
            column = column[:, file.layout.column]
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            raise ValueError(f"{file.path}: dataset {name!r} has shape {stored.shape}, expected (event,).")
        bad = ~np.isfinite(column) if label != "energy" else ~(np.isfinite(column) & (column > 0))
        if bad.any():
            first = int(np.argmax(bad))
            raise ValueError(
                f"{file.path}: dataset {name!r} holds {'NaN or infinite' if label != 'energy' else 'NaN, infinite or'}"
                f"{' values' if label != 'energy' else ' non-positive energies'}: {int(bad.sum())} events, the first "
                f"is event {start + first} with {column[first]}. Remove these events from the file."
            )
        columns[label] = column
    return columns


def read_values(handle: h5py.File, file: EventFile, start: int, stop: int, out: np.ndarray) -> None:
    """Read the cells of the events `start` to `stop` into `out` [GeV], C-contiguous float32, and check them.

    Raises:
        ValueError: if the file is corrupt there, or a cell is NaN, infinite or negative.
    """
    cells = _dataset(handle, file.path, file.dataset)
    if len(cells) != file.n_events:
        raise ValueError(
            f"{file.path}: changed while in use, {len(cells)} events instead of {file.n_events}. Open anew."
        )
    with _reading(file, file.dataset, start, stop):
        cells.read_direct(out.reshape(stop - start, *cells.shape[1:]), np.s_[start:stop])
    # Finite floats that are not negative are exactly those whose bits, read as an unsigned integer, lie below
    # infinity's; one pass settles the usual case (-0.0 is allowed, but takes the careful way).
    if out.view(np.uint32).max() >= 0x7F800000:
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


def _description(handle: h5py.File, path: str) -> dict:
    if DESCRIPTION not in handle:
        return {}
    try:
        return json.loads(handle[DESCRIPTION][0])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: dataset {DESCRIPTION!r} should describe the file as JSON, but cannot be read ({error}). The file "
            "is corrupt: fetch or write it again."
        ) from error


def _choose_layout(handle: h5py.File, path: str, asked: str | Layout | None, described: dict) -> tuple[Layout, bool]:
    """The layout, and whether the file itself vouches for it."""
    if asked is not None:
        return layouts.layout(asked), False
    if "layout" in described:
        return Layout(**described["layout"]), True
    guessed = layouts.guess(handle)
    if guessed is None:
        raise ValueError(
            f"{path}: missing dataset with the incident energy, expected 'energy' or 'target'; the file holds "
            f"{', '.join(map(repr, sorted(handle))) or 'nothing'}. Name another with "
            "layout=datasets.layouts.Layout(...)."
        )
    return guessed, False


def _dataset(handle: h5py.File, path: str, name: str) -> h5py.Dataset:
    held = handle.get(name)
    if not isinstance(held, h5py.Dataset):
        holds = ", ".join(map(repr, sorted(handle))) or "nothing"
        raise ValueError(
            f"{path}: missing dataset {name!r}; the file holds {holds}. Choose quantity= ({ECAL}, {HCAL}) or layout= "
            f"({', '.join(layouts.LAYOUTS)}) to fit it."
        )
    if held.ndim == 0 or held.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: dataset {name!r} holds {held.dtype} of shape {held.shape}, expected numbers, one row per event."
        )
    return held


def _find_space(path: str, quantity: str, shape: tuple, asked: str | Space | None, described: dict) -> Space:
    event = shape[1:-1] if len(shape) == 5 and shape[-1] == 1 else shape[1:]  # a trailing channel axis is no axis
    stored = described.get("spaces", {}).get(quantity)
    if asked is not None:
        found = spaces.space(asked)
    elif stored is not None:
        found = Space.from_dict(stored)
    elif quantity == HCAL and len(event) == 3:
        found = _numbered(event)
    else:
        found = next((known for known in map(spaces.space, _CLIC) if known.shape == event), None)
    if found is None or found.shape != event:
        known = ", ".join(f"{name} {spaces.space(name).shape}" for name in _CLIC)
        wanted = f"(event, {', '.join(map(str, found.shape))}) for space {found.name!r}" if found else f"one of {known}"
        raise ValueError(
            f"{path}: dataset {quantity!r} has shape {shape}, expected {wanted}. Give the space= that these cells have."
        )
    return found


def _numbered(shape: tuple[int, int, int]) -> Space:
    """A calorimeter of which only the number of cells is known: axes count cells."""
    edges = tuple(tuple(range(cells + 1)) for cells in shape[:2])
    layers = tuple(Layer(edges, depth=(z, z + 1)) for z in range(shape[2]))
    return Space("hcal-cells", ("x", "y", "z"), ("cell", "cell", "cell"), layers)


def _check_response(handle: h5py.File, file: EventFile, space: Space, energy: np.ndarray, raises: bool) -> None:
    """Hold the mean visible fraction of the first events against that of CLIC's ECAL."""
    n = min(_RESPONSE_EVENTS, file.n_events)
    values = np.empty((n, *space.shape), np.float32)
    read_values(handle, file, 0, n, values)
    response = float(values.sum(dtype=np.float64) / energy[:n].sum())
    low, high = BELIEVABLE_RESPONSE
    if low <= response <= high:
        return
    stored = response * file.layout.factor
    fitting = [known.name for known in layouts.LAYOUTS.values() if low <= stored / known.factor <= high]
    fitting = [name for name in fitting if layouts.LAYOUTS[name].energy == file.layout.energy]
    remedy = (
        f"The file looks like layout={fitting[0]!r}."
        if fitting
        else "If the cells have another unit, say so: layout=dataclasses.replace(layout, factor=1000.0) for MeV, say."
    )
    message = (
        f"{file.path}: read with layout {file.layout.name!r} (stored = GeV x {file.layout.factor:g}), dataset "
        f"{file.dataset!r} sums to {response:.3g} of the incident energy, where {space.name} sees about 0.02. {remedy}"
    )
    if raises:
        raise ValueError(f"{message} To read it so nevertheless, pass layout={file.layout.name!r}.")
    warnings.warn(message, stacklevel=4)


@contextmanager
def _reading(file: EventFile, dataset: str, start: int, stop: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{file.path}: dataset {dataset!r} cannot be read between events {start} and {stop}: truncated or corrupt "
            f"({_reason(error)}). Copy, fetch or write the file again."
        ) from error


def _corrupt(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: truncated or corrupt HDF5 file ({_reason(error)}). Copy, fetch or write it again; an interrupted "
        "copy is the usual cause."
    )


def _reason(error: Exception) -> str:
    return str(error).split("(", 1)[-1].rstrip(")") or type(error).__name__
