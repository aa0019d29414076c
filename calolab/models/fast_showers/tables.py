"""The constants of the normalisation and the templates of hits and spectra, fitted to showers."""

from __future__ import annotations

import numpy as np

from calolab.models.fast_showers.lattice import SPECTRUM_RADII, Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.normalisation import COUNTS, QUANTILES, LogEnergy, Normalisation, basis
from calolab.models.fast_showers.quantities import COLUMNS, DISCRETE, columns, measured
from calolab.models.fast_showers.spectrum import BINS, EDGES, log_energy

FEW = 60  # with fewer numbers, a column's mean and width are the same for all energies
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
    quantities = _measured(values, layer.lattice)
    fraction = np.random.default_rng(seed).random(quantities.hits.shape)
    found = columns(quantities, fraction.astype(np.float32))
    numbers, defined, low, high, hits, others = (np.asarray(one) for one in vars(found).values())
    shape = (len(COLUMNS), layer.layers)
    means, log_widths = np.zeros((*shape, 6)), np.zeros((*shape, 6))
    quantiles, cases = np.zeros((*shape, QUANTILES)), np.zeros((len(DISCRETE), layer.layers, COUNTS, 2))
    plain = basis(scaled[:, None].astype(np.float32), np.zeros_like(hits))
    functions = [np.asarray(one, dtype=np.float64) for one in (plain, basis(scaled[:, None].astype("f4"), hits))]
    for column, number in np.ndindex(shape):
        chosen = functions[min(column, 1)][:, number]
        smooth = (defined & ~low & ~high)[:, column, number]
        results = _regression(chosen[smooth], numbers[smooth, column, number], column in _CENTRES)
        means[column, number], log_widths[column, number], quantiles[column, number] = results
    for position, column in enumerate(DISCRETE):
        counts = np.minimum([hits, others][position], COUNTS - 1).astype(int)
        for number in range(layer.layers):
            tabulated = (one[:, column, number] for one in (defined, low, high))
            cases[position, number] = _cases(*tabulated, counts[:, number], is_core=position == 0)
    total = np.sum(quantities.energy, axis=1)
    results = _regression(np.asarray(plain, dtype=np.float64)[:, 0, :3], np.log(np.maximum(total, 1e-12) / energy))
    fitted = (means, log_widths, quantiles, cases, *results)
    constants = (layer.means, layer.log_widths, layer.quantiles, layer.cases)
    totals = (layer.total_mean, layer.total_log_width, layer.total_quantiles)
    for constant, value in zip((*constants, *totals), fitted, strict=True):
        constant.assign(value.astype(np.float32))


def hit_template(lattice: Lattice, values: np.ndarray) -> np.ndarray:
    """Log odds of a hit, by layer and radius, `(layer, radius)`.

    Args:
        lattice: positions of the cells.
        values: cells of showers, `(event, side, side, layer)`.
    """
    hits = np.mean(values > 0, axis=0, dtype=np.float64).reshape(lattice.cells, lattice.layers)
    radii = lattice.radii.ravel()
    sums = np.stack([np.bincount(radii, weights=column) for column in hits.T])
    chance = np.clip(sums / np.bincount(radii), 1e-5, 1 - 1e-3)
    return np.log(chance / (1 - chance))


def spectrum_template(lattice: Lattice, values: np.ndarray, threshold: float) -> np.ndarray:
    """Log probabilities of the energy bins of a hit, by layer and radial bin, `(layer, radial bin, energy bin)`.

    Args:
        lattice: positions of the cells.
        values: cells of showers [GeV], `(event, side, side, layer)`.
        threshold: lowest energy of a hit [GeV].
    """
    counts = np.zeros((lattice.layers, len(SPECTRUM_RADII) + 1, len(BINS)))
    use, bins = lattice.zone > 0, lattice.radial_bins
    for number in range(lattice.layers):
        cells = values[..., number]
        for radial in range(counts.shape[1]):
            found = cells[:, use & (bins == radial)]
            logs = np.clip(log_energy(found[found > 0], threshold), EDGES[0], EDGES[-1] - 1e-3)
            counts[number, radial] = np.histogram(logs, EDGES)[0]
    # Where there are few hits: the spectrum of the layer, and where these are few, that of all layers.
    layers = counts.sum(axis=1, keepdims=True)
    layers = layers + 20 * (counts.sum(axis=(0, 1)) + 1e-3) / max(counts.sum(), 1)
    counts = counts + 200 * layers / layers.sum(axis=-1, keepdims=True) + 1e-4
    return np.log(counts / counts.sum(axis=-1, keepdims=True))


def _measured(values: np.ndarray, lattice: Lattice) -> LayerQuantities:
    parts = [
        np.asarray(measured(values[start : start + CHUNK], lattice).stacked()) for start in range(0, len(values), CHUNK)
    ]
    return LayerQuantities(*(np.concatenate(parts)[..., number] for number in range(len(COLUMNS))))


def _regression(functions: np.ndarray, values: np.ndarray, symmetric: bool = False) -> tuple[np.ndarray, ...]:
    """Coefficients of the mean and of the log width, and quantiles of the values without them."""
    number = functions.shape[1]
    mean, log_width, rest = np.zeros(number), np.zeros(number), np.zeros(2)
    if len(values):
        # All functions if there are enough numbers, otherwise the constant alone, which is the first one.
        use = number if len(values) > FEW else 1
        if not symmetric:
            mean[:use] = np.linalg.lstsq(functions[:, :use], values, rcond=1e-6)[0]
        rest = values - functions @ mean
        deviation = np.log(np.abs(rest) + 1e-2 * np.std(rest) + 1e-6)
        log_width[:use] = np.linalg.lstsq(functions[:, :use], deviation, rcond=1e-6)[0]
        rest = rest / np.exp(np.clip(functions @ log_width, -8, 8))
    if symmetric:
        rest = np.concatenate([rest, -rest])
    ranks = np.linspace(0, 1, QUANTILES)
    return mean, log_width, np.quantile(rest, ranks) + 1e-6 * ranks


def _cases(defined, low, high, counts, is_core: bool) -> np.ndarray:
    """Probabilities of the low and of the high case by number of hits, `(COUNTS, 2)`."""
    table = np.zeros((COUNTS, 2))
    for count in range(COUNTS):
        near = defined & (np.abs(counts - count) <= 2)
        expected = (low[near].mean(), high[near].mean()) if near.any() else (1 / 3, 1 / 3)
        if is_core and count != 1:
            expected = (expected[0], 0.0)
        here = defined & (counts == count)
        table[count] = [(np.sum(case & here) + 4 * p) / (here.sum() + 4) for case, p in zip((low, high), expected)]
    if is_core:  # the core cell has all energy if and only if it is the only hit
        table[2:, 1], table[1, 1] = 0.0, 1 - table[1, 0]
    else:  # a single other hit is either in the ring or outside
        table[1] /= max(table[1].sum(), 1e-9)
    return table
