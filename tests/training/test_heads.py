import numpy as np
import pytest

from calolab.samples import Sample
from calolab.training import Recipe, objectives
from calolab.training.draws import Draw
from calolab.training.response import Response

RECIPE = Recipe()


def drawn(flips):
    events = len(flips)
    return Draw(np.ones((events, 6), np.float32), {"energy": np.full(events, 50.0)}, np.array(flips), np.zeros((1, 2)))


def test_losses_are_the_published_ones():
    answers = {"generation": [[0.8], [0.4]], "auxiliary": [[0.5], [0.1]], "ecal": [[1.0], [2.0]]}
    wanted = {"generation": [[1.0], [0.0]], "auxiliary": [[0.25], [0.1]], "ecal": [[2.0], [2.0]]}
    arrays = [{name: np.array(rows, np.float32) for name, rows in heads.items()} for heads in (answers, wanted)]
    total, means = objectives.losses(*arrays, RECIPE.weights)
    assert float(means["generation"]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2, rel=1e-5)
    assert float(means["auxiliary"]) == pytest.approx(50)
    assert float(means["ecal"]) == pytest.approx(25)
    assert float(total) == pytest.approx(2 * float(means["generation"]) + 0.1 * 50 + 0.1 * 25)


def test_real_showers_lose_cells_below_threshold_and_flip_labels(tiny_sample):
    sample = tiny_sample(3)
    values = sample.values.copy()
    values[:, 0, 0, 0] = 1e-7
    sample = Sample(values, sample.labels, sample.space)
    images, wanted = objectives.real_question(sample, drawn([False, True, False]), RECIPE)
    assert images.shape == (3, 4, 4, 4, 1)
    assert np.all(images[:, 0, 0, 0] == 0)
    np.testing.assert_array_equal(wanted["generation"], [[1], [0], [1]])
    np.testing.assert_allclose(wanted["auxiliary"][:, 0], sample.labels["energy"] / 100, rtol=1e-6)
    np.testing.assert_allclose(wanted["ecal"][:, 0], images.sum(axis=(1, 2, 3, 4)), rtol=1e-5)


def test_only_the_discriminators_labels_are_flipped():
    response = Response((2.0,), 10.0, 100.0, 1)
    inputs, wanted = objectives.generated_question(drawn([False, True]), RECIPE, response, wish_real=False)
    np.testing.assert_array_equal(wanted["generation"], [[0], [1]])
    np.testing.assert_allclose(wanted["ecal"], [[1.0], [1.0]])
    np.testing.assert_array_equal(inputs["energy"], [[50], [50]])
    _, wanted = objectives.generated_question(drawn([False, True]), RECIPE, response, wish_real=True)
    np.testing.assert_array_equal(wanted["generation"], [[1], [1]])
