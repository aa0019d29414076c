"""Nearest neighbours in the space of features: precision, recall, density and coverage, and memorised showers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from calolab.scores import Score
from calolab.validation.frechet import check_features
from calolab.validation.threads import in_threads

NEIGHBOURS = 5
BLOCK_BYTES = 64 * 2**20  # of distances that a thread computes at a time
# The fraction of held-out events that are closest to the training sample; as many generated ones are expected there.
CLOSE = 0.01
FEWEST_EVENTS = 50


@dataclass(frozen=True)
class Manifold:
    """The overlap of two samples in the space of features (arXiv:1904.06991, arXiv:2002.09797).

    Args:
        precision: fraction of generated events within the neighbourhood of a reference event.
        recall: fraction of reference events within the neighbourhood of a generated event.
        density: mean number of such neighbourhoods per generated event, over their expected number; not limited to 1.
        coverage: fraction of reference events with a generated event in their neighbourhood.
        neighbours: a neighbourhood extends to the k-th nearest neighbour in the same sample, for this number k.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int


@dataclass(frozen=True, eq=False)
class Memorisation:
    """How close generated and held-out events are to the training sample.

    The distance of an event is that to the nearest training event, in units of that training event's distance to its
    own nearest neighbour in the training sample.

    Args:
        generated, held_out: distances of the events of both samples, shape `(event,)`.
        closer: probability that a generated event is closer than a held-out one; 0.5 for an ideal generator.
        closer_spread: its standard deviation by chance.
        near: fraction of generated events within the smallest 1 % of held-out distances.
        near_floor, near_spread: its expectation and standard deviation by chance.
        pairs: generated events that are closer than all held-out ones, with their nearest training events: indices of
            shape `(pair, 2)`, the closest first.
        expected_pairs: number of such pairs by chance.
    """

    generated: np.ndarray
    held_out: np.ndarray
    closer: float
    closer_spread: float
    near: float
    near_floor: float
    near_spread: float
    pairs: np.ndarray
    expected_pairs: float

    def scores(self) -> dict[str, Score]:
        """`"memorisation"` (`closer`) and `"near_training"` (`near`) with their floors."""
        return {
            "memorisation": Score("memorisation", self.closer, 0.5, self.closer_spread),
            "near_training": Score("near_training", self.near, self.near_floor, self.near_spread),
        }


