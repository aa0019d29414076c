"""The best epoch of a training by a score of the showers, here and as it is sent to engines."""

import numpy as np
import pytest

from calolab.distributed import shipment
from calolab.training import PhysicsScore, fit
from calolab.validation import shower_score
from tests.tiny import tiny_gan, tiny_sample


@pytest.fixture(scope="module")
def score():
    return PhysicsScore(
        shower_score(tiny_sample(200, seed=1), seed=2, metrics=("separation", "fpd")), "separation.mean"
    )


def test_the_gan_ends_with_the_epoch_of_the_best_separation_power(score):
    gan = tiny_gan()
    history = fit(gan, tiny_sample(64), epochs=4, batch_size=16, physics_score=score, progress=False)
    found = history.scores("separation.mean")
    assert len(set(found)) == 4 and np.all(np.isfinite(history.scores("fpd")))
    floor, spread = history.floor("separation.mean")
    assert 0 < floor < min(found) and spread > 0
    # The same weights and latent vectors give the same score.
    assert score(gan)["separation.mean"].value == pytest.approx(min(found), rel=1e-4)
    assert gan.provenance["trainings"][0]["best"]["epoch"] == int(np.argmin(found))


def test_the_score_is_the_same_on_an_engine(score):
    gan = tiny_gan()
    sent = shipment.unpack(shipment.pack(score, "The score"), "The score")
    assert {name: one.value for name, one in sent(gan).items()} == {name: one.value for name, one in score(gan).items()}
