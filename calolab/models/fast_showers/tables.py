"""The constants of the normalisation and the templates of hits and spectra, fitted to showers."""

from __future__ import annotations

import numpy as np

from calolab.models.fast_showers.lattice import SPECTRUM_RADII, Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.normalisation import (
    COUNTS,
    ENERGIES,
    FEW_HITS,
    QUANTILES,
    TOTAL_QUANTILES,
    LogEnergy,
    Normalisation,
    basis,
)
from calolab.models.fast_showers.quantities import COLUMNS, DISCRETE, Columns, columns, measured
from calolab.models.fast_showers.spectrum import BINS, EDGES, log_energy
from calolab.samples import batch_slices

FEW = 60  # with fewer numbers, a column's mean and width are the same for all energies
NEAR = 300  # showers from which the quantiles at a log energy are, at least
CHUNK = 500  # events processed at a time
_CENTRES = (4, 5)  # columns that are symmetric about zero


def fit(scale: LogEnergy, layer: Normalisation, values: np.ndarray, energy: np.ndarray, seed: int = 0) -> None:
    """Set the constants of a normalisation.

    Args:
        scale: scale of the log energies.
        layer: the normalisation.
        values: cells of showers [GeV], `(event, side, side, layer)`.
        energy: energies of their particles [GeV], `(event,)`.
        seed: seed of the random fractions that make numbers of hits continuous.
    """
    energy = np.asarray(energy, dtype=np.float64)
    logs = np.log(energy)
    middle, half = (logs.max() + logs.min()) / 2, max((logs.max() - logs.min()) / 2, 0.1)
    scale.range.assign([middle, half])
    scaled = (logs - middle) / half
    quantities, found = _columns(values, layer, seed)
    numbers, defined, low, high, hits, _ = (np.asarray(one) for one in vars(found).values())
    shape = (len(COLUMNS), layer.layers)
    means, log_widths = np.zeros((*shape, 6)), np.zeros((*shape, 6))
    quantiles, kinds = np.zeros(layer.quantiles.shape), _kinds(hits)
    functions = _functions(scaled, hits)
    for column, number in np.ndindex(shape):
        chosen = functions[min(column, 1)][:, number]
        smooth = (defined & ~low & ~high)[:, column, number]
        place, own = (column, number), numbers[smooth, column, number]
        results = _regression(chosen[smooth], own, kinds[smooth, number] * (column > 0), column in _CENTRES)
        means[place], log_widths[place], quantiles[place] = results
    cases = _all_cases(found)
    total = np.sum(quantities.energy, axis=1)
    results = _totals(functions[0][:, 0, :3], np.log(np.maximum(total, 1e-12) / energy), scaled)
    smooth = defined & ~low & ~high
    limits = [np.where(smooth, numbers, sign * 6e4) for sign in (1, -1)]
    limits = np.stack([limits[0].min(axis=0), limits[1].max(axis=0)], axis=-1)
    limits = np.where(smooth.any(axis=0)[..., None], limits, [-6e4, 6e4])
    limits[list(_CENTRES)] = np.abs(limits[list(_CENTRES)]).max(axis=-1, keepdims=True) * [-1, 1]
    fitted = (means, log_widths, quantiles, cases, limits, *results)
    constants = (layer.means, layer.log_widths, layer.quantiles, layer.cases, layer.limits)
    totals = (layer.total_mean, layer.total_log_width, layer.total_quantiles)
    for constant, value in zip((*constants, *totals), fitted, strict=True):
        constant.assign(value.astype(np.float32))


def adapt(scale: LogEnergy, layer: Normalisation, values: np.ndarray, energy: np.ndarray, seed: int = 0) -> None:
    """Change the constants of a normalisation to those of a few showers of another detector.

    The shape of each distribution stays; its mean and width change by linear functions of the log energy.

    Args:
        scale, layer, values, energy, seed: as for `fit`; the energies should cover the former range.
    """
    energy = np.asarray(energy, dtype=np.float64)
    middle, half = scale.range.numpy()
    scaled = (np.log(energy) - middle) / half
    quantities, found = _columns(values, layer, seed)
    numbers, defined, low, high, hits, _ = (np.asarray(one) for one in vars(found).values())
    functions, smooth, kinds = _functions(scaled, hits), defined & ~low & ~high, _kinds(hits)
    means, log_widths, limits = (one.numpy().copy() for one in (layer.means, layer.log_widths, layer.limits))
    quantiles = layer.quantiles.numpy()
    for column, number in np.ndindex(means.shape[:2]):
        chosen = smooth[:, column, number]
        if chosen.sum() < FEW:
            continue
        given, own = functions[min(column, 1)][chosen, number], numbers[chosen, column, number]
        place = (column, number)
        former = quantiles[place][kinds[chosen, number] * (column > 0)]
        fitted = _moved(given, own, means[place], log_widths[place], former, column in _CENTRES)
        means[place], log_widths[place] = fitted
        margin = 0.3 * np.ptp(own)
        limits[place] = own.min() - margin, own.max() + margin
    cases = _all_cases(found, layer.cases.numpy())
    total = np.log(np.maximum(np.sum(quantities.energy, axis=1), 1e-12) / energy)
    mean, log_width, _ = _regression(functions[0][:, 0, :3], total, np.zeros(len(total), int))
    constants = (layer.means, layer.log_widths, layer.limits, layer.cases, layer.total_mean, layer.total_log_width)
    for constant, value in zip(constants, (means, log_widths, limits, cases, mean, log_width), strict=True):
        constant.assign(value.astype(np.float32))


