import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.simulate.readout import in_cells, layer_of

SPACE = spaces.space("clic-ecal")


@given(seed=st.integers(0, 2**32 - 1), follow=st.booleans(), events=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_energy_inside_the_window_is_conserved(seed, follow, events):
    random = np.random.default_rng(seed)
    event = random.integers(0, events, 200)
    x, y = random.uniform(-30, 30, (2, 200))
    layer, energy = random.integers(0, 25, 200), random.exponential(size=200)
    values = in_cells(SPACE, events, event, x, y, layer, energy, follow)
    assert values.sum((1, 2, 3)) == pytest.approx(np.bincount(event, energy, minlength=events), rel=1e-5)
    assert values.sum((0, 1, 2)) == pytest.approx(np.bincount(layer, energy, minlength=25), rel=1e-5)


@given(shift=st.tuples(st.floats(-200, 200), st.floats(-200, 200)))
@settings(max_examples=30, deadline=None)
def test_the_window_follows_the_barycentre_to_its_middle_cell(shift):
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 300)) * 8 + np.array(shift)[:, None]
    values = in_cells(SPACE, 1, np.zeros(300, int), x, y, np.zeros(300, int), np.ones(300), follow=True)[0]
    assert values.sum() == 300
    for axis in (0, 1):
        profile = values.sum((1 - axis, 2))
        # Half a cell of rounding, and the loss of detail inside the cells.
        assert profile @ np.arange(25) / 300 == pytest.approx(12, abs=0.6)


def test_cells_are_counted_from_low_x_and_y_and_from_the_front():
    values = in_cells(
        SPACE, 1, np.zeros(2, int), np.array([5.1, 0]), np.array([-10.2, 0]), np.array([3, 0]), np.array([2, 1]), False
    )
    assert values[0, 13, 10, 3] == 2
    assert values[0, 12, 12, 0] == 1
    assert values.sum() == 3


def test_what_falls_beside_the_window_is_lost():
    values = in_cells(
        SPACE, 1, np.zeros(2, int), np.array([64.0, 0]), np.array([0, -64.0]), np.zeros(2, int), np.ones(2), False
    )
    assert values.sum() == 0


def test_silicon_lies_in_its_own_layer():
    assert layer_of(SPACE, SPACE.centres("z")).tolist() == list(range(25))
