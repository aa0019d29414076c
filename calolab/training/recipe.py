"""The numbers of the published training recipes, and which adversarial objective they play for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from calolab.names import check_name

OBJECTIVES = ("non-saturating", "minimax", "hinge", "wgan-gp", "optimal-transport")
TOGETHER = ("wgan-gp", "optimal-transport")  # compare real events with generated ones, so both must be in one pass
OPTIMIZERS = ("rmsprop", "adam")
RATE_SCALINGS = ("none", "linear", "sqrt")


@dataclass(frozen=True)
class Recipe:
    """How a GAN is trained; the defaults are 3DGAN's (arXiv:1912.06794), `Recipe.published(name)` has the others'.

    Objectives are independent of the architecture: `"non-saturating"` and `"minimax"` (arXiv:1406.2661), `"hinge"`
    (arXiv:1802.05957, with discriminators built with `spectral_norm=True`), `"wgan-gp"` (arXiv:1704.00028) and
    `"optimal-transport"` (Sinkhorn divergence in the discriminator's features, arXiv:1706.00292 and 1803.05573).

    Args:
        objective: what generator and discriminator play for.
        weights: weight of each discriminator head in the loss; that of `generation` weights the objective.
        together: whether the discriminator learns from real and generated events in one pass rather than in two;
            `"wgan-gp"` and `"optimal-transport"` always do.
        discriminator_passes: how often per step the discriminator learns, each time from real events of its own.
        generator_passes: how often it is followed by the generator.
        flip: probability that an event's label real or generated is flipped when the discriminator learns.
        batch_flip: probability that all labels of a pass are flipped when the discriminator learns.
        class_flip: probability that the class asked of the generator is not the one it was told to make.
        optimizer: `"rmsprop"` or `"adam"`, for both networks.
        learning_rate: of both; what many ranks together make of it, `rate_scaling` says.
        rate_scaling: how the learning rate grows with the events of a step: `"none"` not at all, `"linear"` in
            proportion (arXiv:1706.02677), `"sqrt"` with the square root.
        reference_batch: events of a step (of all ranks together, and of one pass) for which `learning_rate` is meant;
            None: those of one rank, so that it grows with the number of ranks.
        warmup_epochs: epochs over which a scaled rate rises from `learning_rate` in equal strides, one per step
            (arXiv:1706.02677 takes 5); a rate that is not scaled needs none and gets none.
        decay: decay rate of RMSprop's running mean of squared gradients.
        betas: decay rates of Adam's running means of gradients and of their squares.
        gradient_penalty: weight of WGAN-GP's penalty; the norm of the gradient is that for values in units of the
            GAN's `value_scale`.
        regularisation: of the optimal transport, in units of the cost (1 - cosine of two feature vectors).
        threshold: cells of the training data below this are set to zero [unit of the space]; None keeps all.
        patience: steps in a row with nothing but empty events after which the training counts as collapsed.

    Raises:
        ValueError: if a choice is unknown, a number is outside its range, or they do not fit together.
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
    patience: int = 10

    def __post_init__(self):
        object.__setattr__(self, "weights", dict(self.weights))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
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
        for name in ("discriminator_passes", "generator_passes", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, received {getattr(self, name)}.")
        if self.objective == "optimal-transport" and (self.flip or self.batch_flip):
            raise ValueError(
                "Optimal transport compares batches and has no labels to flip: set flip=0 and batch_flip=0, received "
                f"{self.flip} and {self.batch_flip}."
            )

    @property
    def passes(self) -> tuple[str, ...]:
        """One step's passes, in order: the discriminator's, then the generator's."""
        together = self.together or self.objective in TOGETHER
        discriminator = ("discriminator",) if together else ("real", "fake")
        return discriminator * self.discriminator_passes + ("generator",) * self.generator_passes

    def rate(self, epoch: float, batch_size: int, ranks: int) -> float:
        """The learning rate at a moment of a training.

        Args:
            epoch: epochs done, with the part of the present one.
            batch_size: events per rank and pass.
            ranks: number of ranks.
        """
        times = batch_size * ranks / (self.reference_batch or batch_size)
        factor = {"none": 1.0, "linear": times, "sqrt": times**0.5}[self.rate_scaling]
        risen = min(1.0, epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        return self.learning_rate * (1 + (factor - 1) * risen)

    @classmethod
    def published(cls, architecture: str, **changes) -> Recipe:
        """The published recipe of an architecture, or 3DGAN's where none is known.

        Args:
            architecture: name in the registry, e.g. `"rpv"`.
            changes: what shall differ from it, e.g. `objective="wgan-gp"`.

        Raises:
            ValueError: as `Recipe`, or for an unknown change.
        """
        numbers = {**_PUBLISHED.get(architecture, {}), **changes}
        for name in numbers:
            check_name("part of a recipe", name, cls.__dataclass_fields__)
        return cls(**numbers)

    def to_dict(self) -> dict:
        """The recipe as plain numbers that JSON can hold."""
        return {**asdict(self), "betas": list(self.betas)}


_DCGAN = {
    "weights": {"generation": 1.0},
    "together": True,
    "generator_passes": 1,
    "flip": 0.0,
    "optimizer": "adam",
    "learning_rate": 2e-4,
}
_WHOLE_DETECTOR = {**_DCGAN, "threshold": 0.5}
_PUBLISHED = {
    "rpv": _WHOLE_DETECTOR,
    "conditional-rpv": _WHOLE_DETECTOR,
    "pileup": _WHOLE_DETECTOR,
    "cosmogan": {**_DCGAN, "batch_flip": 0.01, "threshold": None},
    # arXiv:1701.05927
    "lagan": {
        "weights": {"generation": 1.0, "signal": 1.0},
        "class_flip": 0.09,
        "optimizer": "adam",
        "learning_rate": 2e-4,
        "threshold": 1e-3,
    },
}
