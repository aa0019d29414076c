"""Inspection of a file of events: layout, space, labels, and whether the unit is plausible."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from calolab import spaces
from calolab.datasets import cells, descriptions, hdf5, images, layouts, plausible, response
from calolab.datasets.archives import Archive
from calolab.datasets.cells import CellArray
from calolab.datasets.descriptions import Description
from calolab.datasets.events import (
    EventFile,
    UndefinedLabel,
    check_content,
    dataset,
    different_lengths,
    has,
    holds,
    open_file,
    read_labels,
    read_values,
)
from calolab.datasets.layouts import ANGLES, CONTAINERS, DESCRIPTION, ECAL, HCAL, Layout
from calolab.datasets.points import PointArray, ild_ecal
from calolab.spaces import Layer, Space

_UNIT_EVENTS = 64
LARGE_CHUNK_BYTES = 64_000_000
# A compressed archive is unpacked from the beginning for every block, so blocks are large.
_COMPRESSED_BLOCK_BYTES = 256_000_000
_LABEL_EVENTS = 1_000_000  # number of events whose labels are checked together


def inspect(
    path: str | Path,
    *,
    space: str | Space | None,
    layout: str | Layout | None,
    quantity: str,
    block_bytes: int,
    constants: Mapping[str, float] | None = None,
    admit: Callable[[int, Space], None] = lambda n_events, space: None,
) -> tuple[EventFile, Space, dict]:
    """Inspect a file: check everything that can be checked without reading more than the first few events.

    Args:
        path: the file.
        space: the space of the cells; if None, it follows from the file, the layout or the shape.
        layout: how the file stores them; if None, it follows from the file.
        quantity: `ECAL` or `HCAL`, for layouts that do not define the cells.
        block_bytes: approximate size of the blocks that are read at a time [bytes].
        constants: labels with one value for all events of the file.
        admit: called with the number of events and their space before any array of that length is read; may raise.

    Returns:
        The description of the file, its space, and the origin of its events.

    Raises:
        FileNotFoundError, ValueError: naming file, dataset and remedy.
    """
    path = str(Path(path).absolute())
    if quantity not in (ECAL, HCAL):
        raise ValueError(f"quantity expects {ECAL!r} or {HCAL!r}, received {quantity!r}.")
    with open_file(path) as handle:
        described = _description(handle, path)
        chosen, certain = _choose_layout(handle, path, layout, described)
        stored = {name: dataset(handle, path, name) for name in chosen.datasets(quantity)}
        name, first = next(iter(stored.items()))
        for one, held in stored.items():
            if held.ndim < 2:
                raise ValueError(f"{path}: dataset {one!r} has shape {held.shape}, expected (event, x, y, z).")
            if len(held) == 0:
                raise ValueError(f"{path}: dataset {one!r} holds zero events. Omit the file, or write it again.")
            if len(held) != len(first):
                raise different_lengths(path, one, len(held), name, len(first))
        shapes = {one: held.shape for one, held in stored.items()}
        found, arranged = _find_space(path, shapes, chosen, space, described, quantity)
        event_bytes = 4 * max(found.n_cells, sum(math.prod(shape[1:]) for shape in shapes.values()))
        chunk = max(held.chunks[0] if held.chunks else 1 for held in stored.values())
        if chunk * event_bytes > LARGE_CHUNK_BYTES:
            warnings.warn(
                f"{path}: dataset {name!r} is stored in chunks of {chunk} events, which take "
                f"{chunk * event_bytes / 1e6:.0f} MB each to read. Rewrite it in smaller chunks: "
                f"datasets.save(new_path, datasets.stream({path!r})).",
                stacklevel=3,
            )
        block_bytes = _COMPRESSED_BLOCK_BYTES if getattr(first, "compressed", False) else block_bytes
        block = chunk * max(1, block_bytes // (chunk * event_bytes))
        origin = dict(described.origin)
        labels, read = _find_labels(handle, chosen, described), {DESCRIPTION, *(one.split("/")[0] for one in stored)}
        file = EventFile(path, len(first), arranged, chosen, block, ())
        check_content(handle, file)
        admit(len(first), found)
        held = {}
        for label in labels:
            try:
                held[label] = _first_of(handle, replace(file, labels=(label,)), label)
            except UndefinedLabel as error:
                if certain or not any(label == column.label for column in chosen.labels):
                    raise
                # A quantity may be undefined for some jets; the images can be used without it.
                warnings.warn(f"{error} The file is read without the label {label!r}.", stacklevel=3)
            read |= {label, chosen.column_of(label).dataset.split("/")[0]}
        constants = _constants(path, chosen, held, constants, origin)
        file = replace(file, labels=(*held, *constants), constants=tuple(constants.items()))
        if not certain:
            _check_unit(handle, file, found, held, raises=layout is None)
        plausible.warn_of_labels(path, {name: np.array([value]) for name, value in constants.items()})
        unread = sorted(set(handle) - read)
    if unread:
        more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        origin["not read"] = ", ".join(unread[:10]) + more
    return file, found, origin


def _find_labels(handle: h5py.File | Archive, chosen: Layout, described: Description) -> list[str]:
    """Names of the labels in a file."""
    if described.labels is not None:
        return list(described.labels)
    optional = [column.label for column in chosen.labels if has(handle, column.dataset)]
    if chosen.energy is None:
        return optional
    return ["energy", *optional, *(angle for angle in ANGLES if angle not in optional and has(handle, angle))]


def _first_of(handle: h5py.File | Archive, file: EventFile, label: str) -> np.ndarray:
    """A label of the first events, after a check of all events, some at a time."""
    name = file.layout.column_of(label).dataset
    check_content(handle, file, [name])
    rows = (dataset(handle, file.path, name).chunks or (1,))[0]
    step = rows * max(1, _LABEL_EVENTS // rows)
    first, doubts = None, {}
    for start in range(0, file.n_events, step):
        columns = read_labels(handle, file, start, min(start + step, file.n_events))
        first = columns[label][:_UNIT_EVENTS] if first is None else first
        doubts = plausible.doubtful_labels(columns, start) | doubts
    for doubt in doubts.values():
        warnings.warn(f"{file.path}: {doubt}", stacklevel=5)
    return first


def _constants(path: str, chosen: Layout, held: dict, asked: Mapping[str, float] | None, origin: dict) -> dict:
    """Labels that are not in the file: those given by the user, and masses in its name."""
    asked = dict(asked or {})
    for name, value in asked.items():
        if np.ndim(value):
            raise ValueError(
                f"{path}: labels[{name!r}] has shape {np.shape(value)}, expected one number for all events. Arrays of "
                "labels are for single numpy arrays (.npy); write them to this file as a dataset."
            )
    clash = sorted(set(asked) & set(held))
    if clash:
        raise ValueError(f"{path}: already holds the labels {clash}. Remove them from labels=.")
    if chosen.name not in ("rpv", "rpv-h5"):
        return asked
    named = {name: mass for name, mass in images.masses(path).items() if name not in held}
    if not {*named, *asked, *held} & {"gluino_mass", "mu"}:
        origin["labels"] = "no masses in the file name RPV10_<gluino>_<neutralino>_01_..., and none given with labels="
    return named | asked


def _description(handle: h5py.File | Archive, path: str) -> Description:
    if not has(handle, DESCRIPTION):
        return Description()
    held = handle.get(DESCRIPTION) if isinstance(handle, Archive) else hdf5.find(handle, path, DESCRIPTION)
    if held is None:
        raise descriptions.damaged(path, "it is a group")
    if held.shape is None or held.shape == () or 0 in held.shape or len(held.shape) != 1:
        raise descriptions.damaged(path, f"its shape is {held.shape}, expected one text")
    if held.dtype.kind not in "SO" or (isinstance(handle, Archive) and held.dtype.kind != "S"):
        raise descriptions.damaged(path, f"it holds {held.dtype}, expected text")
    if isinstance(held, h5py.Dataset):
        hdf5.check_content(held, path, DESCRIPTION)
    return descriptions.parse(path, held[0])


def _choose_layout(
    handle: h5py.File | Archive, path: str, asked: str | Layout | None, described: Description
) -> tuple[Layout, bool]:
    """The layout, and whether the file itself specifies it."""
    kind = "npz" if isinstance(handle, Archive) else "hdf5"
    if asked is not None:
        chosen = layouts.layout(asked)
        if chosen.container != kind:
            raise ValueError(
                f"{path}: this is {CONTAINERS[kind][0]}, but layout {chosen.name!r} is for "
                f"{CONTAINERS[chosen.container][0]}."
            )
        return chosen, False
    if described.layout is not None:
        return described.layout, True
    guessed = layouts.guess(lambda name: has(handle, name))
    if guessed is None:
        raise ValueError(
            f"{path}: missing dataset with the incident energy, expected 'energy', 'target', 'incident_energies' or "
            f"'incident_energy', or images in 'hist', 'all_events/hist' or 'image'; the file holds {holds(handle)}. "
            "Name another with layout=datasets.layouts.Layout(...)."
        )
    # Both containers may contain the same images.
    return (guessed if guessed.container == kind else replace(guessed, container=kind)), False


def _find_space(
    path: str,
    shapes: dict[str, tuple[int, ...]],
    chosen: Layout,
    asked: str | Space | None,
    described: Description,
    quantity: str,
) -> tuple[Space, tuple[CellArray | PointArray, ...]]:
    """The space of the cells, and how they are stored; `shapes` are those of the datasets, event first."""
    name, shape = next(iter(shapes.items()))
    if asked is not None:
        candidates = [spaces.space(asked)]
    elif name in described.spaces:
        candidates = [described.spaces[name]]
    elif chosen.space is not None:
        candidates = [spaces.space(one) for one in ((chosen.space,) if isinstance(chosen.space, str) else chosen.space)]
    elif chosen.points is not None:
        candidates = [ild_ecal()]
    elif name == HCAL and len(shape) - (len(shape) == 5 and shape[-1] == 1) == 4:
        candidates = [_numbered(shape[1:4])]
    else:
        candidates = [spaces.space(one) for one in response.CLIC]
    fault = None
    for space in candidates:
        try:
            arranged = cells.arrays(chosen, quantity, space)
        except ValueError as error:
            fault = error
            continue
        if all(array.accepts(shapes[array.dataset][1:]) for array in arranged):
            return space, arranged
    if fault:
        raise ValueError(f"{path}: {fault}. Choose another space= or layout=.") from fault
    if not candidates[0].has_depth:
        raise images.wrong_binning(path, name, shape, candidates[0])
    raise ValueError(_wrong_shape(path, shapes, chosen, quantity, candidates))


def _wrong_shape(
    path: str, shapes: dict[str, tuple[int, ...]], chosen: Layout, quantity: str, candidates: list[Space]
) -> str:
    """Message about cells that fit none of some spaces."""
    expected = []
    for space in candidates:
        written = [f"(event, {', '.join(map(str, array.shape))})" for array in cells.arrays(chosen, quantity, space)]
        expected.append(f"{' and '.join(written)} for space {space.name!r}")
    held = " and ".join(f"{name!r} has shape {shape}" for name, shape in shapes.items())
    other = " A binning file in XML gives one: spaces.from_xml(path)." if "alpha" in candidates[0].axes else ""
    return f"{path}: dataset {held}, expected {' or '.join(expected)}. Set space= to the space of these cells.{other}"


def _numbered(shape: tuple[int, int, int]) -> Space:
    """A calorimeter of which only the number of cells is known; its axes are in units of cells."""
    edges = tuple(tuple(range(cells + 1)) for cells in shape[:2])
    layers = tuple(Layer(edges, depth=(z, z + 1)) for z in range(shape[2]))
    return Space("hcal-cells", ("x", "y", "z"), ("cell", "cell", "cell"), layers)


def _check_unit(handle: h5py.File | Archive, file: EventFile, space: Space, labels: dict, raises: bool) -> None:
    """Check in the first events that cells and incident energies have the units of the layout."""
    showers = space.has_depth and "energy" in labels
    if not showers and (file.layout.space is None or space.unit != "GeV"):
        return
    values = np.empty((min(response.EVENTS if showers else _UNIT_EVENTS, file.n_events), *space.shape), np.float32)
    read_values(handle, file, 0, len(values), values)
    if showers:
        response.check(file.path, file.dataset, file.layout, space, values, labels["energy"], raises)
        return
    message = images.doubtful_unit(values, file.layout)
    message = message and f"{file.path}: dataset {file.dataset!r}, {message}"
    if message and raises:
        raise ValueError(f"{message} To read it nevertheless, pass layout={file.layout.name!r}.")
    if message:
        warnings.warn(message, stacklevel=5)
