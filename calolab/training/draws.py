"""The randomness of a training: every draw is a function of seed, rank, epoch, step and pass, so it can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calolab.training.recipe import Recipe

# What a draw is for; part of its seed, so that no two purposes share random numbers.
_ORDER, _PASS, _DROPOUT, _BATCH_FLIP = range(4)


@dataclass(frozen=True, eq=False)
class Draw:
    """The random numbers of one pass.

    Args:
        latent: latent vectors, float32 of shape `(event, latent_size)`.
        labels: label rows drawn from the training sample, each of shape `(event,)`.
        flips: which of the labels real and generated are flipped, boolean of shape `(event,)`.
        class_flips: which of the classes asked of the generator are flipped, boolean of shape `(event,)`.
        mixing: where between a real and a generated event a gradient penalty looks, 0 to 1, float32 of shape
            `(event,)`.
        seeds: seeds of the dropout layers, int64 of shape `(layer, 2)`.
    """

    latent: np.ndarray
    labels: dict[str, np.ndarray]
    flips: np.ndarray
    class_flips: np.ndarray
    mixing: np.ndarray
    seeds: np.ndarray


def order_seed(seed: int, rank: int, epoch: int) -> int:
    """Seed of one rank's order of events in one epoch."""
    return int(np.random.SeedSequence((seed, _ORDER, rank, epoch)).generate_state(1)[0])


def draw(
    place: tuple[int, int, int, int, int],
    events: int,
    latent_size: int,
    labels: Mapping[str, np.ndarray],
    recipe: Recipe,
    dropouts: int,
) -> Draw:
    """The random numbers of the pass at `place` = (seed, rank, epoch, step, pass).

    Args:
        place: where the training stands.
        events: events in the pass.
        latent_size: length of a latent vector.
        labels: the training sample's labels; rows of them are drawn, so that ranges and correlations are kept.
        recipe: with what probabilities labels are flipped.
        dropouts: number of dropout layers.
    """
    seed, _, *everywhere = place
    where = place[1:]
    random = np.random.default_rng(np.random.SeedSequence((seed, _PASS, *where)))
    rows = random.integers(len(next(iter(labels.values()), [0])), size=events)
    words = np.random.SeedSequence((seed, _DROPOUT, *where)).generate_state(2 * dropouts)
    return Draw(
        latent=random.standard_normal((events, latent_size), dtype=np.float32),
        labels={name: np.asarray(column)[rows] for name, column in labels.items()},
        flips=(random.random(events) < recipe.flip) ^ _batch_flips(seed, everywhere, recipe.batch_flip),
        class_flips=random.random(events) < recipe.class_flip,
        mixing=random.random(events, dtype=np.float32),
        seeds=(words >> 1).astype(np.int64).reshape(dropouts, 2),
    )


def _batch_flips(seed: int, place: list[int], probability: float) -> bool:
    """Whether all labels of a pass are flipped: the same on every rank."""
    return np.random.default_rng(np.random.SeedSequence((seed, _BATCH_FLIP, *place))).random() < probability
