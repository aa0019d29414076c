"""ROOT files of CaloGAN's Geant4 simulation: one branch for each cell of the three layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calolab import spaces
from calolab.datasets import plausible, response, root
from calolab.datasets.layouts import Layout
from calolab.samples import Sample, concatenate

TREE = "fancy_tree"
_ENERGY = "TotalEnergy"  # of the incident particle [GeV]
_STEP = 2000  # events read at a time
_OVERFLOW = 3  # energies outside the cells, one per layer, in the last branches of cells


def read(
    paths: Sequence[Path],
    *,
    layout: Layout,
    labels: Mapping[str, float] | None = None,
    events: int | None = None,
    certain: bool = False,
) -> Sample:
    """Read ROOT files of CaloGAN (arXiv:1705.02355) in the space `calogan`, one after the other.

    Args:
        paths: the files, with tree `fancy_tree`, branches `cell_0` to `cell_506` [MeV] and `TotalEnergy` [GeV].
        layout: defines the factor on energies of cells and the plausible response.
        labels: labels that are not in the files, one value for all events.
        events: number of events, starting with the first; by default all.
        certain: whether an implausible response is a warning instead of an error.

    Returns:
        The showers [GeV] with the labels `energy` [GeV] and `overflow_0` to `overflow_2`, the energies outside the
        cells of each layer [GeV].

    Raises:
        ValueError: if a file is damaged, lacks the tree or some of its branches, or contains NaN or negative energies.
        MemoryError: if the events do not fit into the available memory.
    """
    parts: list[Sample] = []
    for path in paths:
        missing = None if events is None else events - sum(map(len, parts))
        if missing == 0:
            break
        parts.append(_read(Path(path), layout, dict(labels or {}), missing, certain))
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"
    return replace(concatenate(parts), origin={"file": where})


def has_tree(path: Path) -> bool:
    """Whether a ROOT file has the tree of CaloGAN's simulation.

    Args:
        path: the file.
    """
    with root.opened(path) as file:
        return TREE in root.names(file)


def _read(path: Path, layout: Layout, labels: dict[str, float], events: int | None, certain: bool) -> Sample:
    space = spaces.space("calogan")
    names = [f"cell_{number}" for number in range(space.n_cells + _OVERFLOW)]
    with root.opened(path) as file:
        try:
            tree = root.tree(path, file, TREE)
        except KeyError:
            raise ValueError(
                f"{path}: expected tree {TREE!r} of CaloGAN's simulation, the file holds {root.described(file)}."
            ) from None
        branches = root.branches(tree)
        absent = [name for name in (*names, _ENERGY) if name not in branches]
        if absent:
            raise ValueError(
                f"{path}: tree {TREE!r} lacks the branches {', '.join(absent[:5])}"
                f"{f' and {len(absent) - 5} more' if absent[5:] else ''}; expected cell_0 to {names[-1]} and {_ENERGY}."
            )
        n_events = int(tree.num_entries)  # old versions of ROOT store a floating-point number
        n_events = n_events if events is None else min(events, n_events)
        if n_events == 0:
            raise ValueError(f"{path}: tree {TREE!r} holds zero events. Omit the file, or write it again.")
        root.check_memory(path, 4 * n_events * len(names))
        cells, energy = np.empty((n_events, len(names)), np.float32), np.empty(n_events)
        for start in range(0, n_events, _STEP):
            stop = min(start + _STEP, n_events)
            read = tree.arrays([*names, _ENERGY], entry_start=start, entry_stop=stop, library="np")
            for column, name in enumerate(names):
                cells[start:stop, column] = _numbers(path, name, read[name], start) / layout.factor
            energy[start:stop] = _numbers(path, _ENERGY, read[_ENERGY], start) / layout.energy_factor
    columns = {"energy": energy}
    columns |= {f"overflow_{layer}": cells[:, space.n_cells + layer] for layer in range(_OVERFLOW)}
    if clash := sorted(set(labels) & set(columns)):
        raise ValueError(f"{path}: already holds the labels {clash}. Remove them from labels=.")
    plausible.warn_of_labels(path, columns)
    columns |= {name: np.full(n_events, float(value)) for name, value in labels.items()}
    values = np.ascontiguousarray(cells[:, : space.n_cells])
    response.check(path, TREE, layout, space, values[: response.EVENTS], energy, raises=not certain)
    return Sample(values, columns, space)


def _numbers(path: Path, name: str, column: np.ndarray, start: int) -> np.ndarray:
    """A branch, after a check that it holds one energy per event."""
    if column.ndim != 1 or column.dtype.kind not in "fiu":
        raise ValueError(f"{path}: branch {name!r} holds {column.dtype} of shape {column.shape}, expected numbers.")
    bad = ~(np.isfinite(column) & ((column > 0) if name == _ENERGY else (column >= 0)))
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{path}: branch {name!r} holds {column[first]} in event {start + first}, expected an energy "
            f"{'above zero' if name == _ENERGY else 'of zero or more'}. Remove these events from the file."
        )
    return column
