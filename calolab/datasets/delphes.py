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
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from calolab import memory, particles
from calolab.datasets import descriptions, images, plausible, readback
from calolab.datasets.layouts import DESCRIPTION, Layout
from calolab.datasets.saving import description
from calolab.files import complete
from calolab.particles import Particles

TREE = "Delphes"
_PIECE = 1000  # events written at a time
_DOUBTED = 100_000  # number of towers from which the unit is checked
_OPTIONAL = {"ecal": "Eem", "hcal": "Ehad"}
_WEIGHT = "Event.Weight"  # one number per event, though Delphes keeps it in an array of its own
# Memory needed relative to the size of the data: for some time there are awkward arrays in the precision of the file
# and flat ones in double precision.
_MEMORY = 6


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
        `Event.Weight`, and the masses in the names of the files. Events without towers are kept.

    Raises:
        ValueError: if a file is damaged or has no tree `Delphes`, no towers or no events, or if the files differ in
            columns or labels.
        MemoryError: if the towers do not fit into the available memory.
    """
    parts = []
    for path in paths:
        missing = None if events is None else events - sum(map(len, parts))
        if missing == 0:
            break
        parts.append(_read(Path(path), layout, labels or {}, missing, certain))
    sets = {(*part.fields, *sorted(part.labels)) for part in parts}
    if len(sets) > 1:
        raise ValueError(
            f"{paths[0]} and the other files have different columns or labels: "
            f"{'; '.join(', '.join(one) for one in sorted(sets))}. Load them separately."
        )
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"
    joined = particles.concatenate(parts)
    return replace(joined, origin={**joined.origin, "file": where})


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
            "would change. Simulate the calorimeter first: simulate.towers.simulate(particles, seed=)."
        )
    name = layout.cells
    own = {name, f"{name}_size", _WEIGHT}
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
    """Read a file back before it gets its name.

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
        labels = _labels(_branches(tree), None)
    same = labels.keys() == towers.labels.keys()
    if not same or not all(np.array_equal(labels[key], column) for key, column in towers.labels.items()):
        raise readback.differs(path, f"the labels {', '.join(towers.labels)}")


def _read(path: Path, layout: Layout, labels: Mapping[str, float], events: int | None, certain: bool) -> Particles:
    name = layout.cells
    with _opened(path) as file:
        tree = _tree(path, file)
        branches = _branches(tree)
        needed = [f"{name}.{column}" for column in ("ET", "Eta", "Phi")]
        if not all(branch in branches for branch in needed):
            held = sorted({branch.split(".")[0].removesuffix("_size") for branch in branches})
            raise ValueError(
                f"{path}: tree {TREE!r} has no towers: expected the branches {', '.join(needed)}, it has "
                f"{', '.join(held) or 'nothing'}. Run Delphes with `add Branch Calorimeter/towers {name} Tower` in the "
                "TreeWriter of its card, or name other towers: "
                "layout=dataclasses.replace(datasets.layouts.layout('delphes'), cells='CaloTower')."
            )
        if tree.num_entries == 0:
            raise ValueError(f"{path}: tree {TREE!r} holds zero events. Omit the file, or write it again.")
        optional = {field: f"{name}.{column}" for field, column in _OPTIONAL.items()}
        optional = {field: branch for field, branch in optional.items() if branch in branches}
        _check_memory(path, tree, [branches[branch] for branch in (*needed, *optional.values())], events)
        et, eta, phi = (branches[branch].array(entry_stop=events) for branch in needed)
        counts = ak.to_numpy(ak.num(et))
        columns = {"pt": et / layout.factor, "eta": eta, "phi": phi, "mass": ak.zeros_like(et)}
        for field, branch in optional.items():
            columns[field] = branches[branch].array(entry_stop=events) / layout.factor
        if not all(np.array_equal(counts, ak.num(column)) for column in columns.values()):
            raise ValueError(
                f"{path}: the branches {', '.join([*needed, *optional.values()])} have different lengths: write the "
                "file again."
            )
        held = _labels(branches, events)
        if DESCRIPTION in file and not isinstance(file[DESCRIPTION], str):
            raise descriptions.damaged(str(path), f"it is a {file[DESCRIPTION].classname}, expected text")
        origin = dict(descriptions.parse(str(path), file[DESCRIPTION]).origin) if DESCRIPTION in file else {}
        if _WEIGHT in branches and "weight" not in held:
            origin["not read"] = f"{_WEIGHT}, which is not one number per event"
    clash = sorted(set(held) & set(labels))
    if clash:
        raise ValueError(f"{path}: already contains the labels {clash}. Remove them from labels=.")
    constants = {key: value for key, value in images.masses(path).items() if key not in held} | dict(labels)
    held |= {key: np.full(len(counts), float(value)) for key, value in constants.items()}
    flat = {field: ak.to_numpy(ak.flatten(column)).astype(np.float64) for field, column in columns.items()}
    if doubt := images.doubtful_unit(flat["pt"][:_DOUBTED], layout):
        message = f"{path}: towers {doubt.replace('cells that are not empty', 'towers')}"
        if not certain:
            raise ValueError(f"{message} To read them nevertheless, pass layout={layout.name!r}.")
        warnings.warn(message, stacklevel=4)
    try:
        read = Particles.from_flat(counts, flat, held, origin)
        doubts = [*plausible.doubtful_towers(len(counts), flat), *plausible.doubtful_labels(held).values()]
    except ValueError as error:
        raise ValueError(f"{path}: {error} Remove such towers or events from the file.") from error
    for doubt in doubts:
        warnings.warn(f"{path}: {doubt}", stacklevel=4)
    return read


