"""What the networks learn: one loss and one target per head of the discriminator.

A discriminator names its heads, a recipe weights them by name, and the tables below say how each is judged and what it
should answer. An architecture with another head adds a row to each table; the trainer does not change.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from calolab.samples import Sample
from calolab.training.draws import Draw
from calolab.training.recipe import Recipe
from calolab.training.response import Response

ENERGY_UNIT = 100.0  # The `auxiliary` head estimates the incident energy in units of 100 GeV.

LOSSES = {
    "generation": keras.losses.binary_crossentropy,
    "auxiliary": keras.losses.mean_absolute_percentage_error,
    "ecal": keras.losses.mean_absolute_percentage_error,
}

# Targets of shape (event, 1) from the label "real" (1 or 0), the labels of the events and their total energy [GeV].
TARGETS = {
    "generation": lambda real, labels, total: real,
    "auxiliary": lambda real, labels, total: labels["energy"] / ENERGY_UNIT,
    "ecal": lambda real, labels, total: total,
}


def targets(heads, real: np.ndarray, labels: Mapping[str, np.ndarray], total: np.ndarray) -> dict[str, np.ndarray]:
    """What each head should answer, float32 of shape `(event, 1)`.

    Args:
        heads: names of the heads.
        real: 1 for events to be called real, 0 for generated, shape `(event,)`.
        labels: the events' labels, each of shape `(event,)`.
        total: the events' total deposited energy [GeV], shape `(event,)`.
    """
    return {head: np.asarray(TARGETS[head](real, labels, total), dtype=np.float32)[:, None] for head in heads}


def losses(answers: Mapping, wanted: Mapping, weights: Mapping[str, float]) -> tuple[object, dict[str, object]]:
    """The weighted sum of the heads' mean losses, and the means by head, as float32 scalars."""
    means = {head: ops.mean(LOSSES[head](wanted[head], ops.cast(answers[head], "float32"))) for head in sorted(weights)}
    return sum(weights[head] * mean for head, mean in means.items()), means


def real_question(sample: Sample, drawn: Draw, recipe: Recipe) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What the discriminator sees of a real batch, and what it should answer.

    Returns:
        Images `(event, *space.shape, 1)` [GeV] without the cells below threshold, and the targets by head.
    """
    images = np.where(sample.values < recipe.threshold, np.float32(0), sample.values)
    total = images.reshape(len(sample), -1).sum(axis=1)
    return images[..., None], targets(recipe.weights, ~drawn.flips, sample.labels, total)


def generated_question(
    drawn: Draw, recipe: Recipe, response: Response, wish_real: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the generator makes showers from, and what the discriminator should answer to them.

    Args:
        drawn: the latent vectors, labels and flips.
        recipe: the heads.
        response: total energy of a shower by incident energy; the training sample's.
        wish_real: True when the generator learns, which wants its showers called real; False when the discriminator
            learns to call them generated. Only then are labels flipped.

    Returns:
        The generator's inputs by name, and the targets by head.
    """
    inputs = {"latent": drawn.latent}
    inputs |= {name: column.astype(np.float32)[:, None] for name, column in drawn.labels.items()}
    real = np.ones(len(drawn.flips)) if wish_real else drawn.flips
    return inputs, targets(recipe.weights, real, drawn.labels, response(drawn.labels["energy"]))


def check_heads(discriminator: keras.Model, weights: Mapping[str, float]) -> None:
    """Raise ValueError unless the recipe weights exactly the discriminator's heads and each is known here."""
    heads = set(discriminator.output) if isinstance(discriminator.output, dict) else set()
    if heads != set(weights) or heads - set(LOSSES):
        raise ValueError(
            f"The recipe weights the heads {sorted(weights)}; the discriminator has {sorted(heads)}, and training "
            f"knows {sorted(LOSSES)}. All heads need a weight, a loss and a target."
        )
