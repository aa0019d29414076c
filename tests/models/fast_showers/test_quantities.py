"""Quantities of layers, their columns, the normal numbers of these, and back."""

import numpy as np
import pytest

from calolab import datasets
from calolab.models.fast_showers import tables
from calolab.models.fast_showers.lattice import Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.normal import normal_quantile, probability
from calolab.models.fast_showers.normalisation import LogEnergy, Normalisation
from calolab.models.fast_showers.quantities import COLUMNS, Columns, columns, measured, requested
from calolab.symmetries import symmetries

THRESHOLD = 3e-5


@pytest.fixture(scope="module")
def showers():
    sample = datasets.load("clic-electrons-demo").select(slice(300))
    return np.where(sample.values < THRESHOLD, np.float32(0), sample.values), sample.labels["energy"], sample.space


@pytest.fixture(scope="module")
def fitted(showers):
    values, energy, space = showers
    scale, normalisation = LogEnergy(), Normalisation(25, 25, THRESHOLD)
    scale.build((None, 1))
    normalisation.build(None)
    tables.fit(scale, normalisation, values, energy)
    return normalisation, np.asarray(scale(energy[:, None].astype(np.float32)))


def numbers(quantities):
    return np.asarray(quantities.stacked())


def test_quantities_are_those_of_the_cells(showers):
    values, _, space = showers
    found = numbers(measured(values[:5, ..., None], Lattice(25, 25)))
    x, y = np.meshgrid(np.arange(25) - 12, np.arange(25) - 12, indexing="ij")
    for event, layer in ((0, 3), (1, 8), (4, 15)):
        cells = values[event, :, :, layer].astype(float)
        ring = cells[11:14, 11:14].sum() - cells[12, 12]
        outside = cells.copy()
        outside[11:14, 11:14] = 0
        expected = [np.sum(cells > 0), cells[12, 12], ring, outside.sum()]
        expected += [np.sum(one * cells) / cells.sum() for one in (x, y)]
        expected += [np.sum((x**2 + y**2) * outside) / outside.sum()]
        np.testing.assert_allclose(found[event, layer], expected, rtol=1e-4, atol=1e-6)


def test_symmetries_of_the_square_change_only_the_centre(showers):
    values, _, space = showers
    lattice = Lattice(25, 25)
    plain = numbers(measured(values[:20, ..., None], lattice))
    centres = {"identity": (0, 1, 1, 1), "reflect x": (0, 1, -1, 1), "exchange x and y": (1, 0, 1, 1)}
    found = {one.name: one for one in symmetries(space)}
    for name, (first, second, sign_x, sign_y) in centres.items():
        turned = numbers(measured(np.ascontiguousarray(found[name](values[:20]))[..., None], lattice))
        np.testing.assert_allclose(turned[..., [0, 1, 2, 3, 6]], plain[..., [0, 1, 2, 3, 6]], rtol=1e-4, atol=1e-7)
        expected = np.stack([sign_x * plain[..., 4 + first], sign_y * plain[..., 4 + second]], axis=-1)
        np.testing.assert_allclose(turned[..., 4:6], expected, atol=1e-4)


def test_columns_and_totals_become_normal_and_back(showers, fitted):
    values, energy, _ = showers
    normalisation, scaled = fitted
    random, lattice = np.random.default_rng(1), Lattice(25, 25)
    quantities = measured(values[..., None], lattice)
    there = columns(quantities, THRESHOLD, random.random(quantities.hits.shape, dtype=np.float32))
    shape = (len(values), len(COLUMNS), 25)
    noise = random.standard_normal(shape, dtype=np.float32)
    uniform = random.random((len(values), 2, 25), dtype=np.float32)
    normal = np.asarray(normalisation.normal(there, scaled, uniform, noise))
    assert abs(normal.mean(axis=0)).max() < 0.3 and abs(normal.mean(axis=(0, 2))).max() < 0.03
    assert abs(normal.std(axis=(0, 2)) - 1).max() < 0.06
    back = normalisation.columns(normal, scaled)
    np.testing.assert_array_equal(np.asarray(back.hits), np.asarray(there.hits))
    for case in ("low", "high"):
        changed = (getattr(back, case) != getattr(there, case)) & there.defined
        assert np.mean(changed) < 1e-4
    smooth = there.defined & ~np.asarray(there.low) & ~np.asarray(there.high)
    error = np.abs(back.numbers - there.numbers)[smooth]
    assert np.quantile(error, 0.98) < 5e-3  # the outermost quantiles are cut off
    again = requested(back, np.sum(quantities.energy, axis=1, keepdims=True), THRESHOLD, lattice)
    before, after = numbers(quantities), numbers(again)
    np.testing.assert_array_equal(after[..., 0], before[..., 0])
    assert np.quantile(abs(after[..., 1:] - before[..., 1:]) / (abs(before[..., 1:]) + 1e-4), 0.95) < 0.05
    total = np.sum(quantities.energy, axis=1, keepdims=True)
    particle = energy[:, None].astype(np.float32)
    given = normalisation.total_normal(total, particle, scaled)
    assert abs(np.std(given) - 1) < 0.05
    np.testing.assert_allclose(normalisation.total_energy(given, particle, scaled), total, rtol=2e-2)


