"""Calorimeter towers in ROOT files as Delphes writes them, read and written through uproot.

Branches have Delphes's names and meaning (classes `Tower` and `ExRootTreeWriter` of github.com/delphes/delphes): one
entry of tree `Delphes` per event, `Tower_size` towers in it, `Tower.ET` and `Tower.E` [GeV], `Tower.Eta`, `Tower.Phi`
[rad], `Tower.Eem` and `Tower.Ehad` [GeV]. They are written as plain jagged branches, which uproot and RDataFrame read,
not as Delphes's own objects, so Delphes's ROOT macros do not. No genuine Delphes file was at hand: the reader is tested
on files with these branches only.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from calolab import particles
from calolab.datasets import images
from calolab.datasets.layouts import DESCRIPTION, Layout
from calolab.datasets.saving import description
from calolab.files import complete
from calolab.particles import Particles

TREE = "Delphes"
_PIECE = 1000  # events that are written at a time
_DOUBTED = 100_000  # towers that tell the unit
_OPTIONAL = {"ecal": "Eem", "hcal": "Ehad"}


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
        layout: says the branches' common name and the factor on energies.
        labels: labels that the files do not hold, one value for all events.
        events: how many, from the first on; by default all.
        certain: whether to read energies of a doubtful unit with a warning only.

    Returns:
        Massless particles `pt`, `eta`, `phi`, `mass`, with `ecal` and `hcal` [GeV] where the files have `Eem` and
        `Ehad`. Labels are the given ones, the tree's branches of one number per event, and the masses that the files'
        names carry. Events without towers are kept.

    Raises:
        ValueError: if a file is damaged, has no tree `Delphes`, no towers or no events, or files do not fit together.
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
            f"{'; '.join(', '.join(one) for one in sorted(sets))}. Load them apart."
        )
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"
    joined = particles.concatenate(parts)
    return replace(joined, origin={**joined.origin, "file": where})


def write(path: Path, towers: Particles, layout: Layout) -> None:
    """Write towers as branches of tree `Delphes`, beside them one branch per label.

    Raises:
        ValueError: for particles with a mass, which towers do not have, or labels named like a branch of the towers.
    """
    heaviest = towers.flat("mass").max(initial=0.0)
    if heaviest > 0:
        raise ValueError(
            f"{path}: towers have no mass, but the heaviest of these particles has {heaviest:.3g} GeV, so energies "
            "would change. Simulate the calorimeter first, with simulate.towers.simulate(particles, seed=)."
        )
    name = layout.cells
    clash = [label for label in towers.labels if label == f"{name}_size" or not label.isidentifier()]
    if clash:
        raise ValueError(f"{path}: labels {clash} cannot be names of branches beside {name}. Rename them.")
    columns = {field: branch for field, branch in _OPTIONAL.items() if field in towers.fields}
    branches = ["ET", "Eta", "Phi", "E", *columns.values()]
    types = {name: f"var * {{{', '.join(f'{branch}: float32' for branch in branches)}}}"}
    types |= dict.fromkeys(towers.labels, "float64")
    text = description(path, layout=layout.name, origin=dict(towers.origin))
    size = 4 * len(branches) * int(towers.counts.sum()) + 8 * (len(towers.labels) + 1) * len(towers)
    with complete(path, size) as partial, uproot.recreate(partial) as file:
        tree = file.mktree(
            TREE,
            types,
            counter_name=lambda counted: f"{counted}_size",
            field_name=lambda outer, inner: f"{outer}.{inner}",
        )
        for start in range(0, len(towers), _PIECE):
            piece = towers.select(slice(start, start + _PIECE))
            energies = {"ET": piece.columns.pt, "E": piece.energy}
            energies |= {branch: piece.columns[field] for field, branch in columns.items()}
            content = {branch: column * layout.factor for branch, column in energies.items()}
            content |= {"Eta": piece.columns.eta, "Phi": piece.columns.phi}
            records = ak.zip({branch: ak.values_astype(content[branch], np.float32) for branch in branches})
            tree.extend({name: records, **piece.labels})
        file[DESCRIPTION] = text


def _read(path: Path, layout: Layout, labels: Mapping[str, float], events: int | None, certain: bool) -> Particles:
    name = layout.cells
    with _opened(path) as file:
        trees = [key.split(";")[0] for key, kind in file.classnames().items() if kind.startswith("TTree")]
        if TREE not in trees:
            raise ValueError(
                f"{path}: expected a tree {TREE!r}, the file holds {', '.join(sorted(set(trees))) or 'no tree'}."
            )
        tree = file[TREE]
        # Delphes's own files nest the branches, plain ones do not.
        branches = {branch.name: branch for branch in tree.itervalues(recursive=True)}
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
            raise ValueError(f"{path}: tree {TREE!r} holds zero events. Leave the file out, or write it again.")
        et, eta, phi = (branches[branch].array(entry_stop=events) for branch in needed)
        counts = ak.to_numpy(ak.num(et))
        if not all(np.array_equal(counts, ak.num(column)) for column in (eta, phi)):
            raise ValueError(f"{path}: the branches {', '.join(needed)} have different lengths: write the file again.")
        columns = {"pt": et / layout.factor, "eta": eta, "phi": phi, "mass": ak.zeros_like(et)}
        for field, column in _OPTIONAL.items():
            if f"{name}.{column}" in branches:
                columns[field] = branches[f"{name}.{column}"].array(entry_stop=events) / layout.factor
        held = {
            key: branch.array(entry_stop=events, library="np")
            for key, branch in branches.items()
            if "." not in key and not key.endswith("_size") and _is_number(branch)
        }
        origin = json.loads(file[DESCRIPTION]).get("origin", {}) if DESCRIPTION in file else {}
    clash = sorted(set(held) & set(labels))
    if clash:
        raise ValueError(f"{path}: holds the labels {clash} itself. Leave them out of labels=.")
    constants = {key: value for key, value in images.masses(path).items() if key not in held} | dict(labels)
    held |= {key: np.full(len(counts), float(value)) for key, value in constants.items()}
    flat = {field: ak.to_numpy(ak.flatten(column)).astype(np.float64) for field, column in columns.items()}
    if doubt := images.doubtful_unit(flat["pt"][:_DOUBTED], layout):
        message = f"{path}: towers {doubt.replace('cells that are not empty', 'towers')}"
        if not certain:
            raise ValueError(f"{message} To read them so nevertheless, pass layout={layout.name!r}.")
        warnings.warn(message, stacklevel=4)
    try:
        return Particles.from_flat(counts, flat, held, origin)
    except ValueError as error:
        raise ValueError(f"{path}: {error} Leave such towers or events out of the file.") from error


def _is_number(branch) -> bool:
    return isinstance(branch.interpretation, uproot.AsDtype) and not branch.interpretation.inner_shape


@contextmanager
def _opened(path: Path) -> Iterator[uproot.ReadOnlyDirectory]:
    """A ROOT file open for reading; what a damaged one makes uproot raise becomes one error in words."""
    try:
        with uproot.open(path) as file:
            promised, held = file.file.fEND, path.stat().st_size
            if held < promised:
                raise EOFError(f"{held} of {promised} bytes are there")
            yield file
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise _corrupt(path, error) from error
    except Exception as error:  # a damaged file makes uproot raise almost anything
        raise _corrupt(path, error) from error


def _corrupt(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ValueError(
        f"{path}: truncated or corrupt ROOT file ({type(error).__name__}: {reason}). Copy, fetch or write it again; an "
        "interrupted copy is the usual cause."
    )