def hit_template(lattice: Lattice, values: np.ndarray) -> np.ndarray:
    """Log odds of a hit, by layer and radius, `(layer, radius)`.

    Args:
        lattice: positions of the cells.
        values: cells of showers, `(event, side, side, layer)`.
    """
    chance = np.clip(hit_chances(lattice, values), 1e-5, 1 - 1e-3)
    return np.log(chance / (1 - chance))


def hit_chances(lattice: Lattice, values: np.ndarray) -> np.ndarray:
    """Fraction of the cells that are hits, by layer and radius, `(layer, radius)`.

    Args:
        lattice, values: as for `hit_template`.
    """
    hits = np.mean(values > 0, axis=0, dtype=np.float64).reshape(lattice.cells, lattice.layers)
    radii = lattice.radii.ravel()
    return np.stack([np.bincount(radii, weights=column) for column in hits.T]) / np.bincount(radii)


def spectrum_template(lattice: Lattice, values: np.ndarray, threshold: float) -> np.ndarray:
    """Log probabilities of the energy bins of a hit, by layer and radial bin, `(layer, radial bin, energy bin)`.

    Args:
        lattice: positions of the cells.
        values: cells of showers [GeV], `(event, side, side, layer)`.
        threshold: lowest energy of a hit [GeV].
    """
    counts = hit_counts(lattice, values, threshold)
    # Where there are few hits: the spectrum of the layer, and where these are few, that of all layers.
    layers = counts.sum(axis=1, keepdims=True)
    layers = layers + 20 * (counts.sum(axis=(0, 1)) + 1e-3) / max(counts.sum(), 1)
    counts = counts + 200 * layers / layers.sum(axis=-1, keepdims=True) + 1e-4
    return np.log(counts / counts.sum(axis=-1, keepdims=True))


def hit_counts(lattice: Lattice, values: np.ndarray, threshold: float) -> np.ndarray:
    """Number of hits apart from the core cell, `(layer, radial bin, energy bin)`.

    Args:
        lattice, values, threshold: as for `spectrum_template`.
    """
    counts = np.zeros((lattice.layers, len(SPECTRUM_RADII) + 1, len(BINS)))
    use, bins = lattice.zone > 0, lattice.radial_bins
    for number in range(lattice.layers):
        cells = values[..., number]
        for radial in range(counts.shape[1]):
            found = cells[:, use & (bins == radial)]
            logs = np.clip(log_energy(found[found > 0], threshold), EDGES[0], EDGES[-1] - 1e-3)
            counts[number, radial] = np.histogram(logs, EDGES)[0]
    return counts


def _columns(values: np.ndarray, layer: Normalisation, seed: int):
    """Quantities of showers, and their columns with random fractions of numbers of hits."""
    quantities = _measured(values, layer.lattice)
    fraction = np.random.default_rng(seed).random(quantities.hits.shape)
    return quantities, columns(quantities, layer.threshold, fraction.astype(np.float32))


def _functions(scaled: np.ndarray, hits: np.ndarray) -> list[np.ndarray]:
    """The functions `basis` of the energy alone and with the number of hits, `(event, layer, 6)`."""
    scaled = scaled[:, None].astype(np.float32)
    return [np.asarray(basis(scaled, one), dtype=np.float64) for one in (np.zeros_like(hits), hits)]


