"""Histograms of jets in the binning of the reference, with KS distances, for JetComparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calolab.validation import binning
from calolab.validation.clustered_events import ClusteredEvents
from calolab.validation.distances import kolmogorov_smirnov
from calolab.validation.floors import DisjointHalves, Draws, ks_floors

# For each variable its label, its unit and what the contents of the bins are fractions of.
VARIABLES = {
    "multiplicity": ("jets per event", "", "events"),
    "summed_mass": ("summed jet mass", "GeV", "events"),
    "leading_mass_1": ("leading jet mass", "GeV", "events"),
    "jet_pt": ("jet pt", "GeV", "jets"),
}
DRAWS = 30  # number of pairs of disjoint halves from which a floor is calculated


def histograms(sets: Mapping[str, ClusteredEvents], previous: Mapping[str, np.ndarray]) -> list[dict]:
    """The variables of all sets of events, each in a common binning, with the KS distance and its floor.

    Args:
        sets: the set of events `"reference"`, and if there are any `"generated"` and `"alone"` (without pile-up).
        previous: for each variable, the edges to keep while events are added, as long as they contain the reference.

    Returns:
        For each variable the histograms in JSON form: `name`, `label`, `unit`, `per` (what the contents are fractions
        of), `edges`; for each role `contents`, `errors` and the fractions `beyond` both ends; `ks` and `floor` if there
        are generated events.
    """
    draws = None
    if "generated" in sets:
        numbers = sets["reference"].done, sets["generated"].done
        draws = DisjointHalves(numbers[0], *numbers, DRAWS, seed=0).draws()
    return [_histogram(name, sets, previous.get(name), draws) for name in VARIABLES]


def _histogram(
    name: str, sets: Mapping[str, ClusteredEvents], previous: np.ndarray | None, draws: Draws | None
) -> dict:
    columns = {role: clustered.values[name] for role, clustered in sets.items()}
    reference, others = columns["reference"], [column for role, column in columns.items() if role != "reference"]
    edges = binning.shared_edges(name, [reference], others)
    if previous is not None and _contain(previous, name, reference) and edges[-1] < 1.1 * previous[-1]:
        edges = previous
    label, unit, per = VARIABLES[name]
    result = {"name": name, "label": label, "unit": unit, "per": per, "edges": edges.tolist()}
    for role, column in columns.items():
        counted = binning.histogram(column, edges)
        result[role] = {
            "contents": counted.contents.tolist(),
            "errors": counted.errors.tolist(),
            "beyond": list(counted.beyond),
        }
    if "generated" in columns and all(len(columns[role]) for role in ("reference", "generated")):
        result["ks"] = kolmogorov_smirnov(reference, columns["generated"])[0]
        result["floor"] = float(ks_floors(reference, draws, sets["reference"].owners[name]).mean())
    return result


def _contain(edges, name, column):
    """Whether the edges contain all multiplicities, or at least 99 % of the values of another variable."""
    limit = 0 if name == "multiplicity" else 0.01
    return not len(column) or np.mean((column < edges[0]) | (column > edges[-1])) <= limit
