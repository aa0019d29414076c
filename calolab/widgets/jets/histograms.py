"""Histograms of jets in the binning of the reference, with KS distances, for JetComparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calolab.validation import binning
from calolab.validation.distances import kolmogorov_smirnov, ks_distances
from calolab.validation.floors import DisjointHalves, number_floors
from calolab.widgets.jets.event_sources import Clustered

# For each variable its label, its unit and what the contents of the bins are fractions of.
VARIABLES = {
    "multiplicity": ("jets per event", "", "events"),
    "summed_mass": ("summed jet mass", "GeV", "events"),
    "leading_mass": ("leading jet mass", "GeV", "events"),
    "jet_pt": ("jet pt", "GeV", "jets"),
}
DRAWS = 30  # number of pairs of disjoint halves from which a floor is calculated


def histogram(name: str, sets: Mapping[str, Clustered], previous: np.ndarray | None = None) -> dict:
    """One variable of all sets of events in a common binning, with the KS distance and its floor.

    Args:
        name: name of the variable.
        sets: the set of events `"reference"`, and if there are any `"generated"` and `"alone"` (without pile-up).
        previous: edges to keep while events are added, as long as they contain the reference.

    Returns:
        The histograms in JSON form: `name`, `label`, `unit`, `per` (what the contents are fractions of), `edges`; for
        each role `contents`, `errors` and the fractions `beyond` both ends; `ks` and `floor` if there are generated
        events.
    """
    columns = {role: clustered.columns[name] for role, clustered in sets.items()}
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
        numbers = sets["reference"].done, sets["generated"].done
        result["floor"] = floor(reference, sets["reference"].owners(name), *numbers)
    return result


def floor(column: np.ndarray, owners: np.ndarray, n_reference: int, n_generated: int) -> float:
    """The KS distance between samples of these sizes that differ by chance only: the mean over disjoint halves.

    Args:
        column: one variable of the real events, one value per event or per jet.
        owners: the event of each value, same shape.
        n_reference, n_generated: numbers of events that are compared.
    """
    draws = DisjointHalves(n_reference, n_reference, n_generated, DRAWS, seed=0).draws()
    edges = np.array([-np.inf, np.inf])  # the KS distance needs no bins
    return float(number_floors(column, edges, draws, ks_distances, owners)["ks"].mean())


def _contain(edges, name, column):
    """Whether the edges contain all multiplicities, or at least 99 % of the values of another variable."""
    limit = 0 if name == "multiplicity" else 0.01
    return not len(column) or np.mean((column < edges[0]) | (column > edges[-1])) <= limit
