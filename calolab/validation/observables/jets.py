"""Observables of jets: multiplicity, masses and momenta, with KS distance, chi-square distance and minus log p."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from calolab.jets import Jets
from calolab.labels import event_weights
from calolab.validation.binning import jet_edges
from calolab.validation.distances import ks_distances
from calolab.validation.floors import Draws, entry_distances, number_distances, with_floors
from calolab.validation.observables.observable import Observable

# The three whose minus log p add up to `ks_comb`.
COMBINED = ("jet_pt", "multiplicity", "summed_mass")
ANGLES = ("jet_eta", "jet_phi")  # not part of the published score
LEADING = 4
# With fewer reference events than this, the floor of a variable is not meaningful.
FEWEST = 10


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of one sample's jets.

    Args:
        label: description of the variable.
        unit: unit of the values.
        values: one per event, zero where an event has too few jets for it; or one per jet.
        events: the event of each value, same shape.
        weights: the weight of its event, same shape; None if all events count equally.
    """

    label: str
    unit: str
    values: np.ndarray
    events: np.ndarray
    weights: np.ndarray | None = None


def variables(jets: Jets) -> dict[str, Variable]:
    """All variables by name: jets per event, their summed mass, single jets, and each event's leading jets.

    Entries have the weights of their events, the label `weight` of the jets. Events with too few jets have the value
    zero in every variable of events.
    """
    every, owner = np.arange(len(jets)), np.repeat(np.arange(len(jets)), jets.multiplicity)
    found = {
        "multiplicity": Variable("jets per event", "", jets.multiplicity.astype(np.float64), every),
        "summed_mass": Variable("summed jet mass", "GeV", jets.summed_mass, every),
        "jet_pt": Variable("jet pt", "GeV", jets.flat("pt"), owner),
        "jet_eta": Variable("jet η", "", jets.flat("eta"), owner),
        "jet_phi": Variable("jet φ", "rad", jets.flat("phi"), owner),
        "leading_pt": Variable("leading jet's pt", "GeV", np.nan_to_num(jets.leading("pt")[:, 0]), every),
    }
    for number, masses in enumerate(np.nan_to_num(jets.leading("mass", LEADING)).T, start=1):
        found[f"leading_mass_{number}"] = Variable(f"mass of jet {number}", "GeV", masses, every)
    weights = event_weights(jets.labels)
    if weights is None:
        return found
    return {name: replace(one, weights=weights[one.events]) for name, one in found.items()}


def distances(
    name: str,
    reference: np.ndarray,
    generated: np.ndarray,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> dict[str, float]:
    """Distances between two samples of one variable.

    Args:
        name: name of the variable.
        reference, generated: finite values of the entries.
        weights: of the entries of both samples; None where all count equally.

    Returns:
        `"ks"`, the KS distance; `"separation"` of the histograms, a chi-square distance from 0 to 1; `"minus_log_p"`.
        1, 1 and 700 if one of the samples has no entry.
    """
    return entry_distances(reference, generated, jet_edges(name, reference, generated), ks_distances, weights)


def observe(
    reference: Mapping[str, Variable], generated: Mapping[str, Variable], draws: Draws
) -> tuple[dict[str, Observable], dict[str, np.ndarray]]:
    """All variables of both samples with distances and floors.

    Args:
        reference, generated: results of `variables`.
        draws: draws of the reference events.

    Returns:
        The observables by name, and minus log p of each in all draws, shape `(repetitions,)`. Variables that fewer than
        ten reference events have are left out, unless they belong to `ks_comb`.
    """
    found, drawn = {}, {}
    for name, variable in reference.items():
        other, weights = generated[name].values, (variable.weights, generated[name].weights)
        if len(np.unique(variable.events)) < FEWEST and name not in COMBINED:
            continue
        edges = jet_edges(name, variable.values, other)
        values, floors = number_distances(
            variable.values, other, edges, draws, ks_distances, owners=variable.events, weights=weights
        )
        measured = with_floors(values, floors, p=float(np.exp(-values["minus_log_p"])))
        found[name] = Observable(
            name, variable.label, variable.unit, edges, variable.values, other, distances=measured, weights=weights
        )
        drawn[name] = floors["minus_log_p"]
    return found, drawn
