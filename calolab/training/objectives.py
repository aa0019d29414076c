"""What the networks learn: one loss and one target per head of the discriminator.

A discriminator names its heads, a recipe weights them by name, and the tables below say how each is judged and what it should
answer. An architecture with another head adds a row to each table; the trainer does not change.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

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
    """The weighted sum of the heads' mean losses and the means by head, as float32 scalars."""
    means = {head: ops.mean(LOSSES[head](wanted[head], ops.cast(answers[head], "float32"))) for head in sorted(weights)}
    return sum(weights[head] * mean for head, mean in means.items()), means


def check_heads(discriminator: keras.Model, weights: Mapping[str, float]) -> None:
    """Raise ValueError unless the recipe weights exactly the discriminator's heads and each is known here."""
    heads = set(discriminator.output) if isinstance(discriminator.output, dict) else set()
    if heads != set(weights) or heads - set(LOSSES):
        raise ValueError(
            f"The recipe weights the heads {sorted(weights)}; the discriminator has {sorted(heads)}, and training knows "
            f"{sorted(LOSSES)}. All heads need a weight, a loss and a target."
        )
