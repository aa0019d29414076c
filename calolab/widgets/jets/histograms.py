"""Histograms of the jets of many events, in a binning that the reference sets, and distances: for JetComparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calolab.plots.jets import beyond, binning, contents
from calolab.validation.metrics import kolmogorov_smirnov
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
    columns = {role: found.columns[name] for role, found in known.items()}
    reference, others = columns["reference"], [column for role, column in columns.items() if role != "reference"]
    edges = binning(name, [reference], others)
    if kept is not None and _fit(kept, name, reference) and edges[-1] < 1.1 * kept[-1]:
        edges = kept
    label, unit, per = VARIABLES[name]
    made = {"name": name, "label": label, "unit": unit, "per": per, "edges": edges.tolist()}
    for role, column in columns.items():
        fractions, errors = contents(column, edges)
        outside = list(beyond(column, edges))
        made[role] = {"contents": fractions.tolist(), "errors": errors.tolist(), "beyond": outside}
    if "generated" in columns and all(len(columns[role]) for role in ("reference", "generated")):
        made["ks"] = kolmogorov_smirnov(reference, columns["generated"])[0]
        numbers = known["reference"].done, known["generated"].done
        made["floor"] = floor(reference, known["reference"].owners(name), *numbers)
    return made


def floor(column: np.ndarray, owners: np.ndarray, n_reference: int, n_generated: int) -> float:
    """The KS distance that chance alone makes: the mean over random halves of real events, scaled to the numbers.

    Args:
        column: one variable of the real events, one value per event or per jet.
        owners: which event each value belongs to, same shape.
        n_reference, n_generated: numbers of the events that are compared.
    """
    half = n_reference // 2
    if not half:
        return 1.0
    order = np.argsort(column, kind="stable")
    values, owners = column[order], owners[order]
    shuffled = np.argsort(np.random.default_rng(0).random((DRAWS, n_reference)), axis=1)
    first, second = (part[:, owners] for part in (shuffled < half, (shuffled >= half) & (shuffled < 2 * half)))
    counts = [np.maximum(part.sum(axis=1, keepdims=True), 1) for part in (first, second)]
    difference = np.cumsum(first / counts[0] - second / counts[1], axis=1)
    # Within ties the cumulative difference has no meaning before the last of them.
    apart = np.append(np.diff(values) > 0, True)
    # It goes with the root of 1/n1 + 1/n2.
    scale = np.sqrt((1 / n_reference + 1 / n_generated) * half / 2)
    return float(scale * np.abs(difference[:, apart]).max(axis=1).mean())


def _fit(edges, name, column):
    """Whether the edges hold all multiplicities, or nearly all values of another variable."""
    most = 0 if name == "multiplicity" else 0.01
    return not len(column) or np.mean((column < edges[0]) | (column > edges[-1])) <= most
