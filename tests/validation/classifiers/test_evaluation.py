"""AUC, its error and JSD against closed forms and simulated repetitions."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from calolab.validation.classifiers.evaluation import auc, balanced_weights, jsd


def outputs(events, distance, seed):
    """Two normal distributions `distance` standard deviations apart, in one dimension the best possible output."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, events[0]), rng.normal(distance, 1, events[1])


def test_auc_is_that_of_scikit_learn_also_with_ties_and_unequal_numbers():
    for reference, generated in (outputs((300, 500), 0.7, 1), (np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3, 3]))):
        truth = np.repeat([0, 1], [len(reference), len(generated)])
        expected = roc_auc_score(truth, np.concatenate([reference, generated]))
        assert auc(reference, generated)[0] == pytest.approx(expected, abs=1e-12)


def test_auc_of_normal_distributions_is_the_closed_form():
    measured, error = auc(*outputs((100_000, 100_000), 1.0, 2))
    assert measured == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=4 * error)
    assert 0.0008 < error < 0.0012


@pytest.mark.parametrize("distance", [0.0, 1.5])
def test_the_error_is_the_standard_deviation_over_repetitions(distance):
    found = np.array([auc(*outputs((200, 120), distance, seed)) for seed in range(400)])
    assert np.mean(found[:, 1]) == pytest.approx(np.std(found[:, 0], ddof=1), rel=0.12)


def test_auc_rejects_what_it_cannot_rank():
    with pytest.raises(ValueError, match="at least two finite outputs"):
        auc(np.array([0.1]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="at least two finite outputs"):
        auc(np.array([0.1, np.nan]), np.array([0.1, 0.2]))


def test_jsd_of_normal_distributions_is_the_integral():
    x = np.linspace(-8, 9, 20_001)
    p, q = norm.pdf(x), norm.pdf(x, 1.0)
    entropy = [np.trapezoid(one * np.log2(2 * one / (p + q)), x) for one in (p, q)]
    expected = 0.5 * sum(entropy)
    assert expected == pytest.approx(0.1607, abs=1e-3)
    found = [jsd(outputs((20_000, 20_000), 1.0, seed), outputs((20_000, 20_000), 1.0, seed + 1)) for seed in (3, 5)]
    assert np.mean(found) == pytest.approx(expected, abs=0.008)


def test_jsd_does_not_depend_on_the_scale_of_the_outputs():
    calibration, test = outputs((500, 500), 1.0, 7), outputs((500, 500), 1.0, 8)
    expected = jsd(calibration, test)
    scaled = [tuple(np.exp(3 * side) for side in part) for part in (calibration, test)]
    assert jsd(*scaled) == pytest.approx(expected, abs=0.005)


def test_jsd_of_equal_distributions_is_zero_within_errors_and_of_separate_ones_close_to_one():
    equal = [jsd(outputs((600, 600), 0.0, seed), outputs((600, 600), 0.0, seed + 100)) for seed in range(20)]
    assert abs(np.mean(equal)) < 0.01 and np.std(equal) < 0.015
    separate = jsd(outputs((600, 600), 40.0, 1), outputs((600, 600), 40.0, 2))
    assert 0.99 < separate < 1


def test_few_calibration_events_do_not_make_single_test_events_count_twenty_bits():
    """With 1e-6 as smallest probability, as published, the mean is 0.11 and the spread twice as large."""
    found = [jsd(outputs((600, 600), 1.0, seed), outputs((600, 600), 1.0, seed + 100)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(0.1607, abs=0.025)
    assert np.std(found) < 0.035


def test_both_samples_count_equally_whatever_their_numbers():
    balanced = jsd(outputs((4000, 4000), 1.0, 1), outputs((4000, 4000), 1.0, 2))
    unequal = jsd(outputs((4000, 400), 1.0, 1), outputs((4000, 400), 1.0, 2))
    assert unequal == pytest.approx(balanced, abs=0.05)
    reference, generated = balanced_weights(300, 100)
    assert reference * 300 == pytest.approx(generated * 100) == pytest.approx(200)
