"""A trial's own `fit`: its arguments are those of a training, and each epoch is recorded."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from calolab import models
from calolab.search.trial import BEST, TrialContext
from calolab.search.trials import log_path
from calolab.search.worker import TrialLines, TrialTask
from calolab.training import PhysicsScore, Recipe
from calolab.validation import shower_score
from tests.tiny import tiny_gan, tiny_sample


@pytest.fixture
def trial(tmp_path, make_electrons):
    """A trial on a single engine."""
    task = TrialTask("token", 0, {}, 2, 1, False, str(tmp_path), seed=3, metric="ks_comb", direction="minimize")
    return TrialContext(task, make_electrons(16), TrialLines(task))


def test_an_epoch_is_recorded_with_its_losses_and_its_score(trial, gan):
    seen, steps = [], []
    history = trial.fit(
        gan,
        batch_size=8,
        physics_score=PhysicsScore(lambda gan: {"ks_comb": 2.5}),
        callbacks=[steps.append],
        on_epoch=lambda epochs, gan: seen.append(len(epochs)),
    )
    assert (history.settings["seed"], len(history.epochs), seen, len(steps)) == (3, 2, [1, 2], 4)
    lines = [json.loads(line) for line in log_path(trial.folder.parents[1], 0).read_text().splitlines()]
    assert [line["epoch"] for line in lines if "generator" in line] == [0, 1]
    assert [line["ks_comb"] for line in lines if "ks_comb" in line] == [2.5, 2.5]
    assert (trial.folder / BEST).exists()


def test_a_trial_ends_early_by_a_shower_score_and_its_promotion_ends_at_once(tmp_path):
    task = TrialTask("token", 0, {}, 9, 1, False, str(tmp_path), seed=3, metric="worse", direction="minimize")
    measured, scored = shower_score(tiny_sample(200), seed=1, metrics="separation"), itertools.count()
    options = {
        "physics_score": PhysicsScore(lambda gan: measured(gan) | {"worse": float(next(scored))}, "worse"),
        "recipe": Recipe(generator_passes=1),
        "patience": 2,
        "score_every": 2,
        "batch_size": 21,
    }
    trial = TrialContext(task, tiny_sample(), TrialLines(task))
    history = trial.fit(tiny_gan(), **options)
    assert [epoch["epoch"] for epoch in history.epochs if "scores" in epoch] == [1, 3]
    assert history.reason == "no better worse for 2 epochs"
    lines = [json.loads(line) for line in log_path(tmp_path, 0).read_text().splitlines()]
    assert [line["epoch"] for line in lines if "separation.mean" in line] == [1, 3]
    assert [line["epoch"] for line in lines if "generator" in line] == [0, 1, 2, 3]
    promoted = replace(task, epochs=20, resume=True)
    again = TrialContext(promoted, tiny_sample(), TrialLines(promoted)).fit(tiny_gan(), **options)
    assert again.reason == history.reason and len(again.epochs) == 4


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"physics_score": lambda gan: {}}, TypeError, "expects a PhysicsScore, received function"),
        ({"resume": True}, TypeError, "trial.fit sets resume itself: leave it out"),
        ({"batchsize": 8}, TypeError, "batchsize"),
    ],
)
def test_wrong_arguments_are_refused(trial, gan, keywords, error, message):
    with pytest.raises(error, match=message):
        trial.fit(gan, **keywords)
    assert not (trial.folder / "checkpoint.npz").exists()


def test_the_gan_that_is_kept_for_a_loss_has_the_averaged_weights(tmp_path):
    task = TrialTask("token", 0, {}, 1, 1, False, str(tmp_path), seed=3, metric="generator", direction="minimize")
    trial, gan = TrialContext(task, tiny_sample(), TrialLines(task)), tiny_gan()
    seen = []
    options = {
        "batch_size": 7,
        "recipe": Recipe(average=0.5),
        "callbacks": [lambda now: seen.append(first_weights(gan))],
    }
    trial.fit(gan, **options)
    kept = first_weights(models.load(trial.folder / BEST))
    np.testing.assert_array_equal(kept, first_weights(gan))
    assert np.any(kept != seen[-1])


def first_weights(gan):
    return np.array(gan.generator.weights[0].value.numpy())
