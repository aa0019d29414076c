"""Statistical floors: the distances between two samples of real events, which differ only by chance.

A floor is computed from samples drawn with replacement from the reference (`Resampled`) or from disjoint sets of its
events (`DisjointHalves`). Both give the number of times that each event occurs in either sample; `number_distances` and
`profile_distances` compute the distances of the compared samples and those of every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calolab.labels import effective_number
from calolab.validation.binning import bin_of
from calolab.validation.distances import GROWTH, Distance, weighted_ks

NEIGHBOURS = 20


@dataclass(frozen=True, eq=False)
class Draws:
    """Pairs of samples drawn from the reference: the first replaces the reference, the second the generated sample.

    Args:
        first, second: number of times each reference event occurs in each sample, or this number times its weight,
            shape `(repetitions, event)`.
        scale: ratio of a KS distance between samples of the compared sizes to one between samples of the drawn sizes;
            other distances scale with the powers in `distances.GROWTH`.
    """

    first: np.ndarray
    second: np.ndarray
    scale: float = 1.0


@dataclass(frozen=True)
class Resampled:
    """Floors from pairs of samples drawn with replacement from the reference.

    One sample has the size and the labels of the reference, the other those of the generated sample, so that the floor
    is the distance that a perfect generator would have. Halves of the reference would have fewer events, and the floor
    would be too high.

    Args:
        repetitions: number of draws.
        seed: seed of the draws.
        exact: whether events are replaced only by events with exactly the same label, if the reference has all labels.
    """

    repetitions: int
    seed: int
    exact: bool = False
    method: ClassVar[str] = "resampled"

    def draws(self, reference: np.ndarray, generated: np.ndarray) -> Draws:
        """Draw the samples.

        Args:
            reference: the label of each reference event, e.g. its incident energy, shape `(event,)`; equal values if
                there is no label.
            generated: the label of each generated event; if it is empty, both samples are drawn with the labels of the
                reference.
        """
        rng = np.random.default_rng(self.seed)
        like = generated if len(generated) else reference
        found = []
        for slots in (reference, like):
            draw = _draw_within_labels if self.exact and np.isin(slots, reference).all() else draw_like
            found.append(draw(reference, slots, self.repetitions, rng))
        return Draws(*found)

    def draws_among(self, reference: np.ndarray, generated: np.ndarray) -> Callable[..., Draws]:
        """A function that draws from the events selected by boolean masks of both samples, once for equal masks.

        Args:
            reference, generated: labels of the events of both samples; see `draws`.
        """
        made = {}

        def draws(in_reference: np.ndarray | None = None, in_generated: np.ndarray | None = None) -> Draws:
            masks = [
                np.ones(len(labels), dtype=bool) if mask is None else mask
                for mask, labels in ((in_reference, reference), (in_generated, generated))
            ]
            key = tuple(mask.tobytes() for mask in masks)
            if key not in made:
                made[key] = self.draws(reference[masks[0]], generated[masks[1]])
            return made[key]

        return draws

    def to_dict(self) -> dict:
        """The settings as plain numbers and strings."""
        return {"method": self.method, "repetitions": self.repetitions, "seed": self.seed}


@dataclass(frozen=True)
class DisjointHalves:
    """Floors from pairs of disjoint sets of reference events, drawn repeatedly and without replacement.

    The size of both sets is the harmonic mean of `n_reference` and `n_generated` (N for N against N): their statistical
    fluctuations are then those of the compared samples. If the reference is too small for two such sets, it is split
    into halves, and the distances are scaled: between samples of one distribution, the KS distance is proportional to
    sqrt(1/n1 + 1/n2), a chi-square distance to 1/n1 + 1/n2, and minus log p does not depend on the numbers (measured:
    to 5 %, for a chi-square distance of 200 events to 10 %).

    Args:
        available: number of reference events to draw from.
        n_reference, n_generated: numbers of events of the two samples that are compared.
        repetitions: number of draws.
        seed: seed of the draws.
    """

    available: int
    n_reference: int
    n_generated: int
    repetitions: int
    seed: int
    method: ClassVar[str] = "disjoint halves"

    @property
    def events(self) -> int:
        """Number of events in each of the two sets."""
        mean = 2 * self.n_reference * self.n_generated / (self.n_reference + self.n_generated)
        return max(1, min(self.available // 2, round(mean)))

    @property
    def scale(self) -> float:
        """Factor by which a KS distance between the sets is multiplied; 1 where the reference is large enough."""
        expected = 1 / self.n_reference + 1 / self.n_generated
        return 1.0 if self.events < self.available // 2 else float(min(1.0, np.sqrt(expected * self.events / 2)))

    def draws(self) -> Draws:
        """Draw the sets."""
        random = np.random.default_rng(self.seed)
        first, second = np.zeros((2, self.repetitions, self.available), dtype=np.int32)
        for one, other in zip(first, second):
            order = random.permutation(self.available)
            one[order[: self.events]] = 1
            other[order[self.events : 2 * self.events]] = 1
        return Draws(first, second, self.scale)

    def to_dict(self) -> dict:
        """The settings as plain numbers and strings, with the size of the sets and the scale."""
        return {"method": self.method, **vars(self), "events": self.events, "scale": self.scale}


def weighted(draws: Draws, weights: np.ndarray | None) -> Draws:
    """Draws in which each event counts by its weight.

    Args:
        draws: of the reference events.
        weights: of these events, shape `(event,)`; None if all count equally.
    """
    if weights is None:
        return draws
    return Draws(draws.first * weights, draws.second * weights, draws.scale)


def equivalent_events(n_reference: int, n_generated: int, weights: tuple[np.ndarray | None, np.ndarray | None]) -> int:
    """Number of weighted reference events with the statistical precision of the generated sample.

    Args:
        n_reference, n_generated: numbers of events of the two samples.
        weights: of their events; None where all count equally.
    """
    if weights[0] is None and weights[1] is None:
        return n_generated
    precise = [n if w is None else effective_number(w) for n, w in zip((n_reference, n_generated), weights)]
    return max(1, round(precise[1] * n_reference / precise[0]))


def draw_like(labels, slots, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Draw events from a reference with replacement, with the labels of another sample.

    Each event of that sample is replaced by one of the about `NEIGHBOURS` reference events with the nearest labels, so
    that two draws differ only by chance, like two samples with the same labels.

    Args:
        labels: e.g. the incident energy of each reference event, shape `(event,)`; if all are equal, all events can be
            drawn.
        slots: the label of each event to be replaced, shape `(slot,)`.
        repetitions: number of draws.
        rng: the random generator.

    Returns:
        Number of times each reference event was drawn, shape `(repetitions, event)`.
    """
    labels, slots = np.asarray(labels, dtype=np.float64), np.asarray(slots, dtype=np.float64)
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], slots, side="left")
    last = np.searchsorted(labels[order], slots, side="right")
    # If the reference has many events with exactly the slot's label, only these are drawn from.
    window = min(NEIGHBOURS + 1, len(labels))
    enough = last - first >= window
    low = np.where(enough, first, np.clip((first + last - window) // 2, 0, len(labels) - window))
    width = np.where(enough, last - first, window)
    counts = np.empty((repetitions, len(labels)), dtype=np.int32)
    for repetition in range(repetitions):
        drawn = order[low + np.floor(rng.random(len(slots)) * width).astype(np.int64)]
        counts[repetition] = np.bincount(drawn, minlength=len(labels))
    return counts


def _draw_within_labels(labels, slots, repetitions, rng):
    """The same as `draw_like`, but only from events with exactly the same label."""
    counts = np.zeros((repetitions, len(labels)), dtype=np.int32)
    for label, number in zip(*np.unique(slots, return_counts=True)):
        alike = np.flatnonzero(labels == label)
        counts[:, alike] = draw_like(np.zeros(len(alike)), np.zeros(number), repetitions, rng)
    return counts


def number_distances(
    reference: np.ndarray,
    generated: np.ndarray,
    edges: np.ndarray,
    draws: Draws,
    distances: Callable[..., dict[str, float]],
    owners: np.ndarray | None = None,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Distances between the numbers of two samples, and the same distances in each draw of the reference.

    Args:
        reference, generated: finite numbers, shape `(entry,)` each; one per event, or per jet.
        edges: histogram edges; entries outside count in the outermost bins.
        draws: draws of the reference events.
        distances: function of `(positions, reference, generated, bins)` that returns distances by name, e.g.
            `weighted_distances`.
        owners: the event of each reference entry, shape `(entry,)`; by default each entry is an event.
        weights: of the entries of both samples; None where all count equally. Those of the draws are in the draws.

    Returns:
        The distances of the two samples by name, and of the draws, each of shape `(repetitions,)`.
    """
    values = entry_distances(reference, generated, edges, distances, weights)
    return values, number_floors(reference, edges, draws, distances, owners)


def entry_distances(reference, generated, edges, distances, weights=(None, None)) -> dict[str, float]:
    """Distances between the numbers of two samples.

    Args:
        reference, generated, edges, distances, weights: see `number_distances`.
    """
    both = np.concatenate([reference, generated])
    order = np.argsort(both, kind="stable")
    member = (order < len(reference)).astype(np.float64)
    counted = member, 1 - member
    if any(one is not None for one in weights):
        columns = [np.ones(len(v)) if w is None else w for v, w in zip((reference, generated), weights)]
        counted = [one * np.concatenate(columns)[order] for one in counted]
    return distances(both[order], *counted, bin_of(both[order], edges))


def number_floors(reference, edges, draws, distances, owners=None) -> dict[str, np.ndarray]:
    """The distances between the samples of each draw by name, shape `(repetitions,)`.

    Args:
        reference, edges, draws, distances, owners: see `number_distances`.
    """
    positions, event = _sorted(reference, owners)
    bins = bin_of(positions, edges)
    drawn = [distances(positions, one[event], other[event], bins) for one, other in zip(draws.first, draws.second)]
    return _stacked(drawn, draws.scale)


def ks_floors(reference: np.ndarray, draws: Draws, owners: np.ndarray | None = None) -> np.ndarray:
    """The KS distances between the samples of each draw alone, shape `(repetitions,)`; 1 where one has no entry.

    Args:
        reference, draws, owners: see `number_distances`.
    """
    positions, event = _sorted(reference, owners)
    return draws.scale ** GROWTH["ks"] * weighted_ks(positions, draws.first[:, event], draws.second[:, event])


def profile_distances(
    reference: np.ndarray, generated: np.ndarray, draws: Draws, distances: Callable[..., dict[str, float]]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Distances between the mean profiles of two samples, and the same distances in each draw of the reference.

    Args:
        reference, generated: a profile per event, shape `(event, bin)`.
        draws: draws of the reference events.
        distances: function from two mean profiles, shape `(bin,)`, to distances by name.

    Returns:
        The distances of the two samples by name, and of the draws, each of shape `(repetitions,)`.
    """
    means = [counts @ reference / counts.sum(axis=1, keepdims=True) for counts in (draws.first, draws.second)]
    drawn = [distances(*pair) for pair in zip(*means)]
    return distances(reference.mean(axis=0), generated.mean(axis=0)), _stacked(drawn, draws.scale)


def with_floors(
    values: Mapping[str, float], drawn: Mapping[str, np.ndarray], p: float | None = None
) -> dict[str, Distance]:
    """The record of each distance with its floor.

    Args:
        values: the distances by name.
        drawn: the same distances in each draw, shape `(repetitions,)`.
        p: p-value of the KS distance, or None.
    """
    return {
        name: with_floor(value, drawn[name], power=max(1, GROWTH.get(name, 1)), p=p if name == "ks" else None)
        for name, value in values.items()
    }


def with_floor(value: float, drawn: np.ndarray, **more) -> Distance:
    """The record of a distance with its floor.

    Args:
        value: the distance.
        drawn: the same distance between the samples of each draw, shape `(repetitions,)`.
        **more: further fields of the record.
    """
    return Distance(float(value), float(drawn.mean()), float(drawn.std()), float(drawn.max()), **more)


def _sorted(values, owners):
    """The sorted values of the reference and the event of each."""
    order = np.argsort(values, kind="stable")
    return values[order], order if owners is None else owners[order]


def _stacked(drawn, scale):
    return {name: scale ** GROWTH.get(name, 1) * np.array([one[name] for one in drawn]) for name in drawn[0]}
