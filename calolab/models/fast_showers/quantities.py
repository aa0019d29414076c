"""The quantities of a layer from which `calolab-fast` starts, as columns of numbers, and consistent requests from them.

Seven columns: number of hits, log energy per hit, core cell and ring as logits of fractions of the energy, centre in x
and y, and log mean squared radius outside the ring. Some cases are discrete, such as a core cell without a hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops

from calolab.models.fast_showers.lattice import OUTSIDE, RING, Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities

COLUMNS = ("hits", "energy", "core", "ring", "x", "y", "spread")
DISCRETE = (2, 3)  # columns with discrete cases
_TINY = 1e-12  # [GeV]


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
    zone, outside = lattice.zone, lattice.zone == OUTSIDE
    sums = [zone == 0, zone == RING, outside, lattice.x, lattice.y, lattice.radius**2 * outside]
    matrix = np.stack([np.ravel(one) for one in sums]).astype(np.float32)
    core, ring, out, x, y, spread = ops.unstack(ops.matmul(matrix, cells), len(sums), axis=1)
    total = ops.maximum(core + ring + out, _TINY)
    hits = ops.sum(ops.cast(cells > 0, "float32"), axis=1)
    return LayerQuantities(hits, core, ring, out, x / total, y / total, spread / ops.maximum(out, _TINY))


def columns(quantities: LayerQuantities, fraction) -> Columns:
    """The columns of layer quantities.

    Args:
        quantities: the quantities.
        fraction: number from 0 to 1 that makes the number of hits continuous, `(event, layer)`.
    """
    q = quantities
    core, ring, out = q.core > 0, q.ring > 0, q.outside > 0
    others = q.hits - ops.cast(core, "float32")
    more, some, none = others > 0, q.hits > 0, ops.zeros_like(core)
    numbers = (
        ops.sqrt(q.hits + fraction),
        _log(q.energy) - ops.log(ops.maximum(q.hits, 1.0)),
        _log(q.core) - _log(q.ring + q.outside),
        _log(q.ring) - _log(q.outside),
        q.x,
        q.y,
        ops.log(ops.maximum(q.spread, 1e-6)),
    )
    has_ring_or_out = ops.logical_or(ring, out)
    defined = (ops.ones_like(core), some, some, has_ring_or_out, more, more, out)
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
    in_core = ops.logical_and(some, ops.logical_not(columns.low[:, 2]))
    others = hits - ops.cast(in_core, "float32")
    more = others > 0
    in_ring = ops.logical_and(more, ops.logical_not(columns.low[:, 3]))
    in_outside = ops.logical_and(more, ops.logical_not(columns.high[:, 3]))
    # A single hit cannot be in both.
    single = ops.logical_and(ops.logical_and(in_ring, in_outside), others < 2)
    in_ring = ops.logical_and(in_ring, ops.logical_not(ops.logical_and(single, ring < 0)))
    in_outside = ops.logical_and(in_outside, ops.logical_not(ops.logical_and(single, ring >= 0)))
    has_core, has_ring, has_outside = (ops.cast(one, "float32") for one in (in_core, in_ring, in_outside))
    hits = has_core + ops.minimum(others, 8.0 * has_ring + (lattice.cells - 9.0) * has_outside)
    energy = ops.where(some, ops.exp(ops.clip(energy, -20.0, 10.0)) * hits, 0.0)
    energy = energy * total / ops.maximum(ops.sum(energy, axis=1, keepdims=True), _TINY)
    part = has_core * ops.where(more, ops.sigmoid(core), 1.0)
    rest = energy * (1.0 - part)
    share = has_ring * ops.where(in_outside, ops.sigmoid(ring), 1.0)
    weight = ops.cast(more, "float32")
    return LayerQuantities(
        hits=hits,
        core=has_core * ops.maximum(energy * part, threshold),
        ring=has_ring * ops.maximum(rest * share, threshold),
        outside=has_outside * ops.maximum(rest * (1.0 - share), threshold),
        x=x * weight,
        y=y * weight,
        spread=ops.where(in_outside, ops.exp(ops.clip(spread, -14.0, 10.0)), 0.0),
    )


def _log(energy):
    return ops.log(ops.maximum(energy, _TINY))
