"""Boosted trees find differences between features, and only those."""

import signal
import threading
import time

import numpy as np
import pytest

from calolab.interrupts import Stopped
from calolab.validation.classifiers.parts import split_events
from calolab.validation.classifiers.trees import tree_test


def features(events, seed, shift=0.0, correlation=0.0):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(events, 4))
    found[:, 1] = correlation * found[:, 0] + np.sqrt(1 - correlation**2) * found[:, 1]
    found[:, 2] += shift
    return found


@pytest.fixture(scope="module")
def reference():
    return features(1000, 1)


def test_equal_distributions_have_an_auc_of_one_half(reference):
    found = tree_test(reference, features(1000, 2), progress=False)
    assert abs(found.deviation) < 2.5 and found.tested == (1000, 1000)
    assert found.spread > 0 and found.seconds > 0 and found.inputs == "4 features"
    assert found.events == ((600, 600), (200, 200), (200, 200))


def test_a_sample_against_itself_has_an_auc_of_one_half(reference):
    assert tree_test(reference, reference, trainings=1, progress=False).auc == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"correlation": 0.9}])
def test_a_shift_and_a_missing_correlation_are_found(reference, change):
    found = tree_test(reference, features(1000, 2, **change), trainings=2, progress=False)
    assert found.auc > 0.7 and found.deviation > 10 and found.jsd > 0.05


def test_the_best_auc_of_a_shift_is_nearly_reached(reference):
    """The best possible classifier has 0.760 for one standard deviation."""
    found = tree_test(features(4000, 3), features(4000, 4, shift=1.0), trainings=1, progress=False)
    assert 0.72 < found.auc < 0.79 and 1 < found.best[0] < 160


def test_same_seed_same_result_and_another_seed_another_split(reference):
    generated = features(1000, 5, shift=0.3)
    first, again, other = (tree_test(reference, generated, trainings=1, seed=s, progress=False) for s in (3, 3, 4))
    assert (first.aucs, first.jsds, first.best) == (again.aucs, again.jsds, again.best)
    assert first.aucs != other.aucs


def test_samples_of_unequal_size_use_all_events(reference):
    found = tree_test(reference, features(100, 6), trainings=5, progress=False)
    assert found.tested == (1000, 100) and abs(found.deviation) < 3


def test_splits_are_disjoint_complete_and_paired():
    splits = [split_events(103, 103, 9, fold) for fold in range(5)]
    for split in splits:
        for which in (0, 1):
            everything = np.concatenate([part[which] for part in (split.training, split.validation, split.test)])
            assert sorted(everything) == list(range(103))
        assert all(np.array_equal(*part) for part in (split.training, split.validation, split.test))
    assert sorted(np.concatenate([split.test[0] for split in splits])) == list(range(103))


def test_the_time_limit_ends_a_training_and_is_noted(reference):
    generated = features(1000, 7, shift=1.0)
    found = tree_test(reference, generated, time_limit=1e-3, trainings=1, progress=False)
    assert found.auc > 0.6 and found.notes == ("The time limit ended a training after 20 of 160 trees.",)


def test_ctrl_c_ends_the_test_with_one_line(reference):
    generated = features(1000, 7, shift=0.3)
    threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(Stopped, match="^Stopped: the classifier test; nothing was kept.$"):
        tree_test(reference, generated, trainings=500, progress=False)
    assert time.monotonic() - began < 30


def test_bad_input(reference):
    with pytest.raises(ValueError, match="at least 50 events of each sample, received 1000 reference and 49 generated"):
        tree_test(reference, features(49, 2), progress=False)
    with pytest.raises(ValueError, match="received 1000 reference and 0 generated"):
        tree_test(reference, np.zeros((0, 4)), progress=False)
    with pytest.raises(ValueError, match="same features, received 4 and 3"):
        tree_test(reference, features(60, 2)[:, :3])
    bad = features(60, 2)
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 features of the generated sample are not, the first is width \(1 of 60"):
        tree_test(reference, bad, names=("a", "b", "width", "d"))
    with pytest.raises(ValueError, match=r"shape \(event, feature\), received \(60, 2, 2\)"):
        tree_test(features(60, 2).reshape(60, 2, 2), reference)
    with pytest.raises(ValueError, match="real numbers"):
        tree_test([["a"]] * 60, reference)
    with pytest.raises(ValueError, match="at least one training"):
        tree_test(reference, reference, trainings=0)
    with pytest.raises(ValueError, match="time_limit must be positive"):
        tree_test(reference, reference, time_limit=-1)
    with pytest.raises(ValueError, match="stages >= 1"):
        tree_test(reference, reference, stages=0)
