"""What jets are compared by: their variables, and distances between two sets of events with the floor under them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from calolab.jets import Jets
from calolab.validation.metrics import event_distances
from calolab.validation.observables import Observable, floored, histogram_edges

# The published metric sets p to no less than exp(-700), so no variable counts for more.
CAP = 700.0
# The three whose minus log p add up to `ks_comb`.
COMBINED = ("jet_pt", "multiplicity", "summed_mass")
ANGLES = ("jet_eta", "jet_phi")  # the published score leaves them out
LEADING = 4
# With fewer reference events than this, a variable has no floor worth the name.
FEWEST = 10
# A generated sample's multiplicities beyond twice the reference's most, and these, stand in the last bin.
FEW_JETS = 2


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of one sample's jets.

    Args:
        label: in words.
        unit: of the values.
        values: one per event, zero where an event has too few jets for it; or one per jet.
        events: which event each value belongs to, same shape.
    """

    label: str
    unit: str
    values: np.ndarray
    events: np.ndarray


def variables(jets: Jets) -> dict[str, Variable]:
    """All variables by name: jets per event, their summed mass, single jets, and each event's hardest jets.

    Events with too few jets stay in every variable of events, with zero.
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
    return found


def edges(name: str, reference: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Histogram edges of a variable: a bin for each number of jets, all of the circle, else the range of the values.

    The reference sets the range, the generated sample extends it to at most twice its width.
    Masses and the hardest jet's pt are 0 where an event has too few jets; that number has a bin of its own.
    """
    if name == "multiplicity":
        most = reference.max()
        return np.arange(max(most, min(generated.max(initial=0), 2 * most + FEW_JETS)) + 2) - 0.5
    if name == "jet_phi":
        return np.linspace(-np.pi, np.pi, 33)
    if name in ("jet_pt", "jet_eta"):
        return histogram_edges(reference, generated)
    positive = [values[values > 0] for values in (reference, generated)]
    if not len(positive[0]):
        return np.array([-0.5, 0.5, max(1.0, generated.max(initial=0) + 0.5)])
    found = histogram_edges(*positive)
    zero = (found[1] - found[0]) / 2
    return np.concatenate([[-zero, zero], found[found > zero]])


def minus_log_p(distance: np.ndarray | float, n_reference: int, n_generated: int) -> np.ndarray:
    """Minus the natural logarithm of the two-sample KS test's p, capped at 700, also where p itself underflows.

    It is Kolmogorov's limit for many events with Stephens's correction for fewer, which the published scores were
    computed with. For fewer than about 30 events, or far in the tail, the exact p of disjoint samples is larger.

    Args:
        distance: KS distances, any shape.
        n_reference, n_generated: numbers of entries of the two samples.

    Returns:
        Same shape; 700 where a sample has no entry.
    """
    distance = np.asarray(distance, dtype=np.float64)
    if not n_reference or not n_generated:
        return np.full(distance.shape, CAP)
    root = np.sqrt(n_reference * n_generated / (n_reference + n_generated))
    x = (root + 0.12 + 0.11 / root) * distance
    # The limit is 2 (exp(-2 x^2) - exp(-8 x^2) + ...): beyond x = 1 two terms give all digits that matter.
    near = -np.log(special.kolmogorov(np.minimum(x, 1)))
    far = 2 * x**2 - np.log(2) - np.log1p(-np.exp(-6 * np.maximum(x, 1) ** 2))
    return np.minimum(np.where(x < 1, near, far), CAP) + 0.0


def distances(reference: np.ndarray, generated: np.ndarray, bins: np.ndarray) -> dict[str, float]:
    """Distances between two samples of one variable.

    Args:
        reference, generated: finite values of the entries.
        bins: histogram edges, those of `edges`.

    Returns:
        `"ks"`, the KS distance; `"separation"` of the histograms, a chi-square distance from 0 to 1; `"minus_log_p"`.
        1, 1 and 700 if one of the samples has no entry.
    """
    if not len(reference) or not len(generated):
        return {"ks": 1.0, "separation": 1.0, "minus_log_p": CAP}
    both = np.concatenate([reference, generated])
    order = np.argsort(both, kind="stable")
    member = (order < len(reference)).astype(np.float64)
    return _weighted(both[order], member, 1 - member, _bins(both[order], bins))


