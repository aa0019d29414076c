"""Optimizers: one for each network and all stages with the same objective and the same settings of the optimizer."""

from __future__ import annotations

import keras

from calolab.models import GAN
from calolab.training.objectives import network_of
from calolab.training.recipe import Recipe

_SETTINGS = ("objective", "optimizer", "decay", "betas", "clip")


def make_optimizers(
    gan: GAN, recipe: Recipe
) -> tuple[dict[str, keras.optimizers.Optimizer], list[dict[str, keras.optimizers.Optimizer]]]:
    """Build the optimizers of a training. Where a stage has another objective or other settings, moments start at zero.

    Args:
        gan: the networks.
        recipe: the recipe of the training.

    Returns:
        All optimizers, by the name of their network, from the second one of a network on with the stage in which it
        first learns, e.g. `"cells of stage 3"`; and for each part of the recipe its optimizers by network.
    """
    found, known, parts = {}, {}, []
    for number, part in enumerate(recipe.parts, 1):
        # In stages without recipes of their own, all networks of the objective have optimizers, as in checkpoints of
        # earlier versions.
        kinds = part.passes_in(0) if any(stage.recipe for stage in recipe.stages) else part.passes
        settings, by_network = tuple(getattr(part, name) for name in _SETTINGS), {}
        for network in gan.networks:
            if network in map(network_of, kinds):
                if (network, settings) not in known:
                    optimizer = _optimizer(part)
                    optimizer.build(gan.networks[network].trainable_variables)
                    known[network, settings] = optimizer
                    found[f"{network} of stage {number}" if network in found else network] = optimizer
                by_network[network] = known[network, settings]
        parts.append(by_network)
    return found, parts


def _optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    rate = 1e-3  # set before every step
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, *recipe.betas, global_clipnorm=recipe.clip)
    return keras.optimizers.RMSprop(rate, rho=recipe.decay, global_clipnorm=recipe.clip)
