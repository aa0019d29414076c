"""Seeded initial weights: the same seed gives the same network."""

from __future__ import annotations

import keras
import numpy as np


class SeedStream:
    """Seeds for the layers of one model, all drawn from one seed, in the order in which they are built."""

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)

    def next(self) -> int:
        """The next layer's seed."""
        return int(self._random.integers(2**31))

    def glorot_uniform(self):
        """Keras's default initialiser, seeded."""
        return keras.initializers.GlorotUniform(seed=self.next())

    def glorot_normal(self):
        """Glorot's normal initialiser, seeded."""
        return keras.initializers.GlorotNormal(seed=self.next())

    def he_uniform(self):
        """He's uniform initialiser, seeded."""
        return keras.initializers.HeUniform(seed=self.next())

    def uniform(self, limit: float):
        """Uniform between -limit and limit, seeded."""
        return keras.initializers.RandomUniform(-limit, limit, seed=self.next())

    def normal(self, deviation: float):
        """Normal with mean zero, seeded."""
        return keras.initializers.RandomNormal(stddev=deviation, seed=self.next())
