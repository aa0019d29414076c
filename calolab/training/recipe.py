"""Training recipes: the objective and its hyper-parameters, as published or changed, and stages of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from calolab.names import check_name
from calolab.training.objectives import OBJECTIVES, network_of

OPTIMIZERS = ("rmsprop", "adam")
RATE_SCALINGS = ("none", "linear", "sqrt")
_FORMER_NAMES = {"patience": "empty_limit"}  # in files of earlier versions


@dataclass(frozen=True)
class Stage:
    """A part of a training in which only some of the networks learn.

    Args:
        networks: names of the networks that learn.
        epochs: number of epochs; None for the last stage, which lasts until the end of the training.

    Raises:
        ValueError: if there is no network, or fewer than 1 epoch.
    """

    networks: tuple[str, ...]
    epochs: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "networks", tuple(self.networks))
        if not self.networks or (self.epochs is not None and self.epochs < 1):
            raise ValueError(f"A Stage needs networks and at least 1 epoch, received {self.networks}, {self.epochs}.")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are those of 3DGAN (arXiv:1912.06794), see `published` for other models.

    The objective is independent of the architecture: `"non-saturating"` and `"minimax"` (arXiv:1406.2661), `"hinge"`
    (arXiv:1802.05957, with discriminators built with `spectral_norm=True`), `"wgan-gp"` (arXiv:1704.00028) and
    `"optimal-transport"` (Sinkhorn divergence in the discriminator's features, arXiv:1706.00292 and 1803.05573).

    Args:
        objective: name of the objective, one of those in `objectives.OBJECTIVES`.
        weights: weight of each discriminator head in the loss; that of `generation` multiplies the objective.
        together: whether the discriminator processes real and generated events in one pass rather than in two;
            `"wgan-gp"` and `"optimal-transport"` always do.
        discriminator_passes: passes of the discriminator per step, each with different real events.
        generator_passes: passes of the generator per step, after those of the discriminator.
        flip: probability that an event's real/generated label is flipped in a pass of the discriminator.
        batch_flip: probability that all these labels of a pass are flipped.
        class_flip: probability that the target class of a generated event differs from the one that it was generated
            with, in a pass of the generator.
        optimizer: `"rmsprop"` or `"adam"`, for all networks.
        learning_rate: learning rate of all networks, before `rate_scaling`.
        rate_scaling: how the learning rate grows with the events of a step: `"none"` not at all, `"linear"` in
            proportion (arXiv:1706.02677), `"sqrt"` with the square root.
        reference_batch: events of a step (of all ranks together, and of one pass) for which `learning_rate` is given;
            None: those of one rank, so that the rate grows with the number of ranks.
        warmup_epochs: epochs over which a scaled rate rises from `learning_rate` in equal increments, one per step
            (5 in arXiv:1706.02677); no effect on a rate that is not scaled.
        decay: decay rate of RMSprop's running mean of squared gradients.
        betas: decay rates of Adam's running means of gradients and of their squares.
        gradient_penalty: weight of WGAN-GP's penalty; the norm of the gradient is that for values in units of the
            GAN's `value_scale`.
        regularisation: regularisation of the optimal transport, in units of the cost (1 - cosine of two feature
            vectors).
        threshold: cells of the training data below this value are set to zero [unit of the space]; None keeps all.
        augment: whether each real event of a pass is transformed by a random symmetry of its space that leaves its
            labels true, such as one of the eight of a square; see `calolab.symmetries`.
        empty_limit: number of consecutive steps with only empty events after which the training counts as collapsed.
        stages: for a training in stages, which networks learn in which epochs; by default all in all epochs.

    Raises:
        ValueError: if a name is unknown, a number is out of range, or they do not fit together.
    """

    objective: str = "non-saturating"
    weights: Mapping[str, float] = field(default_factory=lambda: {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1})
    together: bool = False
    discriminator_passes: int = 1
    generator_passes: int = 2
    flip: float = 0.05
    batch_flip: float = 0.0
    class_flip: float = 0.0
    optimizer: str = "rmsprop"
    learning_rate: float = 1e-3
    rate_scaling: str = "none"
    reference_batch: int | None = None
    warmup_epochs: float = 0.0
    decay: float = 0.9
    betas: tuple[float, float] = (0.5, 0.999)
    gradient_penalty: float = 10.0
    regularisation: float = 0.1
    threshold: float | None = 1e-6
    augment: bool = False
    empty_limit: int = 10
    stages: tuple[Stage, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "weights", dict(self.weights))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        stages = tuple(Stage(**stage) if isinstance(stage, Mapping) else stage for stage in self.stages)
        object.__setattr__(self, "stages", stages)
        check_name("objective", self.objective, OBJECTIVES)
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        check_name("rate_scaling", self.rate_scaling, RATE_SCALINGS)
        for name in ("flip", "batch_flip", "class_flip"):
            if not 0 <= getattr(self, name) < 0.5:
                raise ValueError(f"{name} expects a probability from 0 to below 0.5, received {getattr(self, name)}.")
        for name in ("learning_rate", "regularisation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, received {getattr(self, name)}.")
        for name in ("gradient_penalty", "warmup_epochs"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, received {getattr(self, name)}.")
        if self.reference_batch is not None and self.reference_batch < 1:
            raise ValueError(f"reference_batch must be at least 1 event or None, received {self.reference_batch}.")
        for name, rate in (("decay", self.decay), *(("betas", beta) for beta in self.betas)):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} expects numbers from 0 to below 1, received {rate}.")
        for name in ("discriminator_passes", "generator_passes", "empty_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, received {getattr(self, name)}.")
        OBJECTIVES[self.objective].check_recipe(self)
        if any(stage.epochs is None for stage in self.stages[:-1]):
            raise ValueError(f"All stages but the last need a number of epochs, received {self.stages}.")
        for stage in self.stages:
            for name in stage.networks:
                check_name("network of a stage", name, self.trained_networks)

    @property
    def passes(self) -> tuple[str, ...]:
        """Passes of one step, in order; in a training in stages those of all stages."""
        objective = OBJECTIVES[self.objective]
        return objective.passes(self.together, self.discriminator_passes, self.generator_passes)

    @property
    def trained_networks(self) -> tuple[str, ...]:
        """Names of the networks that learn, in the order of their first pass; in stages, those of all stages."""
        return tuple(dict.fromkeys(network_of(kind) for kind in self.passes))

    def passes_in(self, epoch: int) -> tuple[str, ...]:
        """Passes of one step in an epoch, from 0, in order."""
        if not self.stages:
            return self.passes
        stage, first = self.stages[0], 0
        for following in self.stages[1:]:
            first += stage.epochs
            if epoch < first:
                break
            stage = following
        return tuple(kind for kind in self.passes if network_of(kind) in stage.networks)

    def rate(self, epoch: float, batch_size: int, ranks: int) -> float:
        """The learning rate at a point of a training.

        Args:
            epoch: number of epochs done, with the fraction of the current one.
            batch_size: events per rank and pass.
            ranks: number of ranks.
        """
        times = batch_size * ranks / (self.reference_batch or batch_size)
        factor = {"none": 1.0, "linear": times, "sqrt": times**0.5}[self.rate_scaling]
        risen = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        return self.learning_rate * (1 + (factor - 1) * risen)

    @classmethod
    def published(cls, architecture: str, **changes) -> Recipe:
        """The published recipe of an architecture, or 3DGAN's for one that is not in the registry.

        Args:
            architecture: name in the registry, e.g. `"rpv"`.
            changes: arguments that differ from it, e.g. `objective="wgan-gp"`.

        Raises:
            ValueError: as for `Recipe`, or for an unknown argument.
        """
        from calolab.models import registry  # loads Keras

        record = registry.get(architecture)
        arguments = {**(record.recipe if record else {}), **changes}
        for name in arguments:
            check_name("part of a recipe", name, cls.__dataclass_fields__)
        return cls(**arguments)

    @classmethod
    def of(cls, gan, **changes) -> Recipe:
        """The recipe with which a GAN is trained further: that of its last training, or the published one.

        If the last training has reached the last of its stages, only that stage is repeated. For all of them, use
        `Recipe.from_dict(gan.provenance["trainings"][-1]["recipe"])`.

        Args:
            gan: a `GAN`, trained or not.
            changes: arguments that differ from it, e.g. `learning_rate=1e-4`.

        Raises:
            ValueError: as for `Recipe`, or if this calolab lacks the objective of the last training.
        """
        trainings = gan.provenance.get("trainings") or [{}]
        if not (content := trainings[-1].get("recipe")):
            return cls.published(gan.architecture, **changes)
        try:
            recipe = cls.from_dict(content)
        except ValueError as error:
            raise ValueError(
                f"The last training of this {gan.architecture!r} had a recipe that cannot be used here: {error} Add an "
                f"objective of your own to training.OBJECTIVES first, or give another recipe, such as "
                f"Recipe.published({gan.architecture!r})."
            ) from error
        if trainings[-1].get("epochs", 0) > recipe.last_stage_begins:
            recipe = replace(recipe, stages=recipe.stages[-1:])
        for name in changes:
            check_name("part of a recipe", name, cls.__dataclass_fields__)
        return replace(recipe, **changes)

    @property
    def last_stage_begins(self) -> int:
        """First epoch of the last stage, from 0."""
        return sum(stage.epochs for stage in self.stages[:-1])

    def to_dict(self) -> dict:
        """The recipe as plain numbers and strings that JSON can hold."""
        stages = [{"networks": list(stage.networks), "epochs": stage.epochs} for stage in self.stages]
        return {**asdict(self), "betas": list(self.betas), "stages": stages}

    @classmethod
    def from_dict(cls, content: Mapping) -> Recipe:
        """Rebuild a recipe from `to_dict`, also of an earlier version.

        Raises:
            ValueError: as for `Recipe`, or for an entry that this version does not have.
        """
        arguments = entries(content)
        for name in arguments:
            check_name("part of a recipe", name, cls.__dataclass_fields__)
        return cls(**arguments)


def entries(content: Mapping) -> dict:
    """The entries of a recipe in a file, by their present names; those that an earlier version lacked have defaults.

    Args:
        content: result of `Recipe.to_dict`, of this or an earlier version.
    """
    return Recipe().to_dict() | {_FORMER_NAMES.get(name, name): value for name, value in content.items()}
