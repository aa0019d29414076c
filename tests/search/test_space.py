"""The search space: draws stay inside and depend on seed and number alone; what makes no sense is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.search import Choice, Integer, Real
from calolab.search.space import check_space, draw, from_dict, to_dict

SPACE = {
    "rate": Real(1e-5, 1e-2, log=True),
    "momentum": Real(-1.0, 1.0),
    "units": Integer(4, 64, log=True),
    "layers": Integer(1, 3),
    "norm": Choice(True, None, "batch"),
}


@given(seed=st.integers(0, 2**32), number=st.integers(0, 10_000))
def test_draws_stay_inside_and_are_a_function_of_seed_and_number(seed, number):
    drawn = draw(SPACE, seed, number)
    assert 1e-5 <= drawn["rate"] <= 1e-2 and -1 <= drawn["momentum"] <= 1
    assert 4 <= drawn["units"] <= 64 and drawn["layers"] in (1, 2, 3) and drawn["norm"] in (True, None, "batch")
    assert draw(SPACE, seed, number) == drawn
    assert {type(value) for value in drawn.values()} <= {float, int, bool, type(None), str}


def test_a_logarithmic_range_favours_no_decade():
    rates = np.log10([draw(SPACE, 1, number)["rate"] for number in range(3000)])
    counts = np.histogram(rates, bins=[-5, -4, -3, -2])[0]
    assert counts.sum() == 3000 and counts.min() > 900
    units = [draw({"units": Integer(1, 3)}, 1, number)["units"] for number in range(300)]
    assert min(np.bincount(units)[1:]) > 70  # both ends come as often as the middle


def test_a_space_survives_json():
    import json

    assert from_dict(json.loads(json.dumps(to_dict(SPACE)))) == SPACE


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: Real(2, 1), "a lower and a higher end, received 2 and 1"),
        (lambda: Real(0, 1, log=True), "above 0, received 0"),
        (lambda: Real(0, math.inf), "received 0 and inf"),
        (lambda: Integer(1.5, 3), "expects integers"),
        (lambda: Choice(), "at least one value"),
        (lambda: Choice("a", "a"), "each value once"),
        (lambda: check_space({}), "at least one parameter"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_what_is_no_parameter_is_refused():
    with pytest.raises(TypeError, match=r"received 'x': \(1, 2\)"):
        check_space({"x": (1, 2)})
    with pytest.raises(TypeError, match="name it here"):
        Choice([1, 2])