def standardised(reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Features minus the reference mean, over its standard deviation; without those that are constant in it.

    Args:
        reference: shape `(event, feature)`.
        others: features of further samples.
    """
    mean, spread = reference.mean(axis=0), reference.std(axis=0)
    varies = spread > 1e-12 * np.abs(reference).max(axis=0, initial=0)
    return [(one[:, varies] - mean[varies]) / spread[varies] for one in (reference, *others)]


def manifold_overlap(reference: np.ndarray, generated: np.ndarray, neighbours: int = NEIGHBOURS) -> Manifold:
    """Precision, recall, density and coverage, as defined by the package prdc (arXiv:2002.09797).

    All pairs of events are compared, in blocks of rows, so that memory is bounded and time grows with the product of
    the numbers of events. Scale the features before, e.g. by `standardised`.

    Args:
        reference, generated: shape `(event, feature)`.
        neighbours: a neighbourhood extends to the k-th nearest neighbour, for this number k; the CaloChallenge uses 5.

    Raises:
        ValueError: if the features differ or are not finite, or a sample has no more than `neighbours` events.
    """
    if neighbours < 1:
        raise ValueError(f"manifold_overlap(neighbours=) expects at least 1, received {neighbours}.")
    reference, generated = check_features("manifold_overlap", reference, generated, neighbours + 1)
    radii = [_radii(one, neighbours) for one in (reference, generated)]

    def overlap(rows):
        squared = _squared_distances(reference[rows], generated)
        inside = squared < radii[0][rows, None]
        return inside.sum(axis=0), (squared < radii[1]).any(axis=1), squared.min(axis=1) < radii[0][rows]

    counts, found, covered = np.zeros(len(generated), dtype=np.int64), [], []
    for inside, recalled, near in in_threads(overlap, _blocks(len(reference), len(generated))):
        counts += inside
        found.append(recalled)
        covered.append(near)
    return Manifold(
        precision=float(np.mean(counts > 0)),
        recall=float(np.mean(np.concatenate(found))),
        density=float(counts.mean() / neighbours),
        coverage=float(np.mean(np.concatenate(covered))),
        neighbours=neighbours,
    )


def memorisation(training: np.ndarray, held_out: np.ndarray, generated: np.ndarray) -> Memorisation:
    """Compare the distances of generated events and of held-out real events to the training sample.

    A generator that repeats training events is closer to them than other real events are (the three-sample test of
    arXiv:2004.05675). So is one whose events vary too little; then `pairs` has no more entries than expected, or
    pairs that do not look alike. Generate with the labels of the held-out events, so that only the generator differs.

    Args:
        training: features of the training sample, shape `(event, feature)`, scaled, e.g. by `standardised`.
        held_out: features of real events that the generator was not trained on.
        generated: features of the generated events.

    Raises:
        ValueError: if the features differ or are not finite, or a sample has fewer than 50 events.
    """
    training, held_out = check_features("memorisation", training, held_out, FEWEST_EVENTS)
    generated = check_features("memorisation", training, generated, FEWEST_EVENTS)[1]
    own = np.sqrt(_radii(training, 1))
    # The distance between equal training events is zero; it is replaced by the smallest positive distance.
    own = np.maximum(own, _smallest(own))
    nearest = [_nearest(one, training) for one in (generated, held_out)]
    distances = [distance / own[index] for index, distance in nearest]
    n, m = map(len, distances)
    ranks = stats.rankdata(np.concatenate(distances))[:n].sum()
    closer = 1 - (ranks - n * (n + 1) / 2) / (n * m)
    place = max(1, round(CLOSE * m))
    limit = np.partition(distances[1], place - 1)[place - 1]
    expected = place / (m + 1)
    found = np.flatnonzero(distances[0] < distances[1].min())
    found = found[np.argsort(distances[0][found])]
    return Memorisation(
        generated=distances[0],
        held_out=distances[1],
        closer=float(closer),
        closer_spread=float(np.sqrt((n + m + 1) / (12 * n * m))),
        near=float(np.mean(distances[0] < limit)),
        near_floor=float(expected),
        near_spread=float(np.sqrt(expected * (1 - expected) * (1 / n + 1 / m))),
        pairs=np.stack([found, nearest[0][0][found]], axis=1),
        expected_pairs=n / (m + 1),
    )


def _smallest(distances):
    """The smallest positive distance, or 1 if there is none."""
    positive = distances[distances > 0]
    return positive.min() if len(positive) else 1.0


def _blocks(rows, columns):
    """Slices of the rows of a matrix of distances."""
    size = max(1, BLOCK_BYTES // (8 * columns))
    return [slice(start, start + size) for start in range(0, rows, size)]


def _squared_distances(first, second):
    """Squared distances between all pairs, shape `(first, second)`."""
    squared = first @ second.T
    squared *= -2
    squared += np.einsum("ef,ef->e", first, first)[:, None]
    squared += np.einsum("ef,ef->e", second, second)
    return np.maximum(squared, 0, out=squared)


def _radii(events, neighbours):
    """Squared distance of each event to its k-th nearest neighbour in the same sample, shape `(event,)`."""

    def radii(rows):
        squared = _squared_distances(events[rows], events)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.start + len(squared))] = 0
        return np.partition(squared, neighbours, axis=1)[:, neighbours]

    return np.concatenate(list(in_threads(radii, _blocks(len(events), len(events)))))


def _nearest(events, training):
    """Index of the nearest training event of each event, and its distance."""

    def nearest(rows):
        return _squared_distances(events[rows], training).argmin(axis=1)

    index = np.concatenate(list(in_threads(nearest, _blocks(len(events), len(training)))))
    # The difference itself: the squares above leave rounding errors where events are equal.
    return index, np.linalg.norm(events - training[index], axis=1)
