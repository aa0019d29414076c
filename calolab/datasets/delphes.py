"""Calorimeter towers in ROOT files as Delphes writes them, read and written through uproot.

Branches have Delphes's names and meaning (classes `Tower` and `ExRootTreeWriter` of github.com/delphes/delphes): one
entry of tree `Delphes` per event, `Tower_size` towers in it, `Tower.ET` and `Tower.E` [GeV], `Tower.Eta`, `Tower.Phi`
[rad], `Tower.Eem` and `Tower.Ehad` [GeV]. They are written as plain jagged branches, which uproot and RDataFrame read,
not as Delphes's own objects, so Delphes's ROOT macros do not.

Delphes itself writes each class as a `TClonesArray`: `Tower.ET` and the others are branches inside a branch `Tower`,
which uproot reads as one integer per event, the number of towers. Such counters do not become labels; `Event.Weight`
does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from calolab.datasets import descriptions, images, joining, plausible, readback, root
from calolab.datasets.layouts import DESCRIPTION, Layout
from calolab.datasets.saving import description
from calolab.files import complete
from calolab.particles import Particles

TREE = "Delphes"
_PIECE = 1000  # events written at a time
_DOUBTED = 100_000  # number of towers from which the unit is checked
_OPTIONAL = {"ecal": "Eem", "hcal": "Ehad"}
WEIGHT = "Event.Weight"  # one number per event, though Delphes keeps it in an array of its own


def read(
    paths: Sequence[Path],
    *,
    layout: Layout,
    labels: Mapping[str, float] | None = None,
    events: int | None = None,
    certain: bool = False,
) -> Particles:
    """Read the towers of ROOT files, one after the other.

    Args:
        paths: the files.
        layout: defines the common name of the branches and the factor on energies.
        labels: labels that are not in the files, one value for all events.
        events: number of events, starting with the first; by default all.
        certain: whether an implausible unit of energy is a warning instead of an error.

    Returns:
        Massless particles `pt`, `eta`, `phi`, `mass`, with `ecal` and `hcal` [GeV] where the files have `Eem` and
        `Ehad`. The labels are the given ones, all branches with one number per event except counters, `weight` from
        `Event.Weight`, and the masses in the names of the files. Events without towers are kept. Columns and labels
        that some files lack, e.g. after runs with different cards, are left out with a warning.

    Raises:
        ValueError: if a file is damaged or has no tree `Delphes`, no towers or no events.
        MemoryError: if the towers do not fit into the available memory.
    """
    return joining.read_each(paths, lambda path, missing: _read(path, layout, labels or {}, missing, certain), events)


def write(path: Path, towers: Particles, layout: Layout) -> None:
    """Write towers as branches of tree `Delphes`, and one branch per label.

    Args:
        path: the file.
        towers: massless particles; energies in GeV.
        layout: defines the common name of the branches and the factor on energies.

    Raises:
        ValueError: if particles have a mass, which towers do not have, or a label has the name of a branch of the
            towers.
    """
    heaviest = towers.flat("mass").max(initial=0.0)
    if heaviest > 0:
        raise ValueError(
            f"{path}: towers have no mass, but the heaviest of these particles has {heaviest:.3g} GeV, so energies "
            "would change. Simulate the calorimeter first: simulate.towers.simulate(particles, seed=), or save the "
            "particles themselves with layout='nanoaod'."
        )
    name = layout.cells
    own = {name, f"{name}_size", WEIGHT}
    clash = [label for label in towers.labels if label in own or not label.isidentifier()]
    if clash:
        raise ValueError(f"{path}: labels {clash} cannot be names of branches next to those of {name}. Rename them.")
    columns = {field: branch for field, branch in _OPTIONAL.items() if field in towers.fields}
    branches = ["ET", "Eta", "Phi", "E", *columns.values()]
    types = {name: f"var * {{{', '.join(f'{branch}: float32' for branch in branches)}}}"}
    types |= dict.fromkeys(towers.labels, "float64")
    text = description(path, layout=layout.name, origin=dict(towers.origin))
    size = 4 * len(branches) * int(towers.counts.sum()) + 8 * (len(towers.labels) + 1) * len(towers)
    with complete(path, size) as partial:
        with uproot.recreate(partial) as file:
            tree = file.mktree(
                TREE,
                types,
                counter_name=lambda counted: f"{counted}_size",
                field_name=lambda outer, inner: f"{outer}.{inner}",
            )
            for piece, content in _pieces(path, towers, layout, columns):
                tree.extend({name: content, **piece.labels})
            file[DESCRIPTION] = text
        _verify(path, partial, towers, layout, columns)


def _pieces(
    path: Path, towers: Particles, layout: Layout, columns: Mapping[str, str]
) -> Iterator[tuple[Particles, ak.Array]]:
    """Yield some events at a time, and their records in the file."""
    for start in range(0, len(towers), _PIECE):
        piece = towers.select(slice(start, start + _PIECE))
        energies = {"ET": piece.columns.pt, "E": piece.energy}
        energies |= {branch: piece.columns[field] for field, branch in columns.items()}
        content = {branch: column * layout.factor for branch, column in energies.items()}
        content |= {"Eta": piece.columns.eta, "Phi": piece.columns.phi}
        with np.errstate(over="ignore"):  # reported below
            content = {branch: ak.values_astype(column, np.float32) for branch, column in content.items()}
        for branch, column in content.items():
            if not np.isfinite(ak.to_numpy(ak.flatten(column))).all():
                raise ValueError(
                    f"{path}: branch '{layout.cells}.{branch}' overflows float32 between events {start} and "
                    f"{start + len(piece) - 1}. Remove such towers; the largest |eta| is "
                    f"{np.abs(piece.flat('eta')).max():g}."
                )
        yield piece, ak.zip(content)


def _verify(path: Path, partial: Path, towers: Particles, layout: Layout, columns: Mapping[str, str]) -> None:
    """Read a file back before it is renamed to its final name.

    Raises:
        OSError: if it does not contain the towers and labels.
    """
    name = layout.cells
    with readback.reading_back(path, partial), uproot.open({str(partial): TREE}) as tree:
        start = 0
        for piece, content in _pieces(path, towers, layout, columns):
            stop = start + len(piece)
            for branch in ak.fields(content):
                held = tree[f"{name}.{branch}"].array(entry_start=start, entry_stop=stop)
                flat = (ak.to_numpy(ak.flatten(one)) for one in (held, content[branch]))
                if not (np.array_equal(ak.num(held), piece.counts) and np.array_equal(*flat)):
                    raise readback.differs(path, f"branch '{name}.{branch}'")
            start = stop
        labels = _labels(root.branches(tree), None)
    same = labels.keys() == towers.labels.keys()
    if not same or not all(np.array_equal(labels[key], column) for key, column in towers.labels.items()):
        raise readback.differs(path, f"the labels {', '.join(towers.labels)}")


def _read(path: Path, layout: Layout, labels: Mapping[str, float], events: int | None, certain: bool) -> Particles:
    name = layout.cells
    with root.opened(path) as file:
        tree = find(path, file)
        branches = root.branches(tree)
        needed = [f"{name}.{column}" for column in ("ET", "Eta", "Phi")]
        if not all(branch in branches for branch in needed):
            raise ValueError(
                f"{path}: tree {TREE!r} has no towers: expected the branches {', '.join(needed)}, it has "
                f"{classes(branches)}. Run Delphes with `add Branch Calorimeter/towers {name} Tower` in the "
                "TreeWriter of its card, or name other towers: "
                "layout=dataclasses.replace(datasets.layouts.layout('delphes'), cells='CaloTower')."
            )
        optional = {field: f"{name}.{column}" for field, column in _OPTIONAL.items()}
        optional = {field: branch for field, branch in optional.items() if branch in branches}
        columns = dict(zip(("pt", "eta", "phi"), needed)) | optional
        n_events = tree.num_entries if events is None else min(events, tree.num_entries)
        counts, flat = root.flat_columns(path, {field: branches[one] for field, one in columns.items()}, n_events)
        flat["mass"] = np.zeros(len(flat["pt"]))
        held = _labels(branches, events)
        if DESCRIPTION in file and not isinstance(file[DESCRIPTION], str):
            raise descriptions.damaged(str(path), f"it is a {file[DESCRIPTION].classname}, expected text")
        origin = dict(descriptions.parse(str(path), file[DESCRIPTION]).origin) if DESCRIPTION in file else {}
        if WEIGHT in branches and "weight" not in held:
            origin["not read"] = f"{WEIGHT}, which is not one number per event"
    for field in ("pt", *optional):
        flat[field] /= layout.factor
    clash = sorted(set(held) & set(labels))
    if clash:
        raise ValueError(f"{path}: already contains the labels {clash}. Remove them from labels=.")
    constants = {key: value for key, value in images.masses(path).items() if key not in held} | dict(labels)
    held |= {key: np.full(len(counts), float(value)) for key, value in constants.items()}
    if doubt := images.doubtful_unit(flat["pt"][:_DOUBTED], layout):
        message = f"{path}: towers {doubt.replace('cells that are not empty', 'towers')}"
        if not certain:
            raise ValueError(f"{message} To read them nevertheless, pass layout={layout.name!r}.")
        warnings.warn(message, stacklevel=6)
    try:
        read = Particles.from_flat(counts, flat, held, origin)
        doubts = [*plausible.doubtful_towers(len(counts), flat), *plausible.doubtful_labels(held).values()]
    except ValueError as error:
        raise ValueError(f"{path}: {error} Remove such towers or events from the file.") from error
    for doubt in doubts:
        warnings.warn(f"{path}: {doubt}", stacklevel=6)
    return read


def find(path: Path, file: uproot.ReadOnlyDirectory) -> uproot.TTree:
    """The tree `Delphes` of a file.

    Args:
        path: the file, for messages.
        file: the open file.

    Raises:
        ValueError: if there is none, or it has no events.
    """
    if root.names(file).get(TREE) != "TTree":
        raise ValueError(
            f"{path}: expected a tree {TREE!r}, the file holds {root.described(file)}. Towers are read from trees that "
            "Delphes writes; name the branches of another tree or RNTuple with "
            'load(path, columns={"pt": "<branch>", "eta": ..., "phi": ...}).'
        )
    tree = root.tree(path, file, TREE)
    if tree.num_entries == 0:
        raise ValueError(f"{path}: tree {TREE!r} holds zero events. Omit the file, or write it again.")
    return tree


def classes(branches: Mapping) -> str:
    """The classes of Delphes that a tree contains, e.g. `"Jet, Tower"`, for messages.

    Args:
        branches: the branches by name.
    """
    return ", ".join(sorted({name.split(".")[0].removesuffix("_size") for name in branches})) or "nothing"


def _labels(branches: Mapping, events: int | None) -> dict[str, np.ndarray]:
    """Labels: branches with one number per event, except counters of other branches, and the weight."""
    groups = {name.split(".")[0] for name in branches if "." in name}
    counters = {*groups, *(f"{group}_size" for group in groups)}
    counters |= {branch.count_branch.name for branch in branches.values() if branch.count_branch is not None}
    held = {
        name: branch.array(entry_stop=events, library="np")
        for name, branch in branches.items()
        if "." not in name and name not in counters and not branch.branches and _is_number(branch)
    }
    if WEIGHT in branches and "weight" not in held:
        weight = root.one_per_event(branches[WEIGHT], events)
        held |= {} if weight is None else {"weight": weight}
    return held


def _is_number(branch) -> bool:
    return isinstance(branch.interpretation, uproot.AsDtype) and not branch.interpretation.inner_shape
