"""Moving averages of weights: they belong to a training, and the networks have them when they are scored or used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import tensorflow as tf

RAMP = 9  # the decay rate is at most n / (n + RAMP) after n updates


@dataclass(frozen=True, eq=False)
class MovingAverage:
    """The moving average of a network's trainable weights.

    Args:
        weights: the weights.
        means: their averages.
        updates: number of updates since the average began; 0 while the network does not learn.
    """

    weights: list[keras.Variable]
    means: list[keras.Variable]
    updates: keras.Variable

    @classmethod
    def of(cls, network: keras.Model) -> MovingAverage:
        """The average of a network, without updates."""
        weights = network.trainable_variables
        means = [keras.Variable(tf.identity(variable.value), trainable=False, name="average") for variable in weights]
        return cls(weights, means, keras.Variable(0, dtype="int64", trainable=False, name="updates"))

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the average, for checkpoints."""
        return [self.updates, *self.means]

    def update(self, decay: float) -> None:
        """Add the current weights, also in a compiled function.

        Args:
            decay: decay rate; the first average is the weights of that update.
        """
        done = tf.cast(self.updates.value, tf.float32)
        decay = tf.minimum(decay, done / (done + RAMP))
        for weight, mean in zip(self.weights, self.means):
            mean.assign(weight.value + decay * (mean.value - weight.value))
        self.updates.assign_add(1)


def adopt(averages: Iterable[MovingAverage]) -> None:
    """End the averages: networks that have learned have the averaged weights from now on."""
    for average in averages:
        if int(average.updates.numpy()) > 0:
            for weight, mean in zip(average.weights, average.means):
                weight.assign(mean.value)
            average.updates.assign(0)


@contextmanager
def averaged(averages: Iterable[MovingAverage]) -> Iterator[None]:
    """Inside the block, the networks that learn have the averaged weights."""
    begun = [average for average in averages if int(average.updates.numpy()) > 0]
    raw = [(weight, tf.identity(weight.value)) for average in begun for weight in average.weights]
    try:
        for average in begun:
            for weight, mean in zip(average.weights, average.means):
                weight.assign(mean.value)
        yield
    finally:
        for weight, value in raw:
            weight.assign(value)
