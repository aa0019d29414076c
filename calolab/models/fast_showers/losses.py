"""The losses of `calolab-fast`: flow matching for the quantities of layers, and minus the log likelihood of cells."""

from __future__ import annotations

import numpy as np
from keras import ops

from calolab.models.fast_showers import spectrum
from calolab.models.fast_showers.cells import Cells
from calolab.models.fast_showers.lattice import CLASSES, GROUPS
from calolab.models.fast_showers.normal import probability
from calolab.models.fast_showers.quantities import COLUMNS, columns, measured

WHOLE_OF = 6  # events of which one counts with all cells of a layer, and the others with the inner part


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
    scale, normalisation, flow = map(network.get_layer, ("scale", "normalisation", "flow"))
    layers, size, scaled = normalisation.layers, len(COLUMNS), scale(inputs["energy"])
    latent = ops.reshape(inputs["latent"], (-1, numbers_per_layer(), layers))
    noise, undefined = latent[:, :size], latent[:, size : 2 * size]
    uniform = probability(latent[:, 2 * size :])
    found = measured(inputs["image"], normalisation.lattice)
    normal = normalisation.normal(columns(found, uniform[:, 2]), scaled, uniform[:, :2], undefined)
    total = ops.sum(found.energy, axis=1, keepdims=True)
    total = normalisation.total_normal(total, inputs["energy"], scaled)
    flat = [ops.reshape(one, (-1, size * layers)) for one in (normal, noise)]
    return flow.losses_of(*flat, inputs["mixing"][:, None], scaled, total)


def cells(gan, inputs, training):
    """Minus the log likelihood of the cells of real showers, and its parts for hits and for energies.

    Of five in six events only the inner part of each layer counts, and in the others, cells outside count six times:
    the expectation is that of all cells.

    Args:
        gan: a GAN with the networks `quantities` and `cells`.
        inputs: `image` and `energy`.
        training: not used.
    """
    network = gan.networks["cells"].get_layer("cells")
    scale, normalisation = map(gan.networks["quantities"].get_layer, ("scale", "normalisation"))
    image, margin = inputs["image"], network.lattice.margin
    found = measured(image, normalisation.lattice)
    conditions = normalisation.conditions(found, scale(inputs["energy"]))
    centre = ops.transpose(ops.stack([found.x, found.y]), (0, 2, 1))
    events = ops.shape(image)[0]
    whole = (events + WHOLE_OF - 1) // WHOLE_OF if margin else events
    weight = ops.cast(events, "float32") / ops.cast(whole, "float32")
    parts = [likelihood(network, image[:whole], conditions[:whole], centre[..., :whole], weight=weight)]
    if margin:
        parts.append(likelihood(network, image[whole:], conditions[whole:], centre[..., whole:], margin))
    hits, energies = (sum(sums) / ops.cast(events, "float32") for sums in zip(*parts))
    return hits + energies, {"hits": hits, "energies": energies}


def likelihood(network: Cells, image, conditions, centre, margin: int = 0, weight=1.0):
    """Minus the log likelihood of hits and of their energies, each a sum over the events.

    Args:
        network: the layer with the likelihood.
        image: cells [GeV], `(event, side, side, layer, 1)`.
        conditions: what the cells depend on, `(event, layer, 8)`.
        centre: centre in x and y [pads], `(2, layer, event)`.
        margin: cells at each edge that are left out, an even number.
        weight: weight of the cells that are not in the inner part.
    """
    lattice, threshold = network.lattice, network.threshold
    shape = (lattice.side, lattice.side, lattice.layers, -1)
    values = ops.transpose(image[..., 0], (1, 2, 3, 0))
    is_hit = ops.cast(values > 0, "float32")
    logs = ops.where(values > 0, ops.log(ops.maximum(values, threshold) / threshold), 0.0)
    whole = ops.stack([is_hit, logs / 4])
    ordered = ops.stack([is_hit, logs, values])
    ordered = ops.take(ops.reshape(ordered, (3, lattice.cells, *shape[2:])), lattice.order, axis=1)
    contexts, (inner, edge) = network.contexts(conditions), _parts(lattice)
    hit_loss = energy_loss = 0.0
    for group, (first, step) in enumerate(GROUPS):
        chosen, layers = slice(first, lattice.layers, step), len(lattice.group(group))
        neighbours = network.neighbours(_before(whole, group), layers) if group else None
        is_hit, logs, values = ops.unstack(ordered[:, :, chosen], 3)
        known = network.planes(network.with_next_layers(ops.stack([is_hit, logs / 4])), 3)
        sums = [_sums(lattice, which, is_hit, values) for which in range(len(CLASSES))]
        left = sum(sums[1:], sums[0])
        for which in range(len(CLASSES)):
            hits, ring, outside = ops.unstack(left, 3)
            rest = ops.concatenate([network.remaining(which, hits, ring, outside), centre[:, chosen]], axis=0)
            state, odds = network.states(group, which, known, neighbours, rest, contexts[:, chosen], margin)
            parts = [lattice.of(which, one, margin) for one in (inner, edge)]
            use = parts[0] + weight * parts[1]
            here, energies = (_inner(lattice, which, one, margin) for one in (is_hit, logs))
            cost = ops.relu(odds) - odds * here + ops.log1p(ops.exp(-ops.abs(odds)))
            hit_loss = hit_loss + ops.sum(ops.matmul(use, ops.reshape(cost, (len(parts[0]), -1))))
            flat = ops.reshape(here * sum(parts)[:, None, None], (-1,))
            rows = ops.nonzero(flat)[0]
            columns = ops.shape(state)[2]
            chances = ops.log_softmax(network.spectra(group, which, state, rows, margin), axis=-1)
            found = spectrum.log_likelihood(chances, ops.take(ops.reshape(energies, (-1,)), rows))
            energy_loss = energy_loss - ops.sum(found * ops.take(use, rows // columns))
            left = left - sums[which]
    return hit_loss, energy_loss


def _before(whole, group: int):
    """The layers that are complete before a group, on both sides of its layers."""
    return whole[:, :, :, :: 4 // group]


def _parts(lattice) -> tuple[np.ndarray, np.ndarray]:
    """Whether each cell is in the inner part of a layer, without the core cell, which is given, or near the edge."""
    edge = np.maximum(abs(lattice.x), abs(lattice.y)) > lattice.side // 2 - lattice.margin
    return (~edge & (lattice.zone > 0)).astype(np.float32), edge.astype(np.float32)


def _sums(lattice, which: int, is_hit, values):
    """Hits apart from the core cell, and energies in the ring and outside, of one class, `(3, layer, event)`."""
    place, (ring, outside) = lattice.slices(which), lattice.zones(which)
    layers = is_hit.shape[1]
    hits = ops.matmul((ring + outside)[None], ops.reshape(is_hit[place], (len(ring), -1)))
    energies = ops.matmul(np.stack([ring, outside]), ops.reshape(values[place], (len(ring), -1)))
    return ops.reshape(ops.concatenate([hits, energies], axis=0), (3, layers, -1))


def _inner(lattice, which: int, values, margin: int):
    """Values of the cells of a class without those at the edges, `(cell, layer, event)`."""
    found = values[lattice.slices(which)]
    if not margin:
        return found
    shape, inner = lattice.shape(which), lattice.shape(which, margin)
    found = ops.reshape(found, (*shape, *found.shape[1:2], -1))
    found = found[tuple(slice(margin // 2, margin // 2 + number) for number in inner)]
    return ops.reshape(found, (inner[0] * inner[1], found.shape[2], -1))
