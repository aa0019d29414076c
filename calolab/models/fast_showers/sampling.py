"""Showers from the likelihood of their cells: with the requested hits, energies and centre in each layer."""

from __future__ import annotations

import numpy as np
from keras import ops

from calolab.models.fast_showers import spectrum
from calolab.models.fast_showers.lattice import GROUPS, OUTSIDE, PARTS, RING, Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.normal import probability

LIMIT = 30.0  # largest score of a cell; that of a hit that a zone needs is higher, that of a forbidden cell lower
HALVINGS = 30  # of the interval of scores: then it is narrower than the spacing of float32 numbers
BLOCK = 32  # events generated at a time: larger arrays do not fit into the caches
STEPS = 4  # of Newton's method for the energies of zones
CORRECTIONS = 2  # of centre and spread, after the first steps
HALF = 5e-4  # [GeV] hits with much more energy change fully, others little: the peak of single particles stays sharp
LARGEST = 1.0  # change of the log energy of energetic hits
TURN = 0.5  # largest step of the tilts that correct centre and spread
REACH = 2.0  # distance beyond which that of the centre falls [pads]: a tilt of far cells would take their energy away
WIDE = 3.0  # scale of distances of that of the spread [pads]
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
    lattice = cells.lattice
    layers, energy = wanted.hits.shape[0], ops.stack([wanted.ring, wanted.outside])
    allowed = ops.cast(energy > 0, "float32")
    core = ops.cast(wanted.core > 0, "float32")
    hits_left, hits, energies = wanted.hits - core, ops.zeros_like(energy), ops.zeros_like(energy)
    known, logs, quarters = [], [], []
    for number, part in enumerate(PARTS[group]):
        zones, drawn_cells = lattice.zones(part), lattice.drawn(part)
        rows_of_noise = drawn_cells[:, None] * lattice.layers + np.array(lattice.group(group))
        rest = cells.remaining(group, number, hits_left, *ops.unstack(energy - energies, 2))
        rest = ops.concatenate([rest, wanted.x[None], wanted.y[None]], axis=0)
        states, odds = cells.states(group, part, known, neighbours, rest, context)
        odds = odds + cells.at_radii(cells.hit_correction, group, part)
        normal = ops.reshape(
            ops.take(noise, np.ravel(rows_of_noise).astype(np.int32), axis=1), (2, len(drawn_cells), layers, -1)
        )
        random = ops.clip(probability(normal[0]), _SMALL, 1 - _SMALL)
        later, spread = lattice.left(group, number + 1), cells.hit_spread[group, number]
        found = _hits(odds, random, zones, hits_left, hits, allowed, later, spread)
        flat = ops.reshape(found, (-1,))
        rows = ops.nonzero(flat)[0]
        chances = ops.softmax(cells.spectra(group, part, states, rows, corrected=True), axis=-1)
        zone_of_hits = zones_of_hits(zones, rows, ops.shape(states[0])[2])
        normal = ops.take(ops.reshape(normal[1], (-1,)), rows)
        normal = correlated(normal, spectrum.deviation(chances), *zone_of_hits, cells.energy_spread[group, number])
        drawn = spectrum.drawn(chances, probability(normal))
        log = ops.reshape(ops.scatter(rows[:, None], drawn, ops.shape(flat)), (found.shape[0], layers, -1))
        new = found * cells.threshold * ops.exp(log)
        hits, energies = hits + _sums(zones, found), energies + _sums(zones, new)
        hits_left = wanted.hits - core - ops.sum(hits, axis=0)
        if number == 0:
            centre = (lattice.of(part, lattice.zone) == 0).astype(np.float32)[:, None, None]
            found = found + centre * core
            log = log + centre * ops.log(ops.maximum(wanted.core, cells.threshold) / cells.threshold)
        made, parts = ops.stack([found, log / 4]), [part]
        if part.quarter is not None:
            quarters.append(made)
        if part.quarter == 3:
            made, parts, known = ops.concatenate(quarters, axis=1), PARTS[group][:4], []
        made = ops.take(made, lattice.natural_order(*parts).astype(np.int32), axis=1)
        if part.which < 3:
            known.append(cells.with_next_layers(made))
        if part.quarter in (None, 3):
            logs.append(ops.where(made[0] > 0, cells.threshold * (ops.exp(4 * made[1]) - 1.0), -1.0))
    return finished(lattice, cells.threshold, ops.concatenate(logs, axis=0), wanted, hits)


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


