"""Jets, tracks and missing momentum as Delphes reconstructed them, for comparison with those made from its towers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np

from calolab.datasets import delphes, joining, root
from calolab.datasets.matching import find
from calolab.jets import Jets, described
from calolab.names import check_name
from calolab.particles import Particles

_JETS = {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass"}
_TRACKS = {"pt": "PT", "eta": "Eta", "phi": "Phi"}
_MISSING = {"missing_pt": "MET", "missing_phi": "Phi"}


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """The objects in the events of Delphes files.

    Args:
        jets: the jets of each event, in order of decreasing pt; None if they were not read.
        tracks: the tracks as particles, with the `identity` (PDG code) that Delphes gives them; None if not read.
        labels: arrays of shape `(event,)`: `missing_pt` [GeV] and `missing_phi` [rad] if they were read, and `weight`
            of weighted events. Jets and tracks have the same labels.
    """

    jets: Jets | None
    tracks: Particles | None
    labels: Mapping[str, np.ndarray]


def reconstructed(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    radius: float,
    algorithm: str = "antikt",
    minimum_pt: float = 0.0,
    maximum_eta: float = np.inf,
    jets: str | None = "Jet",
    tracks: str | None = "Track",
    missing: str | None = "MissingET",
    events: int | None = None,
) -> Reconstructed:
    """Read jets, tracks and missing momentum of Delphes files; `load` reads the towers of the same events.

    A Delphes file does not contain how its jets were found, so their radius is an argument. With the same cuts the
    jets can be compared with those of the towers:

        cuts = {"radius": 0.4, "minimum_pt": 30, "maximum_eta": 2.5}
        ours, theirs = cl.jets.cluster(cl.datasets.load(path), **cuts), cl.datasets.reconstructed(path, **cuts).jets
        cl.validation.compare_jets(theirs, ours)

    Args:
        paths: a ROOT file, a pattern such as `"run_*.root"`, or several.
        radius: R of the jets, as in the Delphes card.
        algorithm: algorithm in the card, `"antikt"`, `"kt"` or `"cambridge"`.
        minimum_pt: jets of lower transverse momentum are dropped [GeV].
        maximum_eta: jets beyond this pseudorapidity, of either sign, are dropped.
        jets, tracks, missing: names of the branches with the jets, tracks and missing momentum, e.g. `"GenJet"`; None
            does not read them.
        events: number of events, starting with the first; by default all.

    Returns:
        The objects, event by event in the order of the files. Tracks are massless where the file has no masses.

    Raises:
        FileNotFoundError: if no file matches.
        ValueError: if a file is damaged, is not of Delphes, or lacks one of the branches.
    """
    if events is not None and events < 1:
        raise ValueError(f"reconstructed(events=) expects at least one event, received {events}.")
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"reconstructed(radius=) expects the positive R of the jets, received {radius}.")
    check_name("jet algorithm", algorithm, ("antikt", "kt", "cambridge"))
    found = find(paths)

    def read(name: str | None, columns: Mapping[str, str]) -> Particles:
        return joining.read_each(found, partial(_read, name=name, columns=columns, missing=missing), events)

    in_file = None if jets is None else read(jets, _JETS)
    if in_file is not None:
        columns = in_file.columns[ak.argsort(-in_file.columns.pt, axis=1, stable=True)]
        origin = {**in_file.origin, "jets": described(algorithm, radius, minimum_pt, maximum_eta)}
        in_file = Jets(columns, in_file.labels, origin, float(radius)).within(minimum_pt, maximum_eta)
    return Reconstructed(in_file, None if tracks is None else read(tracks, _TRACKS), read(None, {}).labels)


def _read(path: Path, events: int | None, name: str | None, columns: Mapping[str, str], missing: str | None):
    """The objects of one class in a file as particles, with the labels of the events."""
    with root.opened(path) as file:
        tree = delphes.find(path, file)
        branches = root.branches(tree)
        n_events = tree.num_entries if events is None else min(events, tree.num_entries)
        needed = {field: _branch(path, branches, name, end) for field, end in columns.items()}
        for field, end in {"identity": "PID", "mass": "Mass"}.items():
            if name is not None and f"{name}.{end}" in branches:
                needed.setdefault(field, branches[f"{name}.{end}"])
        labels = {}
        for label, end in {} if missing is None else _MISSING.items():
            labels[label] = root.one_per_event(_branch(path, branches, missing, end), n_events)
        if delphes.WEIGHT in branches:
            labels["weight"] = root.one_per_event(branches[delphes.WEIGHT], n_events)
        labels = {label: column for label, column in labels.items() if column is not None}
        counts, flat = np.zeros(n_events, int), {field: np.zeros(0) for field in ("pt", "eta", "phi")}
        if needed:
            counts, flat = root.flat_columns(path, needed, n_events)
    flat.setdefault("mass", np.zeros(len(flat["pt"])))
    flat["mass"] = np.maximum(flat["mass"], 0)  # below zero by rounding
    try:
        return Particles.from_flat(counts, flat, labels)
    except ValueError as error:
        raise ValueError(f"{path}: branches {name}: {error} Remove such events from the file.") from error


def _branch(path: Path, branches: Mapping, name: str, end: str):
    if f"{name}.{end}" not in branches:
        raise ValueError(
            f"{path}: expected the branch '{name}.{end}', tree {delphes.TREE!r} has {delphes.classes(branches)}. Name "
            "another with jets=, tracks= or missing=, or pass None to omit it."
        )
    return branches[f"{name}.{end}"]
