"""The plan of a training: its recipe and epochs, and how its stages share a limited time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calolab.samples import Sample
from calolab.training.recipe import Recipe
from calolab.training.stages import Stage

EPOCHS = {"3dgan": 60}  # of architectures whose recipe has no number of epochs, as in their papers
OTHER_EPOCHS = 50
BATCH_SIZE = 128  # of architectures without a published one
UNLIMITED = 100_000  # epochs of a training that only its time limit ends
PROBED = 8  # steps of each stage in which its speed is measured
PROBED_LARGE = 3  # the same for stages with larger batches
# Optimizers of other objectives' papers, and what these objectives need; all else is as published for the architecture.
CHANGES = {
    "wgan-gp": {  # arXiv:1704.00028
        "flip": 0.0,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "betas": (0.0, 0.9),
        "discriminator_passes": 5,
        "generator_passes": 1,
    },
    "hinge": {"flip": 0.0, "optimizer": "adam", "learning_rate": 2e-4, "betas": (0.0, 0.9)},  # arXiv:1802.05957
    "optimal-transport": {"flip": 0.0, "batch_flip": 0.0},
}


@dataclass(frozen=True)
class Plan:
    """What a training does.

    Args:
        recipe: its recipe.
        epochs: number of epochs.
    """

    recipe: Recipe
    epochs: int

    @property
    def stages(self) -> list[int]:
        """Number of epochs of each stage, or of the whole training."""
        return [(self.epochs if end is None else min(end, self.epochs)) - first for first, end in self.recipe.spans]

    def with_stages(self, epochs: Sequence[int]) -> Plan:
        """The same plan with other numbers of epochs.

        Args:
            epochs: number of each stage, at least 1.
        """
        if not self.recipe.stages:
            return replace(self, epochs=int(epochs[0]))
        stages = [replace(stage, epochs=int(number)) for stage, number in zip(self.recipe.stages, epochs, strict=True)]
        return Plan(replace(self.recipe, stages=_last_open(self.recipe, stages)), int(sum(epochs)))

    def to_dict(self) -> dict:
        """The plan as plain numbers and strings."""
        return {"recipe": self.recipe.to_dict(), "epochs": self.epochs}

    @classmethod
    def from_dict(cls, content: dict) -> Plan:
        """Rebuild a plan from `to_dict`."""
        return cls(Recipe.from_dict(content["recipe"]), content["epochs"])

    @property
    def about(self) -> str:
        """The stages with their networks, objectives and epochs, as a sentence."""
        parts = []
        for part, epochs in zip(self.recipe.parts, self.stages):
            of = f" of {', '.join(part.trained_networks)}" if self.recipe.stages else ""
            parts.append(f"{epochs} epoch{'s' * (epochs != 1)}{of} ({part.objective}, {part.optimizer})")
        return "; ".join(parts) + "."


def published(architecture: str, epochs: int | None = None) -> Plan:
    """The plan of an architecture by its own recipe.

    Args:
        architecture: its name in the registry.
        epochs: number of epochs in total; by default that of its stages, or of `EPOCHS`.

    Raises:
        ValueError: for an unknown architecture, or fewer epochs than its stages need.
    """
    from calolab import models  # Keras loads when it is needed

    models.find(architecture)  # refuses an unknown one
    recipe = Recipe.published(architecture)
    first, end = recipe.spans[-1]
    total = epochs or epochs_of(architecture, recipe)
    if total <= first:
        raise ValueError(
            f"--epochs expects more than the {first} epochs before the last stage of {architecture!r}, received "
            f"{epochs}."
        )
    if end is not None and total != end:
        recipe = replace(recipe, stages=(*recipe.stages[:-1], replace(recipe.stages[-1], epochs=total - first)))
    return Plan(recipe, total)


def epochs_of(architecture: str, recipe: Recipe) -> int:
    """Number of epochs of a recipe: that of its stages, or with that of `EPOCHS` for what has none.

    Args:
        architecture: its name in the registry.
        recipe: its recipe.
    """
    first, end = recipe.spans[-1]
    return end or first + EPOCHS.get(architecture, OTHER_EPOCHS)


def batch_size(architecture: str, given: int | None) -> int:
    """Events per step: the given number, or that of the architecture's paper, or `BATCH_SIZE`.

    Args:
        architecture: its name in the registry.
        given: a number that has precedence, or None.
    """
    from calolab import models  # Keras loads when it is needed

    return given or models.find(architecture).batch_size or BATCH_SIZE


def with_objective(architecture: str, objective: str | None) -> Recipe:
    """The recipe of an architecture with another objective and, if the objective has one, the optimizer of its paper.

    Args:
        architecture: its name in the registry.
        objective: name of the objective; None for that of the recipe.

    Raises:
        ValueError: if the recipe and the objective do not fit together.
    """
    if objective is None:
        return Recipe.published(architecture)
    return Recipe.published(architecture, objective=objective, **CHANGES.get(objective, {}))


def seconds_per_epoch(build: Callable[[], object], train: Sample, plan: Plan, *, events: int, seed: int) -> list[float]:
    """Measure the time that an epoch of each stage takes on this machine, in a few steps of each [s].

    Args:
        build: function that returns a GAN of its own for the measurement.
        train: the training sample; its events are repeated if they are too few for these steps.
        plan: the plan.
        events: events per step.
        seed: seed of the measurement.
    """
    from calolab import training

    parts = plan.recipe.parts
    number = events * max(
        PROBED * max(part.batches for part in parts),
        PROBED_LARGE * max(part.batches * part.batch_multiple for part in parts),
    )
    some = train.select(np.resize(np.arange(len(train)), number))
    short = plan.with_stages([1] * len(plan.stages))
    recipe = replace(short.recipe, calibrate=False)  # follows the last epoch
    history = training.fit(
        build(), some, epochs=short.epochs, recipe=recipe, batch_size=events, seed=seed, progress=False
    )
    # The rate leaves out the first step, in which the passes are compiled, unless there is no other.
    return [len(train) / (row["samples_per_second"] or row["events"] / row["seconds"]) for row in history.epochs]


def shared_out(plan: Plan, per_epoch: Sequence[float], available: float, fills: bool = False) -> Plan:
    """Change the numbers of epochs of the stages so that the whole training fits into a time.

    Args:
        plan: the plan.
        per_epoch: time of an epoch of each stage [s].
        available: time of the whole training [s].
        fills: whether the last stage takes all the time that the others leave, if that is at least half of it.

    Returns:
        The plan with all stages shortened by the same factor, but to at least one epoch each, if there is too little
        time; otherwise as it is, apart from a last stage that fills the time.
    """
    costs = [epochs * seconds for epochs, seconds in zip(plan.stages, per_epoch, strict=True)]
    left = available - sum(costs[:-1])
    if fills and left >= available / 2 > 0:
        return plan.with_stages([*plan.stages[:-1], max(1, int(left / per_epoch[-1]))])
    if sum(costs) <= available:
        return plan
    factor = max(available, 0.0) / sum(costs)
    return plan.with_stages([max(1, int(factor * epochs)) for epochs in plan.stages])


def is_open(architecture: str, recipe: Recipe) -> bool:
    """Whether neither the recipe nor a paper says how many epochs the last of several stages has.

    Args:
        architecture: name in the registry.
        recipe: its recipe.
    """
    return architecture not in EPOCHS and bool(recipe.stages) and recipe.stages[-1].epochs is None


def _last_open(recipe: Recipe, stages: list[Stage]) -> tuple[Stage, ...]:
    """Stages of which the last one has no number of epochs if it had none before."""
    if recipe.stages[-1].epochs is None:
        stages[-1] = replace(stages[-1], epochs=None)
    return tuple(stages)
