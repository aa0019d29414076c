"""The heads of a discriminator: how each is judged, and what it should answer.

A discriminator names its heads and a recipe weights them by name. `generation` tells real from generated, as the
recipe's objective says; the tables below hold the loss and the target of every other one. An architecture with another
head adds a row to each; the trainer does not change.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from calolab.models import GAN
from calolab.samples import Sample
from calolab.training.draws import Draw
from calolab.training.recipe import Recipe
from calolab.training.response import Response

ENERGY_UNIT = 100.0  # The `auxiliary` head estimates the incident energy in units of 100 GeV.


def _class_cross_entropy(wanted, logits):
    return keras.losses.binary_crossentropy(wanted, logits, from_logits=True)


LOSSES = {
    "auxiliary": keras.losses.mean_absolute_percentage_error,
    "ecal": keras.losses.mean_absolute_percentage_error,
    "signal": _class_cross_entropy,
}

# Targets of shape (event,) from the events' labels and the function that gives their total energy [GeV].
TARGETS = {
    "auxiliary": lambda labels, total: labels["energy"] / ENERGY_UNIT,
    "ecal": lambda labels, total: total(),
    "signal": lambda labels, total: labels["signal"],
}


def targets(heads, real: np.ndarray, labels: Mapping[str, np.ndarray], total) -> dict[str, np.ndarray]:
    """What each head should answer, float32 of shape `(event, 1)`.

    Args:
        heads: names of the heads.
        real: 1 for events to be called real, 0 for generated, shape `(event,)`.
        labels: the events' labels, each of shape `(event,)`.
        total: function without arguments that gives the events' total deposited energy [GeV], shape `(event,)`.
    """
    answers = {head: real if head == "generation" else TARGETS[head](labels, total) for head in heads}
    return {head: np.asarray(answer, dtype=np.float32)[:, None] for head, answer in answers.items()}


def losses(answers: Mapping, wanted: Mapping, weights: Mapping[str, float]) -> tuple[object, dict[str, object]]:
    """The weighted sum of the mean losses of all heads but `generation`, and the means by head, as float32 scalars."""
    judged = sorted(set(weights) - {"generation"})
    means = {head: ops.mean(LOSSES[head](wanted[head], ops.cast(answers[head], "float32"))) for head in judged}
    return sum((weights[head] * mean for head, mean in means.items()), ops.zeros(())), means


def question(
    kind: str, sample: Sample, drawn: Draw, gan: GAN, recipe: Recipe, response: Response | None
) -> tuple[dict, dict]:
    """What the networks see in a pass, and what the heads should answer.

    Args:
        kind: `"real"`, `"fake"`, `"discriminator"` (both together) or `"generator"`.
        sample: real events.
        drawn: the latent vectors, labels and flips, as many as real events.
        gan: the networks.
        recipe: threshold, heads and objective.
        response: total energy of a shower by incident energy; only for the head `ecal`.

    Returns:
        Inputs by name, and targets by `"real"` and `"generated"`, then by head. `image` holds the real events
        `(event, *space.shape, 1)`. Generated events in one pass with real ones have the same labels; those in a pass of
        their own have labels drawn from the training sample.
    """
    seen, wanted = {}, {}
    labels = drawn.labels
    if kind == "discriminator" or (kind == "generator" and recipe.objective == "optimal-transport"):
        labels = {name: sample.labels[name] for name in gan.conditions}
    if kind != "fake" and (kind != "generator" or recipe.objective == "optimal-transport"):
        values = sample.values
        if recipe.threshold is not None:
            values = np.where(values < recipe.threshold, np.float32(0), values)
        seen["image"] = values[..., None]
    if kind in ("real", "discriminator"):
        wanted["real"] = targets(
            recipe.weights, ~drawn.flips, sample.labels, lambda: values.reshape(len(sample), -1).sum(axis=1)
        )
    if kind == "discriminator":
        seen["mixing"] = drawn.mixing
    if kind != "real":
        seen["latent"] = drawn.latent
        asked = labels
        if kind == "generator" and drawn.class_flips.any():
            asked = {**labels, "signal": np.where(drawn.class_flips, 1 - labels["signal"], labels["signal"])}
        real = np.ones(len(drawn.flips)) if kind == "generator" else drawn.flips
        wanted["generated"] = targets(recipe.weights, real, asked, lambda: response(labels["energy"]))
    conditions = sample.labels if kind == "real" else labels
    seen |= {name: np.asarray(conditions[name], dtype=np.float32)[:, None] for name in gan.conditions}
    return seen, wanted


def check_heads(gan: GAN, recipe: Recipe) -> None:
    """Raise ValueError unless the recipe weights exactly the discriminator's heads and each is known here."""
    discriminator = gan.discriminator
    heads = set(discriminator.output) if isinstance(discriminator.output, dict) else set()
    known = {"generation", *LOSSES}
    if heads != set(recipe.weights) or heads - known or "generation" not in heads:
        raise ValueError(
            f"The recipe weights the heads {sorted(recipe.weights)}; the discriminator has {sorted(heads)}, and "
            f"training knows {sorted(known)}. All heads need a weight, a loss and a target: see "
            f"Recipe.published({gan.architecture!r})."
        )
    if recipe.class_flip and "signal" not in heads:
        raise ValueError("class_flip needs a discriminator with the head 'signal', such as lagan's; set it to 0.")
    if recipe.objective == "wgan-gp" and gan.settings.get("power", 1) != 1:
        raise ValueError(
            f"A gradient penalty needs networks that see values linearly, but {gan.architecture!r} was built with "
            f"power={gan.settings['power']}, whose slope has no bounds at zero; build it with power=1."
        )
    names = {layer.name for layer in discriminator.layers}
    if recipe.objective == "optimal-transport" and "features" not in names:
        raise ValueError(
            "Optimal transport compares the discriminator's features: the layer before its heads must be named "
            f"'features'; {gan.architecture!r} has {', '.join(sorted(names))}."
        )
