"""The numbers of the published training recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Recipe:
    """The numbers of 3DGAN's training (arXiv:1912.06794); the defaults are the published ones.

    Args:
        weights: weight of each discriminator head in the loss.
        flip: probability that a label real or generated is flipped when the discriminator learns.
        learning_rate: of both RMSprop optimizers.
        decay: decay rate of RMSprop's running mean of squared gradients.
        generator_passes: generator updates per step, after the discriminator's two.
        threshold: cells of the training data below this are set to zero [GeV].
        patience: steps in a row with nothing but empty showers after which the training counts as collapsed.

    Raises:
        ValueError: if a number is outside its range.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1})
    flip: float = 0.05
    learning_rate: float = 1e-3
    decay: float = 0.9
    generator_passes: int = 2
    threshold: float = 1e-6
    patience: int = 10

    def __post_init__(self):
        object.__setattr__(self, "weights", dict(self.weights))
        if not 0 <= self.flip < 0.5:
            raise ValueError(f"flip expects a probability from 0 to below 0.5, received {self.flip}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, received {self.learning_rate}.")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay expects a number from 0 to below 1, received {self.decay}.")
        if self.generator_passes < 1 or self.patience < 1:
            raise ValueError(
                "generator_passes and patience must be at least 1, received "
                f"{self.generator_passes} and {self.patience}."
            )

    @property
    def passes(self) -> tuple[str, ...]:
        """One step's passes, in order: the discriminator on a real batch, on a fake one; the generator."""
        return ("real", "fake", *("generator",) * self.generator_passes)

    def to_dict(self) -> dict:
        """The recipe as plain numbers that JSON can hold."""
        return asdict(self)
