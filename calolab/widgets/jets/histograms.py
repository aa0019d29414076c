"""Histograms of the jets of many events, in a binning that the reference sets, and distances: for JetComparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calolab.validation import binning
from calolab.validation.distances import kolmogorov_smirnov, ks_distances
from calolab.validation.floors import DisjointHalves, number_floors
from calolab.widgets.jets.event_sources import Clustered

# Name: in words, unit, what each bin holds a fraction of.
VARIABLES = {
    "multiplicity": ("jets per event", "", "events"),
    "summed_mass": ("summed jet mass", "GeV", "events"),
    "leading_mass": ("leading jet mass", "GeV", "events"),
    "jet_pt": ("jet pt", "GeV", "jets"),
}
DRAWS = 30


def histogram(name: str, known: Mapping[str, Clustered], kept: np.ndarray | None = None) -> dict:
    """One variable of all sets of events in one binning, with the KS distance and its floor where two are compared.

    Args:
        name: of the variable.
        known: the sets under "reference", and perhaps "generated" and "alone".
        kept: edges that hold still while more events come in, as long as the reference fits in them.

    Returns:
        What the browser draws: `name`, `label`, `unit`, `per` (what the bins hold fractions of), `edges`, under each
        role `contents`, `errors` and the fractions `beyond` both ends, and perhaps `ks` and `floor`.
    """
    columns = {role: one.columns[name] for role, one in known.items()}
    reference, others = columns["reference"], [column for role, column in columns.items() if role != "reference"]
    edges = binning.shared_edges(name, [reference], others)
    if kept is not None and _fit(kept, name, reference) and edges[-1] < 1.1 * kept[-1]:
        edges = kept
    label, unit, per = VARIABLES[name]
    made = {"name": name, "label": label, "unit": unit, "per": per, "edges": edges.tolist()}
    for role, column in columns.items():
        found = binning.histogram(column, edges)
        made[role] = {
            "contents": found.contents.tolist(),
            "errors": found.errors.tolist(),
            "beyond": list(found.beyond),
        }
    if "generated" in columns and all(len(columns[role]) for role in ("reference", "generated")):
        made["ks"] = kolmogorov_smirnov(reference, columns["generated"])[0]
        numbers = known["reference"].done, known["generated"].done
        made["floor"] = floor(reference, known["reference"].owners(name), *numbers)
    return made


def floor(column: np.ndarray, owners: np.ndarray, n_reference: int, n_generated: int) -> float:
    """The KS distance between samples of these sizes that differ by chance only: the mean over disjoint halves.

    Args:
        column: one variable of the real events, one value per event or per jet.
        owners: the event of each value, same shape.
        n_reference, n_generated: numbers of the events that are compared.
    """
    draws = DisjointHalves(n_reference, n_reference, n_generated, DRAWS, seed=0).draws()
    edges = np.array([-np.inf, np.inf])  # the KS distance needs no bins
    return float(number_floors(column, edges, draws, ks_distances, owners)["ks"].mean())


def _fit(edges, name, column):
    """Whether the edges hold all multiplicities, or nearly all values of another variable."""
    most = 0 if name == "multiplicity" else 0.01
    return not len(column) or np.mean((column < edges[0]) | (column > edges[-1])) <= most
