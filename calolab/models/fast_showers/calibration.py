"""Measurements at the end of a training: the spread of numbers of hits and of energies, and the errors of templates.

Real cells of a pass are not independent of each other: their numbers of hits and their energies vary less in sum. Drawn
ones have the same spread. They are then fixed to what the layer has, which changes their frequencies and spectra a
little; the corrections of the templates undo this, and are found by generating showers.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from keras import ops

from calolab.models.fast_showers import losses, sampling, spectrum, tables
from calolab.models.fast_showers.lattice import PARTS
from calolab.models.fast_showers.normal import normal_quantile
from calolab.samples import batch_slices
from calolab.symmetries import symmetries, transform

BLOCK = 100  # events at a time
ENOUGH = 2000  # showers; with fewer, a GAN keeps what was measured before: their own scatter would be fitted
SPREAD_EVENTS = 500
SHOWERS = 5000  # generated in each round
ROUNDS = 3
DAMPING = 0.8  # of the correction of one round: what one cell loses, others gain
FEW = 500.0  # hits with which half of a difference counts in one round: the statistical error is then 6 %


def calibrate(gan, sample, seed: int = 0) -> None:
    """Measure the constants with which cells are drawn.

    Those of a GAN that has them already stay as they are with fewer than `ENOUGH` showers.

    Args:
        gan: a trained `calolab-fast`.
        sample: showers of its training.
        seed: seed of the random numbers.
    """
    network = gan.networks["cells"].get_layer("cells")
    if len(sample) < ENOUGH and np.any(network.hit_spread != 1.0):
        return
    random = np.random.default_rng(seed)
    group = symmetries(sample.space)
    chosen = random.integers(len(group), size=len(sample))
    values = transform(sample.space, np.asarray(sample.values, dtype=np.float32), group, chosen)
    energy = np.asarray(sample.labels["energy"], dtype=np.float32)[:, None]
    spreads = measured_spreads(gan, values[:SPREAD_EVENTS], energy[:SPREAD_EVENTS], random)
    for constant, spread in zip((network.hit_spread, network.energy_spread), spreads):
        constant.assign(spread)
    _fit_templates(gan, network, values[:SHOWERS], energy[:SHOWERS], random)


def measured_spreads(
    gan, values: np.ndarray, energy: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations of sums over the cells of each pass, relative to those of independent cells.

    What is left for a pass has the errors that it has in the training and when cells are drawn.

    Args:
        gan: a trained `calolab-fast`.
        values: cells of real showers [GeV], `(event, side, side, layer)`.
        energy: energies of their particles [GeV], `(event, 1)`.
        random: where the errors come from.

    Returns:
        Those of the numbers of hits, and those of the energies of zones with several hits, as normal numbers and
        weighted with the energies' deviations, each `(group, pass)`.
    """
    network = gan.networks["cells"].get_layer("cells")
    lattice = network.lattice
    outside_core = (lattice.zone > 0).astype(np.float32)
    excesses, sums, independent = defaultdict(list), defaultdict(list), defaultdict(float)
    for chosen in batch_slices(len(values), BLOCK):
        image = values[chosen][..., None]
        shape = (max(map(len, PARTS)), losses.SUMS, network.layers, len(image))
        errors = random.standard_normal(shape, dtype=np.float32)
        predicted = losses.predictions(network, image, losses.given(gan, image, energy[chosen]), errors)
        for group, part, states, odds, is_hit, logs in predicted:
            place = (group, PARTS[group].index(part))
            use, chance = lattice.of(part, outside_core)[:, None, None], np.asarray(ops.sigmoid(odds))
            is_hit = np.asarray(is_hit) * use
            excesses[place].append(np.sum(is_hit - use * chance, axis=0))
            independent[place] += np.sum(use * chance * (1 - chance))
            sums[place].append(_normal_sums(network, group, part, states, is_hit, logs))
    hits, energies = np.ones((2, *network.hit_spread.shape), np.float32)
    for place, found in excesses.items():
        # A wrong mean is no spread: networks that do not know this detector yet have one in each layer.
        variance = np.var(np.concatenate(found, axis=-1), axis=-1).sum() * len(values)
        hits[place] = np.sqrt(np.clip(variance / max(independent[place], 1e-9), 0.01, 4.0))
        normal = np.concatenate(sums[place])
        energies[place] = np.clip(normal.std(), 0.1, 1.0) if len(normal) else 1.0
    return hits, energies