def _moved(functions, values, mean, log_width, quantiles, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the mean and of the log width for other values with the same shape of the distribution."""
    linear = functions[:, :2]
    width = np.exp(np.clip(functions @ log_width, -8, 8))
    ratio = (values - functions @ mean) / width
    centre, spread = quantiles.mean(), _log_deviation(quantiles - quantiles.mean()).mean()
    shift = 0.0 if symmetric else linear @ np.linalg.lstsq(linear, ratio, rcond=1e-6)[0]
    change = np.linalg.lstsq(linear, _log_deviation(ratio - shift) - spread, rcond=1e-6)[0]
    if not symmetric:
        moved = width * (shift - centre * np.exp(linear @ change))
        mean = mean + np.linalg.lstsq(functions, moved, rcond=1e-6)[0]
    return mean, log_width + np.pad(change, (0, len(log_width) - 2))


def _log_deviation(rest: np.ndarray) -> np.ndarray:
    """Logarithms of distances to a mean, the smallest ones limited."""
    return np.log(np.abs(rest) + 1e-2 * np.std(rest) + 1e-6)


def _measured(values: np.ndarray, lattice: Lattice) -> LayerQuantities:
    parts = [np.asarray(measured(values[one], lattice).stacked()) for one in batch_slices(len(values), CHUNK)]
    return LayerQuantities(*(np.concatenate(parts)[..., number] for number in range(len(COLUMNS))))


def _kinds(hits: np.ndarray) -> np.ndarray:
    """Class of each layer by its number of hits, `(event, layer)`."""
    return np.sum([hits > limit for limit in FEW_HITS], axis=0)


def _regression(functions, values, kinds, symmetric: bool = False) -> tuple[np.ndarray, ...]:
    """Coefficients of the mean and of the log width, and quantiles by class of the values without them.

    Args:
        functions: `(event, function)`.
        values: `(event,)`.
        kinds: class of each value, `(event,)`.
        symmetric: whether the distribution is symmetric about zero.
    """
    number = functions.shape[1]
    mean, log_width, rest = np.zeros(number), np.zeros(number), np.zeros(2)
    if len(values):
        # All functions if there are enough numbers, otherwise the constant alone, which is the first one.
        use = number if len(values) > FEW else 1
        if not symmetric:
            mean[:use] = np.linalg.lstsq(functions[:, :use], values, rcond=1e-6)[0]
        rest = values - functions @ mean
        deviation = _log_deviation(rest)
        log_width[:use] = np.linalg.lstsq(functions[:, :use], deviation, rcond=1e-6)[0]
        rest = rest / np.exp(np.clip(functions @ log_width, -8, 8))
    if symmetric:
        rest, kinds = np.concatenate([rest, -rest]), np.concatenate([kinds, kinds])
    ranks, table = np.linspace(0, 1, QUANTILES), []
    for kind in range(len(FEW_HITS) + 1):
        own = rest[kinds == kind] if len(values) else rest
        table.append(np.quantile(own if len(own) > NEAR else rest, ranks) + 1e-6 * ranks)
    return mean, log_width, np.array(table)


def _totals(functions: np.ndarray, values: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, ...]:
    """Coefficients of the mean and of the log width, and quantiles of the rest at several log energies."""
    mean, log_width, _ = _regression(functions, values, np.zeros(len(values), int))
    rest = (values - functions @ mean) / np.exp(np.clip(functions @ log_width, -8, 8))
    ranks, table = np.linspace(0, 1, TOTAL_QUANTILES), []
    for place in np.linspace(-1, 1, ENERGIES):
        distance = abs(scaled - place)
        # All showers up to the next log energies: the tails need many.
        near = max(NEAR, np.sum(distance < 2 / (ENERGIES - 1)))
        chosen = rest[np.argsort(distance, kind="stable")[:near]]
        table.append(np.quantile(chosen, ranks) + 1e-6 * ranks)
    return mean, log_width, np.array(table)


def _all_cases(found: Columns, former: np.ndarray | None = None) -> np.ndarray:
    """Probabilities of the discrete cases of core and ring by layer and number of hits, `(2, layer, COUNTS, 2)`."""
    sides = [np.asarray(one) for one in (found.defined, found.low, found.high)]
    table = np.zeros((len(DISCRETE), sides[0].shape[2], COUNTS, 2))
    for position, column in enumerate(DISCRETE):
        counts = np.minimum([found.hits, found.others][position], COUNTS - 1).astype(int)
        for number in range(table.shape[1]):
            own = (one[:, column, number] for one in sides)
            before = None if former is None else former[position, number]
            table[position, number] = _cases(*own, counts[:, number], is_core=position == 0, former=before)
    return table


def _cases(defined, low, high, counts, is_core: bool, former: np.ndarray | None = None) -> np.ndarray:
    """Probabilities of the low and of the high case by number of hits, `(COUNTS, 2)`; few showers change `former`."""
    table = np.zeros((COUNTS, 2))
    for count in range(COUNTS):
        near = defined & (np.abs(counts - count) <= 2)
        expected = (low[near].mean(), high[near].mean()) if near.any() else (1 / 3, 1 / 3)
        if former is not None:
            expected = (near.sum() * np.array(expected) + 20 * former[count]) / (near.sum() + 20)
        if is_core and count != 1:
            expected = (expected[0], 0.0)
        here = defined & (counts == count)
        table[count] = [(np.sum(case & here) + 4 * p) / (here.sum() + 4) for case, p in zip((low, high), expected)]
    if is_core:  # the core cell has all energy if and only if it is the only hit
        table[2:, 1], table[1, 1] = 0.0, 1 - table[1, 0]
    else:  # a single other hit is either in the ring or outside
        table[1] /= max(table[1].sum(), 1e-9)
    return table
