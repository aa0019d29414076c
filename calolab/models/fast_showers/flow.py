"""Flow matching (arXiv:2210.02747): from noise to the normal numbers of all layers along the path of a velocity."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from calolab.models.initial_weights import SeedStream

TIMES = 5  # frequencies of the functions of time
CONDITIONS = 8 + 2 * TIMES + 1


@keras.saving.register_keras_serializable("calolab")
class Flow(keras.layers.Layer):
    """The end of the path from `noise` `(event, size)`, given `scaled` and `total`, each `(event, 1)`.

    Args:
        size: numbers of a shower.
        width: neurons per layer of the velocity network.
        blocks: its residual layers.
        steps: steps of the midpoint rule along the path.
        seed: seed of the initial weights.
    """

    def __init__(self, size: int, width: int, blocks: int, steps: int, seed: int = 0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self.width, self.blocks, self.steps, self.seed = size, width, blocks, steps, seed

    def build(self, input_shape):
        """Make the weights of the velocity network."""
        seeds = SeedStream(self.seed)
        sizes = [self.size, *[self.width] * (self.blocks + 1), self.size]
        self.kernels, self.biases = [], []
        for number, (before, after) in enumerate(zip(sizes[:-1], sizes[1:])):
            start = seeds.normal(1e-2) if number == self.blocks + 1 else seeds.glorot_uniform()
            shape = (before + CONDITIONS, after)
            self.kernels.append(self.add_weight(shape=shape, initializer=start, name=f"kernel_{number}"))
            self.biases.append(self.add_weight(shape=(after,), initializer="zeros", name=f"bias_{number}"))

    def call(self, inputs):
        """The numbers of showers, `(event, size)`.

        Args:
            inputs: `noise`, `scaled` and `total` by name.
        """
        position, given, step = inputs["noise"], _conditions(inputs["scaled"], inputs["total"]), 1 / self.steps
        for number in range(self.steps):
            time = ops.full_like(inputs["scaled"], number * step)
            middle = position + step / 2 * self.velocity(position, time, given)
            position = position + step * self.velocity(middle, time + step / 2, given)
        return position

    def compute_output_shape(self, input_shape):
        """Shape of the numbers."""
        return input_shape["noise"]

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        config = super().get_config()
        config.pop("autocast", None)
        names = ("size", "width", "blocks", "steps", "seed")
        return {**config, **{name: getattr(self, name) for name in names}}

    def losses_of(self, numbers, noise, time, scaled, total):
        """Squared errors of the velocity, `(event, size)`.

        Args:
            numbers: numbers of real showers, `(event, size)`.
            noise: standard normal numbers, `(event, size)`.
            time: positions on the straight paths between them, from 0 to 1, `(event, 1)`.
            scaled: log energy of the particle from -1 to 1, `(event, 1)`.
            total: normal number of the energy in all layers, `(event, 1)`.
        """
        found = self.velocity(noise + time * (numbers - noise), time, _conditions(scaled, total))
        return ops.square(found - (numbers - noise))

    def velocity(self, position, time, given):
        """The velocity at a point of the path, `(event, size)`.

        Args:
            position: the numbers there, `(event, size)`.
            time: from 0 to 1, `(event, 1)`.
            given: functions of the conditions, as made by `_conditions`.
        """
        angle = time * np.float32(np.pi) * 2.0 ** np.arange(TIMES, dtype=np.float32)
        given = ops.concatenate([given, ops.sin(angle), ops.cos(angle), time], axis=-1)

        def dense(values, number):
            values = ops.concatenate([values, given], axis=-1)
            return ops.matmul(values, self.kernels[number]) + self.biases[number]

        state = dense(position, 0)
        for number in range(1, self.blocks + 1):
            state = state + ops.silu(dense(ops.silu(state), number))
        return dense(ops.silu(state), self.blocks + 1)


def _conditions(scaled, total):
    angles = ops.concatenate([scaled * np.float32(np.pi), scaled * np.float32(2 * np.pi)], axis=-1)
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.concatenate([scaled, ops.square(scaled), waves, scaled, total], axis=-1)
