"""The record of a scorecard: JSON, ranking, several generators side by side."""

import json
import math

import numpy as np
import pytest

from calolab.spaces import space
from calolab.validation.scorecards.metrics import CHEAP, GROUPS, METRICS, chosen
from calolab.validation.scorecards.records import Entry, Panel, Scorecard


def card(name="GAN", fpd=0.02, auc=0.8, **changed):
    entries = {
        "fpd": Entry("fpd", fpd, 0.001, 0.0, 0.002),
        "auc.trees": Entry("auc.trees", auc, 0.01, 0.5, 0.01, note="few events"),
        "coverage": Entry("coverage", 0.9, None, 0.95, 0.03),
        "response": Entry("response", math.nan),
    }
    panel = Panel("hits", "hits", "fraction", np.array([0.0, 1, 2]), {}, {}, "y")
    counts = {"Geant4": np.array([0.5, 0.5]), name: np.array([0.2, 0.8])}
    panel = Panel(**{**vars(panel), "contents": counts, "errors": {one: np.full(2, 0.1) for one in counts}})
    content = {
        "kind": "showers",
        "space": space("clic-ecal"),
        "reference": "Geant4",
        "fingerprint": "ab",
        "events": {"Geant4": 400, name: 300, "compared": 200},
        "energies": (10.0, 50.0),
        "settings": {"threshold": 3e-5, "repetitions": 10},
        "results": {name: entries},
        "panels": {"hits": panel},
        "matrices": {"Geant4": np.eye(2), name: np.array([[1.0, np.nan], [np.nan, 1.0]])},
        "notes": ("a note",),
    }
    return Scorecard(**(content | changed))


def test_json_keeps_everything():
    first = card()
    again = Scorecard.from_json(first.to_json())
    assert again.to_json() == first.to_json()
    assert again.space == first.space and again.energies == first.energies and again.notes == first.notes
    assert again["GAN"]["fpd"] == first["GAN"]["fpd"]
    assert math.isnan(again["GAN"]["response"].value)
    np.testing.assert_array_equal(again.matrices["GAN"], first.matrices["GAN"])
    np.testing.assert_array_equal(again.panels["hits"].contents["GAN"], [0.2, 0.8])


@pytest.mark.parametrize(
    "text, message",
    [
        ("no JSON", "not a scorecard"),
        ("[1]", "not a scorecard"),
        ('{"fpd": 1}', "not a scorecard"),
        (json.dumps({"calolab scorecard": 99}), "version 99"),
        (json.dumps({"calolab scorecard": 1, "panels": {}}), "damaged"),
    ],
)
def test_other_texts_are_no_scorecard(text, message):
    with pytest.raises(ValueError, match=message):
        Scorecard.from_json(text)


def test_ranking_follows_the_direction_of_the_metric_and_puts_undefined_last():
    both = card(fpd=0.02, auc=0.7).beside(card("flow", fpd=0.01, auc=0.9), card("lost", fpd=math.nan, auc=0.95))
    assert both.ranking("fpd") == ("flow", "GAN", "lost")
    assert both.ranking("auc.trees") == ("GAN", "flow", "lost")
    better = dict(both.results["lost"]) | {"coverage": Entry("coverage", 0.99)}
    changed = Scorecard(**(vars(both) | {"results": {**both.results, "lost": better}}))
    assert changed.ranking("coverage") == ("lost", "GAN", "flow")


def test_scorecards_stand_side_by_side_only_against_the_same_reference():
    one, other = card(), card("flow")
    both = one.beside(other)
    assert both.generators == ("GAN", "flow")
    assert set(both.panels["hits"].contents) == {"Geant4", "GAN", "flow"}
    assert both.events == {"Geant4": 400, "GAN": 300, "flow": 300, "compared": 200}
    assert "flow" in repr(both) and one.generators == ("GAN",)
    with pytest.raises(ValueError, match="same reference"):
        one.beside(card("flow", fingerprint="cd"))
    with pytest.raises(ValueError, match="called GAN"):
        one.beside(card())


def test_at_floor_needs_a_floor_and_an_uncertainty():
    assert Entry("fpd", 0.002, 0.001, 0.0, 0.001).at_floor
    assert not Entry("fpd", 0.02, 0.001, 0.0, 0.001).at_floor
    assert Entry("coverage", 0.99, None, 0.95, 0.01).at_floor
    assert Entry("coverage", 0.99, 0.01, 0.95).at_floor is None
    assert not Entry("coverage", 0.80, None, 0.95, 0.01).at_floor
    assert Entry("fpd", 0.002).at_floor is None
    assert not Entry("fpd", 11.0, 14.0, 0.005, 0.005).at_floor  # a large error does not hide a bad value
    assert Entry("auc.cnn", 0.53, 0.02, 0.49, 0.02).at_floor
    assert Entry("density", 1.02, None, 1.0, 0.02).at_floor and not Entry("density", 1.5, None, 1.0, 0.02).at_floor
    assert Entry("fpd", math.nan, 0.1, 0.0, 0.1).at_floor is None


def test_table_shows_values_beside_floors_with_the_factor_of_published_tables():
    text = repr(card())
    assert "FPD × 10³" in text and "20.0 ± 1.0" in text and "0.0 ± 2.0" in text
    assert "AUC trees: few events" in text and "a note" in text
    assert "200 events of each against 200 of Geant4" in text
    assert "<table" in card()._repr_html_()


def test_scores_carry_value_floor_and_direction():
    scores = card().scores()
    assert scores["coverage"].direction == "higher" and scores["fpd"].floor == 0.0
    with pytest.raises(ValueError, match="expects one of GAN, flow"):
        card().beside(card("flow")).scores()


def test_metrics_are_chosen_by_name_group_or_as_cheap_ones():
    everything = tuple(METRICS)
    assert chosen(None, everything) == everything
    assert chosen("fpd", everything) == ("fpd",)
    assert set(chosen(["neighbours", "fpd"], everything)) == {
        "fpd",
        "precision",
        "recall",
        "density",
        "coverage",
        "memorised",
    }
    assert "auc.trees" in chosen("cheap", everything) and "auc.cnn" not in chosen("cheap", everything)
    assert all(name in METRICS or name in GROUPS for name in CHEAP)
    with pytest.raises(ValueError, match="auc.trees"):
        chosen(["auc.tree"], everything)
    with pytest.raises(ValueError, match="not available"):
        chosen(["memorised"], ("fpd",))


def test_panels_with_wider_bins_and_missing_panels_stand_side_by_side():
    panel = card("flow").panels["hits"]
    wide = {"Geant4": np.array([0.0, 0.5, 0.5, 0.0]), "flow": np.array([0.1, 0.2, 0.3, 0.4])}
    panels = {
        "hits": Panel("hits", "hits", "fraction", np.arange(-1.0, 4), wide, {one: 0.1 * wide[one] for one in wide}),
        "more": panel,
    }
    both = card(panels={**card().panels, "lost": panel}).beside(card("flow", panels=panels))
    assert set(both.panels) == {"hits"}
    joined = both.panels["hits"]
    np.testing.assert_array_equal(joined.edges, [-1, 0, 1, 2, 3])
    np.testing.assert_array_equal(joined.contents["GAN"], [0, 0.2, 0.8, 0])
    np.testing.assert_array_equal(joined.contents["Geant4"], [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(joined.contents["flow"], wide["flow"])
    np.testing.assert_array_equal(joined.errors["GAN"], [0, 0.1, 0.1, 0])
    assert list(joined.contents) == ["Geant4", "GAN", "flow"]
