"""The network of the CaloChallenge and its low-level inputs, by hand."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.classifiers.mlp import low_inputs, mlp_test, normed_inputs


def test_a_shift_is_found_and_the_same_seed_gives_the_same_result():
    rng = np.random.default_rng(1)
    reference, generated = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + [0, 1.5, 0]
    options = {"nodes": 32, "epochs": 15, "batch_size": 20, "seed": 2, "progress": False}
    first, again = (mlp_test(reference, generated, **options) for _ in range(2))
    assert first.auc > 0.7 and first.judge == "mlp" and first.inputs == "3 inputs" and 1 <= first.best[0] <= 15
    assert (first.aucs, first.jsds) == (again.aucs, again.jsds)


@pytest.mark.parametrize("name", ["clic-ecal", "calogan"])
def test_low_level_inputs_are_those_of_the_calochallenge(name):
    space = spaces.space(name)
    rng = np.random.default_rng(3)
    sample = Sample(rng.exponential(0.01, (3, *space.shape)), {"energy": [10.0, 20.0, 100.0]}, space)
    plain = low_inputs(sample, 0.005)
    assert plain.shape == (3, 1 + space.n_cells)
    assert np.allclose(plain[:, 0], [4, np.log10(2e4), 5])
    cut = np.where(sample.values < 0.005, 0, sample.values).reshape(3, -1)
    assert np.allclose(plain[1, 1:], cut[1] / 20)
    normed = normed_inputs(sample, 0.005)
    layers = len(space.layers)
    assert normed.shape == (3, 1 + space.n_cells + layers)
    assert np.allclose(normed[:, 1:-layers].sum(axis=1), layers, rtol=1e-4)
    assert np.allclose((10 ** normed[:, -layers:]).sum(axis=1), 1e3 * cut.sum(axis=1), rtol=1e-4)


def test_bad_input():
    space = spaces.space("calogan")
    sample = Sample(np.zeros((60, *space.shape)), {}, space)
    with pytest.raises(ValueError, match="label 'energy'"):
        low_inputs(sample)
    with pytest.raises(ValueError, match="cells of zero or more"):
        normed_inputs(Sample(sample.values - 1, {"energy": np.ones(60)}, space))
    with pytest.raises(ValueError, match="at least one node"):
        mlp_test(np.zeros((60, 2)), np.zeros((60, 2)), nodes=0)