def test_a_normalisation_is_moved_to_few_showers_of_another_detector(showers, fitted):
    """Numbers that were normal in tungsten are normal in lead, too, after 150 showers; without these they are not."""
    values, energy, _ = showers
    lead = datasets.load("clic-electrons-lead")
    cells, lattice = np.where(lead.values < THRESHOLD, np.float32(0), lead.values), Lattice(25, 25)
    scale, normalisation = LogEnergy(), Normalisation(25, 25, THRESHOLD)
    scale.build((None, 1))
    normalisation.build(None)
    tables.fit(scale, normalisation, values, energy)
    random = np.random.default_rng(4)

    def worst():
        """Largest mean of a column, and largest deviation of a width from 1, over the other showers."""
        others = slice(150, 450)
        quantities = measured(cells[others, ..., None], lattice)
        given = columns(quantities, THRESHOLD, random.random(quantities.hits.shape, dtype=np.float32))
        uniform, shape = random.random((300, 2, 25), dtype=np.float32), (300, len(COLUMNS), 25)
        scaled = np.asarray(scale(lead.labels["energy"][others, None].astype(np.float32)))
        normal = normalisation.normal(given, scaled, uniform, random.standard_normal(shape, dtype=np.float32))
        normal = np.asarray(normal)
        return abs(normal.mean(axis=(0, 2))).max(), abs(normal.std(axis=(0, 2)) - 1).max()

    before = worst()
    tables.adapt(scale, normalisation, cells[:150], lead.labels["energy"][:150])
    after = worst()
    assert after[0] < 0.1 < 0.3 < before[0] and after[1] < 0.15


def test_requests_are_possible():
    lattice, random = Lattice(5, 4), np.random.default_rng(2)
    shape = (500, len(COLUMNS), 4)
    given = random.normal(0, 3, shape).astype(np.float32)
    given[:, 0] = random.uniform(-1, 6, (500, 4))
    given[:, 1] -= 6
    low, high = random.random(shape) < 0.2, random.random(shape) < 0.2
    total = random.uniform(0.01, 2, (500, 1)).astype(np.float32)
    found = requested(Columns(given, given > -99, low, high & ~low, None, None), total, THRESHOLD, lattice)
    core, ring, outside = (np.asarray(one) > 0 for one in (found.core, found.ring, found.outside))
    hits = np.asarray(found.hits)
    assert np.all(hits >= core.astype(int) + ring + outside)
    assert np.all(hits <= core + 8.0 * ring + 16.0 * outside)
    assert np.all((hits > 0) == (core | ring | outside)) and len(np.unique(hits)) > 20
    held = hits.sum(axis=1) > 0
    np.testing.assert_allclose(np.sum(found.energy, axis=1)[held], total[held, 0], rtol=2e-2)


def test_a_few_showers_are_enough_for_constants():
    scale, normalisation = LogEnergy(), Normalisation(5, 3, THRESHOLD)
    scale.build((None, 1))
    normalisation.build(None)
    values = np.random.default_rng(0).exponential(1e-3, (2, 5, 5, 3)).astype(np.float32)
    tables.fit(scale, normalisation, values, np.array([10.0, 20.0]))
    assert all(np.all(np.isfinite(weight)) for weight in normalisation.get_weights())


def test_quantiles_are_the_inverse_of_probabilities():
    normal = np.linspace(-3.5, 3.5, 50, dtype=np.float32)
    np.testing.assert_allclose(normal_quantile(probability(normal)), normal, atol=2e-3)
    stacked = np.arange(14.0).reshape(1, 2, 7)
    np.testing.assert_array_equal(LayerQuantities.of(stacked).stacked(), stacked)