def _hits(odds, random, zones, left, hits, allowed, later, spread):
    """Which cells of a pass are hits, 1 or 0, `(cell, layer, event)`.

    The number of hits in all passes is exact, and each zone that has energy gets at least one.

    Args:
        odds: log odds, `(cell, layer, event)`.
        random: random numbers from 0 to 1, of the same shape.
        zones: whether each cell is in the ring and outside, `(2, cell)`.
        left: remaining hits, `(layer, event)`.
        hits: those that the zones have, `(2, layer, event)`.
        allowed: whether the zones have energy, 1 or 0, `(2, layer, event)`.
        later: cells of later passes in the zones, `(2,)`.
        spread: standard deviation of the number of hits, relative to that of independent cells.
    """
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


def finished(lattice: Lattice, threshold: float, excess, wanted: LayerQuantities, hits):
    """Energies [GeV] with nearly the requested sums in each zone, centre and spread, `(cell, layer, event)`.

    A zone with energetic hits gets its energy, one without them nearly: the energies of single particles have a narrow
    peak, and a common factor for the few hits of a zone would smear it.

    Args:
        lattice: positions of the cells.
        threshold: lowest energy of a hit [GeV].
        excess: energies above the threshold [GeV], -1 for cells without energy, in the order of the classes,
            `(cell, layer, event)`.
        wanted: requested quantities, each `(layer, event)`.
        hits: hits in the ring and outside, `(2, layer, event)`.
    """
    layers, order, number = excess.shape[1], lattice.order, lattice.cells
    x, y, zone, radius = (np.ravel(one)[order] for one in (lattice.x, lattice.y, lattice.zone, lattice.radius))
    zones = np.stack([zone == RING, zone == OUTSIDE]).astype(np.float32)
    # Centre in x and y, and spread: sums over the cells, and what the log energies are multiplied by to change them.
    functions = np.stack([x, y, radius**2 * zones[1]]).astype(np.float32)
    damping, wide = 1.0 + (radius / REACH) ** 3, np.log1p((radius / WIDE) ** 2) * zones[1]
    tilts = np.stack([x / damping, y / damping, wide]).astype(np.float32)
    flat = ops.reshape(excess, (number, -1))
    is_hit = ops.cast(flat >= 0, "float32")
    aims = ops.stack([wanted.ring, wanted.outside])
    # Of the energy of a zone, each hit first gets the threshold.
    aims = ops.reshape(ops.maximum(aims - hits * threshold, 0.0), (2, -1))
    core = ops.reshape(ops.maximum(wanted.core, threshold), (1, -1))
    is_core = zone[:, None] == 0
    fixed = is_hit * ops.where(is_core, core, threshold)
    flat = ops.where(is_core, 0.0, ops.maximum(flat, 0.0))
    weights = ops.square(flat) / (ops.square(flat) + HALF**2)
    shapes = ops.reshape(ops.stack([wanted.x, wanted.y, wanted.spread]), (3, -1))
    slopes, turns, moved = ops.zeros_like(aims), ops.zeros_like(shapes), flat

    def changed():
        change = ops.matmul(zones.T, slopes) + ops.matmul(tilts.T, turns)
        return flat * ops.exp(ops.clip(weights * change, -1.5 * LARGEST, 1.5 * LARGEST))

    for step in range(STEPS):
        sums, changes = ops.matmul(zones, moved), ops.matmul(zones, moved * weights)
        if step == STEPS - 1:
            # What hits outside cannot take, those of the ring take: the energy of the layer is right.
            ring = ops.maximum(aims[:1] + aims[1:] - sums[1:], 0.5 * aims[:1])
            aims = ops.concatenate([ring, sums[1:]], axis=0)
        ratio = ops.log(ops.maximum(aims, 1e-12) / ops.maximum(sums, 1e-12))
        slopes = ops.clip(slopes + ratio * sums / ops.maximum(changes, 1e-9), -LARGEST, LARGEST)
        moved = changed()
        if step < CORRECTIONS:
            values, active = moved + fixed, moved * weights
            total = ops.maximum(ops.sum(values, axis=0, keepdims=True), 1e-12)
            total = ops.concatenate([total, total, ops.maximum(ops.matmul(zones[1:], values), 1e-12)], axis=0)
            found = ops.matmul(functions, values) / total
            # A tilt changes the energy outside, too; centres are near zero, so that this does not matter for them.
            change = ops.matmul(tilts[2:], active) * found[2:]
            slope = (ops.matmul(functions * tilts, active) - ops.pad(change, ((2, 0), (0, 0)))) / total
            turn = (shapes - found) / ops.maximum(slope, 0.1 * ops.abs(found) + 1e-3)
            # Exactly zero: not defined.
            turns = turns + ops.where(shapes != 0, ops.clip(turn, -TURN, TURN), 0.0)
            moved = changed()
    return ops.reshape(moved + fixed, (number, layers, -1))


def _sums(zones, values):
    """Sums over the cells of the ring and of those outside, `(2, layer, event)`."""
    return ops.reshape(ops.matmul(zones, ops.reshape(values, (values.shape[0], -1))), (2, values.shape[1], -1))
