"""Model cards: their content survives JSON, and they say where a generator is valid."""

import json
from dataclasses import replace

import numpy as np
import pytest

from calolab.model_card import ModelCard
from calolab.scores import Score
from tests.tiny import tiny_card


def test_a_card_comes_back_from_json_and_ignores_later_entries():
    card = tiny_card()
    content = json.loads(json.dumps(card.to_dict()))
    assert ModelCard.from_dict(content) == card
    assert ModelCard.from_dict({**content, "of a later version": 1}) == card
    del content["data"]
    with pytest.raises(ValueError, match="not complete.*'data'"):
        ModelCard.from_dict(content)


def test_labels_outside_the_validated_range_are_named():
    card = tiny_card()
    assert card.valid_for == "energy 10 to 50 GeV"
    assert card.outside({"energy": np.array([10.0, 50.00001]), "theta": np.array([9.0])}) == ""
    assert card.outside({"energy": np.array([])}) == ""
    assert "energy 10 to 50 GeV, received 9 to 20 GeV" in card.outside({"energy": np.array([20.0, 9.0])})
    assert "received 20 to 51 GeV" in card.outside({"energy": np.array([20.0, 51.0])})


def test_the_page_and_the_notebook_show_figures_floors_and_flaws():
    card = tiny_card()
    page, shown = card.to_markdown(), card._repr_html_()
    assert page.startswith("# tiny-fast\n\nShowers for tests.\n")
    for text in ("auc.trees", "0.71", "0.500 ± 0.020", "Too few hits.", "weights 1, training 2", "BSD-3-Clause"):
        assert text in page and text in shown
    assert "Scorecard" not in replace(card, scores={}).to_markdown()
    assert "a \\| b" in replace(card, data="a | b").to_markdown()


def test_figures_that_are_not_known_are_left_out():
    card = replace(tiny_card(), scores={"fpd": Score("fpd", float("nan")), "kpd": Score("kpd", 0.1)}, scored_on="")
    assert set(card.scores) == {"kpd"} and "Figures" not in card.to_markdown()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"validity": {"energy": (50.0, 10.0)}}, "lowest and the highest value"),
        ({"validity": {"energy": (50.0,)}}, "lowest and the highest value"),
        ({"scores": {"fpd": Score("kpd", 1.0)}}, "scores\\['fpd'\\] is the score 'kpd'"),
    ],
)
def test_wrong_entries_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(tiny_card(), **wrong)
