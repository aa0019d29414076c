"""Particles in flat trees, such as NanoAOD and PFNano: one jagged branch per quantity, as TTree or RNTuple.

In NanoAOD `PFCands_pt`, `PFCands_eta`, `PFCands_phi` and `PFCands_mass` [GeV, rad] hold the particle-flow candidates,
one list per event, and `genWeight` the weight of the event. Any other tree is read with `columns=`, which names its
branches.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from calolab.datasets import delphes, descriptions, images, joining, plausible, readback, root
from calolab.datasets.layouts import DESCRIPTION, Layout
from calolab.datasets.saving import description
from calolab.files import complete
from calolab.momenta import COMPONENTS, check_components, from_components
from calolab.names import nearest
from calolab.particles import OPTIONAL, Particles

TREE = "Events"
_PIECE = 1000  # events written at a time
# By column: the end of the name of its branch.
_ENDS = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "identity": "pdgId", **{n: n for n in OPTIONAL[1:]}}
# Plausible medians of the transverse momentum of any particles or jets [GeV].
_BELIEVABLE = (0.03, 500.0)
_REQUIRED = ("pt", "eta", "phi")
_PER_PARTICLE = (*COMPONENTS, *OPTIONAL)
_ENERGIES = ("pt", "mass", "px", "py", "pz", "energy", "ecal", "hcal")


def is_flat(path: Path, layout: Layout) -> bool:
    """Whether a file has no tree of Delphes, but the branches of a layout for flat trees.

    Args:
        path: the file.
        layout: that layout.
    """
    with root.opened(path) as file:
        held = root.names(file)
        if delphes.TREE in held or TREE not in held:
            return False
        names = root.branches(root.tree(path, file, TREE))
    return all(f"{layout.cells}_{name}" in names for name in _REQUIRED)


def read(
    paths: Sequence[Path],
    *,
    layout: Layout,
    columns: Mapping[str, str] | None = None,
    tree: str | None = None,
    labels: Mapping[str, float] | None = None,
    events: int | None = None,
    certain: bool = False,
) -> Particles:
    """Read the particles of trees or RNTuples, one file after the other.

    Args:
        paths: the files.
        layout: defines the common name of the branches, those of labels, and the factor on energies.
        columns: branch by column, instead of those of the layout: a momentum as for `momenta.check_components`, fields
            of `Particles`, and labels under any other name.
        tree: name of the tree; by default the one that has the branches.
        labels: labels that are not in the files, one value for all events.
        events: number of events, starting with the first; by default all.
        certain: whether the unit of energy is known.

    Returns:
        The particles; those without transverse momentum, which have no eta, are left out. Without a mass or energy they
        are massless.

    Raises:
        ValueError: if a file is damaged, has no such branches or no events, or branches are inconsistent.
        MemoryError: if the particles do not fit into the available memory.
    """
    if columns is not None:
        check_components(columns)

    def read_one(path: Path, missing: int | None) -> Particles:
        return _read(path, layout, columns, tree, labels or {}, missing, certain)

    return joining.read_each(paths, read_one, events)


def write(path: Path, particles: Particles, layout: Layout) -> None:
    """Write particles as jagged branches in single precision, and labels as one number per event.

    Args:
        path: the file.
        particles: the events.
        layout: defines the common name of the branches, those of labels, and the factor on energies.

    Raises:
        ValueError: if a value overflows single precision, or a label has the name of a branch of the particles.
    """
    names = {field: f"{layout.cells}_{_ENDS[field]}" for field in particles.fields}
    held = {label: layout.column_of(label).dataset for label in particles.labels}
    counter = f"n{layout.cells}"
    clash = [label for label, branch in held.items() if branch in {*names.values(), counter}]
    clash += [label for label, branch in held.items() if not branch.isidentifier()]
    if clash or len(set(held.values())) < len(held):
        raise ValueError(f"{path}: labels {clash or list(held)} cannot be names of branches. Rename them.")
    types = {branch: f"var * {'int32' if field == 'identity' else 'float32'}" for field, branch in names.items()}
    types |= dict.fromkeys(held.values(), "float64")
    text = description(path, layout=layout.name, labels=list(held), origin=dict(particles.origin))
    size = 4 * len(names) * int(particles.counts.sum()) + 8 * (len(held) + 1) * len(particles)
    pieces = [slice(start, start + _PIECE) for start in range(0, len(particles), _PIECE)]
    with complete(path, size) as partial:
        with uproot.recreate(partial) as file:
            tree = file.mktree(TREE, types, counter_name=lambda counted: counter)
            for piece in pieces:
                tree.extend(_content(path, particles.select(piece), layout, names, held))
            file[DESCRIPTION] = text
        with readback.reading_back(path, partial), uproot.open({str(partial): TREE}) as tree:
            for piece in pieces:
                for branch, column in _content(path, particles.select(piece), layout, names, held).items():
                    back = tree[branch].array(entry_start=piece.start, entry_stop=piece.stop)
                    if not ak.array_equal(back, column, dtype_exact=False):
                        raise readback.differs(path, f"branch {branch!r}")


def _content(path: Path, piece: Particles, layout: Layout, names: Mapping, held: Mapping) -> dict:
    """The branches of some events."""
    content = {}
    for field, branch in names.items():
        column = piece.columns[field] * (layout.factor if field in _ENERGIES else 1)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            stored = ak.values_astype(column, np.int32 if field == "identity" else np.float32)
        if field == "identity" and not ak.all(stored == column):
            raise ValueError(f"{path}: branch {branch!r} expects PDG codes, whole numbers below 2^31.")
        if not np.isfinite(ak.to_numpy(ak.flatten(stored))).all():
            raise ValueError(f"{path}: branch {branch!r} overflows float32. Remove such particles.")
        content[branch] = stored
    return {**content, **{branch: piece.labels[label] for label, branch in held.items()}}


def _read(
    path: Path,
    layout: Layout,
    columns: Mapping[str, str] | None,
    tree: str | None,
    labels: Mapping[str, float],
    events: int | None,
    certain: bool,
) -> Particles:
    with root.opened(path) as file:
        known = _described(path, file)
        needed = columns or {name: f"{layout.cells}_{_ENDS[name]}" for name in _REQUIRED}
        name = _tree_with(path, file, needed.values(), tree)
        found = root.tree(path, file, name)
        if found.num_entries == 0:
            raise ValueError(f"{path}: tree {name!r} holds zero events. Omit the file, or write it again.")
        branches = root.branches(found)
        if columns is None:
            per_particle = {field: f"{layout.cells}_{end}" for field, end in _ENDS.items()}
            per_event = {
                label: layout.column_of(label).dataset
                for label in known.labels or [column.label for column in layout.labels]
            }
        else:
            per_particle = {field: branch for field, branch in columns.items() if field in _PER_PARTICLE}
            per_event = {label: branch for label, branch in columns.items() if label not in _PER_PARTICLE}
        n_events = found.num_entries if events is None else min(events, found.num_entries)
        chosen = {field: branches[branch] for field, branch in per_particle.items() if branch in branches}
        counts, flat = root.flat_columns(path, chosen, n_events)
        held = {}
        for label, branch in per_event.items():
            if branch in branches and (column := root.one_per_event(branches[branch], n_events)) is not None:
                held[label] = column
            elif branch in branches:
                raise ValueError(
                    f"{path}: branch {branch!r} does not have one number per event, as the label {label!r} needs. "
                    f"Columns of particles are {', '.join(_PER_PARTICLE)}."
                )
    clash = sorted(set(held) & set(labels))
    if clash:
        raise ValueError(f"{path}: already contains the labels {clash}. Remove them from labels=.")
    held |= {label: np.full(n_events, float(value)) for label, value in labels.items()}
    flat = {field: column / layout.factor if field in _ENERGIES else column for field, column in flat.items()}
    try:
        flat, kept = from_components(flat)
        counts = np.bincount(np.repeat(np.arange(n_events), counts)[kept], minlength=n_events)
        read = Particles.from_flat(counts, flat, held, {**known.origin, "tree": name})
    except ValueError as error:
        raise ValueError(f"{path}: {error} Remove such particles or events from the file.") from error
    believable = images.BELIEVABLE_CELL if columns is None else _BELIEVABLE
    doubt = None if certain else images.doubtful_unit(flat["pt"], layout, believable)
    doubts = [doubt and f"particles {doubt.replace('cells that are not empty', 'particles')}"]
    doubts += plausible.doubtful_labels(held).values()
    for doubt in filter(None, doubts):
        warnings.warn(f"{path}: {doubt}", stacklevel=6)
    return read


def _described(path: Path, file: uproot.ReadOnlyDirectory) -> descriptions.Description:
    if DESCRIPTION not in file or DESCRIPTION in root.names(file):
        return descriptions.Description()
    held = file[DESCRIPTION]
    if not isinstance(held, str):
        raise descriptions.damaged(str(path), f"it is a {held.classname}, expected text")
    return descriptions.parse(str(path), held)


def _tree_with(path: Path, file: uproot.ReadOnlyDirectory, needed: Collection[str], asked: str | None) -> str:
    """Name of the tree that has the branches.

    Raises:
        ValueError: if there is none, or more than one.
    """
    held = list(root.names(file))
    if asked is not None and asked not in held:
        raise ValueError(f"{path}: expected a tree {asked!r}, the file holds {root.described(file)}.")
    searched = held if asked is None else [asked]
    lacking, every = {}, {}
    for name in searched:
        every[name] = root.branches(root.tree(path, file, name))
        lacking[name] = [branch for branch in needed if branch not in every[name]]
    found = [name for name in searched if not lacking[name]]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{path}: {len(found)} trees have these branches, {', '.join(found)}. Choose one with tree=.")
    if not searched:
        raise ValueError(f"{path}: holds no tree.")
    best = min(searched, key=lambda name: len(lacking[name]))
    groups = [name.removesuffix("_eta") for name in every[best] if name.endswith("_eta")]
    groups = [name for name in groups if f"{name}_pt" in every[best]]
    has = f" It has pt and eta of {', '.join(groups[:20])}{' and others' if groups[20:] else ''}." if groups else ""
    raise ValueError(
        f"{path}: tree {best!r} lacks the branches {', '.join(lacking[best])}."
        f"{nearest(lacking[best][0], every[best])}{has} Name the branches with "
        'columns={"pt": "<branch>", "eta": ..., "phi": ..., "mass": ...}.'
    )
