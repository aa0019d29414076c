"""Statistical floors: the distances between two samples of real events, which differ by chance only.

A floor comes either from samples that are drawn with replacement from the reference (`Resampled`), or from disjoint
sets of its events (`DisjointHalves`). Both say how often each event counts in the one sample and in the other;
`number_distances` and `profile_distances` compute all distances, and the same distances in every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from calolab.validation.binning import bin_of
from calolab.validation.distances import GROWTH, Distance

NEIGHBOURS = 20


@dataclass(frozen=True, eq=False)
class Draws:
    """Pairs of samples taken from the reference, the one for the reference and the other for the generated sample.

    Args:
        first, second: how often each reference event counts in either sample, shape `(repetitions, event)`.
        scale: factor by which a distance that is proportional to a deviation is larger between samples of the compared
            sizes.
    """

    first: np.ndarray
    second: np.ndarray
    scale: float = 1.0


@dataclass(frozen=True)
class Resampled:
    """Floors between two samples that are both drawn with replacement from the reference.

    One has as many events as the reference, the other as many as the generated sample, with the same labels: what a
    perfect generator would score. Two halves of the reference would have fewer events, and so too high a floor.

    Args:
        repetitions: number of draws.
        seed: of the draws.
        exact: whether an event is replaced only by events of exactly its label, where the reference has all labels.
    """

    repetitions: int
    seed: int
    exact: bool = False
    method: ClassVar[str] = "resampled"

    def draws(self, reference: np.ndarray, generated: np.ndarray) -> Draws:
        """Draw the samples.

        Args:
            reference: the label of each reference event, e.g. the incident energy, by which events are replaced, shape
                `(event,)`; all equal without a label.
            generated: the label of each generated event; without any, both samples are drawn like the reference.
        """
        rng = np.random.default_rng(self.seed)
        like = generated if len(generated) else reference
        found = []
        for slots in (reference, like):
            draw = _draw_within_labels if self.exact and np.isin(slots, reference).all() else draw_like
            found.append(draw(reference, slots, self.repetitions, rng))
        return Draws(*found)

    def draws_among(self, reference: np.ndarray, generated: np.ndarray) -> Callable[..., Draws]:
        """A function that draws from the events where boolean masks of both samples are true; equal masks draw once.

        Args:
            reference, generated: labels of the events of both samples, as for `draws`.
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
    """Floors between two disjoint sets of reference events, drawn repeatedly and without replacement.

    Both sets have as many events as make chance differ between them as much as between `n_reference` and `n_generated`
    events: their harmonic mean (N for N against N). A reference that is too small for two such sets is cut into
    halves, and the distances are scaled: of samples that differ by chance only, the KS distance is proportional to the
    root of 1/n1 + 1/n2, a chi-square distance to 1/n1 + 1/n2, and minus log p does not depend on the numbers (measured:
    within 5 %, a chi-square distance of 200 events within 10 %).

    Args:
        available: number of reference events to draw from.
        n_reference, n_generated: numbers of events of the two samples that are compared.
        repetitions: number of draws.
        seed: of the draws.
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


def draw_like(labels, slots, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Draw events from a reference with replacement, with the labels of another sample.

    Every slot takes one of the about `NEIGHBOURS` reference events nearest to it in the label, so that two draws differ
    by chance only, as little as two samples of the same labels do.

    Args:
        labels: e.g. the incident energy of each reference event, shape `(event,)`; equal ones draw from all events.
        slots: the label of each event of the sample to imitate, shape `(slot,)`.
        repetitions: number of draws.
        rng: the random generator.

    Returns:
        How often each reference event was drawn, shape `(repetitions, event)`.
    """
    labels, slots = np.asarray(labels, dtype=np.float64), np.asarray(slots, dtype=np.float64)
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], slots, side="left")
    last = np.searchsorted(labels[order], slots, side="right")
    # Where the reference has many events of exactly the slot's label, the choice is among all of them and no others.
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
    """As `draw_like`, with an event of exactly the same label for every slot."""
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
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Distances between the numbers of two samples, and the same distances in each draw of the reference.

    Args:
        reference, generated: finite numbers, shape `(entry,)` each; one per event, or per jet.
        edges: histogram edges; entries outside count in the outermost bins.
        draws: of the reference events.
        distances: `(positions, reference, generated, bins)` to distances by name, e.g. `weighted_distances`.
        owners: the event of each reference entry, shape `(entry,)`; by default each entry is an event.

    Returns:
        The distances of the two samples by name, and of the draws, each of shape `(repetitions,)`.
    """
    values = entry_distances(reference, generated, edges, distances)
    return values, number_floors(reference, edges, draws, distances, owners)


def entry_distances(reference, generated, edges, distances) -> dict[str, float]:
    """Distances between the numbers of two samples; arguments as of `number_distances`.

    Args:
        reference, generated, edges, distances: as for `number_distances`.
    """
    both = np.concatenate([reference, generated])
    order = np.argsort(both, kind="stable")
    member = (order < len(reference)).astype(np.float64)
    return distances(both[order], member, 1 - member, bin_of(both[order], edges))


def number_floors(reference, edges, draws, distances, owners=None) -> dict[str, np.ndarray]:
    """The distances between the samples of each draw, shape `(repetitions,)`; arguments as of `number_distances`.

    Args:
        reference, edges, draws, distances, owners: as for `number_distances`.
    """
    order = np.argsort(reference, kind="stable")
    positions, event = reference[order], order if owners is None else owners[order]
    bins = bin_of(positions, edges)
    drawn = [distances(positions, one[event], other[event], bins) for one, other in zip(draws.first, draws.second)]
    return _stacked(drawn, draws.scale)


def profile_distances(
    reference: np.ndarray, generated: np.ndarray, draws: Draws, distances: Callable[..., dict[str, float]]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Distances between the mean profiles of two samples, and the same distances in each draw of the reference.

    Args:
        reference, generated: a profile per event, shape `(event, bin)`.
        draws: of the reference events.
        distances: from two mean profiles, shape `(bin,)`, to distances by name.

    Returns:
        The distances of the two samples by name, and of the draws, each of shape `(repetitions,)`.
    """
    means = [counts @ reference / counts.sum(axis=1, keepdims=True) for counts in (draws.first, draws.second)]
    drawn = [distances(*pair) for pair in zip(*means)]
    return distances(reference.mean(axis=0), generated.mean(axis=0)), _stacked(drawn, draws.scale)


def with_floors(
    values: Mapping[str, float], drawn: Mapping[str, np.ndarray], p: float | None = None
) -> dict[str, Distance]:
    """The record of each distance, with the floor from its draws; `p` is that of the KS distance.

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
    """The record of a distance whose values in the draws of reference against reference are `drawn`.

    Args:
        value: the distance.
        drawn: the same distance in each draw, shape `(repetitions,)`.
        **more: further fields of the record.
    """
    return Distance(float(value), float(drawn.mean()), float(drawn.std()), float(drawn.max()), **more)


def _stacked(drawn, scale):
    return {name: scale ** GROWTH.get(name, 1) * np.array([one[name] for one in drawn]) for name in drawn[0]}
