"""The likelihood of the cells of a shower, given the quantities of its layers: networks for each of fifteen passes.

A pass predicts, for the cells of one class, or of a quarter of it, in the layers of one group, the log odds of a hit
and a histogram of its energy, from the cells that are already known: those of earlier classes in the same layer and in
the next layers of the same group, and the neighbouring layers that are complete, and from what is left of the layer's
hits, energies, centre and spread. Near and far cells have networks of their own; far ones see fewer neighbours. Arrays
are `(feature, cell, layer, event)`: neighbours are gathered in contiguous rows, and a layer of a network is the product
of a matrix with all cells of all events.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from calolab.models.fast_showers import sampling, spectrum
from calolab.models.fast_showers.lattice import GROUPS, PARTS, PASSES, SPECTRUM_RADII, Lattice, Part
from calolab.models.initial_weights import SeedStream

CONDITIONS = 8  # numbers by layer that the cells depend on
EMBEDDING = 16  # trained numbers by layer
STATIC = 4  # features of `Lattice.static`
REST = 6  # numbers by layer that say what is left for further passes
PLACED = 5  # features made of them for each cell
NEXT = 1  # distance of the cells of the next layers that near cells see
NEAR, FAR = 0, 1  # regions
SPREADS, TYPICAL_SPREAD = (3.0, 200.0), 20.0  # mean squared radius outside [pads²]
OWN, OTHER = (2, 1), (1, 0)  # how far near and far cells see: in the same layer, and in complete ones beside it


@keras.saving.register_keras_serializable("calolab")
class Cells(keras.layers.Layer):
    """Showers `(event, side, side, layer, 1)` [GeV] from the quantities of their layers.

    Its inputs are `quantities` `(event, layer, 7)` and `conditions` `(event, layer, 8)`, as `Normalisation` returns
    them, and `noise`, two standard normal numbers for each cell, `(event, 2 * side² * layer)`.

    Args:
        side: pads along x and y, an odd number.
        layers: number of layers.
        hidden: neurons per near cell.
        far_hidden: neurons per far cell.
        context: numbers by layer that scale and shift them.
        threshold: lowest energy of a hit [GeV].
        seed: seed of the initial weights.
    """

    def __init__(
        self,
        side: int,
        layers: int,
        hidden: int,
        far_hidden: int,
        context: int,
        threshold: float,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.side, self.layers, self.context = side, layers, context
        self.hidden, self.far_hidden = hidden, far_hidden
        self.threshold, self.seed, self.lattice = threshold, seed, Lattice(side, layers)

    def build(self, input_shape):
        """Make the weights of all passes, and templates without information."""
        seeds, lattice = SeedStream(self.seed), self.lattice

        def weight(name, *shape, start="zeros"):
            return self.add_weight(shape=shape, initializer=start, name=name)

        def kernel(name, *shape):
            return weight(name, *shape, start=seeds.glorot_uniform())

        def constant(name, *shape):
            return self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)

        given, middle = 3 * CONDITIONS + EMBEDDING, 3 * self.context // 2
        self.embedding = weight("embedding", EMBEDDING, self.layers, start=seeds.normal(0.05))
        self.encoder = [kernel("encoder_0", middle, given), kernel("encoder_1", self.context, middle)]
        self.encoder_biases = [weight("encoder_bias_0", middle, 1), weight("encoder_bias_1", self.context, 1)]
        radii, bins = int(lattice.radii.max()) + 1, len(spectrum.BINS)
        self.hit_template = weight("hit_template", self.layers, radii)
        self.spectrum_template = weight("spectrum_template", self.layers, len(SPECTRUM_RADII) + 1, bins)
        self.passes = {}
        for group, part in PASSES:
            place = f"{group}_{part.which}" + ("" if part.quarter is None else f"_{part.quarter}")
            self.passes[group, part] = []
            for region, hidden in enumerate((self.hidden, self.far_hidden)[: len(lattice.regions(part))]):
                which = f"{place}_far" if region == FAR else place
                self.passes[group, part].append(
                    {
                        "first": kernel(f"first_{which}", hidden, self.features(group, part, region)),
                        "second": kernel(f"second_{which}", hidden, hidden),
                        "film": kernel(f"film_{which}", 3 * hidden, self.context),
                        "film_bias": weight(f"film_bias_{which}", 3 * hidden, 1),
                        "hit": kernel(f"hit_{which}", 1, hidden),
                        "spectrum": weight(f"spectrum_{which}", hidden, bins, start=seeds.normal(0.02)),
                        "spectrum_bias": weight(f"spectrum_bias_{which}", bins),
                    }
                )
        # Measured after the training; they are for drawing cells only.
        self.hit_spread, self.energy_spread = (
            self.add_weight(shape=(len(GROUPS), len(PARTS[0])), initializer="ones", trainable=False, name=name)
            for name in ("hit_spread", "energy_spread")
        )
        self.hit_correction = constant("hit_correction", *self.hit_template.shape)
        self.spectrum_correction = constant("spectrum_correction", *self.spectrum_template.shape)

    def call(self, inputs):
        """Showers.

        Args:
            inputs: `quantities`, `conditions` and `noise` by name.
        """
        return sampling.showers(self, inputs["quantities"], inputs["conditions"], inputs["noise"])

    def compute_output_shape(self, input_shape):
        """Shape of the showers."""
        return (input_shape["noise"][0], self.side, self.side, self.layers, 1)

    def get_config(self):
        """Arguments of the layer, as Keras saves them."""
        config = super().get_config()
        config.pop("autocast", None)
        names = ("side", "layers", "hidden", "far_hidden", "context", "threshold", "seed")
        return {**config, **{name: getattr(self, name) for name in names}}

    def features(self, group: int, part: Part, region: int) -> int:
        """Number of the features of a cell.

        Args:
            group: index of the group of layers.
            part: the part of its cells.
            region: `NEAR` or `FAR`.
        """
        sources, window = self.lattice.sources(part), (2 * OTHER[region] + 1) ** 2
        own, next_layers = (sum(map(len, shifts)) for shifts in self._shifts(part, region))
        return STATIC + PLACED + (2 * own + 2 + 4 * next_layers if sources else 0) + (4 * window + 4 if group else 0)

    def _shifts(self, part: Part, region: int) -> tuple[list, list]:
        """Distances of the known cells that those of a pass see: in each source, and in its next layers."""
        sources = self.lattice.sources(part)
        own = [self.lattice.shifts(part, source, OWN[region]) for source in sources]
        # Far cells see nothing of the next layers in the same group, which are two or four layers away.
        return own, [self.lattice.shifts(part, source, NEXT) for source in sources] if region == NEAR else []

    def contexts(self, conditions):
        """What scales and shifts the neurons of each layer, `(context, layer, event)`.

        Args:
            conditions: `(event, layer, 8)`.
        """
        given = ops.transpose(conditions, (2, 1, 0))
        nothing = ops.zeros_like(given[:, :1])
        above, below = ops.concatenate([nothing, given[:, :-1]], 1), ops.concatenate([given[:, 1:], nothing], 1)
        own = self.embedding[:, :, None] + ops.zeros_like(given[:1])
        state = ops.reshape(ops.concatenate([given, above, below, own], axis=0), (3 * CONDITIONS + EMBEDDING, -1))
        for matrix, bias in zip(self.encoder, self.encoder_biases):
            state = ops.silu(ops.matmul(matrix, state) + bias)
        return ops.reshape(state, (self.context, self.layers, -1))

    def with_next_layers(self, values):
        """Features and those in the layers before and after in the same group; zero in a further, last cell.

        Args:
            values: `(feature, cell, layer, event)`.

        Returns:
            `(3 * feature, cell + 1, layer, event)`.
        """
        values = _with_zeros(values)
        nothing = ops.zeros_like(values[:, :, :1])
        before = ops.concatenate([nothing, values[:, :, :-1]], axis=2)
        return ops.concatenate([values, before, ops.concatenate([values[:, :, 1:], nothing], axis=2)], axis=0)

    def neighbours(self, complete, number: int):
        """Features of the complete layers on both sides of each layer, and their means over 5x5 cells.

        Args:
            complete: those of all layers that are neighbours, `(2, side, side, layer, event)`.
            number: number of layers that have them as neighbours.

        Returns:
            Features with a cell of zeros, `(4, cell + 1, layer, event)`, and means, `(4, cell, layer, event)`.
        """
        side, cells = self.side, self.lattice.cells
        after = complete[:, :, :, 1 : number + 1]
        if after.shape[3] < number:
            after = ops.concatenate([after, ops.zeros_like(complete[:, :, :, :1])], axis=3)
        both = ops.concatenate([complete[:, :, :, :number], after], axis=0)
        mean = self.lattice.mean(2)
        means = ops.reshape(ops.matmul(mean, ops.reshape(both, (4, side, -1))), (4, side, side, -1))
        means = 2 * ops.reshape(ops.matmul(mean, means), (4, cells, number, -1))
        return _with_zeros(ops.reshape(both, (4, cells, number, -1))), means

    def chosen(self, part: Part, values):
        """Values of a part's cells in the order in which they are drawn, `(..., cell, layer, event)`.

        Args:
            part: the part.
            values: those of all cells of a layer, `(..., cell, layer, event)`.
        """
        return ops.take(values, self.lattice.drawn(part), axis=-3)

    def states(self, group: int, part: Part, known, neighbours, rest, context, near_only: bool = False):
        """Neurons and log odds of a hit of the cells of one pass.

        Args:
            group: index of the group of layers.
            part: the part of its cells.
            known: features of the cells of each of the part's sources, as `with_next_layers` returns them.
            neighbours: as returned by `neighbours`; None without complete layers.
            rest: what is left for this pass and those after it, as returned by `remaining`.
            context: that of the group's layers, `(context, layer, event)`.
            near_only: whether to leave out far cells.

        Returns:
            Neurons of near and far cells, each `(hidden, cell, layer * event)`, and log odds `(cell, layer, event)`.
        """
        lattice, states, odds = self.lattice, [], []
        layers, flat = len(lattice.group(group)), ops.reshape(context, (self.context, -1))
        means = self._means(part, known)
        for region, weights in enumerate(self.passes[group, part][: 1 if near_only else None]):
            found = self._features(part, region, known, means, neighbours, rest)
            hidden, number = weights["second"].shape[0], found.shape[1]
            film = (ops.matmul(weights["film"], flat) + weights["film_bias"])[:, None]
            state = ops.matmul(weights["first"], ops.reshape(found, (found.shape[0], -1)))
            state = ops.reshape(state, (hidden, number, -1))
            state = ops.relu(state + film[:hidden]) * (1.0 + film[hidden : 2 * hidden])
            state = ops.matmul(weights["second"], ops.reshape(state, (hidden, -1)))
            state = ops.relu(ops.reshape(state, (hidden, number, -1)) + film[2 * hidden :])
            found = ops.matmul(weights["hit"], ops.reshape(state, (hidden, -1)))
            odds.append(ops.reshape(found, (number, layers, -1)))
            states.append(state)
        odds = ops.concatenate(odds, axis=0)
        return states, odds + self.at_radii(self.hit_template, group, part)[: odds.shape[0]]

    def at_radii(self, table, group: int, part: Part):
        """Values of a table by layer and radius at the cells of a pass, `(cell, layer, 1)`.

        Args:
            table: `(layer, radius)`.
            group, part: as for `states`.
        """
        first, step = GROUPS[group]
        found = ops.take(table[first::step], self.lattice.of(part, self.lattice.radii), axis=1)
        return ops.transpose(found)[..., None]

    def spectra(self, group: int, part: Part, states, rows, corrected: bool = False):
        """Log probabilities of the energy bins, up to a constant, at some of the cells of a pass, `(hit, bin)`.

        Args:
            group, part: as for `states`.
            states: neurons, as returned by `states`.
            rows: increasing indices of the cells in all layers and events, `(hit,)`.
            corrected: whether with the correction that is measured after the training.
        """
        lattice, found = self.lattice, []
        first, step = GROUPS[group]
        columns, layers = ops.shape(states[0])[2], len(lattice.group(group))
        near = ops.sum(ops.cast(rows < states[0].shape[1] * columns, "int32"))
        for region, (state, weights) in enumerate(zip(states, self.passes[group, part])):
            here = rows[near:] - states[0].shape[1] * columns if region == FAR else rows[:near]
            neurons = ops.take(ops.reshape(state, (state.shape[0], -1)), here, axis=1)
            found.append(ops.matmul(ops.transpose(neurons), weights["spectrum"]) + weights["spectrum_bias"])
        radial = ops.take(lattice.of(part, lattice.radial_bins), rows // columns)
        layer = first + step * ((rows % columns) // (columns // layers))
        template = self.spectrum_template + (self.spectrum_correction if corrected else 0.0)
        template = ops.reshape(template, (-1, len(spectrum.BINS)))
        place = layer * self.spectrum_template.shape[1] + radial
        return ops.concatenate(found, axis=0) + ops.take(template, place, axis=0)

    def remaining(self, group: int, number: int, hits, sums, centred):
        """What is left for the cells of a pass and of those after it, as numbers of order 1, `(6, layer, event)`.

        Log odds of the remaining hits, log energies in the ring, and outside per hit, their centre in x and y, and the
        log of their mean squared radius outside; the last three are zero where they are not defined.

        Args:
            group: index of the group.
            number: index of the pass in it.
            hits: remaining hits, `(layer, event)`.
            sums: remaining sums of `Lattice.moments`, `(5, layer, event)`; they need not be possible.
            centred: whether centre and spread are defined, 1 or 0, `(layer, event)`.
        """
        left, threshold = float(self.lattice.left(group, number).sum()), self.threshold
        ring, outside, x, y, wide = ops.unstack(sums, len(self.lattice.moments))
        hits, ring, outside = (ops.maximum(one, 0.0) for one in (hits, ring, outside))
        odds = ops.log((hits + 0.2) / (ops.maximum(left - hits, 0.0) + 0.2)) / 3
        x, y = (one / (ring + outside + threshold) for one in (x, y))
        x, y = (centred * one / (2.0 + ops.abs(one) / 2) for one in (x, y))  # from -2 to 2
        wide = centred * ops.log(ops.clip(wide / (outside + threshold), *SPREADS) / TYPICAL_SPREAD)
        ring = ops.log(ring / threshold + 1.0)
        outside = ops.log((outside / threshold + 1.0) / (hits + 0.5))
        return ops.stack([odds, (ring - 4.0) / 2, (outside - 2.0) / 2, x, y, wide])

    def _features(self, part: Part, region: int, known, means, neighbours, rest):
        """The features of the cells of a region in a pass, `(feature, cell, layer, event)`."""
        lattice, layers, cells = self.lattice, rest.shape[1], self.lattice.regions(part)[region]
        number, sources = len(cells), lattice.sources(part)

        def around(values, shifts, source=None):
            found = ops.take(values, lattice.around(cells, shifts, source), axis=1)
            return ops.reshape(found, (values.shape[0] * len(shifts), number, layers, -1))

        rest = ops.concatenate([rest, ops.ones_like(rest[:1])], axis=0)
        given = ops.matmul(self._spread(cells), ops.reshape(rest, (rest.shape[0], -1)))
        found = [ops.reshape(given, (STATIC + PLACED, number, layers, -1))]
        if sources:
            own, next_layers = self._shifts(part, region)
            for values, source, shifts in zip(known, sources, own, strict=True):
                found.append(around(values[:2], shifts, source))
            inside = np.searchsorted(lattice.members(part), cells).astype(np.int32)
            found.append(ops.take(means, inside, axis=1))
            for values, source, shifts in zip(known, sources, next_layers):
                found.append(around(values[2:], shifts, source))
        if neighbours is not None:
            beside, averages = neighbours
            reach = range(-OTHER[region], OTHER[region] + 1)
            found.append(around(beside, [(dx, dy) for dx in reach for dy in reach]))
            found.append(ops.take(averages, cells, axis=1))
        return ops.concatenate(found, axis=0)

    def _means(self, part: Part, known):
        """Four times the means over 9x9 cells around each, unknown ones as zero, `(2, cell, layer, event)`."""
        total = 0.0
        for source, values in zip(self.lattice.sources(part), known):
            along_x, along_y = self.lattice.means(4, part, source)
            layers, values = values.shape[2], values[:2, :-1]
            found = ops.matmul(along_x, ops.reshape(values, (2, along_x.shape[1], -1)))
            found = ops.matmul(along_y, ops.reshape(found, (2, len(along_x), along_y.shape[1], -1)))
            total = total + ops.reshape(4 * found, (2, len(along_x) * len(along_y), layers, -1))
        return total

    def _spread(self, cells: np.ndarray) -> np.ndarray:
        """Matrix from the numbers `rest` and 1 to the static and the placed features of cells, `(9 * cell, 7)`."""
        lattice = self.lattice
        ring, outside = lattice.moments[:2].reshape(2, -1)[:, cells]
        x, y = (np.ravel(one / (lattice.radius + 1))[cells] for one in (lattice.x, lattice.y))
        squares = np.ravel(lattice.radius)[cells] ** 2
        matrix = np.zeros((STATIC + PLACED, len(cells), REST + 1), dtype=np.float32)
        matrix[:STATIC, :, REST] = lattice.static.reshape(STATIC, -1)[:, cells]
        matrix[STATIC, :, 0] = ring + outside
        matrix[STATIC + 1, :, 1], matrix[STATIC + 2, :, 2] = ring, outside
        matrix[STATIC + 3, :, 3], matrix[STATIC + 3, :, 4] = x, y
        matrix[STATIC + 4, :, 5] = outside * np.log(np.maximum(squares, 1.0) / TYPICAL_SPREAD) / 2
        return matrix.reshape(-1, REST + 1)


def _with_zeros(values):
    """Features and, after the last cell, those of a cell beyond the edge, `(feature, cell + 1, layer, event)`.

    Args:
        values: `(feature, cell, layer, event)`.
    """
    return ops.pad(values, ((0, 0), (0, 1), (0, 0), (0, 0)))
