"""The record of a classifier test: means, errors and how far the number can be trusted."""

import json

import numpy as np
import pytest

from calolab.validation.classifiers.classification import Classification


def record(*aucs, test=600, **changed):
    fields = {
        "judge": "trees", "inputs": "3 features", "aucs": aucs, "errors": [0.016] * len(aucs),
        "jsds": [0.1] * len(aucs), "best": [12] * len(aucs), "seconds": 4.2,
        "events": ((3 * test, 3 * test), (test, test), (test, test)),
    }  # fmt: skip
    return Classification(**fields | changed)


def test_means_and_errors():
    one, several = record(0.60), record(0.60, 0.62, 0.64, 0.62)
    assert one.auc == 0.60 and one.spread is None and one.error == 0.016 and one.tested == (600, 600)
    assert several.auc == pytest.approx(0.62) and several.spread == pytest.approx(np.std([-2, 0, 2, 0], ddof=1) / 100)
    assert several.error == pytest.approx(0.016 / 2) and several.tested == (2400, 2400)
    # Only five test parts are disjoint.
    assert record(*[0.6] * 10).error == pytest.approx(record(*[0.6] * 5).error)


def test_the_chance_fluctuation_is_that_of_the_rank_sum_test():
    rng = np.random.default_rng(4)
    drawn = [np.mean(rng.random((60, 1)) < rng.random((1, 60))) for _ in range(2000)]
    assert record(0.5, test=60).chance == pytest.approx(np.std(drawn), rel=0.06)


def test_the_verdict_says_what_the_numbers_of_events_allow():
    assert record(0.60).verdict == "AUC exceeds 0.5 by 6 errors: the samples differ."
    few = record(0.60, test=10).verdict
    assert "differs from 0.5 by less than 2 errors" in few and "10 + 10 test events" in few
    assert "below 0.765 cannot be told from 0.5" in few
    assert "both samples contain the same events" in record(0.40).verdict


def test_the_score_has_the_floor_of_the_same_judge():
    score = record(0.60).score()
    assert (score.name, score.value, score.floor, score.direction) == ("auc_trees", 0.60, 0.5, "lower")
    assert score.floor_spread == pytest.approx(record(0.60).chance)
    assert record(0.60).score(record(0.51)).floor == 0.51


def test_json_and_back():
    one = record(0.60, 0.62, notes=("The time limit ended a training.",))
    content = json.loads(json.dumps(one.to_dict()))
    assert Classification.from_dict(content) == one
    assert content["auc"] == one.auc and content["verdict"] == one.verdict


def test_the_text_has_the_numbers_and_the_notes():
    text = str(record(0.60, 0.62, notes=("Labels differ.",)))
    assert "trees on 3 features: AUC 0.610 ± 0.011, spread 0.014 over 2 trainings" in text
    assert text.endswith("the samples differ.\nLabels differ.")


def test_incomplete_records_are_rejected():
    with pytest.raises(ValueError, match="one AUC, error, JSD and best epoch per training"):
        record(0.6, errors=[0.1, 0.1])
    with pytest.raises(ValueError, match="one AUC"):
        record()
    with pytest.raises(ValueError, match="between 0 and 1"):
        record(1.2)
