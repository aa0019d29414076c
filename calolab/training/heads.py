"""Losses and targets of the discriminator's heads, and the calorimeter's response that a target may need.

A discriminator names its heads and a recipe weights them by name. `generation` tells real events from generated ones,
with the loss of the recipe's objective; the losses and targets of all others are in the record of their architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from keras import ops

from calolab.models import GAN, Head, registry
from calolab.training import ranks
from calolab.training.objectives import find_objective
from calolab.training.recipe import Recipe

UNIT = 100.0  # [GeV] The published polynomial is in incident energy / 100 GeV.
FIT_EVENTS = 10_000


def heads_of(gan: GAN, recipe: Recipe) -> dict[str, Head]:
    """The heads of a GAN's discriminator apart from `generation`, by name; none for an objective without discriminator.

    Args:
        gan: the `GAN`.
        recipe: the objective and the weights of the heads.

    Raises:
        ValueError: unless the recipe weights exactly the discriminator's heads, and each has a loss and a target.
    """
    objective = find_objective(recipe.objective)
    trained = tuple(objective.losses) or ("discriminator", "generator")
    if not set(trained) <= set(gan.networks):
        raise ValueError(
            f"The objective {recipe.objective!r} trains the networks {', '.join(trained)}; "
            f"{gan.architecture!r} has {', '.join(gan.networks)}. Use an objective for these "
            "networks, or, if it was loaded from a file for generating events only, a file with all networks."
        )
    if not objective.is_adversarial:
        objective.check_networks(gan)
        return {}
    known, output = registry.heads(gan.architecture), gan.discriminator.output
    found = set(output) if isinstance(output, dict) else set()
    allowed = {"generation", *known}
    if found != set(recipe.weights) or found - allowed or "generation" not in found:
        raise ValueError(
            f"The recipe weights the heads {sorted(recipe.weights)}; the discriminator has {sorted(found)}, and losses "
            f"are known for {sorted(allowed)}. All heads need a weight, a loss and a target: see "
            f"Recipe.published({gan.architecture!r}) and the heads of its Architecture."
        )
    if recipe.class_flip and not any(known[name].class_label for name in found - {"generation"}):
        raise ValueError("class_flip needs a discriminator with a head that classifies, such as lagan's; set it to 0.")
    objective.check_networks(gan)
    return {name: known[name] for name in sorted(found - {"generation"})}


def head_targets(
    heads: Mapping[str, Head], names, real: np.ndarray, labels: Mapping[str, np.ndarray], total
) -> dict[str, np.ndarray]:
    """The target of each head, float32 of shape `(event, 1)`.

    Args:
        heads: the heads apart from `generation`.
        names: names of all heads.
        real: 1 for events to be classified as real, 0 for generated, shape `(event,)`.
        labels: the events' labels, each of shape `(event,)`.
        total: function without arguments that returns the events' total deposited energy [GeV], shape `(event,)`.
    """
    targets = {name: real if name == "generation" else heads[name].target(labels, total) for name in names}
    return {name: np.asarray(target, dtype=np.float32)[:, None] for name, target in targets.items()}


def head_losses(
    heads: Mapping[str, Head], outputs: Mapping, targets: Mapping, weights: Mapping[str, float]
) -> tuple[object, dict[str, object]]:
    """The weighted sum of the mean losses of all heads but `generation`, and the means by head, as float32 scalars.

    Args:
        heads: the heads apart from `generation`.
        outputs, targets: outputs and targets of the discriminator by head, each `(event, 1)`.
        weights: weights by head.
    """
    means = {
        name: ops.mean(head.loss(targets[name], ops.cast(outputs[name], "float32")))
        for name, head in sorted(heads.items())
    }
    return sum((weights[name] * mean for name, mean in means.items()), ops.zeros(())), means


@dataclass(frozen=True)
class Response:
    """Mean deposited energy E·P(E) [GeV], E in units of 100 GeV; P is constant outside the fitted energies.

    Args:
        coefficients: coefficients of P, highest power first, as for `numpy.polyval`.
        low: lowest energy of the fit [GeV].
        high: highest energy of the fit [GeV].
        events: number of events fitted.
    """

    coefficients: tuple[float, ...]
    low: float
    high: float
    events: int

    def __post_init__(self):
        object.__setattr__(self, "coefficients", tuple(float(c) for c in self.coefficients))

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        """Mean total deposited energy [GeV] of showers with these incident energies [GeV]."""
        inside = np.clip(energy, self.low, self.high) / UNIT
        return energy / UNIT * np.polyval(self.coefficients, inside)

    def to_dict(self) -> dict:
        """The response as plain numbers that JSON can hold."""
        return {**asdict(self), "coefficients": list(self.coefficients)}

    @classmethod
    def from_dict(cls, content: Mapping) -> Response:
        """Rebuild a response from `to_dict`."""
        return cls(**content)


def fit_response(energy: np.ndarray, total: np.ndarray) -> Response:
    """Fit P to deposited over incident energy by least squares.

    Events are weighted by their energy, since the variance of the ratio decreases with it. The degree depends on the
    sample: the published 4 from 5000 events on, a constant below 20, and always less than the number of different
    energies.

    Args:
        energy: incident energies [GeV], shape `(event,)`.
        total: total deposited energies [GeV], shape `(event,)`.

    Raises:
        ValueError: if nothing was deposited.
    """
    energy, total = np.asarray(energy, dtype=np.float64), np.asarray(total, dtype=np.float64)
    if not np.sum(total) > 0:
        raise ValueError("The training sample deposits no energy at all; check the data and their unit (GeV).")
    scaled = energy / UNIT
    different = len(np.unique(np.round(energy, 6)))
    degree = min(int(np.searchsorted([20, 200, 1000, 5000], len(energy), side="right")), different - 1)
    low, high = float(energy.min()), float(energy.max())
    # A polynomial of high degree can become negative between sparse energies: then a lower degree is better.
    for power in range(degree, -1, -1):
        coefficients = np.polyfit(scaled, total / scaled, power, w=np.sqrt(scaled))
        if np.all(np.polyval(coefficients, np.linspace(low, high, 200) / UNIT) > 0):
            break
    return Response(tuple(coefficients), low, high, len(energy))


def pooled_response(data, parallel, seed: int) -> Response:
    """Fit the response of the training sample to at most 10,000 events of all ranks; it is equal on all of them.

    Args:
        data: this rank's `Sample` or `EventStream`.
        parallel: the ranks.
        seed: seed of the choice of events.
    """
    rows = -(-FIT_EVENTS // parallel.size)
    found = []
    for batch in data.batches(min(rows, 1000, len(data)), seed):
        found.append(np.stack([batch.labels["energy"], batch.values.reshape(len(batch), -1).sum(axis=1)], axis=1))
        if sum(map(len, found)) >= rows:
            break
    energy, total = ranks.pooled(parallel, np.concatenate(found)[:rows], rows).T
    return fit_response(energy, total)
