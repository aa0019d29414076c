"""Training recipes: the objective and its hyper-parameters, as published or changed, also by stages of a training."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from calolab.names import check_name
from calolab.training.objectives import find_objective, network_of
from calolab.training.rates import RATE_SCALINGS, SCHEDULES, rate_factor
from calolab.training.stages import Stage, spans

OPTIMIZERS = ("rmsprop", "adam")
_FORMER_NAMES = {"patience": "empty_limit"}  # in files of earlier versions
# Arguments that may be numbers by network.
_BY_NETWORK = ("learning_rate", "network_passes")
# What numbers must be, and the arguments for which that holds; None is checked by none.
_RANGES = (
    ("a probability from 0 to below 0.5", lambda x: 0 <= x < 0.5, ("flip", "batch_flip", "class_flip")),
    ("numbers from 0 to below 1", lambda x: 0 <= x < 1, ("decay", "betas")),
    ("a number from 0 to 1", lambda x: 0 <= x <= 1, ("final_rate",)),
    ("a number between 0 and 1, or None", lambda x: 0 < x < 1, ("average",)),
    ("positive numbers", lambda x: x > 0, ("learning_rate", "regularisation")),
    ("a positive number or None", lambda x: x > 0, ("clip",)),
    ("a number that is not negative", lambda x: x >= 0, ("gradient_penalty", "warmup_epochs")),
    ("at least 1", lambda x: x >= 1, ("discriminator_passes", "generator_passes", "network_passes", "empty_limit")),
    ("a whole number, at least 1", lambda x: x >= 1 and x == int(x), ("batch_multiple",)),
    ("at least 1 event or None", lambda x: x >= 1, ("reference_batch",)),
)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are those of 3DGAN (arXiv:1912.06794), see `published` for other models.

    The objective is independent of the architecture: `"non-saturating"` and `"minimax"` (arXiv:1406.2661), `"hinge"`
    (arXiv:1802.05957, with discriminators built with `spectral_norm=True`), `"wgan-gp"` (arXiv:1704.00028) and
    `"optimal-transport"` (Sinkhorn divergence in the discriminator's features, arXiv:1706.00292 and 1803.05573).

    Args:
        objective: name of the objective, one of those in `objectives.OBJECTIVES`, or `"<architecture>/<objective>"`
            for one that an architecture defines.
        weights: weight of each discriminator head in the loss; that of `generation` multiplies the objective.
        together: whether the discriminator processes real and generated events in one pass rather than in two;
            `"wgan-gp"` and `"optimal-transport"` always do.
        discriminator_passes: passes of the discriminator per step, each with different real events.
        generator_passes: passes of the generator per step, after those of the discriminator.
        network_passes: passes per step by network, 1 by default, for an objective with a loss for each network; each
            with different real events, like those of the discriminator.
        batch_multiple: events of a pass in units of the training's batch size, for stages that need larger batches.
        flip: probability that an event's real/generated label is flipped in a pass of the discriminator.
        batch_flip: probability that all these labels of a pass are flipped.
        class_flip: probability that the target class of a generated event differs from the one that it was generated
            with, in a pass of the generator.
        optimizer: `"rmsprop"` or `"adam"`, for all networks.
        learning_rate: learning rate of all networks, or learning rates by network, before `rate_scaling`.
        schedule: how the learning rates fall over the epochs of a stage, of the last one or without stages to the end
            of the training: `"constant"` not at all, `"linear"`, `"cosine"` (arXiv:1608.03983), `"exponential"`. With a
            schedule to the end of the training, it resumes only with the same number of epochs.
        final_rate: fraction of the learning rate at which a schedule ends.
        clip: maximal norm of all gradients of a network together, to which larger ones are scaled down; None: no
            limit.
        average: decay rate per pass of a moving average of the weights of each network that learns, e.g. 0.999; None:
            no average. It is lower in the first passes, so that the average does not depend on the initial weights.
            Scores are those of the averaged weights, which the network has at the end of a stage and of the training.
        rate_scaling: how the learning rate grows with the events of a step: `"none"` not at all, `"linear"` in
            proportion (arXiv:1706.02677), `"sqrt"` with the square root.
        reference_batch: events of a step (of all ranks together, and of one pass) for which `learning_rate` is given;
            None: those of one rank, so that the rate grows with the number of ranks.
        warmup_epochs: epochs of a stage over which a scaled rate rises from `learning_rate` in equal increments, one
            per step (5 in arXiv:1706.02677); no effect on a rate that is not scaled.
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
        prepare: whether a new training first fits the constants of the networks, such as normalisations, to its data,
            where the architecture has such constants; by default only if the GAN was not trained before.
        calibrate: whether the training ends with a measurement of constants of the networks, such as corrections of
            what was learned, where the architecture has such constants; `fit` then takes a few minutes longer.
        stages: for a training in stages, which networks learn in which epochs, and what differs in them from this
            recipe; by default all networks in all epochs.

    Raises:
        ValueError: if a name is unknown, a number is out of range, or they do not fit together.
    """

    objective: str = "non-saturating"
    weights: Mapping[str, float] = field(default_factory=lambda: {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1})
    together: bool = False
    discriminator_passes: int = 1
    generator_passes: int = 2
    network_passes: Mapping[str, int] = field(default_factory=dict)
    batch_multiple: int = 1
    flip: float = 0.05
    batch_flip: float = 0.0
    class_flip: float = 0.0
    optimizer: str = "rmsprop"
    learning_rate: float | Mapping[str, float] = 1e-3
    schedule: str = "constant"
    final_rate: float = 0.0
    clip: float | None = None
    average: float | None = None
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
    prepare: bool | None = None
    calibrate: bool = True
    stages: tuple[Stage, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "weights", dict(self.weights))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        for name in _BY_NETWORK:
            if isinstance(getattr(self, name), Mapping):
                object.__setattr__(self, name, dict(getattr(self, name)))
        stages = tuple(Stage(**stage) if isinstance(stage, Mapping) else stage for stage in self.stages)
        object.__setattr__(self, "stages", stages)
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        check_name("rate_scaling", self.rate_scaling, RATE_SCALINGS)
        check_name("schedule", self.schedule, SCHEDULES)
        for expected, is_right, names in _RANGES:
            for name in names:
                for number in _numbers(getattr(self, name)):
                    if not isinstance(number, numbers.Real) or not is_right(number):
                        raise ValueError(f"{name} expects {expected}, received {number!r}.")
        if self.schedule == "exponential" and not self.final_rate:
            raise ValueError("The schedule 'exponential' never reaches 0: give a positive final_rate, e.g. 0.01.")
        if any(stage.epochs is None for stage in self.stages[:-1]):
            raise ValueError(f"All stages but the last need a number of epochs, received {self.stages}.")
        if self._is_part:
            self._check_part()
        else:
            self._check_names_by_network(self.trained_networks)  # these check each part

    @property
    def _is_part(self) -> bool:
        """Whether the recipe is the same, and the same networks learn, in all epochs."""
        return len(self.stages) <= 1 and not any(stage.recipe for stage in self.stages)

    def _check_part(self) -> None:
        objective = find_objective(self.objective)
        objective.check_recipe(self)
        for stage in self.stages:
            for name in stage.networks:
                check_name("network of a stage", name, dict.fromkeys(map(network_of, self.passes)))
        if self.network_passes and objective.is_adversarial:
            raise ValueError(
                f"network_passes is for objectives with a loss for each network, received {self.network_passes} with "
                f"{self.objective!r}: set discriminator_passes and generator_passes."
            )
        self._check_names_by_network(self.trained_networks)
        if isinstance(self.learning_rate, Mapping) and len(self.learning_rate) < len(self.trained_networks):
            raise ValueError(
                f"learning_rate expects a number for each network that learns ({', '.join(self.trained_networks)}), "
                f"received {self.learning_rate}."
            )

    def _check_names_by_network(self, known: Iterable[str]) -> None:
        for argument in _BY_NETWORK:
            if isinstance(getattr(self, argument), Mapping):
                for name in getattr(self, argument):
                    check_name(f"network in {argument}", name, known)

    @property
    def parts(self) -> tuple[Recipe, ...]:
        """The recipe of each stage, with what differs in it; its only stage has the networks that learn."""
        return (self,) if self._is_part else tuple(map(self._part, self.stages))

    def _part(self, stage: Stage) -> Recipe:
        chosen = {
            name: {network: number for network, number in getattr(self, name).items() if network in stage.networks}
            for name in _BY_NETWORK
            if isinstance(getattr(self, name), Mapping)
        }
        for name in stage.recipe:
            check_name("part of a recipe", name, self.__dataclass_fields__)
        return replace(self, **{**chosen, **stage.recipe, "stages": (Stage(stage.networks),)})

    @property
    def spans(self) -> tuple[tuple[int, int | None], ...]:
        """First epoch and end of each part; the end is None if it is that of the training."""
        return tuple(spans(self.stages)) or ((0, None),)

    def place(self, epoch: int) -> int:
        """Index of the part for an epoch, from 0."""
        return max(i for i, (first, _) in enumerate(self.spans) if first <= epoch)

    def at(self, epoch: int) -> Recipe:
        """The recipe of an epoch, from 0, which is the same in all epochs; its only stage, if any, has the networks."""
        return self.parts[self.place(epoch)]

    @property
    def passes(self) -> tuple[str, ...]:
        """Passes of one step of the recipe's own objective, in order, whichever networks learn in its stages."""
        return find_objective(self.objective).passes(self)

    def passes_in(self, epoch: int) -> tuple[str, ...]:
        """Passes of one step in an epoch, from 0, in order."""
        part = self.at(epoch)
        return tuple(kind for kind in part.passes if not part.stages or network_of(kind) in part.stages[0].networks)

    @property
    def trained_networks(self) -> tuple[str, ...]:
        """Names of the networks that learn, in the order of their first pass; in stages, those of all stages."""
        return tuple(dict.fromkeys(network_of(kind) for part in self.parts for kind in part.passes_in(0)))

    @property
    def batches(self) -> int:
        """Batches of real events that a step takes, one for each pass of the discriminator, or of another network."""
        if find_objective(self.objective).is_adversarial:
            return self.discriminator_passes
        return max([1, *self.network_passes.values()])

    @property
    def has_schedule_to_end(self) -> bool:
        """Whether learning rates depend on the number of epochs of the training."""
        return self.spans[-1][1] is None and self.parts[-1].schedule != "constant"

    def rates(self, epoch: float, epochs: int, batch_size: int, ranks: float) -> dict[str, float]:
        """The learning rate of each network at a point of a training, or of the stage of which this is the part.

        Args:
            epoch: number of epochs done, with the fraction of the current one.
            epochs: number of epochs in total.
            batch_size: events per rank and pass.
            ranks: number of ranks.
        """
        factor = rate_factor(self, epoch, epochs, batch_size, ranks)
        by_network = self.learning_rate if isinstance(self.learning_rate, Mapping) else {}
        return {name: by_network.get(name, self.learning_rate) * factor for name in self.trained_networks}

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

        If the last training has reached the last of its stages, only that stage is repeated; constants of the networks
        are not fitted again. For all stages, use
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
            recipe = recipe.parts[-1]
        recipe = replace(recipe, prepare=None)  # the constants of the networks are fitted already
        for name in changes:
            check_name("part of a recipe", name, cls.__dataclass_fields__)
        return replace(recipe, **changes)

    @classmethod
    def of_adaptation(cls, gan, **changes) -> Recipe:
        """The recipe with which a trained GAN learns the events of a changed detector from few of them.

        The constants of its networks are fitted to them first. Architectures have their own stages and rates for it;
        others take the recipe of the last training.

        Args:
            gan: a trained `GAN`, e.g. one that `GAN.adapted` returned.
            changes: arguments that differ from it, e.g. `learning_rate=1e-4`.

        Raises:
            ValueError: as for `Recipe.of`.
        """
        from calolab.models import registry  # loads Keras

        record = registry.get(gan.architecture)
        if record is None or not record.adaptation:
            return cls.of(gan, **changes)
        return cls.published(gan.architecture, **{"prepare": True, **record.adaptation, **changes})

    @property
    def last_stage_begins(self) -> int:
        """First epoch of the last stage, from 0."""
        return self.spans[-1][0]

    def to_dict(self) -> dict:
        """The recipe as plain numbers and strings that JSON can hold."""
        return {**asdict(self), "betas": list(self.betas), "stages": [stage.to_dict() for stage in self.stages]}

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


def _numbers(value: object) -> list:
    """The numbers of an argument that may be None, a tuple, or a mapping."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else [] if value is None else [value]
