"""Showers from the likelihood of their cells: with the requested hits, and nearly the energies, of each layer."""

from __future__ import annotations

import numpy as np
from keras import ops

from calolab.models.fast_showers import spectrum
from calolab.models.fast_showers.adjustment import adjusted
from calolab.models.fast_showers.lattice import GROUPS, PARTS, Lattice, Part, summed
from calolab.models.fast_showers.layer_quantities import CENTRED, LayerQuantities
from calolab.models.fast_showers.normal import probability

LIMIT = 30.0  # largest score of a cell; that of a hit that a zone needs is higher, that of a forbidden cell lower
HALVINGS = 30  # of the interval of scores: then it is narrower than the spacing of float32 numbers
BLOCK = 32  # events generated at a time: larger arrays do not fit into the caches
_SMALL = 1e-6
_LIMIT_OF_SEARCH = (LIMIT + 1.5) / (LIMIT + 2.5)


def showers(cells, quantities, conditions, noise):
    """Showers, `(event, side, side, layer, 1)` [GeV].

    Args:
        cells: the layer `Cells` with the likelihood.
        quantities: requested quantities, `(event, layer, 7)`.
        conditions: what the cells depend on, `(event, layer, 8)`.
        noise: standard normal numbers, `(event, 2 * side² * layer)`.
    """
    shape = (-1, cells.side, cells.side, cells.layers, 1)
    events = ops.shape(noise)[0]
    blocks = (events + BLOCK - 1) // BLOCK
    size = (events + blocks - 1) // ops.maximum(blocks, 1)

    def add(start, made):
        chosen = slice(start, start + size)
        block = _block(cells, quantities[chosen], conditions[chosen], noise[chosen])
        return start + size, ops.slice_update(made, (start, 0, 0, 0, 0), block)

    made = ops.reshape(ops.zeros_like(noise[:, : noise.shape[1] // 2]), shape)
    return ops.while_loop(lambda start, made: start < events, add, (0, made))[1]


def _block(cells, quantities, conditions, noise):
    """The showers of some events at a time."""
    lattice = cells.lattice
    side, number = lattice.side, lattice.cells
    wanted = LayerQuantities.of(ops.transpose(quantities, (1, 0, 2)))
    contexts = cells.contexts(conditions)
    noise = ops.reshape(ops.transpose(noise), (2, number * lattice.layers, -1))
    made = []  # energies of each group, in rows of cells
    for group, (first, step) in enumerate(GROUPS):
        chosen, layers = slice(first, lattice.layers, step), len(lattice.group(group))
        neighbours = cells.neighbours(_features(cells, _complete(made)), layers) if group else None
        here = LayerQuantities.of(wanted.stacked()[chosen])
        energies = _group(cells, group, here, contexts[:, chosen], noise, neighbours)
        made.append(ops.reshape(ops.take(energies, lattice.place, axis=0), (side, side, layers, -1)))
    whole = _woven(_complete(made[:2]), made[2], lattice.layers)
    return ops.transpose(whole, (3, 0, 1, 2))[..., None]


def _complete(made):
    """Energies of the layers of the complete groups in their order, `(side, side, layer, event)`."""
    return made[0] if len(made) == 1 else _woven(made[0], made[1], made[0].shape[2] + made[1].shape[2])


def _woven(even, odd, layers: int):
    """Layers of two arrays in turn, `(side, side, layer, event)`."""
    if odd.shape[2] < even.shape[2]:
        odd = ops.concatenate([odd, ops.zeros_like(even[:, :, :1])], axis=2)
    both = ops.stack([even, odd], axis=3)
    return ops.reshape(both, (*even.shape[:2], 2 * even.shape[2], -1))[:, :, :layers]


def _features(cells, energies):
    """Hits and log energies as features, `(2, ...)`."""
    hits = ops.cast(energies > 0, "float32")
    logs = ops.log(ops.maximum(energies, cells.threshold) / cells.threshold)
    return ops.stack([hits, logs / 4])


def _group(cells, group: int, wanted: LayerQuantities, context, noise, neighbours):
    """Energies of all cells of a group's layers in the order of their classes, `(cell, layer, event)`.

    Args:
        cells: as for `showers`.
        group: index of the group.
        wanted: requested quantities of its layers, each `(layer, event)`.
        context: that of its layers, `(context, layer, event)`.
        noise: standard normal numbers of all layers, `(2, cell * layer, event)`.
        neighbours: features of the complete layers on both sides.
    """
    lattice, requested = cells.lattice, wanted.sums
    sums_left = requested
    allowed, core = ops.cast(requested[:2] > 0, "float32"), ops.cast(wanted.core > 0, "float32")
    hits_left, hits = wanted.hits - core, ops.zeros_like(allowed)
    centred = ops.cast(hits_left >= CENTRED, "float32")
    known, drawn, quarters = [], [], []
    for number, part in enumerate(PARTS[group]):
        zones = lattice.zones(part)
        rest = cells.remaining(group, number, hits_left, sums_left, centred)
        states, odds = cells.states(group, part, known, neighbours, rest, context)
        odds = odds + cells.at_radii(cells.hit_correction, group, part)
        normal = _noise_of(lattice, group, part, noise)
        later, spread = lattice.left(group, number + 1), cells.hit_spread[group, number]
        found = _hits(odds, normal[0], zones, hits_left, hits, allowed, later, spread)
        logs = _logs(cells, group, number, states, found, normal[1])
        new = found * cells.threshold * ops.exp(logs[0])
        hits, sums_left = hits + summed(zones, found), sums_left - summed(lattice.of(part, lattice.moments), new)
        hits_left = wanted.hits - core - ops.sum(hits, axis=0)
        if number == 0:
            centre = (lattice.of(part, lattice.zone) == 0).astype(np.float32)[:, None, None]
            found = found + centre * core
            log = ops.log(ops.maximum(wanted.core, cells.threshold) / cells.threshold)
            logs = ops.concatenate([logs[:1] + centre * log, logs[1:]], axis=0)
        made, parts = ops.concatenate([found[None], logs], axis=0), [part]
        if part.quarter is not None:
            quarters.append(made)
        if part.quarter == 3:
            made, parts, known = ops.concatenate(quarters, axis=1), PARTS[group][:4], []
        made = ops.take(made, lattice.natural_order(*parts), axis=1)
        if part.which < 3:
            known.append(cells.with_next_layers(ops.stack([made[0], made[1] / 4])))
        if part.quarter in (None, 3):
            drawn.append(made)
    found, log, rises, falls = ops.unstack(ops.concatenate(drawn, axis=1), 4)
    energies = found * cells.threshold * ops.exp(log)
    zones = lattice.moments[:2].reshape(2, -1)[:, lattice.order]
    return adjusted(energies, cells.threshold, rises, falls, zones, requested[:2])


def _noise_of(lattice: Lattice, group: int, part: Part, noise):
    """The noise of the cells that are drawn in a pass, `(2, cell, layer, event)`.

    Args:
        lattice: positions of the cells.
        group, part: the pass.
        noise: standard normal numbers of all layers, `(2, cell * layer, event)`.
    """
    layers, cells = lattice.group(group), lattice.drawn(part)
    rows = np.ravel(cells[:, None] * lattice.layers + np.array(layers, np.int32))
    return ops.reshape(ops.take(noise, rows, axis=1), (2, len(cells), len(layers), -1))


def _logs(cells, group: int, number: int, states, is_hit, normal):
    """Log ratios of energies to the threshold, and how they change with the normal numbers.

    Args:
        cells: as for `showers`.
        group: index of the group.
        number: index of the pass in it.
        states: neurons, as `Cells.states` returns them.
        is_hit: whether each cell is a hit, 1 or 0, `(cell, layer, event)`.
        normal: standard normal numbers, of the same shape.

    Returns:
        The logarithms, the differences to those with normal numbers that are larger by 1, and from those with smaller
        ones; zero for cells that are no hits, `(3, cell, layer, event)`.
    """
    part, flat = PARTS[group][number], ops.reshape(is_hit, (-1,))
    rows = ops.nonzero(flat)[0]
    chances = ops.softmax(cells.spectra(group, part, states, rows, corrected=True), axis=-1)
    places, zones = zones_of_hits(cells.lattice.zones(part), rows, ops.shape(states[0])[2])
    normal, spread = ops.take(ops.reshape(normal, (-1,)), rows), cells.energy_spread[group, number]
    normal = correlated(normal, spectrum.deviation(chances), places, zones, spread)
    uniform = ops.clip(probability(ops.stack([normal - 1.0, normal, normal + 1.0])), _SMALL, 1 - _SMALL)
    low, log, high = ops.unstack(spectrum.drawn(chances, uniform), 3)
    found = [ops.scatter(rows[:, None], one, ops.shape(flat)) for one in (log, high - log, log - low)]
    return ops.reshape(ops.stack(found), (3, *is_hit.shape[:2], -1))


def zones_of_hits(zones, rows, columns):
    """Index of the zone, layer and event of each hit, and how many there are: ring first, then outside.

    Args:
        zones: whether each cell is in the ring and outside, `(2, cell)`.
        rows: indices of the hits in arrays `(cell, layer, event)`.
        columns: layers times events.
    """
    outside = ops.take(zones[1].astype(np.int32), rows // columns)
    return outside * columns + rows % columns, 2 * columns


def correlated(normal, weights, places, number, spread):
    """Standard normal numbers whose weighted sums over the hits of a zone vary less than those of independent ones.

    Args:
        normal: independent standard normal numbers, `(hit,)`.
        weights: weights of the hits, `(hit,)`.
        places, number: as `zones_of_hits` returns them.
        spread: standard deviation of the sums, relative to that of independent numbers.
    """
    norm = ops.maximum(ops.segment_sum(ops.square(weights), places, number), 1e-6)
    excess = ops.segment_sum(weights * normal, places, number) / norm
    found = normal - (1.0 - spread) * weights * ops.take(excess, places)
    # Each number keeps the variance of 1, and so each hit its spectrum; a single hit changes nothing.
    return found * ops.rsqrt(1.0 - (1.0 - spread**2) * ops.square(weights) / ops.take(norm, places))


def _hits(odds, normal, zones, left, hits, allowed, later, spread):
    """Which cells of a pass are hits, 1 or 0, `(cell, layer, event)`.

    The number of hits in all passes is exact, and each zone that has energy gets at least one.

    Args:
        odds: log odds, `(cell, layer, event)`.
        normal: standard normal numbers, of the same shape.
        zones: whether each cell is in the ring and outside, `(2, cell)`.
        left: remaining hits, `(layer, event)`.
        hits: those that the zones have, `(2, layer, event)`.
        allowed: whether the zones have energy, 1 or 0, `(2, layer, event)`.
        later: cells of later passes in the zones, `(2,)`.
        spread: standard deviation of the number of hits, relative to that of independent cells.
    """
    random = ops.clip(probability(normal), _SMALL, 1 - _SMALL)
    inside = zones[:, :, None, None]
    may = inside[0] * allowed[0] + inside[1] * allowed[1] > 0
    noisy = ops.clip(odds + ops.log(random / (1.0 - random)), -LIMIT, LIMIT)
    scores = ops.where(may, noisy, -LIMIT - 2.0)
    needs = allowed * ops.cast(hits < 0.5, "float32")
    claims = ops.zeros_like(left)
    for zone in range(2):
        if zones[zone].any():
            # The best cell of a zone without hits, if it would be a hit anyway or is the last chance.
            own = ops.where(inside[zone] > 0, scores, -LIMIT - 2.0)
            best = ops.max(own, axis=0)
            claim = needs[zone] > 0
            if later[zone]:
                claim = ops.logical_and(claim, best > 0)
            scores = ops.where(
                ops.logical_and(claim, ops.logical_and(inside[zone] > 0, own >= best)), LIMIT + 1, scores
            )
            claims = claims + ops.cast(claim, "float32")
    here = ops.sum(ops.cast(may, "float32"), axis=0)
    most = ops.clip(left - ops.sum(needs, axis=0) + claims, 0.0, here)
    least = ops.clip(left - later[0] * allowed[0] - later[1] * allowed[1], 0.0, most)
    mean = ops.sum(ops.where(may, ops.sigmoid(odds), 0.0), axis=0)
    number = mean + spread * (ops.sum(ops.cast(scores > 0, "float32"), axis=0) - mean)
    number = ops.clip(ops.floor(number + 0.5), least, most)
    return ops.cast(scores >= _threshold(scores, number), "float32")


def _threshold(scores, number):
    """Score above which there is a number of cells, `(layer, event)`, by bisection.

    Args:
        scores: `(cell, layer, event)`.
        number: number of cells, `(layer, event)`.
    """

    def unfinished(low, high):
        return ops.any(low < high)

    def halve(low, high):
        middle = (low + high) / 2
        found = ops.sum(ops.cast(scores >= _score(middle), "float32"), axis=0)
        return ops.where(found >= number, middle, low), ops.where(found <= number, middle, high)

    # Most thresholds are near zero: they are found in few steps in s of the score s / (1 - |s|).
    edge = number * 0.0 + _LIMIT_OF_SEARCH
    return _score(ops.while_loop(unfinished, halve, (-edge, edge), maximum_iterations=HALVINGS)[0])


def _score(position):
    return position / (1.0 - ops.abs(position))
