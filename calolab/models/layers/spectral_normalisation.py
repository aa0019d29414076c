"""Spectral normalisation (arXiv:1802.05957): a bound on the slope of a discriminator."""

from __future__ import annotations

import keras
from keras import ops

from calolab.models.initial_weights import SeedStream
from calolab.models.layers.locally_connected import LocallyConnected2D


@keras.saving.register_keras_serializable("calolab")
class SpectralNormalisation(keras.layers.Wrapper):
    """A wrapper that divides the kernel of a layer by its largest singular value.

    Keras's layer of that name overwrites the kernel with the divided one, also in passes of the generator, initialises
    its vector without a seed, and has no gradient through the division. Here only the optimizer changes the kernel, and
    the gradient is that of the paper. The singular value is updated by one power iteration in each training pass; a
    locally connected layer has one singular value for each pixel.

    Args:
        layer: a convolution, dense or locally connected layer without activation.
        seed: seed of the initial vector of the power iteration.

    Raises:
        ValueError: if the layer has an activation.
    """

    def __init__(self, layer: keras.layers.Layer, seed: int = 0, **kwargs):
        super().__init__(layer, **kwargs)
        self.seed = seed
        if layer.activation is not keras.activations.linear:
            raise ValueError(f"SpectralNormalisation expects a layer without activation, {layer.name!r} has one.")

    def build(self, input_shape):
        """Build the layer, and the vector of the power iteration."""
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(*self._matrices().shape[:-2], 1, self.layer.kernel.shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            name="direction",
        )

    def call(self, inputs, training=False):
        """Apply the layer with the divided kernel.

        Args:
            inputs: inputs of the layer.
            training: whether to update the vector of the power iteration.
        """
        matrices = ops.cast(self._matrices(), "float32")
        fixed = ops.stop_gradient(matrices)
        left = _unit(ops.matmul(ops.cast(self.direction, "float32"), ops.swapaxes(fixed, -2, -1)))
        right = _unit(ops.matmul(left, fixed))
        # The gradient treats the directions as constants and the kernel between them as variable.
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
        """Output shape of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        return {**super().get_config(), "seed": self.seed}

    def _matrices(self):
        """The kernel as a matrix from the inputs of an output pixel to the filters; for local kernels one per pixel."""
        kernel = self.layer.kernel
        return kernel if isinstance(self.layer, LocallyConnected2D) else ops.reshape(kernel, (-1, kernel.shape[-1]))


def with_norm(layer: keras.layers.Layer, seeds: SeedStream) -> SpectralNormalisation:
    """Apply spectral normalisation to a layer.

    Args:
        layer: a convolution, dense or locally connected layer without activation.
        seeds: the next one is the seed of the initial vector.
    """
    return SpectralNormalisation(layer, seed=seeds.next(), name=f"normalised_{layer.name}")


def _unit(vector):
    return ops.divide(vector, ops.maximum(ops.norm(vector, axis=-1, keepdims=True), 1e-12))
