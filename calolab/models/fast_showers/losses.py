"""The losses of `calolab-fast`: flow matching for the quantities of layers, and minus the log likelihood of cells."""

from __future__ import annotations

import numpy as np
from keras import ops

from calolab.models.fast_showers import spectrum
from calolab.models.fast_showers.cells import Cells
from calolab.models.fast_showers.lattice import GROUPS, INNER, PARTS, Lattice, Part, summed
from calolab.models.fast_showers.layer_quantities import CENTRED
from calolab.models.fast_showers.normal import probability
from calolab.models.fast_showers.quantities import COLUMNS, columns, measured

# Errors with which the remaining energies of ring and outside are known in the training before each pass of the first
# group, and of the others, in units of the zone's energy divided by the square root of its hits: what draws in all
# earlier passes have added to the spread of real ones (measured).
RING_ERRORS = ((0, 0, 0, 0, 0, 0.24, 0.29), (0, 0, 0.24, 0.29))
OUTSIDE_ERRORS = ((0, 0.10, 0.15, 0.20, 0.22, 0.36, 0.49), (0, 0.33, 0.42, 0.49))
SPREAD_ERROR = 1.7  # that of the squared radius outside, relative to that of the energy and to its mean (measured)
RING_SQUARE = 0.75  # mean of x² in the ring [pads²]
SUMS = 5  # of `Lattice.moments`
_TINY = 1e-12  # [GeV]
WHOLE_OF = 6  # events of which one counts with all cells, and the others with the near ones


def numbers_per_layer() -> int:
    """Random numbers per layer that `quantities` takes: noise, also for what is not defined, ranks and fractions."""
    return 2 * len(COLUMNS) + 2 + 1


def quantities(gan, inputs, training):
    """Flow matching of the layer quantities of real showers, `(event, number)`.

    Args:
        gan: a GAN with the network `quantities`.
        inputs: `image`, `energy`, `mixing`, the positions on the paths, and `latent`, standard normal numbers
            `(event, 17 * layer)`.
        training: not used.
    """
    network = gan.networks["quantities"]
    normal, noise, total = normal_numbers(gan, inputs["image"], inputs["energy"], inputs["latent"])
    scaled = network.get_layer("scale")(inputs["energy"])
    return network.get_layer("flow").losses_of(normal, noise, inputs["mixing"][:, None], scaled, total)


def normal_numbers(gan, image, energy, latent):
    """Normal numbers of the layer quantities of real showers, noise, each `(event, number)`, and of their responses.

    Args:
        gan: a GAN with the network `quantities`.
        image: cells [GeV], `(event, side, side, layer, 1)`.
        energy: energies of the particles [GeV], `(event, 1)`.
        latent: standard normal numbers, `(event, 17 * layer)`.
    """
    scale, normalisation = map(gan.networks["quantities"].get_layer, ("scale", "normalisation"))
    layers, size, scaled = normalisation.layers, len(COLUMNS), scale(energy)
    latent = ops.reshape(latent, (-1, numbers_per_layer(), layers))
    noise, undefined = latent[:, :size], latent[:, size : 2 * size]
    uniform = probability(latent[:, 2 * size :])
    found = measured(image, normalisation.lattice)
    normal = normalisation.normal(
        columns(found, normalisation.threshold, uniform[:, 2]), scaled, uniform[:, :2], undefined
    )
    total = ops.sum(found.energy, axis=1, keepdims=True)
    flat = [ops.reshape(one, (-1, size * layers)) for one in (normal, noise)]
    return *flat, normalisation.total_normal(total, energy, scaled)


def numbers_for_cells() -> int:
    """Random numbers per layer that `cells` takes: errors of what is left in each pass."""
    return SUMS * max(map(len, PARTS))


def cells(gan, inputs, training):
    """Minus the log likelihood of the cells of real showers, and its parts for hits and for energies.

    In five of six events only the near cells count; in the others, far cells have six times the weight. The expectation
    is that of all cells.

    Args:
        gan: a GAN with the networks `quantities` and `cells`.
        inputs: `image`, `energy`, and `latent`, standard normal numbers `(event, 35 * layer)`.
        training: not used.
    """
    network = gan.networks["cells"].get_layer("cells")
    image, has_far = inputs["image"], network.side > INNER
    conditions = given(gan, image, inputs["energy"])
    events = ops.shape(image)[0]
    errors = ops.reshape(ops.transpose(inputs["latent"]), (-1, SUMS, network.layers, events))
    whole = (events + WHOLE_OF - 1) // WHOLE_OF if has_far else events
    weight = ops.cast(events, "float32") / ops.cast(whole, "float32")
    parts = [likelihood(network, image[:whole], conditions[:whole], errors[..., :whole], weight)]
    if has_far:
        others = (image[whole:], conditions[whole:], errors[..., whole:])
        parts.append(likelihood(network, *others, far_weight=None))
    hits, energies = (sum(sums) / ops.cast(events, "float32") for sums in zip(*parts))
    return hits + energies, {"hits": hits, "energies": energies}


def given(gan, image, energy):
    """What the cells of showers depend on, `(event, layer, 8)`.

    Args:
        gan: a GAN with the network `quantities`.
        image: cells [GeV], `(event, side, side, layer, 1)`.
        energy: energies of the particles [GeV], `(event, 1)`.
    """
    scale, normalisation = map(gan.networks["quantities"].get_layer, ("scale", "normalisation"))
    return normalisation.conditions(measured(image, normalisation.lattice), scale(energy))


