"""Flow matching (arXiv:2210.02747): from noise to the normal numbers of all layers along the path of a velocity.

The network of the velocity shares its weights between layers, so that 9,000 showers are enough for it: in each block,
the neurons of a layer are mixed with those of the other layers, then with each other (as in arXiv:2105.01601). Arrays
are `(layer, event, neuron)`: both are products of two matrices, without transposition.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from calolab.models.initial_weights import SeedStream

TIMES = 5  # frequencies of the functions of time
CONDITIONS = 8 + 2 * TIMES  # functions of energy and response (7) and of time
CONTEXT = 64  # neurons that scale and shift those of the layers
EXPANSION = 2  # inner neurons of a block: per neuron of a layer, and per layer


@keras.saving.register_keras_serializable("calolab")
class Flow(keras.layers.Layer):
    """The end of the path from `noise` `(event, columns * layers)`, given `scaled` and `total`, each `(event, 1)`.

    Args:
        columns: numbers of a layer.
        layers: number of layers.
        width: neurons per layer of the velocity network.
        blocks: its number of blocks.
        steps: steps of the midpoint rule along the path.
        seed: seed of the initial weights.
    """

    def __init__(self, columns: int, layers: int, width: int, blocks: int, steps: int, seed: int = 0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.columns, self.layers, self.width, self.blocks = columns, layers, width, blocks
        self.steps, self.seed = steps, seed

    def build(self, input_shape):
        """Make the weights of the velocity network."""
        seeds, layers, width = SeedStream(self.seed), self.layers, self.width

        def kernel(name, *shape, size=1.0):
            limit = size * (6 / sum(shape)) ** 0.5
            return self.add_weight(shape=shape, initializer=seeds.uniform(limit), name=name)

        def bias(name, *shape):
            return self.add_weight(shape=shape, initializer="zeros", name=name)

        self.context = kernel("context", CONDITIONS, CONTEXT), bias("context_bias", CONTEXT)
        self.first = kernel("first", self.columns, width)
        self.place = self.add_weight(shape=(layers, 1, width), initializer=seeds.normal(0.1), name="place")
        self.films = [
            (kernel(f"film_{number}", CONTEXT, 3 * width, size=0.3), bias(f"film_bias_{number}", layers, 1, 3 * width))
            for number in range(self.blocks + 1)
        ]
        self.mixings, inner, many = [], EXPANSION * width, EXPANSION * layers
        for number in range(self.blocks):
            across = kernel(f"across_{number}", many, layers), bias(f"across_bias_{number}", many, 1)
            back = kernel(f"back_{number}", layers, many, size=0.5)
            within = kernel(f"within_{number}", width, inner), bias(f"within_bias_{number}", inner)
            self.mixings.append((*across, back, *within, kernel(f"out_{number}", inner, width, size=0.5)))
        self.last = kernel("last", width, self.columns, size=0.1)

    def call(self, inputs):
        """The numbers of showers, `(event, columns * layers)`.

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
        names = ("columns", "layers", "width", "blocks", "steps", "seed")
        return {**config, **{name: getattr(self, name) for name in names}}

    def losses_of(self, numbers, noise, time, scaled, total):
        """Squared errors of the velocity, `(event, columns * layers)`.

        Args:
            numbers: numbers of real showers, `(event, columns * layers)`.
            noise: standard normal numbers of the same shape.
            time: positions on the straight paths between them, from 0 to 1, `(event, 1)`.
            scaled: log energy of the particle from -1 to 1, `(event, 1)`.
            total: normal number of the energy in all layers, `(event, 1)`.
        """
        found = self.velocity(noise + time * (numbers - noise), time, _conditions(scaled, total))
        return ops.square(found - (numbers - noise))

    def velocity(self, position, time, given):
        """The velocity at a point of the path, `(event, columns * layers)`.

        Args:
            position: the numbers there, `(event, columns * layers)`, those of a column together.
            time: from 0 to 1, `(event, 1)`.
            given: functions of the conditions, as made by `_conditions`.
        """
        angle = time * np.float32(np.pi) * 2.0 ** np.arange(TIMES, dtype=np.float32)
        given = ops.concatenate([given, ops.sin(angle), ops.cos(angle), time], axis=-1)
        context = ops.silu(ops.matmul(given, self.context[0]) + self.context[1])
        # All arrays are (layer, event, ...).
        numbers = ops.transpose(ops.reshape(position, (-1, self.columns, self.layers)), (2, 0, 1))
        state = self._dense(numbers, self.first) + self.place
        for number, (across, across_bias, back, within, within_bias, out) in enumerate(self.mixings):
            scale, shift, second = self._film(context, number)
            mixed = ops.reshape(_normalised(state) * (1.0 + scale) + shift, (self.layers, -1))
            mixed = ops.matmul(back, ops.silu(ops.matmul(across, mixed) + across_bias))
            state = state + ops.reshape(mixed, (self.layers, -1, self.width))
            inner = ops.silu(self._dense(_normalised(state) + second, within) + within_bias)
            state = state + self._dense(inner, out)
        scale, shift, _ = self._film(context, self.blocks)
        found = self._dense(_normalised(state) * (1.0 + scale) + shift, self.last)
        return ops.reshape(ops.transpose(found, (1, 2, 0)), (-1, self.columns * self.layers))

    def _film(self, context, number: int):
        """What scales and shifts the neurons of each layer, three of `(layer, event, width)`."""
        kernel, bias = self.films[number]
        return ops.split(ops.matmul(context, kernel)[None] + bias, 3, axis=2)

    def _dense(self, state, kernel):
        """The product of the neurons of each layer and event with a matrix."""
        found = ops.matmul(ops.reshape(state, (-1, kernel.shape[0])), kernel)
        return ops.reshape(found, (self.layers, -1, kernel.shape[1]))


def _normalised(state):
    return state * ops.rsqrt(ops.mean(ops.square(state), axis=-1, keepdims=True) + 1e-4)


def _conditions(scaled, total):
    angles = ops.concatenate([scaled * np.float32(np.pi), scaled * np.float32(2 * np.pi)], axis=-1)
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.concatenate([scaled, ops.square(scaled), waves, total], axis=-1)
