"""Targets of generators: met by real showers, missed by showers with known faults."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from calolab import datasets, spaces, studies
from calolab.generators import Generator
from calolab.samples import Sample
from calolab.studies.targets import LIMITS, Target, table
from calolab.validation.classifiers import cnn, trees
from calolab.validation.scorecards.records import Entry
from tests.tiny import SPACE


@pytest.fixture(scope="module")
def halves():
    """Two halves of the packaged Geant4 showers with nearly the same energies."""
    demo = datasets.load("clic-electrons-demo")
    order = np.argsort(demo.labels["energy"])
    return demo.select(order[::2]), demo.select(order[1::2])


def verdicts(reference, generated):
    return {one.name: one.verdict for one in studies.shower_targets(reference, generated)}


def test_real_showers_miss_no_target(halves):
    found = verdicts(*halves)
    assert {name.split(".")[0] for name in found} == {name.split(".")[0] for name in LIMITS} - {"auc", "speed"}
    assert set(found.values()) <= {"met", "undecided"}
    assert [found[name] for name in ("hits", "correlations.mean")] == ["met", "met"]
    assert sum(verdict == "met" for verdict in found.values()) >= len(found) / 2


def test_a_sample_with_itself_meets_every_target(halves):
    assert set(verdicts(halves[0], halves[0]).values()) == {"met"}


def test_energies_that_are_too_high_miss_the_response_and_no_resolution(halves):
    found = verdicts(halves[0], replace(halves[1], values=1.05 * halves[1].values))
    assert {found[f"response.{point}"] for point in (25, 50, 75, 100)} == {"not met"}
    assert {found[f"resolution.{point}"] for point in (10, 25, 50, 75, 100)} <= {"met", "undecided"}
    assert found["correlations.mean"] == "met"


def test_cells_permuted_within_layers_miss_radial_bins_and_pairs_alone(halves):
    order = np.random.default_rng(1).permutation(625)
    values = halves[1].values.reshape(-1, 625, 25)[:, order].reshape(halves[1].values.shape)
    found = verdicts(halves[0], replace(halves[1], values=values))
    assert {found[name] for name in ("radial", "pairs", "pairs.hard")} == {"not met"}
    assert {found[name] for name in ("hits", "correlations.mean")} == {"met"} and found["layers"] != "not met"


def test_layers_of_different_showers_miss_the_correlations(halves):
    values = halves[1].values.copy()
    values[..., ::2] = np.roll(values, 7, axis=0)[..., ::2]  # of showers with similar energies
    found = verdicts(halves[0], replace(halves[1], values=values))
    assert found["correlations.mean"] == found["correlations.largest"] == "not met"
    assert found["hits"] == "met"


def test_neighbouring_hits_are_pairs_in_one_layer_that_share_an_edge():
    values = np.zeros((40, 25, 25, 25))
    values[:, 12, 12:14, 3] = 1e-3  # a pair of hard hits
    values[:, 13, 12, 3] = 1e-4  # a second pair, the diagonal is none
    values[:, 12, 12, 4] = 1e-3  # in another layer
    values[:, 0, 0, 0] = 2e-5  # below the threshold
    energies = np.linspace(10, 100, 40)
    one = Sample(values, {"energy": energies}, spaces.space("clic-ecal"))
    values = values.copy()
    values[:20, 13, 12, 3] = 0
    found = {each.name: each.value for each in studies.shower_targets(one, replace(one, values=values))}
    assert found["hits"] == pytest.approx(-20 / 160) and found["pairs"] == pytest.approx(-20 / 80)
    assert found["pairs.hard"] == 0


def test_other_spaces_and_missing_labels_are_refused(halves):
    flat = Sample(np.ones((3, *spaces.space("calogan").shape)), {"energy": np.ones(3)}, spaces.space("calogan"))
    with pytest.raises(ValueError, match="same boxes of cells"):
        studies.shower_targets(flat, flat)
    with pytest.raises(ValueError, match="one space"):
        studies.shower_targets(halves[0], flat)
    with pytest.raises(ValueError, match="the generated sample lacks"):
        studies.shower_targets(halves[0], replace(halves[1], labels={}))


def test_the_verdict_allows_for_statistical_errors_and_for_the_number_of_quantities():
    def verdict(value, **more):
        return Target("layers", "layers", value, 0.03, **more).verdict

    assert verdict(-0.03) == "met" and verdict(0.031) == "not met" and verdict(math.nan) == "not measured"
    assert verdict(-0.05, error=0.011) == "undecided" and verdict(-0.05, error=0.009) == "not met"
    assert verdict(-0.05, error=0.009, compared=20) == "undecided" and verdict(0.07, error=0.009) == "not met"
    assert not Target("layers", "layers", math.nan, 0.03).met


def test_targets_survive_json_and_are_shown_in_a_table():
    targets = [
        Target("response.10", "response at 10 GeV", math.nan, 0.01, unit="%"),
        Target("speed.one", "time", 12.3, 10.0, unit="ms", note="a busy machine"),
        Target("layers", "layers", -0.0414, 0.03, 0.0123, 20, "%"),
    ]
    content = [{**one.to_dict(), "value": None if math.isnan(one.value) else one.value} for one in targets]
    again = [Target.from_dict(one) for one in json.loads(json.dumps(content))]
    assert again[1:] == targets[1:] and math.isnan(again[0].value)
    text = repr(table(again, "title"))
    assert "-4.14 %" in text and "1.2 %" in text and "not measured" in text and "time: a busy machine" in text


def test_the_judges_see_all_events_and_their_limits_are_those_of_the_table(halves, monkeypatch):
    seen = {}

    def judge(name, auc):
        def test(reference, generated, **options):
            seen[name] = len(reference), len(generated), options["seed"], options["trainings"]
            return SimpleNamespace(
                auc=auc, error=0.01, deviation=9.0, verdict="", notes=(), jsd=0.1, jsds=(0.1,), floor=0.5
            )

        return test

    monkeypatch.setattr(trees, "tree_test", judge("trees", 0.64))
    monkeypatch.setattr(cnn, "cnn_test", judge("cnn", 0.78))
    found = studies.judge_targets(*halves, seed=3, trainings=2, progress=False)
    assert seen == {"trees": (500, 500, 3, 2), "cnn": (500, 500, 3, 2)}
    assert [(one.name, one.limit, one.verdict) for one in found] == [
        ("auc.trees", 0.65, "met"),
        ("auc.cnn", 0.75, "not met"),
    ]


def test_memorisation_is_compared_with_its_floor():
    assert studies.memorisation_target(Entry("memorised", 0.51, 0.01, 0.5, 0.01)).met
    assert not studies.memorisation_target(Entry("memorised", 0.6, 0.01, 0.5, 0.01)).met


def test_speed_is_measured_in_batches_and_alone():
    sizes = []

    def run(inputs):
        sizes.append(len(inputs["latent"]))
        return np.zeros((sizes[-1], *SPACE.shape), np.float32)

    generator = Generator("seen", SPACE, run, latent_size=3)
    found = studies.speed_targets(generator, {"energy": np.full(10, 50.0)}, batch_size=8, repeats=3)
    assert sizes == [8] * 4 + [1] * 4  # the first of each compiles
    assert [(one.name, one.unit) for one in found] == [("speed.batch", "ms"), ("speed.one", "ms")]
    assert all(0 < one.value < 1e3 for one in found)
