"""The locally connected layer, which Keras 3 no longer has: a convolution with a different kernel at every pixel."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("calolab")
class LocallyConnected2D(keras.layers.Layer):
    """A convolution with a kernel and a bias of its own for every output pixel (LAGAN, arXiv:1701.05927).

    All patches are multiplied by all kernels in one matrix product, which makes a training step four times as fast as a
    loop over the pixels. The initialiser receives the kernel's whole shape, so the number of pixels counts as fan-in:
    initial outputs are small, as those of the published networks are.

    Args:
        filters: values per output pixel.
        kernel_size: rows and columns of a patch, or one number for both.
        strides: rows and columns from one patch to the next, or one number for both.
        padding: `"valid"`, or `"same"` for zeros around the image, one more after it than before it where the number
            is odd.
        use_bias: whether to add a bias.
        activation: activation function; none by default.
        kernel_initializer: initialiser of the kernel, whose shape is
            `(rows, columns, kernel rows * kernel columns * channels, filters)`.

    Raises:
        ValueError: if an argument is out of range, or the image is smaller than the kernel.
    """

    def __init__(
        self,
        filters: int,
        kernel_size,
        strides=1,
        padding: str = "valid",
        use_bias: bool = True,
        activation=None,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters, self.use_bias, self.padding = filters, use_bias, padding
        self.kernel_size, self.strides = _pair("kernel_size", kernel_size), _pair("strides", strides)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        if filters < 1:
            raise ValueError(f"LocallyConnected2D expects at least 1 filter, received {filters}.")
        if padding not in ("valid", "same"):
            raise ValueError(f"LocallyConnected2D expects padding 'valid' or 'same', received {padding!r}.")

    def build(self, input_shape):
        """Create the kernel and the bias for images `(event, row, column, channel)`."""
        rows, columns, filters = self.compute_output_shape(input_shape)[1:]
        size = self.kernel_size[0] * self.kernel_size[1] * input_shape[-1]
        self.kernel = self.add_weight(
            shape=(rows, columns, size, filters), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(rows, columns, filters), initializer="zeros", name="bias")

    def call(self, images):
        """Convolve images `(event, row, column, channel)` to `(event, row, column, filter)`."""
        channels, borders = images.shape[-1], self._borders(images.shape)
        if any(map(any, borders)):
            images = ops.pad(images, ((0, 0), *borders, (0, 0)))
        rows, columns, _, filters = self.kernel.shape
        down, across = self.kernel_size
        # The kernel columns are inner axes and the kernel rows outer ones: after one gather operation along each axis,
        # every kernel row of every pixel is a matrix, and the large array needs no further transposition.
        patches = ops.take(ops.transpose(images, (2, 1, 0, 3)), _places(columns, across, self.strides[1]), axis=0)
        patches = ops.transpose(patches, (2, 0, 3, 1, 4))  # (row, pixel column, event, kernel column, channel)
        patches = ops.reshape(patches, (patches.shape[0], columns, -1, across * channels))
        patches = ops.take(patches, _places(rows, down, self.strides[0]), axis=0)
        kernel = ops.reshape(self.kernel, (rows, columns, down, across * channels, filters))
        outputs = ops.matmul(patches, ops.transpose(kernel, (0, 2, 1, 3, 4)))
        outputs = ops.transpose(ops.sum(outputs, axis=1), (2, 0, 1, 3))
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        """Shape of the outputs."""
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"LocallyConnected2D expects (event, row, column, channel) of known size, received {input_shape}."
            )
        sizes = []
        for cells, kernel, stride in zip(input_shape[1:3], self.kernel_size, self.strides):
            if self.padding == "valid" and cells < kernel:
                raise ValueError(f"LocallyConnected2D needs {kernel} cells for its kernel, the image has {cells}.")
            sizes.append(-(-cells // stride) if self.padding == "same" else (cells - kernel) // stride + 1)
        return (input_shape[0], *sizes, self.filters)

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "use_bias": self.use_bias,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def _borders(self, input_shape):
        """Numbers of zeros before and after the rows and the columns."""
        if self.padding == "valid":
            return ((0, 0), (0, 0))
        outputs = self.compute_output_shape(input_shape)[1:3]
        missing = [
            max((count - 1) * stride + kernel - cells, 0)
            for cells, count, kernel, stride in zip(input_shape[1:3], outputs, self.kernel_size, self.strides)
        ]
        return tuple((zeros // 2, zeros - zeros // 2) for zeros in missing)


def _places(count, kernel, stride):
    """Indices of the cells of each patch along one axis, shape `(patch, kernel)`."""
    return (np.arange(count) * stride)[:, None] + np.arange(kernel)


def _pair(name, value):
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(number, int) or number < 1 for number in pair):
        raise ValueError(f"LocallyConnected2D expects {name} as one or two whole numbers from 1, received {value!r}.")
    return pair
