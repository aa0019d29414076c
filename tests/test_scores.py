"""A score says which direction is better; what reads it need not parse its name."""

import math

import pytest

from calolab.scores import Score, best, named_scores


@pytest.mark.parametrize(("direction", "better"), [("lower", 1.0), ("higher", 2.0)])
def test_the_direction_decides(direction, better):
    one, other = (Score("x", value, direction=direction) for value in (1.0, 2.0))
    assert one.is_better_than(other) == (better == 1.0) and other.is_better_than(one) == (better == 2.0)
    assert not one.is_better_than(one) and one.is_better_than(None)
    assert best({3: other, 5: one, 7: one}) == (5 if better == 1.0 else 3)


def test_what_is_not_a_number_is_never_better():
    missing = Score("x", math.nan)
    assert not missing.is_better_than(None) and Score("x", 9.0).is_better_than(missing)
    assert best({1: missing}) is None and best({1: missing, 2: Score("x", 9.0)}) == 2


def test_a_score_survives_json_and_a_number_becomes_one():
    full = Score("auc", 0.6, 0.5, 0.01, "higher")
    assert full.to_dict() == {"value": 0.6, "floor": 0.5, "floor_spread": 0.01, "direction": "higher"}
    assert Score.from_dict("auc", full.to_dict()) == full
    assert Score("x", 1.0).to_dict() == {"value": 1.0, "direction": "lower"}
    assert named_scores({"a": 1, "auc": full}) == {"a": Score("a", 1.0), "auc": full}


def test_wrong_scores_are_refused():
    with pytest.raises(ValueError, match="'lower' or 'higher', received 'down'"):
        Score("x", 1.0, direction="down")
    with pytest.raises(ValueError, match="floor_spread and no floor"):
        Score("x", 1.0, floor_spread=0.1)
    with pytest.raises(ValueError, match="Cannot compare 'x', of which lower is better, with 'y'"):
        Score("x", 1.0).is_better_than(Score("y", 1.0, direction="higher"))
    with pytest.raises(TypeError):
        named_scores({"a": [1.0]})