def likelihood(network: Cells, image, conditions, errors=None, far_weight=1.0):
    """Minus the log likelihood of hits and of their energies, each a sum over the events.

    Args:
        network: the layer with the likelihood.
        image: cells [GeV], `(event, side, side, layer, 1)`.
        conditions: what the cells depend on, `(event, layer, 8)`.
        errors: standard normal errors of what is left, `(pass, 5, layer, event)`; None for exact sums.
        far_weight: weight of far cells; None to leave them out.
    """
    lattice = network.lattice
    hit_loss = energy_loss = 0.0
    # The core cell is given.
    counted = (lattice.zone > 0).astype(np.float32)
    near_only = far_weight is None
    for group, part, states, odds, here, logs in predictions(network, image, conditions, errors, near_only):
        near = len(lattice.regions(part)[0])
        use = lattice.of(part, counted)[: here.shape[0]]
        if here.shape[0] > near:
            use = use * ops.where(np.arange(len(use)) < near, 1.0, far_weight)
        cost = ops.relu(odds) - odds * here + ops.log1p(ops.exp(-ops.abs(odds)))
        hit_loss = hit_loss + ops.sum(ops.matmul(use, ops.reshape(cost, (here.shape[0], -1))))
        rows = ops.nonzero(ops.reshape(here * use[:, None, None], (-1,)))[0]
        chances = ops.log_softmax(network.spectra(group, part, states, rows), axis=-1)
        found = spectrum.log_likelihood(chances, ops.take(ops.reshape(logs, (-1,)), rows))
        energy_loss = energy_loss - ops.sum(found * ops.take(use, rows // ops.shape(states[0])[2]))
    return hit_loss, energy_loss


def predictions(network: Cells, image, conditions, errors=None, near_only: bool = False):
    """What the network predicts in each pass from the real cells that are known by then.

    Args:
        network, image, conditions, errors: as for `likelihood`.
        near_only: whether to leave out far cells.

    Yields:
        The group, the part, neurons and log odds as `Cells.states` returns them, and whether the cells are hits, and
        the log ratios of their energies to the threshold, each `(cell, layer, event)`.
    """
    lattice, threshold = network.lattice, network.threshold
    values = ops.transpose(image[..., 0], (1, 2, 3, 0))
    is_hit = ops.cast(values > 0, "float32")
    logs = ops.where(values > 0, ops.log(ops.maximum(values, threshold) / threshold), 0.0)
    whole = ops.stack([is_hit, logs / 4])
    cells = ops.reshape(ops.stack([is_hit, logs, values]), (3, lattice.cells, lattice.layers, -1))
    contexts = network.contexts(conditions)
    for group, (first, step) in enumerate(GROUPS):
        chosen, layers = slice(first, lattice.layers, step), len(lattice.group(group))
        neighbours = network.neighbours(_before(whole, group), layers) if group else None
        here = cells[:, :, chosen]
        features = network.with_next_layers(ops.stack([here[0], here[1] / 4]))
        sums = [_sums(network, part, here) for part in PARTS[group]]
        left = sum(sums[1:], sums[0])
        centred = ops.cast(left[0] >= CENTRED, "float32")
        sizes = None if errors is None else _errors(group, lattice, here[0], left[1:])
        for number, part in enumerate(PARTS[group]):
            remaining = left[1:]
            if errors is not None:
                remaining = remaining + sizes[number] * errors[number, :, chosen]
            rest = network.remaining(group, number, left[0], remaining, centred)
            members = [np.append(lattice.members(one), np.int32(lattice.cells)) for one in lattice.sources(part)]
            known = [ops.take(features, one, axis=1) for one in members]
            states, odds = network.states(group, part, known, neighbours, rest, contexts[:, chosen], near_only)
            found = network.chosen(part, here[:2])[:, : odds.shape[0]]
            yield group, part, states, odds, found[0], found[1]
            left = left - sums[number]


def _errors(group: int, lattice: Lattice, is_hit, sums) -> list:
    """Standard deviations of the errors of what is left before each pass of a group, each `(5, layer, event)`.

    Args:
        group: index of the group.
        lattice: positions of the cells.
        is_hit: whether each cell is a hit, `(cell, layer, event)`.
        sums: sums of the energies of all cells, `(5, layer, event)`.
    """
    hits = summed(lattice.moments[:2].reshape(2, -1), is_hit)
    units = ops.unstack(sums[:2] / ops.sqrt(ops.maximum(hits, 1.0)), 2)
    square, found = sums[4] / ops.maximum(sums[1], _TINY), []
    for number in range(len(PARTS[group])):
        ring, outside = (size[group > 0][number] * unit for size, unit in zip((RING_ERRORS, OUTSIDE_ERRORS), units))
        across = ops.sqrt(RING_SQUARE * ops.square(ring) + square * ops.square(outside) / 2)
        found.append(ops.stack([ring, outside, across, across, SPREAD_ERROR * square * outside]))
    return found


def _before(whole, group: int):
    """The layers that are complete before a group, on both sides of its layers."""
    return whole[:, :, :, :: 4 // group]


def _sums(network: Cells, part: Part, values):
    """Hits apart from the core cell, and sums of the energies of a part, `(6, layer, event)`.

    Args:
        network: the layer with the likelihood.
        part: the part.
        values: hits, log energies and energies of all cells, `(3, cell, layer, event)`.
    """
    factors, found = network.lattice.of(part, network.lattice.moments), network.chosen(part, values)
    hits = summed(factors[:2].sum(axis=0, keepdims=True), found[0])
    return ops.concatenate([hits, summed(factors, found[2])], axis=0)