def _tree(path: Path, file: uproot.ReadOnlyDirectory):
    """The tree of a file; if there are several cycles, the last, which is the one that was completed."""
    kinds = file.classnames()
    cycles = {int(key.rpartition(";")[2]): key for key, kind in kinds.items() if _is_tree(kind) and _bare(key) == TREE}
    if cycles:
        tree = file[cycles[max(cycles)]]
        longest = max(cycles, key=lambda cycle: (file[cycles[cycle]].num_entries, cycle))
        if file[cycles[longest]].num_entries > tree.num_entries:
            warnings.warn(
                f"{path}: contains tree {TREE!r} {len(cycles)} times. The last, {cycles[max(cycles)]!r} with "
                f"{tree.num_entries} events, is read, although {cycles[longest]!r} has "
                f"{file[cycles[longest]].num_entries}. Was Delphes interrupted, or were two outputs put into one file?",
                stacklevel=5,
            )
        return tree
    trees = sorted({_bare(key) for key, kind in kinds.items() if _is_tree(kind)})
    others = sorted(f"an RNTuple {_bare(key)!r}" for key, kind in kinds.items() if "RNTuple" in kind)
    ntuple = " RNTuples, the newer storage format of ROOT, are not supported." if others else ""
    raise ValueError(
        f"{path}: expected a tree {TREE!r}, the file holds {', '.join([*trees, *others]) or 'no tree'}.{ntuple} Only "
        "towers written by Delphes are read."
    )


def _is_tree(kind: str) -> bool:
    return kind.startswith("TTree")


def _bare(key: str) -> str:
    """A key without its cycle."""
    return key.rpartition(";")[0]


def _branches(tree) -> dict:
    """All branches by name; they are nested in the files of Delphes itself."""
    return {branch.name: branch for branch in tree.itervalues(recursive=True)}


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
    if _WEIGHT in branches and "weight" not in held:
        weight = branches[_WEIGHT].array(entry_stop=events)
        if weight.ndim == 1 or ak.all(ak.num(weight) == 1):
            held["weight"] = ak.to_numpy(ak.flatten(weight, axis=None)).astype(np.float64)
    return held


def _is_number(branch) -> bool:
    return isinstance(branch.interpretation, uproot.AsDtype) and not branch.interpretation.inner_shape


def _check_memory(path: Path, tree, branches: Sequence, events: int | None) -> None:
    part = 1.0 if events is None else min(1.0, events / tree.num_entries)
    needed, free = _MEMORY * part * sum(branch.uncompressed_bytes for branch in branches), memory.available()
    if needed > free.bytes:
        raise MemoryError(
            f"{path}: reading its towers takes some {needed / 1e9:.2g} GB, which do not fit into {free}. Use "
            "load(path, events=n)."
        )


@contextmanager
def _opened(path: Path) -> Iterator[uproot.ReadOnlyDirectory]:
    """Open a ROOT file for reading; exceptions that uproot raises for damaged files become one error."""
    try:
        with uproot.open({str(path): None}) as file:
            promised, held = file.file.fEND, path.stat().st_size
            if held < promised:
                raise EOFError(f"only {held} of {promised} bytes")
            yield file
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise _corrupt(path, error) from error
    except MemoryError:
        raise
    except Exception as error:  # with a damaged file uproot may raise any exception
        raise _corrupt(path, error) from error


def _corrupt(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ValueError(
        f"{path}: truncated or corrupt ROOT file ({type(error).__name__}: {reason}). Copy, download or write it "
        "again; an interrupted copy is the usual cause."
    )
