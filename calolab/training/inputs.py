"""Inputs and targets of one training step; every random number is a function of seed, rank, epoch, step and pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calolab.models import Head
from calolab.samples import Sample, concatenate
from calolab.spaces import Space
from calolab.symmetries import Symmetry, symmetries, transform
from calolab.training.heads import Response, head_targets
from calolab.training.objectives import find_objective
from calolab.training.recipe import Recipe

# Purposes of random numbers; each is part of a seed, so that no two purposes share random numbers.
_ORDER, _PASS, _DROPOUT, _BATCH_FLIP, _SYMMETRY, _FURTHER = range(6)


@dataclass(frozen=True, eq=False)
class Draw:
    """The random numbers of one pass.

    Args:
        latent: latent vectors, float32 of shape `(event, latent_size)`.
        labels: labels of randomly chosen events of the training sample, each of shape `(event,)`.
        flips: whether the real/generated label is flipped, boolean of shape `(event,)`.
        class_flips: whether the target class of the generator is flipped, boolean of shape `(event,)`.
        mixing: numbers from 0 to 1, such as the position between a real and a generated event at which a gradient
            penalty is computed, float32 of shape `(event,)`.
        seeds: seeds of the dropout layers, int64 of shape `(layer, 2)`.
        seed: seed of further random numbers, e.g. of `tf.random.stateless_normal`, int64 of shape `(2,)`.
        symmetry: index of the symmetry that is applied to each real event, shape `(event,)`; None without augmentation.
    """

    latent: np.ndarray
    labels: dict[str, np.ndarray]
    flips: np.ndarray
    class_flips: np.ndarray
    mixing: np.ndarray
    seeds: np.ndarray
    seed: np.ndarray
    symmetry: np.ndarray | None = None


def augmentation(
    space: Space, conditions: Iterable[str], labels: Iterable[str], recipe: Recipe
) -> tuple[Symmetry, ...]:
    """The symmetries that a recipe applies to real events; none without `augment`.

    Args:
        space: the space of the events.
        conditions: names of the labels that the networks take.
        labels: names of all labels of the data; in a calorimeter these can be angles of incidence, which are the same
            for all showers or which the networks do not know.
        recipe: whether to augment.

    Raises:
        ValueError: if the recipe augments, but no symmetry leaves the labels true.
    """
    if not recipe.augment:
        return ()
    names = sorted({*conditions, *(labels if space.has_depth else ())})
    found = symmetries(space, names)
    if len(found) == 1:
        raise ValueError(
            f"Recipe(augment=True) needs a symmetry, but space {space.name!r} with the labels "
            f"{', '.join(names) or '(none)'} has none (see calolab.symmetries); keep augment=False."
        )
    return found


def order_seed(seed: int, rank: int, epoch: int) -> int:
    """Seed of one rank's order of events in one epoch.

    Args:
        seed: seed of the training.
        rank: number of the rank.
        epoch: number of the epoch, from 0.
    """
    return int(np.random.SeedSequence((seed, _ORDER, rank, epoch)).generate_state(1)[0])


def draw(
    place: tuple[int, int, int, int, int],
    events: int,
    latent_size: int,
    labels: Mapping[str, np.ndarray],
    recipe: Recipe,
    dropouts: int,
    symmetries: int = 0,
) -> Draw:
    """The random numbers of the pass at `place` = (seed, rank, epoch, step, pass).

    Args:
        place: position of the pass in the training.
        events: number of events in the pass.
        latent_size: length of a latent vector in this pass.
        labels: the training sample's labels; whole rows of them are drawn, which keeps ranges and correlations.
        recipe: with the probabilities of flipped labels.
        dropouts: number of dropout layers.
        symmetries: number of symmetries that are applied to real events.
    """
    seed, _, *everywhere = place
    where = place[1:]
    random = np.random.default_rng(np.random.SeedSequence((seed, _PASS, *where)))
    rows = random.integers(len(next(iter(labels.values()), [0])), size=events)
    return Draw(
        latent=random.standard_normal((events, latent_size), dtype=np.float32),
        labels={name: np.asarray(column)[rows] for name, column in labels.items()},
        flips=(random.random(events) < recipe.flip) ^ _batch_flips(seed, everywhere, recipe.batch_flip),
        class_flips=random.random(events) < recipe.class_flip,
        mixing=random.random(events, dtype=np.float32),
        seeds=_seeds((seed, _DROPOUT, *where), dropouts),
        seed=_seeds((seed, _FURTHER, *where), 1)[0],
        symmetry=_chosen(place, events, symmetries) if symmetries else None,
    )


def step_inputs(
    kind: str,
    sample: Sample,
    drawn: Draw,
    conditions: tuple[str, ...],
    heads: Mapping[str, Head],
    recipe: Recipe,
    response: Response | None,
    group: Sequence[Symmetry] = (),
) -> tuple[dict, dict]:
    """Inputs of the networks in a pass, and targets of the discriminator's heads.

    Args:
        kind: kind of pass, as in `Objective.passes`.
        sample: real events.
        drawn: latent vectors, labels and flips, as many as real events.
        conditions: names of the labels that the networks take.
        heads: the discriminator's heads apart from `generation`.
        recipe: threshold, weights of the heads and objective.
        response: total energy of a shower as a function of the incident energy, for heads that use the total energy.
        group: the symmetries that `drawn.symmetry` chooses from.

    Returns:
        Inputs by name, and targets by `"real"` and `"generated"`, then by head. `image` is the real events
        `(event, *space.shape, 1)`. Generated events in one pass with real ones have the same labels; those in a pass of
        their own have labels drawn from the training sample. For an objective without a discriminator, the inputs are
        `image`, `latent` `(event, Objective.latents(gan))`, `mixing` `(event,)` and `seed` `(2,)` as in `Draw`, and the
        labels of the real events.
    """
    objective = find_objective(recipe.objective)
    if not objective.is_adversarial:
        inputs = {"latent": drawn.latent, "mixing": drawn.mixing, "seed": drawn.seed}
        inputs["image"] = _image(sample, drawn, group, recipe)
        return inputs | _rows(sample.labels, conditions), {}
    inputs, targets = {}, {}
    labels, with_real = drawn.labels, kind == "generator" and objective.divergence is not None
    if kind == "discriminator" or with_real:
        labels = {name: sample.labels[name] for name in conditions}
    if kind in ("real", "discriminator") or with_real:
        inputs["image"] = _image(sample, drawn, group, recipe)
    if kind in ("real", "discriminator"):
        values = inputs["image"]
        targets["real"] = head_targets(
            heads, recipe.weights, ~drawn.flips, sample.labels, lambda: values.reshape(len(sample), -1).sum(axis=1)
        )
    if kind == "discriminator":
        inputs["mixing"] = drawn.mixing
    if kind != "real":
        inputs["latent"] = drawn.latent
        requested = labels
        if kind == "generator" and drawn.class_flips.any():
            classes = {head.class_label for head in heads.values() if head.class_label}
            requested = labels | {
                name: np.where(drawn.class_flips, 1 - labels[name], labels[name]) for name in sorted(classes)
            }
        real = np.ones(len(drawn.flips)) if kind == "generator" else drawn.flips
        targets["generated"] = head_targets(heads, recipe.weights, real, requested, lambda: response(labels["energy"]))
    return inputs | _rows(sample.labels if kind == "real" else labels, conditions), targets


def fitting_sample(data, events: int, seed: int, threshold: float | None) -> Sample:
    """Randomly chosen events of a training sample, with the values that the networks learn from.

    Args:
        data: a `Sample` or `EventStream`.
        events: maximal number of events.
        seed: seed of the choice.
        threshold: that of the recipe.
    """
    found, left = [], min(events, len(data))
    for batch in data.batches(min(1000, left), seed):
        found.append(batch.select(slice(left)))
        left -= len(found[-1])
        if not left:
            break
    chosen = concatenate(found)
    return replace(chosen, values=_from_threshold(chosen.values, threshold))


def _image(sample: Sample, drawn: Draw, group: Sequence[Symmetry], recipe: Recipe) -> np.ndarray:
    values = sample.values
    if drawn.symmetry is not None:
        values = transform(sample.space, values, group, drawn.symmetry)
    return _from_threshold(values, recipe.threshold)[..., None]


def _from_threshold(values: np.ndarray, threshold: float | None) -> np.ndarray:
    return values if threshold is None else np.where(values < threshold, np.float32(0), values)


def _rows(labels: Mapping[str, np.ndarray], conditions: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: np.asarray(labels[name], dtype=np.float32)[:, None] for name in conditions}


def _chosen(place: tuple[int, ...], events: int, symmetries: int) -> np.ndarray:
    """A random symmetry for each event, with random numbers of their own: all others stay what they are without it."""
    seed, *where = place
    return np.random.default_rng(np.random.SeedSequence((seed, _SYMMETRY, *where))).integers(symmetries, size=events)


def _seeds(words: tuple[int, ...], number: int) -> np.ndarray:
    state = np.random.SeedSequence(words).generate_state(2 * number)
    return (state >> 1).astype(np.int64).reshape(number, 2)


def _batch_flips(seed: int, place: list[int], probability: float) -> bool:
    """Whether all labels of a pass are flipped: the same on every rank."""
    return np.random.default_rng(np.random.SeedSequence((seed, _BATCH_FLIP, *place))).random() < probability
