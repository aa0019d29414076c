"""Measurements at the end of a training: the flow's correction, the spread of numbers of hits, and templates' errors.

Hits and energies are drawn independently of each other in each pass, and then fixed to what the layer has: this changes
their frequencies a little. The corrections of the templates undo this; they are found by generating showers.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from calolab.models.fast_showers import losses, tables
from calolab.models.fast_showers.correction import functions
from calolab.models.fast_showers.lattice import PARTS
from calolab.models.fast_showers.quantities import COLUMNS
from calolab.samples import batch_slices
from calolab.symmetries import symmetries, transform

BLOCK = 100  # events at a time
FLOW_EVENTS = 2000  # with fewer showers, the correction of the flow stays as it is: correlations need many
COPIES = 3  # sets of numbers that the flow makes for each shower
SPREAD_EVENTS = 500
SHOWERS = 2500  # generated in each round
ROUNDS = 3
DAMPING = 0.8  # of the correction of one round: what one cell loses, others gain
FEW = 20.0  # hits of a bin with which half of the difference is that of its layer


def calibrate(gan, sample, seed: int = 0) -> None:
    """Measure the constants with which cells and quantities are drawn.

    Args:
        gan: a trained `calolab-fast`.
        sample: showers of its training.
        seed: seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    group = symmetries(sample.space)
    chosen = random.integers(len(group), size=len(sample))
    values = transform(sample.space, np.asarray(sample.values, dtype=np.float32), group, chosen)
    energy = np.asarray(sample.labels["energy"], dtype=np.float32)[:, None]
    if len(values) >= FLOW_EVENTS:
        _fit_flow(gan, values, energy, random)
    network = gan.networks["cells"].get_layer("cells")
    network.spread.assign(measured_spread(gan, values[:SPREAD_EVENTS], energy[:SPREAD_EVENTS]))
    _fit_templates(gan, network, values[:SHOWERS], energy[:SHOWERS], random)


def _fit_flow(gan, values: np.ndarray, energy: np.ndarray, random: np.random.Generator) -> None:
    """Fit the correction of the flow to real showers."""
    network = gan.networks["quantities"]
    scale, normalisation, flow = map(network.get_layer, ("scale", "normalisation", "flow"))
    layers, size = normalisation.layers, len(COLUMNS)
    wanted, totals = [], []
    for chosen in batch_slices(len(values), BLOCK):
        latent = random.standard_normal((len(values[chosen]), losses.numbers_per_layer() * layers), dtype=np.float32)
        normal, _, total = losses.normal_numbers(gan, values[chosen][..., None], energy[chosen], latent)
        wanted.append(np.asarray(normal))
        totals.append(np.asarray(total))
    wanted, totals, scaled = np.concatenate(wanted), np.concatenate(totals), np.asarray(scale(energy))
    found, given = [], []
    for _ in range(COPIES):
        noise = random.standard_normal((len(values), size * layers), dtype=np.float32)
        total = random.standard_normal((len(values), 1), dtype=np.float32)
        found.append(np.asarray(flow({"noise": noise, "scaled": scaled, "total": total})))
        given.append(np.asarray(functions(scaled, total)))
    found, given = np.concatenate(found), np.concatenate(given)
    network.get_layer("correction").fit(found, wanted, given, np.asarray(functions(scaled, totals)))


def measured_spread(gan, values: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Standard deviation of the number of hits of each pass, relative to that of independent cells, `(group, pass)`.

    Args:
        gan: a trained `calolab-fast`.
        values: cells of real showers [GeV], `(event, side, side, layer)`.
        energy: energies of their particles [GeV], `(event, 1)`.
    """
    network = gan.networks["cells"].get_layer("cells")
    outside_core = (network.lattice.zone > 0).astype(np.float32)

    found, independent = np.zeros(network.spread.shape), np.zeros(network.spread.shape)
    for chosen in batch_slices(len(values), BLOCK):
        image = values[chosen][..., None]
        predicted = losses.predictions(network, image, *losses.given(gan, image, energy[chosen]))
        for group, part, _, odds, is_hit, _ in predicted:
            place = (group, PARTS[group].index(part))
            use, chance = network.lattice.of(part, outside_core)[:, None, None], np.asarray(ops.sigmoid(odds))
            excess = np.sum(use * (np.asarray(is_hit) - chance), axis=0)
            found[place] += np.sum(excess**2)
            independent[place] += np.sum(use * chance * (1 - chance))
    # Groups with fewer passes have places without any.
    ratio = np.divide(found, np.maximum(independent, 1e-9), out=np.ones_like(found), where=independent > 0)
    return np.sqrt(np.clip(ratio, 0.01, 4.0)).astype(np.float32)


def generated(gan, energy: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Showers, `(event, side, side, layer)` [GeV].

    Args:
        gan: a `calolab-fast`.
        energy: energies of the particles [GeV], `(event, 1)`.
        random: where the latent vectors come from.
    """
    made = []
    for chosen in batch_slices(len(energy), BLOCK):
        latent = random.standard_normal((len(energy[chosen]), gan.latent_size), dtype=np.float32)
        made.append(gan.generator.predict_on_batch({"latent": latent, "energy": energy[chosen]})[..., 0])
    return np.concatenate(made)


def _fit_templates(gan, network, values: np.ndarray, energy: np.ndarray, random: np.random.Generator) -> None:
    """Correct frequencies and spectra of hits until generated showers have those of real ones, by layer and radius."""
    lattice, threshold = network.lattice, network.threshold
    real_odds, real = tables.hit_template(lattice, values), tables.hit_counts(lattice, values, threshold)
    network.hit_correction.assign(np.zeros(network.hit_correction.shape, np.float32))
    network.spectrum_correction.assign(np.zeros(network.spectrum_correction.shape, np.float32))

    for _ in range(ROUNDS):
        made = generated(gan, energy, random)
        network.hit_correction.assign_add(DAMPING * (real_odds - tables.hit_template(lattice, made)))
        found = tables.hit_counts(lattice, made, threshold)
        found *= real.sum(axis=-1, keepdims=True) / np.maximum(found.sum(axis=-1, keepdims=True), 1)
        # Where there are few hits, the ratio of all layers together.
        ratio = (real.sum(axis=0) + FEW) / (found.sum(axis=0) + FEW)
        change = np.log((real + FEW * ratio) / (found + FEW))
        padded = np.pad(change, ((0, 0), (0, 0), (1, 1)), mode="edge")
        change = padded[..., :-2] / 4 + padded[..., 1:-1] / 2 + padded[..., 2:] / 4
        network.spectrum_correction.assign_add((DAMPING * change).astype(np.float32))
