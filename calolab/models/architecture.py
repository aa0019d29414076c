"""The Architecture record: everything that defines one published or own model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from calolab.models.gan import GAN
from calolab.samples import Sample
from calolab.spaces import Space


def _always_linear(settings: Mapping[str, object]) -> str:
    return ""


@dataclass(frozen=True)
class Head:
    """One output of a discriminator, apart from `generation`, which the objective of the training defines.

    Args:
        loss: function from targets and outputs of the head, each `(event, 1)`, to losses `(event,)`.
        target: function from the events' labels, each `(event,)`, and a function without arguments that returns their
            total deposited energy [GeV], `(event,)`, to the targets `(event,)`.
        uses_total: whether `target` calls that function; for generated events it is the calorimeter's mean response,
            which training then fits to the training sample.
        class_label: name of the label, 0 or 1, that this head classifies; empty if it is not a classifier.
    """

    loss: Callable
    target: Callable[[Mapping[str, np.ndarray], Callable[[], np.ndarray]], np.ndarray]
    uses_total: bool = False
    class_label: str = ""


@dataclass(frozen=True)
class Architecture:
    """One model: how it is built, what its discriminator estimates, and how it was trained in its paper.

    Args:
        name: name in the registry, e.g. `"3dgan"`.
        build: function of a `Space`, `seed=` and the model's own settings that returns an untrained `GAN`.
        space: name of a space that it fits, e.g. `"clic-ecal"`.
        conditions: names of the labels that are inputs of its generator.
        heads: the discriminator's heads apart from `generation`, by name.
        recipe: the published recipe, as arguments of `training.Recipe`.
        adaptation: arguments of `training.Recipe` that differ from `recipe` when a trained GAN learns another detector
            from few events; empty if there are none.
        citation: the paper, e.g. `"arXiv:1912.06794"`.
        parameters: number of parameters by network, with the default settings.
        batch_size: events per batch with which it was trained in its paper; None if that is unknown. `training.fit`
            uses 128 for all models unless specified.
        objectives: its own objectives, by name: the losses by network, in the order of their passes, as
            `training.Objective` has them. `Recipe(objective="<architecture>/<objective>")` refers to one.
        latent_sizes: for those of its own objectives that take fewer random numbers than complete latent vectors: a
            function of the GAN that returns their number per event.
        prepare: function of the GAN and of at most 10,000 events of the training sample, without cells below the
            threshold, that sets constants of the networks (untrained weights, such as normalisations) before a new
            training; None if there are none.
        calibrate: function of the GAN, of at most 10,000 events as for `prepare`, and of a seed, that sets constants of
            the networks after a training; None if there are none.
        nonlinear: function from the model's settings to the reason why its discriminator does not process values
            linearly near zero, as text; an empty string if it does, as a gradient penalty requires.
    """

    name: str
    build: Callable[..., GAN]
    space: str
    conditions: tuple[str, ...]
    heads: Mapping[str, Head]
    recipe: Mapping[str, object]
    citation: str
    parameters: Mapping[str, int]
    batch_size: int | None = None
    adaptation: Mapping[str, object] = field(default_factory=dict)
    objectives: Mapping[str, Mapping[str, Callable]] = field(default_factory=dict)
    latent_sizes: Mapping[str, Callable[[GAN], int]] = field(default_factory=dict)
    prepare: Callable[[GAN, Sample], None] | None = None
    calibrate: Callable[[GAN, Sample, int], None] | None = None
    nonlinear: Callable[[Mapping[str, object]], str] = field(default=_always_linear)


def check_shape(architecture: str, space: Space, shape: tuple[int, ...], example: str) -> None:
    """Raise ValueError unless an architecture's values fit a space.

    Args:
        architecture: its name.
        space: the space of the events to generate.
        shape: shape of the values of one event that it generates.
        example: name of a space of that shape.
    """
    if space.shape != shape:
        raise ValueError(
            f"The {architecture} architecture generates values of shape {shape}, but space {space.name!r} has shape "
            f"{space.shape}. Use a space of that shape, e.g. {example!r}."
        )
