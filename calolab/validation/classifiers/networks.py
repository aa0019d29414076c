"""Training of a network as a classifier: weights of the best epoch, early stopping, time limit, seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from calolab.validation.classifiers.evaluation import balanced_weights
from calolab.validation.classifiers.parts import Clock, Split, Trained

# A network's inputs for some events of one sample: from 0 (reference) or 1 (generated), positions of the events, and a
# generator of random numbers to change them at random with, or the number of a fixed change.
CONSTANT = 1e-6  # outputs that differ by less are equal
CLIP = 1.0  # largest norm of the gradients: the first steps are otherwise too long for some seeds
Inputs = Callable[[int, np.ndarray, np.random.Generator | int], list[np.ndarray]]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Args:
        epochs: largest number of epochs.
        batch_size: events per step.
        learning_rate: of Adam.
        patience: number of epochs without improvement after which training ends.
        by_accuracy: whether the accuracy on the validation part chooses the epoch, instead of the loss.
        views: number of fixed changes of an event (see `Inputs`) over which outputs are averaged.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    by_accuracy: bool = False
    views: int = 1

    def __post_init__(self):
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"epochs and batch_size must be 1 or more, received {self.epochs} and {self.batch_size}.")


def train_network(
    network: keras.Model, inputs: Inputs, split: Split, seed: int, clock: Clock, schedule: Schedule
) -> Trained:
    """Train a network to tell generated from reference events.

    Args:
        network: its output is a logit, shape `(event, 1)`.
        inputs: function that returns the network's inputs.
        split: the parts of the events.
        seed: of the order of the events and of their changes.
        clock: progress, in steps, and time limit.
        schedule: how to train.
    """
    random, sizes = np.random.default_rng(seed), [len(side) for side in split.training]
    side = np.repeat([0, 1], sizes)
    events, weights = np.concatenate(split.training), np.array(balanced_weights(*sizes))
    steps = steps_of_epoch(sum(sizes), schedule.batch_size)
    network.compile(keras.optimizers.Adam(schedule.learning_rate, global_clipnorm=CLIP), loss=_loss, jit_compile=False)
    best, kept, note = (np.inf, 0), network.get_weights(), ""
    for epoch in range(1, schedule.epochs + 1):
        order = random.permutation(len(events))
        for chosen in np.array_split(order, steps):
            batch = _joined([inputs(which, events[chosen][side[chosen] == which], random) for which in (0, 1)])
            truth = np.sort(side[chosen])
            network.train_on_batch(batch, truth[:, None].astype(np.float32), sample_weight=weights[truth])
            clock.advance(1)
            if clock.is_over:
                break
        found = _quality(outputs(network, inputs, split.validation, schedule), schedule.by_accuracy)
        clock.advance(0, f"epoch {epoch}, validation {'error' if schedule.by_accuracy else 'loss'} {found:.4f}")
        if found < best[0]:
            best, kept = (found, epoch), network.get_weights()
        if clock.is_over and epoch < schedule.epochs:
            note = f"The time limit ended a training in epoch {epoch} of {schedule.epochs}."
        if note or epoch - best[1] >= schedule.patience or found == 0:
            break
    network.set_weights(kept)
    validation, test = (
        outputs(network, inputs, part, schedule, schedule.views) for part in (split.validation, split.test)
    )
    if not note and np.ptp(np.concatenate(test)) < CONSTANT:
        note = "A training ended with the same output for all events: it says nothing. Repeat it with another seed."
    return Trained(validation, test, best[1], note)


def steps_of_epoch(events: int, batch_size: int) -> int:
    """Number of steps of an epoch.

    Args:
        events: of both samples in the training part.
        batch_size: events per step.
    """
    return max(1, round(events / batch_size))


def outputs(network, inputs: Inputs, positions, schedule: Schedule, views: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits for the (reference, generated) events at these positions, averaged over fixed changes.

    Args:
        network: the classifier.
        inputs: function that returns its inputs.
        positions: of (reference, generated) events.
        schedule: its batch size, of which twice as many events are computed at once.
        views: number of changes.
    """
    found = []
    for which, events in enumerate(positions):
        pieces = np.array_split(events, max(1, len(events) // (2 * schedule.batch_size)))
        sums = [
            sum(np.asarray(network(inputs(which, piece, view), training=False))[:, 0] for view in range(views))
            for piece in pieces
        ]
        found.append(np.concatenate(sums).astype(np.float64) / views)
    return tuple(found)


def _loss(truth, logits):
    return keras.losses.binary_crossentropy(truth, logits, from_logits=True)


def _quality(logits, by_accuracy):
    """Loss, or fraction of wrong answers, with the same weight of both samples."""
    reference, generated = logits
    if by_accuracy:
        return 0.5 * (np.mean(reference > 0) + np.mean(generated <= 0))
    return 0.5 * (np.mean(np.logaddexp(0, reference)) + np.mean(np.logaddexp(0, -generated)))


def _joined(sides):
    return [np.concatenate(both) for both in zip(*sides)]
