"""What is measured after a training: the flow's correction, the spread of hits, and the templates' corrections."""

import numpy as np
import pytest

from calolab.models.fast_showers import calibration
from calolab.models.fast_showers.correction import Correction, functions
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


def corrected(layer, numbers, scaled, total):
    return np.asarray(layer({"numbers": numbers, "scaled": scaled, "total": total}))


def normal(events, seed, mixing, shape):
    """Correlated numbers, of which the first depends on the energy and the last has another shape."""
    random = np.random.default_rng(seed)
    scaled = random.uniform(-1, 1, (events, 1)).astype(np.float32)
    total = random.standard_normal((events, 1)).astype(np.float32)
    numbers = random.standard_normal((events, 4)) @ mixing
    numbers[:, 0] += 0.3 * scaled[:, 0] * shape
    numbers[:, 3] += shape * np.maximum(numbers[:, 3], 0)
    return numbers.astype(np.float32), scaled, total


def test_the_correction_is_the_identity_until_it_is_fitted():
    layer = Correction(4)
    numbers, scaled, total = normal(50, 0, np.eye(4), 0.0)
    np.testing.assert_allclose(corrected(layer, numbers, scaled, total), numbers, atol=1e-6)


def test_corrected_numbers_have_the_wanted_correlations_means_and_distributions():
    random, layer = np.random.default_rng(1), Correction(4)
    mixing = np.eye(4) + 0.4 * random.standard_normal((4, 4))
    wanted, wanted_scaled, wanted_total = normal(20_000, 2, mixing, 0.4)
    found, scaled, total = normal(20_000, 3, np.eye(4), 0.0)
    corrected(layer, found, scaled, total)  # builds the layer
    both = [np.asarray(functions(*given)) for given in ((scaled, total), (wanted_scaled, wanted_total))]
    layer.fit(found, wanted, *both)
    fresh, scaled, total = normal(20_000, 4, np.eye(4), 0.0)
    made = corrected(layer, fresh, scaled, total)
    np.testing.assert_allclose(np.corrcoef(made.T), np.corrcoef(wanted.T), atol=0.04)
    for one, other in zip(made.T, wanted.T):
        ranks = [0.02, 0.2, 0.5, 0.8, 0.98]
        np.testing.assert_allclose(np.quantile(one, ranks), np.quantile(other, ranks), atol=0.06 * other.std())
    slopes = [np.polyfit(given[:, 0], one[:, 0], 1)[0] for given, one in ((scaled, made), (wanted_scaled, wanted))]
    assert slopes[0] == pytest.approx(slopes[1], abs=0.05)


def test_calibrated_cells_have_the_hits_and_spectra_of_real_ones():
    gan, data = small(5, 3, hidden=4, context=3), sample(300, 5, 3, seed=5)
    randomised(gan.networks["cells"].get_layer("cells"), size=0.2)  # wrong odds and spectra
    energy, random = data.labels["energy"][:, None].astype(np.float32), np.random.default_rng(0)

    def differences():
        made = calibration.generated(gan, energy, random)
        hits = [np.mean(one > 0, axis=0) for one in (made, data.values)]
        sides = [np.log(one[one > THRESHOLD]) for one in (made, data.values)]
        return abs(hits[0] - hits[1]).mean(), abs(np.mean(sides[0]) - np.mean(sides[1]))

    before = differences()
    calibration.calibrate(gan, data, seed=1)
    after = differences()
    assert after[0] < 0.75 * before[0] and after[1] < max(0.6 * before[1], 0.02)


def test_the_spread_of_hits_is_that_of_the_showers():
    """All cells of a pass are hits, or none: their number varies more than that of independent cells."""
    gan, data = small(5, 3, hidden=4, context=3, fitted=False), sample(100, 5, 3)
    random, energy = np.random.default_rng(0), data.labels["energy"][:, None].astype(np.float32)
    for variable in gan.networks["cells"].trainable_variables:
        variable.assign(0 * variable)  # each cell is a hit with a probability of 0.5
    together = np.where(random.random((100, 1, 1, 3)) < 0.5, data.values.max(), 0) + 0 * data.values
    found = calibration.measured_spread(gan, together.astype(np.float32), energy)
    assert found[1, 1] == pytest.approx(2.0)  # four cells: the limit
    independent = np.where(random.random(data.values.shape) < 0.5, 1e-3, 0)
    found = calibration.measured_spread(gan, independent.astype(np.float32), energy)
    assert found[1, 1] == pytest.approx(1.0, abs=0.15)
