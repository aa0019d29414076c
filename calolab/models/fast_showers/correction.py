"""The correction of the flow's numbers after the training: correlations and distributions as in the training sample."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

LIMIT = 4.0  # largest number with a shift of its own
POINTS = 65  # of the map of each number
FUNCTIONS = 4  # of energy and response, on which the means depend


def functions(scaled, total):
    """Functions of the energy and of the response, `(event, FUNCTIONS)`.

    Args:
        scaled: log energy of the particle from -1 to 1, `(event, 1)`.
        total: normal number of the energy in all layers, `(event, 1)`.
    """
    return ops.concatenate([ops.ones_like(scaled), scaled, ops.square(scaled), total], axis=-1)


@keras.saving.register_keras_serializable("calolab")
class Correction(keras.layers.Layer):
    """A linear map of normal numbers `(event, size)`, and a map of each of them; without effect until `fit`.

    Args:
        size: numbers of a shower.
    """

    def __init__(self, size: int, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size = size

    def build(self, input_shape):
        """Make the constants of the identity."""

        def constant(name, shape, start):
            return self.add_weight(shape=shape, initializer=start, trainable=False, name=name)

        self.matrix = constant("matrix", (self.size, self.size), keras.initializers.Identity())
        self.offsets = constant("offsets", (FUNCTIONS, self.size), "zeros")
        self.shifts = constant("shifts", (self.size, POINTS), "zeros")

    def call(self, inputs):
        """The corrected numbers.

        Args:
            inputs: `numbers`, `scaled` and `total` by name.
        """
        found = ops.matmul(inputs["numbers"], self.matrix)
        found = found + ops.matmul(functions(inputs["scaled"], inputs["total"]), self.offsets)
        # Equal distances, so that the position needs no search; beyond the ends the shift is constant.
        place = ops.clip((found / LIMIT + 1.0) * ((POINTS - 1) / 2), 0.0, POINTS - 1.0)
        first = ops.clip(ops.floor(place), 0, POINTS - 2)
        index = ops.cast(first, "int32") + POINTS * np.arange(self.size, dtype=np.int32)
        low, high = (ops.take(ops.reshape(self.shifts, (-1,)), index + step) for step in (0, 1))
        return found + low + (place - first) * (high - low)

    def compute_output_shape(self, input_shape):
        """Shape of the numbers."""
        return input_shape["numbers"]

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "size": self.size}

    def fit(self, found: np.ndarray, wanted: np.ndarray, found_functions: np.ndarray, wanted_functions: np.ndarray):
        """Set the constants so that means, correlations and the distribution of each number are the wanted ones.

        The linear map is the one that changes the numbers least (optimal transport of normal distributions).

        Args:
            found: the flow's numbers, `(event, size)`.
            wanted: those of real showers, `(event, size)`.
            found_functions, wanted_functions: results of `functions` for both.
        """
        sides = []
        for values, given in ((found, found_functions), (wanted, wanted_functions)):
            values, given = np.asarray(values, dtype=np.float64), np.asarray(given, dtype=np.float64)
            means = np.linalg.lstsq(given, values, rcond=1e-6)[0]
            sides.append((means, np.cov((values - given @ means).T)))
        (before, spread), (after, aim) = sides
        root, inverse = _power(spread, 0.5), _power(spread, -0.5)
        matrix = inverse @ _power(root @ aim @ root, 0.5) @ inverse
        offsets = after - before @ matrix
        moved = np.asarray(found, dtype=np.float64) @ matrix + np.asarray(found_functions, dtype=np.float64) @ offsets
        self.matrix.assign(matrix.astype(np.float32))
        self.offsets.assign(offsets.astype(np.float32))
        self.shifts.assign(_shifts(moved, wanted).astype(np.float32))


def _shifts(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What must be added at `POINTS` numbers from -LIMIT to LIMIT, so that quantiles agree, `(size, POINTS)`."""
    points = np.linspace(-LIMIT, LIMIT, POINTS)
    ranks = np.linspace(0.002, 0.998, 250)
    shifts = []
    for one, other in zip(np.asarray(found).T, np.asarray(wanted, dtype=np.float64).T):
        start, end = np.quantile(one, ranks), np.quantile(other, ranks)
        shift = np.interp(points, start, end - start)
        kernel = np.array([0.25, 0.5, 0.25])
        shifts.append(np.convolve(np.pad(shift, 1, mode="edge"), kernel, mode="valid"))
    return np.array(shifts)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-9) ** exponent) @ vectors.T
