"""The shipped generator of showers: outputs for given latent vectors, and its physics against the packaged showers."""

import numpy as np
import pytest

from calolab import datasets, models
from calolab.studies.targets import shower_targets

# Energy in all layers [MeV] and number of hits of showers of 10 to 100 GeV, made on an AMD EPYC with AVX-512. Hits are
# decided by comparisons, so that rounding on another CPU may move a few of them.
ENERGIES = (
    205.7,
    448.65,
    655.2,
    839.26,
    1185.34,
    1383.58,
    1510.84,
    1870.46,
)
HITS = (186, 340, 408, 472, 613, 646, 704, 801)


@pytest.fixture(scope="module")
def gan():
    return models.load("calolab-fast")


def test_its_outputs_are_those_of_its_training(gan):
    made = gan.generate({"energy": np.linspace(10, 100, 8)}, seed=11, batch_size=100).values
    np.testing.assert_allclose(1e3 * made.sum(axis=(1, 2, 3)), ENERGIES, rtol=1e-3)
    np.testing.assert_allclose(np.sum(made > 0, axis=(1, 2, 3)), HITS, atol=2)


def test_its_showers_have_the_physics_of_geant4(gan):
    """What its card claims, with the statistical errors of 400 showers."""
    demo = datasets.load("clic-electrons-demo").select(slice(400))
    made = gan.generate(demo.labels, seed=2, batch_size=100)
    found = {one.name: one for one in shower_targets(demo, made)}
    for name in ("response.25", "response.50", "response.75", "layers", "radial", "hits", "pairs"):
        assert found[name].verdict in ("met", "undecided"), found[name]
    assert abs(found["hits"].value) < 0.03 and abs(found["radial"].value) < 0.06
    assert gan.card.validity == {"energy": (10.0, 100.0)} and gan.card.scores["auc.trees"].value < 0.6


def test_it_can_be_adapted_and_warns_outside_its_range(gan):
    assert {"quantities", "cells"} <= set(gan.networks)
    with pytest.warns(UserWarning, match="10 to 100 GeV"):
        gan.generate({"energy": [200.0]}, seed=1)
