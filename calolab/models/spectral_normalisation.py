"""Spectral normalisation (arXiv:1802.05957): a discriminator that cannot grow steep."""

from __future__ import annotations

import keras
from keras import ops

from calolab.models.initial_weights import SeedStream
from calolab.models.locally_connected import LocallyConnected2D


@keras.saving.register_keras_serializable("calolab")
class SpectralNormalisation(keras.layers.Wrapper):
    """A layer whose kernel is divided by its largest singular value.

    Keras's layer of that name writes the divided kernel over the kernel, also while the generator learns, draws its
    first vector without a seed, and lets no gradient pass through the division. Here the kernel stays the optimizer's
    alone, and the gradient is that of the paper. The singular value is followed by one power iteration in each
    training pass; a locally connected layer has one for each pixel.

    Args:
        layer: a convolution, dense or locally connected layer without activation.
        seed: seed of the first vector.

    Raises:
        ValueError: if the layer has an activation.
    """

    def __init__(self, layer: keras.layers.Layer, seed: int = 0, **kwargs):
        super().__init__(layer, **kwargs)
        self.seed = seed
        if layer.activation is not keras.activations.linear:
            raise ValueError(f"SpectralNormalisation expects a layer without activation, {layer.name!r} has one.")

    def build(self, input_shape):
        """Build the layer, and the vector that follows its largest singular value."""
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(*self._matrices().shape[:-2], 1, self.layer.kernel.shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="direction",
        )

    def call(self, inputs, training=False):
        """The layer's outputs with the divided kernel."""
        matrices = ops.cast(self._matrices(), "float32")
        fixed = ops.stop_gradient(matrices)
        left = _unit(ops.matmul(ops.cast(self.direction, "float32"), ops.swapaxes(fixed, -2, -1)))
        right = _unit(ops.matmul(left, fixed))
        # As numbers, the directions are constants of the gradient; only the kernel between them is not.
        left, right = ops.stop_gradient(left), ops.stop_gradient(right)
        largest = ops.matmul(ops.matmul(left, matrices), ops.swapaxes(right, -2, -1))[..., 0]
        if training:
            self.direction.assign(right)
        outputs = self.layer(inputs)
        largest = ops.cast(largest, outputs.dtype)
        if self.layer.bias is None:
            return ops.divide(outputs, largest)
        bias = ops.cast(self.layer.bias, outputs.dtype)
        return ops.add(ops.divide(ops.subtract(outputs, bias), largest), bias)

    def compute_output_shape(self, input_shape):
        """The layer's own output shape."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        """What the layer was made with, as Keras saves it."""
        return {**super().get_config(), "seed": self.seed}

    def _matrices(self):
        """The kernel as a matrix from all that an output sees to the filters; for local kernels one per pixel."""
        kernel = self.layer.kernel
        return kernel if isinstance(self.layer, LocallyConnected2D) else ops.reshape(kernel, (-1, kernel.shape[-1]))


def with_norm(layer: keras.layers.Layer, seeds: SeedStream) -> SpectralNormalisation:
    """The layer with spectral normalisation, its first vector seeded."""
    return SpectralNormalisation(layer, seed=seeds.next(), name=f"normalised_{layer.name}")


def _unit(vector):
    return ops.divide(vector, ops.maximum(ops.norm(vector, axis=-1, keepdims=True), 1e-12))