def _normal_sums(network, group: int, part, states, is_hit: np.ndarray, logs) -> np.ndarray:
    """Sums of the normal numbers of zones with several hits, relative to those of independent energies, `(zone,)`.

    Args:
        network: the layer `Cells`.
        group, part, states: as for `Cells.spectra`.
        is_hit: whether each cell is a hit, 1 or 0, `(cell, layer, event)`.
        logs: log energies of the cells, of the same shape.
    """
    rows = np.flatnonzero(is_hit).astype(np.int32)
    chances = ops.softmax(network.spectra(group, part, states, rows), axis=-1)
    ranks = spectrum.cumulative(chances, ops.take(ops.reshape(logs, (-1,)), rows))
    normal = np.asarray(normal_quantile(ops.clip(ranks, 1e-5, 1 - 1e-5)))
    places, number = sampling.zones_of_hits(network.lattice.zones(part), rows, ops.shape(states[0])[2])
    weights, places = np.asarray(spectrum.deviation(chances)), np.asarray(places)
    norm, total = (np.bincount(places, one, number) for one in (weights**2, weights * normal))
    several = np.bincount(places, minlength=number) > 1
    return total[several] / np.sqrt(np.maximum(norm[several], 1e-9))


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
        made.append(gan.run({"latent": latent, "energy": energy[chosen]}))
    return np.concatenate(made)


def _fit_templates(gan, network, values: np.ndarray, energy: np.ndarray, random: np.random.Generator) -> None:
    """Correct frequencies and spectra of hits, by layer and radius, by what generated showers lack in each round."""
    network.hit_correction.assign(np.zeros(network.hit_correction.shape, np.float32))
    network.spectrum_correction.assign(np.zeros(network.spectrum_correction.shape, np.float32))
    real = _counts(network, values)
    for _ in range(ROUNDS):
        made = _counts(network, generated(gan, energy, random))
        # The same numbers of hits: only the shapes of spectra are compared.
        factor = real[2].sum(axis=-1, keepdims=True) / np.maximum(made[2].sum(axis=-1, keepdims=True), 1)
        hits, others, spectra = map(_log_ratios, real, (*made[:2], factor * made[2]))
        network.hit_correction.assign_add((DAMPING * (hits - others)).astype(np.float32))
        padded = np.pad(spectra, ((0, 0), (0, 0), (1, 1)), mode="edge")
        smooth = padded[..., :-2] / 4 + padded[..., 1:-1] / 2 + padded[..., 2:] / 4
        network.spectrum_correction.assign_add((DAMPING * smooth).astype(np.float32))


def _counts(network, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of hits and of other cells `(layer, radius)`, and of hits `(layer, radial bin, energy bin)`.

    Args:
        network: the layer `Cells`.
        values: cells of showers [GeV], `(event, side, side, layer)`.
    """
    lattice = network.lattice
    cells = len(values) * np.bincount(lattice.radii.ravel())
    hits = cells * tables.hit_chances(lattice, values)
    return hits, cells - hits, tables.hit_counts(lattice, values, network.threshold)


def _log_ratios(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Logarithms of ratios of counts; few hits move them towards those of all layers, and few of these towards zero.

    Args:
        real, made: counts, `(layer, ...)`.
    """
    together = (real.sum(axis=0) + FEW) / (made.sum(axis=0) + FEW)
    return np.log((real + FEW * together) / (made + FEW))
