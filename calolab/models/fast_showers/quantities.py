"""The quantities of a layer from which `calolab-fast` starts, as columns of numbers, and consistent requests from them.

Seven columns: number of hits, log energy per hit, core cell and ring as logits of fractions of the energy, centre in x
and y relative to the distance that the energies beside the core allow, and log mean squared radius outside the ring.
Energies are those above the threshold of the hits, so that no request is below it. Some cases are discrete, such as a
core cell without a hit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from calolab.models.fast_showers.lattice import Lattice
from calolab.models.fast_showers.layer_quantities import CENTRED, LayerQuantities

COLUMNS = ("hits", "energy", "core", "ring", "x", "y", "spread")
DISCRETE = (2, 3)  # columns with discrete cases
_TINY = 1e-12  # [GeV]
_SOFT = 0.1  # of the threshold: energies just above it are not spread over an endless range of logarithms


@dataclass(frozen=True)
class Columns:
    """The columns of numbers, all of shape `(event, 7, layer)`; numbers are finite where they are not defined, too.

    Args:
        numbers: the numbers.
        defined: whether a number or a discrete case is defined.
        low: whether it is the discrete case below all numbers: nothing in the core cell, or in the ring.
        high: whether it is the discrete case above all numbers: nothing elsewhere, or outside.
        hits: number of hits of each layer, `(event, layer)`.
        others: number of hits other than that of the core cell, `(event, layer)`.
    """

    numbers: object
    defined: object
    low: object
    high: object
    hits: object
    others: object


def measured(image, lattice: Lattice) -> LayerQuantities:
    """The quantities of showers.

    Args:
        image: cells [GeV], `(event, side, side, layer, 1)`.
        lattice: positions of the cells.
    """
    cells = ops.reshape(image, (-1, lattice.cells, lattice.layers))
    factors = np.concatenate([lattice.zone[None] == 0, lattice.moments]).reshape(-1, lattice.cells)
    core, ring, out, x, y, wide = ops.unstack(ops.matmul(factors, cells), len(factors), axis=1)
    total = ops.maximum(core + ring + out, _TINY)
    hits = ops.sum(ops.cast(cells > 0, "float32"), axis=1)
    return LayerQuantities(hits, core, ring, out, x / total, y / total, wide / ops.maximum(out, _TINY))


def columns(quantities: LayerQuantities, threshold: float, fraction) -> Columns:
    """The columns of layer quantities.

    Args:
        quantities: the quantities.
        threshold: lowest energy of a hit [GeV].
        fraction: number from 0 to 1 that makes the number of hits continuous, `(event, layer)`.
    """
    q, reach = quantities, _reach(quantities)
    core, ring, out = q.core > 0, q.ring > 0, q.outside > 0
    others = q.hits - ops.cast(core, "float32")
    more, some, none, many = others > 0, q.hits > 0, ops.zeros_like(core), others >= CENTRED
    soft = _SOFT * threshold

    def log(energy, hits):
        return ops.log(ops.maximum(energy - threshold * hits, 0.0) + soft)

    numbers = (
        ops.sqrt(q.hits + fraction),
        ops.log(ops.maximum(q.energy - threshold * q.hits, 0.0) / ops.maximum(q.hits, 1.0) + soft),
        log(q.core, 1.0) - log(q.ring + q.outside, others),
        log(q.ring, 1.0) - log(q.outside, 1.0),
        q.x / reach,
        q.y / reach,
        ops.log(ops.maximum(q.spread, 1e-6)),
    )
    has_ring_or_out = ops.logical_or(ring, out)
    defined = (ops.ones_like(core), some, some, has_ring_or_out, many, many, ops.logical_and(out, many))
    low = (none, none, ops.logical_and(some, ops.logical_not(core)), ops.logical_and(out, ops.logical_not(ring)))
    high = (none, none, ops.logical_and(core, ops.logical_not(more)), ops.logical_and(ring, ops.logical_not(out)))
    rest = (none, none, none)
    return Columns(
        *(ops.stack(one, axis=1) for one in (numbers, defined, (*low, *rest), (*high, *rest))), q.hits, others
    )


def requested(columns: Columns, total, threshold: float, lattice: Lattice) -> LayerQuantities:
    """Quantities that showers can have, from columns that need not be consistent.

    Args:
        columns: the columns; only numbers and discrete cases count.
        total: energy of the shower in all layers [GeV], `(event, 1)`.
        threshold: lowest energy of a hit [GeV].
        lattice: numbers of cells.
    """
    hits, energy, core, ring, x, y, spread = ops.unstack(columns.numbers, len(COLUMNS), axis=1)
    hits = ops.floor(ops.square(ops.maximum(hits, 0.0)))
    some = hits > 0
    has_core = ops.cast(ops.logical_and(some, ops.logical_not(columns.low[:, 2])), "float32")
    others = hits - has_core
    more = others > 0
    in_ring = ops.logical_and(more, ops.logical_not(columns.low[:, 3]))
    in_outside = ops.logical_and(more, ops.logical_not(columns.high[:, 3]))
    # A single hit cannot be in both.
    single = ops.logical_and(ops.logical_and(in_ring, in_outside), others < 2)
    in_ring = ops.logical_and(in_ring, ops.logical_not(ops.logical_and(single, ring < 0)))
    in_outside = ops.logical_and(in_outside, ops.logical_not(ops.logical_and(single, ring >= 0)))
    has_ring, has_outside = (ops.cast(one, "float32") for one in (in_ring, in_outside))
    others = ops.minimum(others, 8.0 * has_ring + (lattice.cells - 9.0) * has_outside)
    hits, weight = has_core + others, ops.cast(others >= CENTRED, "float32")
    soft = _SOFT * threshold
    # Energies above the thresholds of all hits; their sum is requested.
    excess = ops.where(some, ops.maximum(ops.exp(ops.clip(energy, -20.0, 10.0)) - soft, _TINY) * hits, 0.0)
    wanted = ops.maximum(total - threshold * ops.sum(hits, axis=1, keepdims=True), 0.0)
    excess = excess * wanted / ops.maximum(ops.sum(excess, axis=1, keepdims=True), _TINY)
    in_core, beyond = _shared(excess, core, soft, has_core, ops.cast(others > 0, "float32"))
    # Each of the two zones has at least one hit; which of them has the others is not known yet.
    beyond = ops.maximum(beyond + threshold * (others - has_ring - has_outside), 0.0)
    around, outside = _shared(beyond, ring, soft, has_ring, has_outside)
    found = LayerQuantities(
        hits=hits,
        core=has_core * (in_core + threshold),
        ring=has_ring * (around + threshold),
        outside=has_outside * (outside + threshold),
        x=x,
        y=y,
        spread=has_outside * weight * ops.exp(ops.clip(spread, -14.0, 10.0)),
    )
    reach = weight * _reach(found)
    return replace(found, x=x * reach, y=y * reach)


def _reach(quantities: LayerQuantities):
    """Distance of the centre from the axis if all energy of the ring, and all outside, were in one place [pads]."""
    q = quantities
    squares = 1.5 * ops.square(q.ring) + ops.square(q.outside) * q.spread
    return ops.sqrt(squares) / ops.maximum(q.energy, _TINY) + 1e-3


def _shared(energy, logit, soft: float, first, second):
    """Two parts of energies, whose ratio is the exponential of `logit` if both exist.

    Args:
        energy: energies [GeV].
        logit: logarithms of the ratio of the parts, each increased by `soft`.
        soft: energy by which they are increased [GeV].
        first, second: whether the parts exist, 1 or 0.
    """
    part = ops.clip((energy + 2 * soft) * ops.sigmoid(logit) - soft, 0.0, energy)
    part = first * ops.where(second > 0, part, energy)
    return part, second * (energy - part)
