"""Stacks of layers of deep convolutional GANs (arXiv:1511.06434), for whole-detector images and convergence maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
from keras import layers, ops

from calolab.models.initial_weights import SeedStream
from calolab.models.layers.spectral_normalisation import with_norm

EPSILON, MOMENTUM = 1e-5, 0.9  # of all batch normalisations, in the published PyTorch and TensorFlow networks
# Common settings of the published recipes of these GANs, as arguments of `training.Recipe`.
RECIPE = {
    "weights": {"generation": 1.0},
    "together": True,
    "generator_passes": 1,
    "flip": 0.0,
    "optimizer": "adam",
    "learning_rate": 2e-4,
}


@dataclass(frozen=True)
class Style:
    """Options in which families of DCGANs differ.

    Args:
        kernel: rows and columns of all convolutions; their stride is 2.
        use_bias: whether convolutions and projections have biases.
        initializer: function of the fan-in that returns the initialiser of a kernel.
        seeds: seeds of other random numbers.
        batch_norm: whether the discriminator normalises batches.
        spectral_norm: whether it normalises its kernels instead, see `SpectralNormalisation`.
        periodic: whether the second axis is periodic; only with a kernel of 4.

    Raises:
        ValueError: if `periodic` is combined with another kernel.
    """

    kernel: int
    use_bias: bool
    initializer: Callable[[int], keras.initializers.Initializer]
    seeds: SeedStream
    batch_norm: bool = True
    spectral_norm: bool = False
    periodic: bool = False

    def __post_init__(self):
        if self.periodic and self.kernel != 4:
            raise ValueError(f"Periodic stacks need a kernel of 4, received {self.kernel}.")


@keras.saving.register_keras_serializable("calolab")
class PeriodicPadding(layers.Layer):
    """Extends the second axis of an image `(event, row, column, channel)` by one cell at each end, periodically."""

    def call(self, images):
        """The image with its last column in front and its first column at the end."""
        return ops.concatenate([images[:, :, -1:], images, images[:, :, :1]], axis=2)

    def compute_output_shape(self, input_shape):
        """Shape of the outputs: two more columns."""
        return (*input_shape[:2], input_shape[2] + 2, input_shape[3])


def upsample(vector, side: int, filters: Sequence[int], style: Style):
    """Project a vector to a small map, and double its size with each transposed convolution.

    Args:
        vector: `(event, n)`.
        side: rows and columns of the first map.
        filters: channels of the first map and of each following one; the last has no normalisation or activation.
        style: options of the family.

    Returns:
        The last map, float32 even if the layers compute in bfloat16.
    """
    x = layers.Dense(
        side * side * filters[0], use_bias=style.use_bias, kernel_initializer=style.initializer(vector.shape[-1])
    )(vector)
    x = layers.Reshape((side, side, filters[0]))(x)
    for channels in filters[1:]:
        x = layers.ReLU()(_batch_normalisation()(x))
        if style.periodic:
            x = PeriodicPadding()(x)
        x = layers.Conv2DTranspose(
            channels,
            style.kernel,
            strides=2,
            padding="same",
            use_bias=style.use_bias,
            kernel_initializer=style.initializer(style.kernel**2 * x.shape[-1]),
        )(x)
        if style.periodic:
            x = layers.Cropping2D(((0, 0), (2, 2)))(x)
    return ops.cast(x, "float32")


def discriminator_heads(image, filters: Sequence[int], style: Style) -> dict:
    """Apply a stack of convolutions, each of which halves the image, and the head `generation`, a logit.

    The input of the head is the output of the layer `features`. A convolution whose batch normalisation is left out
    has a bias in place of the shift.

    Args:
        image: `(event, row, column, channel)`, scaled to the order of one.
        filters: channels after each convolution.
        style: options of the family.

    Returns:
        The head's output by its name.
    """
    batch_norm = style.batch_norm and not style.spectral_norm
    x = image
    for position, channels in enumerate(filters):
        normalised = batch_norm and position > 0
        if style.periodic:
            x = layers.ZeroPadding2D(((1, 1), (0, 0)))(PeriodicPadding()(x))
        convolution = layers.Conv2D(
            channels,
            style.kernel,
            strides=2,
            padding="valid" if style.periodic else "same",
            use_bias=style.use_bias or (position > 0 and not batch_norm),
            kernel_initializer=style.initializer(style.kernel**2 * x.shape[-1]),
        )
        x = _normalised(convolution, style)(x)
        if normalised:
            x = _batch_normalisation()(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Flatten(name="features")(x)
    head = layers.Dense(
        1, use_bias=style.use_bias, kernel_initializer=style.initializer(x.shape[-1]), name="generation"
    )
    return {"generation": _normalised(head, style)(x)}


def _normalised(layer, style):
    return with_norm(layer, style.seeds) if style.spectral_norm else layer


def _batch_normalisation():
    return layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM)
