"""Minibatch discrimination (arXiv:1606.03498): how a discriminator detects events that are too similar."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("calolab")
class MinibatchDiscrimination(keras.layers.Layer):
    """Similarity of an event's features to those of all events in the batch.

    The features are projected to `count` vectors of `size` numbers; output `i` is the sum over all events of the batch,
    the event itself included, of exp(-L1 distance of their vectors `i`). A bias would cancel in the distance.

    Args:
        count: number of vectors, and of outputs.
        size: length of a vector.
        kernel_initializer: initialiser of the kernel `(features, count * size)`.
    """

    def __init__(self, count: int, size: int, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.count, self.size = count, size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        """Create the kernel for features `(event, feature)`."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.count * self.size), initializer=self.kernel_initializer, name="kernel"
        )

    def call(self, features):
        """Map features `(event, feature)` to similarities `(event, count)`."""
        vectors = ops.reshape(ops.matmul(features, self.kernel), (-1, self.count, self.size))
        # Sums over a whole batch need float32 even if layers compute in bfloat16.
        vectors = ops.cast(vectors, "float32")
        distances = ops.sum(ops.abs(ops.subtract(vectors[:, None], vectors[None])), axis=-1)
        return ops.cast(ops.sum(ops.exp(ops.negative(distances)), axis=1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Shape of the outputs."""
        return (input_shape[0], self.count)

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        return {
            **super().get_config(),
            "count": self.count,
            "size": self.size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
