"""Samples for widgets: small, seeded, in every kind of space."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from tests.widgets.jets.jet_events import make_events


@pytest.fixture
def make_sample():
    """A function that makes sparse random events with energies between 10 and 100 GeV."""

    def make(space="clic-ecal", events=6, seed=1):
        space = spaces.space(space)
        rng = np.random.default_rng(seed)
        values = rng.gamma(0.5, 0.01, (events, *space.shape)) * (rng.random((events, *space.shape)) < 0.05)
        return Sample(values, {"energy": rng.uniform(10, 100, events)}, space)

    return make


@pytest.fixture(scope="module")
def real():
    """Events of the whole detector."""
    return make_events()


@pytest.fixture(scope="module")
def generated():
    """Events with jets of higher energy."""
    return make_events(seed=2, energy=500.0)