def _weighted(positions, reference, generated, bins):
    found = event_distances(positions, reference, generated, bins, 1.0)
    sizes = int(round(reference.sum())), int(round(generated.sum()))
    return {
        "ks": found["ks"],
        "separation": found["separation"],
        "minus_log_p": float(minus_log_p(found["ks"], *sizes)),
    }


def _bins(values, bins):
    return np.searchsorted(bins[1:-1], values, side="right")


@dataclass(frozen=True)
class Halves:
    """Repeated draws of two disjoint sets of reference events, to see how far real events are from real events.

    The sets are drawn without replacement, both with as many events as make chance differ between them as much as
    between `n_reference` and `n_generated` events: their harmonic mean (N for N against N). A reference that is too
    small for two such sets is cut into halves, and the distances found there are scaled: of samples that differ by
    chance only, the KS distance goes with the root of 1/n1 + 1/n2, a chi-square distance with 1/n1 + 1/n2, and minus
    log p does not depend on the numbers (measured: within 5 %, a chi-square distance of 200 events within 10 %).
    Nothing is drawn with replacement (no bootstrap).

    Args:
        available: events of the reference to draw from.
        n_reference, n_generated: events of the two samples that are compared.
        repetitions: how many draws.
        seed: of the draws.
    """

    available: int
    n_reference: int
    n_generated: int
    repetitions: int
    seed: int

    @property
    def events(self) -> int:
        """Events in each of the two sets."""
        mean = 2 * self.n_reference * self.n_generated / (self.n_reference + self.n_generated)
        return max(1, min(self.available // 2, round(mean)))

    @property
    def scale(self) -> float:
        """By what a KS distance between the sets is multiplied; 1 where the reference is large enough."""
        wanted = 1 / self.n_reference + 1 / self.n_generated
        return 1.0 if self.events < self.available // 2 else float(min(1.0, np.sqrt(wanted * self.events / 2)))

    def sides(self) -> np.ndarray:
        """For each draw, which set an event is in, shape `(repetitions, event)`: 1, 2 or, if in none, 0."""
        random = np.random.default_rng(self.seed)
        sides = np.zeros((self.repetitions, self.available), dtype=np.int8)
        for side in sides:
            order = random.permutation(self.available)
            side[order[: self.events]] = 1
            side[order[self.events : 2 * self.events]] = 2
        return sides


def floors(variable: Variable, bins: np.ndarray, sides: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """The distances of `distances` between the two sets of each draw, shape `(repetitions,)`.

    Args:
        variable: of the reference.
        bins: histogram edges.
        sides, scale: of `Halves`.
    """
    order = np.argsort(variable.values, kind="stable")
    positions, events = variable.values[order], variable.events[order]
    contents = _bins(positions, bins)
    drawn = []
    for side in sides:
        member = side[events]
        first, second = (member == 1).astype(np.float64), (member == 2).astype(np.float64)
        if first.any() and second.any():
            drawn.append(_weighted(positions, first, second, contents))
        else:
            drawn.append({"ks": 1.0, "separation": 1.0, "minus_log_p": CAP})
    factors = {"ks": scale, "separation": scale**2, "minus_log_p": 1.0}
    return {name: factor * np.array([one[name] for one in drawn]) for name, factor in factors.items()}


def observe(
    reference: Mapping[str, Variable], generated: Mapping[str, Variable], halves: Halves
) -> tuple[dict[str, Observable], dict[str, np.ndarray]]:
    """All variables of both samples with distances and floors.

    Returns:
        The observables by name, and minus log p of each in all draws, shape `(repetitions,)`. Variables that fewer than
        ten reference events have are left out, unless they belong to `ks_comb`.
    """
    sides, found, drawn = halves.sides(), {}, {}
    for name, variable in reference.items():
        other = generated[name]
        if len(np.unique(variable.events)) < FEWEST and name not in COMBINED:
            continue
        bins = edges(name, variable.values, other.values)
        values = distances(variable.values, other.values, bins)
        floor = floors(variable, bins, sides, halves.scale)
        p = float(np.exp(-values["minus_log_p"]))
        measured = {
            one: floored(value, floor[one], power=2 if one == "separation" else 1, p=p if one == "ks" else None)
            for one, value in values.items()
        }
        found[name] = Observable(
            name, variable.label, variable.unit, bins, variable.values, generated[name].values, distances=measured
        )
        drawn[name] = floor["minus_log_p"]
    return found, drawn
