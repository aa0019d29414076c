"""Selection of the best epoch by a physics score, which training takes as a function and does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan


@dataclass(frozen=True)
class PhysicsScore:
    """What each epoch is judged by; the best epoch's weights are kept.

    Args:
        score: from a `GAN` to named numbers, e.g. `validation.jet_score(test, seed=7)`; it must not change the GAN, and
            give the same numbers for the same weights.
        by: name of the number that decides; the lowest is the best.

    Raises:
        TypeError: if `score` cannot be called.
    """

    score: Callable[[object], Mapping[str, float]]
    by: str = "ks_comb"

    def __post_init__(self):
        if not callable(self.score):
            raise TypeError(f"PhysicsScore expects a function of a GAN, received {type(self.score).__name__}.")

    def __call__(self, gan) -> dict[str, float]:
        """The GAN's scores as plain numbers.

        Raises:
            ValueError: if the deciding number is missing or not a number, or the function fails.
        """
        try:
            scores = {name: float(value) for name, value in self.score(gan).items()}
        except Exception as error:  # the ranks that wait for it must all hear of it, whatever it is
            raise ValueError(f"The physics score failed with {type(error).__name__}: {error}") from error
        if isnan(scores.get(self.by, float("nan"))):
            raise ValueError(
                f"PhysicsScore(by={self.by!r}) expects a number of that name from its function, received {scores}."
            )
        return scores


def check_physics_score(given) -> None:
    """Raise TypeError unless `given` is a `PhysicsScore` or None."""
    if given is not None and not isinstance(given, PhysicsScore):
        raise TypeError(
            f"physics_score expects a PhysicsScore, received {type(given).__name__}: give "
            "PhysicsScore(function, by=name)."
        )
