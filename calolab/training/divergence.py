"""When a training has gone wrong: losses that are not finite, or nothing but empty showers."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import numpy as np

_REMEDY = "The GAN has its weights of the last good epoch. Another seed or a lower Recipe(learning_rate=) may help."


class TrainingDiverged(RuntimeError):
    """A loss or a weight is not finite, or the generator makes nothing but empty showers."""


def check_losses(where: str, losses: Mapping[str, float], norm: float) -> None:
    """Raise TrainingDiverged unless all losses of a pass and the norm of its gradients are finite."""
    numbers = {**losses, "norm of the gradients": norm}
    if not all(isfinite(value) for value in numbers.values()):
        values = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        raise TrainingDiverged(f"{where}: not all losses and gradients are finite ({values}). {_REMEDY}")


def check_showers(where: str, empty_steps: int, patience: int) -> None:
    """Raise TrainingDiverged after `patience` steps in a row with nothing but empty showers."""
    if empty_steps >= patience:
        raise TrainingDiverged(
            f"{where}: the generator has collapsed. It has made nothing but empty showers in {empty_steps} steps in a "
            f"row and cannot learn from them. {_REMEDY}"
        )


def check_weights(where: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise TrainingDiverged unless all variables are finite."""
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise TrainingDiverged(f"{where}: not all weights are finite. {_REMEDY}")
