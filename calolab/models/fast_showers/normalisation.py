"""From the columns of layer quantities to standard normal numbers and back, with tables that are fitted to showers.

A column minus its mean and divided by its width, both functions of the energy and of the number of hits, is mapped by
its quantiles. Discrete cases take the probability that they have for the number of hits at either end of the
distribution. Numbers that are not defined become noise.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from calolab.models.fast_showers.lattice import Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.normal import normal_quantile, probability
from calolab.models.fast_showers.quantities import COLUMNS, DISCRETE, Columns, columns, requested

QUANTILES = 201
FEW_HITS = (1, 2, 3, 6)  # largest numbers of hits of the classes of layers whose distributions have their own quantiles
COUNTS = 16  # numbers of hits for which discrete cases have probabilities; the last is that of all higher ones
TAIL = 2e-4  # probability beyond the outermost quantiles
ENERGIES, TOTAL_QUANTILES = 9, 101  # log energies with quantiles of the energy in all layers, and their number
_EDGE = 1e-4  # probability beyond the most extreme normal numbers of columns with discrete cases


def basis(scaled, hits):
    """Functions of the energy and of the number of hits whose linear combinations are a column's mean and log width.

    Args:
        scaled: log energy of the particle from -1 to 1, `(event, 1)`.
        hits: number of hits, `(event, layer)`; 0 for those of the energy alone.

    Returns:
        `(event, layer, 6)`.
    """
    count = ops.log1p(ops.clip(hits, 0.0, 200.0))
    scaled = scaled + ops.zeros_like(count)
    one = ops.ones_like(count)
    return ops.stack([one, scaled, scaled * scaled, count, count * count, scaled * count], axis=-1)


@keras.saving.register_keras_serializable("calolab")
class LogEnergy(keras.layers.Layer):
    """Log energies, from -1 to 1 in the training sample, `(event, 1)`, from energies [GeV]; `tables.fit` sets it."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape):
        """Make the constants, at first for 10 to 100 GeV."""
        start = np.array([np.log(31.6), np.log(3.16)], dtype=np.float32)  # middle, and half of the range
        self.range = self.add_weight(shape=(2,), initializer=_Start(start), trainable=False, name="range")

    def call(self, energy):
        """Scaled logarithms.

        Args:
            energy: `(event, 1)` [GeV].
        """
        return (ops.log(ops.maximum(energy, 1e-6)) - self.range[0]) / self.range[1]

    def compute_output_shape(self, input_shape):
        """Shape of the energies."""
        return input_shape


