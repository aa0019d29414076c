"""What is measured after a training: the spread of hits and energies, and the templates' corrections."""

import numpy as np
import pytest

from calolab.models.fast_showers import calibration
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


def test_calibrated_cells_have_the_hits_and_spectra_of_real_ones():
    gan, data = small(5, 3, hidden=4, context=3), sample(300, 5, 3, seed=5)
    randomised(gan.networks["cells"].get_layer("cells"), size=0.2)  # wrong odds and spectra
    energy, random = data.labels["energy"][:, None].astype(np.float32), np.random.default_rng(0)

    def differences():
        made = calibration.generated(gan, energy, random)
        hits = [np.mean(one > 0, axis=0) for one in (made, data.values)]
        spectra = [
            np.histogram(np.log(one[one > THRESHOLD]), 20, (-11, -1), density=True)[0] for one in (made, data.values)
        ]
        return abs(hits[0] - hits[1]).mean(), abs(spectra[0] - spectra[1]).sum()

    before = differences()
    calibration.calibrate(gan, data, seed=1)
    after = differences()
    assert after[0] < 0.75 * before[0] and after[1] < 0.75 * before[1]


def test_the_scatter_of_counts_is_no_correction():
    """A fixed pattern of wrong frequencies would be easier to see than the faults that are corrected."""
    random, expected = np.random.default_rng(3), np.geomspace(1, 1e4, 50) * np.ones((20, 1))
    real, made = random.poisson(expected), random.poisson(expected)
    scatter, found = np.log((real + 1) / (made + 1)), calibration._log_ratios(real, made)
    assert found.std() < 0.2 * scatter.std()
    in_one_layer = np.where(np.arange(20)[:, None] == 3, 1.2, 1.0)
    difference = calibration._log_ratios(random.poisson(in_one_layer * expected), random.poisson(expected))
    assert difference[3, expected[0] > 5000].mean() == pytest.approx(np.log(1.2), rel=0.15)
    in_all = calibration._log_ratios(random.poisson(1.2 * expected), random.poisson(expected))
    assert in_all[:, expected[0] > 300].mean() == pytest.approx(np.log(1.2), rel=0.1)  # all layers together are enough
    assert abs(in_all[:, expected[0] < 2]).max() < 0.05


def test_the_spread_of_hits_is_that_of_the_showers():
    """All cells of a pass are hits, or none: their number varies more than that of independent cells."""
    gan, data = small(5, 3, hidden=4, context=3, fitted=False), sample(100, 5, 3)
    random, energy = np.random.default_rng(0), data.labels["energy"][:, None].astype(np.float32)
    for variable in gan.networks["cells"].trainable_variables:
        variable.assign(0 * variable)  # each cell is a hit with a probability of 0.5
    half = np.stack([random.permutation(100) % 2 for _ in range(3)], axis=-1)  # of the events, in each layer
    together = half[:, None, None] * np.full_like(data.values, data.values.max())
    found, _ = calibration.measured_spreads(gan, together.astype(np.float32), energy, random)
    assert found[1, 1] == pytest.approx(2.0)  # four cells: the limit
    independent = np.where(random.random(data.values.shape) < 0.5, 1e-3, 0)
    found, _ = calibration.measured_spreads(gan, independent.astype(np.float32), energy, random)
    assert found[1, 1] == pytest.approx(1.0, abs=0.15)


def test_a_wrong_mean_is_no_spread():
    gan, data = small(5, 3, hidden=4, context=3, fitted=False), sample(100, 5, 3)
    for variable in gan.networks["cells"].trainable_variables:
        variable.assign(0 * variable)
    most = np.where(np.random.default_rng(0).random(data.values.shape) < 0.8, 1e-3, 0).astype(np.float32)
    found, _ = calibration.measured_spreads(
        gan, most, data.labels["energy"][:, None].astype(np.float32), np.random.default_rng(1)
    )
    assert found[1, 1] == pytest.approx(0.8, abs=0.15)  # sqrt(0.8 * 0.2 / (0.5 * 0.5))


def test_the_spread_of_energies_is_that_of_the_showers():
    """High and low energies in turn: the sum over a zone varies less than that of independent energies."""
    gan, data = small(5, 3, hidden=4, context=3, fitted=False), sample(100, 5, 3)
    for variable in gan.networks["cells"].trainable_variables:
        variable.assign(0 * variable)  # all logarithms of energies are equally probable
    energy, random = data.labels["energy"][:, None].astype(np.float32), np.random.default_rng(0)
    values = THRESHOLD * np.exp(random.uniform(0, 8.5, data.values.shape)).astype(np.float32)
    _, independent = calibration.measured_spreads(gan, values, energy, random)
    assert independent[1, 1] == pytest.approx(1.0, abs=0.1)
    alike = THRESHOLD * np.exp(np.full_like(values, 4.25) + 0.1 * random.standard_normal(values.shape))
    _, found = calibration.measured_spreads(gan, alike.astype(np.float32), energy, random)
    assert found[1, 1] == pytest.approx(0.1, abs=0.05)


def test_a_calibrated_generator_keeps_its_constants_with_few_showers():
    """The scatter of a few showers is no property of the detector."""
    gan, data = small(5, 3, hidden=4, context=3), sample(60, 5, 3)
    calibration.calibrate(gan, data)
    cells = gan.networks["cells"].get_layer("cells")
    before = [one.numpy() for one in cells.weights]
    calibration.calibrate(gan, sample(60, 5, 3, seed=5), seed=1)
    for one, other in zip(cells.weights, before):
        np.testing.assert_array_equal(one, other)
