"""Learning rates: their schedules over the epochs of a stage, and how they grow with the events of a step."""

from __future__ import annotations

import math

# The factor of the learning rate once a fraction `done` of the epochs is done, from 1 to `final`.
SCHEDULES = {
    "constant": lambda done, final: 1.0,
    "linear": lambda done, final: 1 - (1 - final) * done,
    "cosine": lambda done, final: final + (1 - final) * (1 + math.cos(math.pi * done)) / 2,  # arXiv:1608.03983
    "exponential": lambda done, final: final**done,
}
# The factor for a number of times the events of a step for which the learning rate is given.
RATE_SCALINGS = {"none": lambda times: 1.0, "linear": lambda times: times, "sqrt": lambda times: times**0.5}


def rate_factor(recipe, epoch: float, epochs: int, batch_size: int, ranks: float) -> float:
    """The factor by which a `Recipe`'s learning rates are multiplied at a point of a training without other stages.

    Args:
        recipe: schedule, scaling and warm-up.
        epoch: number of epochs done, with the fraction of the current one.
        epochs: number of epochs over which the schedule extends; it stays at its final value thereafter.
        batch_size: events per rank and pass.
        ranks: number of ranks, or of batches of this size in a step.
    """
    times = RATE_SCALINGS[recipe.rate_scaling](batch_size * ranks / (recipe.reference_batch or batch_size))
    risen = min(1.0, epoch / recipe.warmup_epochs) if recipe.warmup_epochs else 1.0
    done = min(1.0, epoch / epochs)
    return (1 + (times - 1) * risen) * SCHEDULES[recipe.schedule](done, recipe.final_rate)