@keras.saving.register_keras_serializable("calolab")
class Normalisation(keras.layers.Layer):
    """Layer quantities from standard normal numbers; `tables.fit` sets its constants.

    Its inputs are `normal` `(event, 7, layer)`, and, each `(event, 1)`, `total`, a normal number, `energy` [GeV] and
    `scaled`, its logarithm as `LogEnergy` returns it. It returns the requested quantities, `(event, layer, 7)`, and the
    conditions of their cells, `(event, layer, 8)`.

    Args:
        side: pads along x and y.
        layers: number of layers.
        threshold: lowest energy of a hit [GeV].
    """

    def __init__(self, side: int, layers: int, threshold: float, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.side, self.layers, self.threshold = side, layers, threshold
        self.lattice = Lattice(side, layers)
        self.grid, self.total_grid = normal_grid(QUANTILES), normal_grid(TOTAL_QUANTILES)

    def build(self, input_shape):
        """Make the constants: all columns are standard normal at first."""
        columns = (len(COLUMNS), self.layers)

        def constant(name, start):
            start = np.asarray(start, dtype=np.float32)
            return self.add_weight(shape=start.shape, initializer=_Start(start), trainable=False, name=name)

        self.means = constant("means", np.zeros((*columns, 6)))
        self.log_widths = constant("log_widths", np.zeros((*columns, 6)))
        classes = (*columns, len(FEW_HITS) + 1)
        self.quantiles = constant("quantiles", np.broadcast_to(self.grid, (*classes, QUANTILES)))
        self.cases = constant("cases", np.full((len(DISCRETE), self.layers, COUNTS, 2), 0.1))
        self.total_mean = constant("total_mean", [np.log(0.02), 0.0, 0.0])
        self.total_log_width = constant("total_log_width", [np.log(0.03), 0.0, 0.0])
        self.total_quantiles = constant("total_quantiles", np.tile(self.total_grid, (ENERGIES, 1)))
        # Networks need not be right outside the range of the training: numbers are limited to it.
        self.limits = constant("limits", np.tile([-6e4, 6e4], (*columns, 1)))

    def call(self, inputs):
        """Requested quantities and conditions of cells from normal numbers.

        Args:
            inputs: `normal`, `total`, `energy` and `scaled` by name.
        """
        scaled = inputs["scaled"]
        total = self.total_energy(inputs["total"], inputs["energy"], scaled)
        quantities = requested(self.columns(inputs["normal"], scaled), total, self.threshold, self.lattice)
        return {"quantities": quantities.stacked(), "conditions": self.conditions(quantities, scaled)}

    def compute_output_shape(self, input_shape):
        """Shapes of the quantities and of the conditions."""
        events, numbers = input_shape["normal"][0], len(COLUMNS)
        return {"quantities": (events, self.layers, numbers), "conditions": (events, self.layers, numbers + 1)}

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        config = super().get_config()
        config.pop("autocast", None)
        return {**config, "side": self.side, "layers": self.layers, "threshold": self.threshold}

    def conditions(self, quantities: LayerQuantities, scaled):
        """What the cells of each layer depend on, `(event, layer, 8)`: its normal numbers, without noise, and energy.

        Args:
            quantities: quantities that showers can have.
            scaled: log energy of the particle from -1 to 1, `(event, 1)`.
        """
        zero = ops.zeros_like(quantities.hits)
        noise = ops.stack([zero] * len(COLUMNS), axis=1)
        given = columns(quantities, self.threshold, zero + 0.5)
        normal = self.normal(given, scaled, 0.5 + noise[:, : len(DISCRETE)], noise)
        rows = ops.swapaxes(ops.clip(normal, -4.0, 4.0), 1, 2)
        return ops.concatenate([rows, (scaled + zero)[..., None]], axis=-1)

    def normal(self, columns: Columns, scaled, uniform, noise):
        """Normal numbers of columns.

        Args:
            columns: the columns.
            scaled: log energy of the particle from -1 to 1, `(event, 1)`.
            uniform: random numbers from 0 to 1 for discrete cases, `(event, 2, layer)`.
            noise: standard normal numbers for what is not defined, `(event, 7, layer)`.

        Returns:
            `(event, 7, layer)`.
        """
        mean, width = self._regression(scaled, columns.hits)
        found = _rank(self._quantiles(columns.hits), (columns.numbers - mean) / width, self.grid)
        low, high = self._probabilities(columns.hits, columns.others)
        first, last = DISCRETE[0], DISCRETE[-1] + 1
        rank = low + probability(found[:, first:last]) * (1.0 - low - high)
        rank = ops.where(columns.low[:, first:last], uniform * low, rank)
        rank = ops.where(columns.high[:, first:last], 1.0 - uniform * high, rank)
        rank = normal_quantile(ops.clip(rank, _EDGE, 1.0 - _EDGE))
        found = ops.concatenate([found[:, :first], rank, found[:, last:]], axis=1)
        return ops.where(columns.defined, found, noise)

    def columns(self, normal, scaled) -> Columns:
        """The inverse of `normal`: numbers and discrete cases of all columns; they need not be consistent.

        Args:
            normal: normal numbers, `(event, 7, layer)`.
            scaled: log energy of the particle from -1 to 1, `(event, 1)`.
        """
        first, last = DISCRETE[0], DISCRETE[-1] + 1
        nothing = ops.zeros_like(normal[:, 0])
        mean, width = self._regression(scaled, nothing)
        limits = self.limits[..., 0], self.limits[..., 1]
        root = _interpolate(self._quantiles(nothing), normal, self.grid)[:, 0] * width[:, 0] + mean[:, 0]
        root = ops.clip(root, limits[0][0], limits[1][0])
        hits = ops.floor(ops.square(ops.maximum(root, 0.0)))
        rank = probability(normal[:, first:last])
        # Whether the core cell is a hit decides how many others there are, which the ring's cases depend on.
        low, high = self._probabilities(hits, hits)
        others = hits - ops.cast(ops.logical_and(rank[:, 0] >= low[:, 0], hits > 0), "float32")
        low, high = self._probabilities(hits, others)
        inner = (rank - low) / ops.maximum(1.0 - low - high, 1e-6)
        inner = normal_quantile(ops.clip(inner, _EDGE, 1.0 - _EDGE))
        smooth = ops.concatenate([normal[:, :first], inner, normal[:, last:]], axis=1)
        mean, width = self._regression(scaled, hits)
        numbers = _interpolate(self._quantiles(hits), smooth, self.grid) * width + mean
        numbers = ops.clip(numbers, *limits)
        numbers = ops.concatenate([root[:, None], numbers[:, 1:]], axis=1)
        defined = ops.ones_like(numbers) > 0
        none = ops.zeros_like(defined)
        is_low = ops.concatenate([none[:, :first], rank < low, none[:, last:]], axis=1)
        is_high = ops.concatenate([none[:, :first], rank >= 1.0 - high, none[:, last:]], axis=1)
        return Columns(numbers, defined, is_low, ops.logical_and(is_high, ops.logical_not(is_low)), hits, others)

    def total_energy(self, normal, energy, scaled):
        """Energy in all layers [GeV], `(event, 1)`.

        Args:
            normal: standard normal numbers, `(event, 1)`.
            energy: energy of the particle [GeV], `(event, 1)`.
            scaled: its logarithm from -1 to 1, `(event, 1)`.
        """
        mean, width = self._total_regression(scaled)
        found = _interpolate(self._total_quantiles(scaled), normal, self.total_grid)
        return energy * ops.exp(found * width + mean)

    def total_normal(self, total, energy, scaled):
        """The inverse of `total_energy`, `(event, 1)`.

        Args:
            total: energy in all layers [GeV], `(event, 1)`.
            energy: energy of the particle [GeV], `(event, 1)`.
            scaled: its logarithm from -1 to 1, `(event, 1)`.
        """
        mean, width = self._total_regression(scaled)
        ratio = (ops.log(ops.maximum(total, 1e-12) / energy) - mean) / width
        return _rank(self._total_quantiles(scaled), ratio, self.total_grid)

    def _total_quantiles(self, scaled):
        """Function from indices `(event, 1)` to quantiles of the energy in all layers, without mean and width."""
        place = ops.clip((scaled + 1.0) * ((ENERGIES - 1) / 2), 0.0, ENERGIES - 1.0)
        first = ops.clip(ops.floor(place), 0, ENERGIES - 2)
        rows = ops.cast(first[:, 0], "int32")
        low, high = (ops.take(self.total_quantiles, rows + step, axis=0) for step in (0, 1))
        table = low + (place - first) * (high - low)
        return lambda index: ops.take_along_axis(table, index, axis=1)

    def _total_regression(self, scaled):
        functions = basis(scaled, ops.zeros_like(scaled))[:, 0, :3]
        mean, log_width = (ops.matmul(functions, one[:, None]) for one in (self.total_mean, self.total_log_width))
        return mean, ops.exp(ops.clip(log_width, -8.0, 8.0))

    def _regression(self, scaled, hits):
        """Mean and width of each column, `(event, 7, layer)`; the number of hits itself depends on the energy alone."""
        functions = basis(scaled, hits)
        mean = ops.einsum("blk,clk->bcl", functions, self.means)
        log_width = ops.einsum("blk,clk->bcl", functions, self.log_widths)
        return mean, ops.exp(ops.clip(log_width, -8.0, 8.0))

    def _probabilities(self, hits, others):
        """Probabilities of the low and of the high case of core and ring, each `(event, 2, layer)`."""
        counts = ops.cast(ops.clip(ops.stack([hits, others], axis=1), 0.0, COUNTS - 1.0), "int32")
        rows = np.arange(len(DISCRETE) * self.layers, dtype=np.int32).reshape(len(DISCRETE), self.layers)
        found = ops.take(ops.reshape(self.cases, (-1, 2)), counts + COUNTS * rows, axis=0)
        return found[..., 0], found[..., 1]

    def _quantiles(self, hits):
        """Function from indices `(event, 7, layer)` to quantiles of each column and layer, for its number of hits."""
        kind = sum(ops.cast(hits > limit, "int32") for limit in FEW_HITS)[:, None]
        kind = kind * np.array([0] + [1] * (len(COLUMNS) - 1), dtype=np.int32)[:, None]  # hits themselves have one
        number = len(COLUMNS) * self.layers
        first = (len(FEW_HITS) + 1) * np.arange(number, dtype=np.int32).reshape(len(COLUMNS), self.layers)
        start, table = QUANTILES * (kind + first), ops.reshape(self.quantiles, (-1,))
        return lambda index: ops.take(table, start + index)


def normal_grid(number: int) -> np.ndarray:
    """Normal numbers at equal steps of probability, but the outermost are at `TAIL` beyond them.

    Args:
        number: number of steps.
    """
    ranks = np.clip(np.linspace(0, 1, number), TAIL, 1 - TAIL)
    return np.asarray(normal_quantile(ranks.astype(np.float32)))


class _Start(keras.initializers.Initializer):
    """Initial values of a constant."""

    def __init__(self, values):
        self.values = values

    def __call__(self, shape, dtype=None):
        return ops.convert_to_tensor(self.values, dtype=dtype)


def _interpolate(at, normal, grid):
    """Values at normal numbers of functions that are tabulated at `grid`.

    Args:
        at: function from indices of the shape of `normal` to entries of the tables.
        normal: normal numbers.
        grid: normal numbers, `(entry,)`.
    """
    last = len(grid) - 2
    index = ops.clip(ops.floor(probability(normal) * (last + 1)), 0, last)
    index = ops.cast(index, "int32")
    fraction = (normal - ops.take(grid, index)) / ops.take(np.diff(grid), index)
    low, high = (at(index + step) for step in (0, 1))
    return low + ops.clip(fraction, 0.0, 1.0) * (high - low)


def _rank(at, values, grid):
    """The inverse of `_interpolate`, by bisection.

    Args:
        at: as for `_interpolate`; the tables are increasing.
        values: values of the functions.
        grid: as for `_interpolate`.
    """
    low = ops.zeros_like(values, dtype="int32")
    for power in reversed(range(int(np.ceil(np.log2(len(grid)))))):
        middle = ops.minimum(low + 2**power, len(grid) - 2)
        low = ops.where(at(middle) <= values, middle, low)
    start, end = (at(low + step) for step in (0, 1))
    fraction = ops.clip((values - start) / ops.maximum(end - start, 1e-9), 0.0, 1.0)
    return ops.take(grid, low) + fraction * ops.take(np.diff(grid), low)
