"""The arguments of a training, checked when they are given, and the same keywords wherever a training begins."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from calolab import distributed
from calolab.training import Recipe, TrainingRequest, fit
from calolab.training.history import History
from calolab.training.ranks import Alone
from calolab.training.trainer import prepare


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, received 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, received 0"),
        ({"global_batch": 0}, "global_batch must be at least 1 event or None, received 0"),
        ({"seed": -1}, "seed must not be negative, received -1"),
        ({"precision": "float8"}, "float32, bfloat16, received 'float8'"),
        ({"resume": True}, "needs checkpoints="),
        ({"score_every": 0}, "score_every must be at least 1 epoch, received 0"),
        ({"patience": 0}, "patience must be at least 1 epoch or None, received 0"),
        ({"patience": 3}, "patience=3 stops a training whose physics score no longer improves.*physics_score="),
        ({"time_limit": 0}, "time_limit expects a positive number of seconds"),
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainingRequest(**{"epochs": 1, **wrong})


def test_a_score_must_be_a_physics_score():
    with pytest.raises(TypeError, match="expects a PhysicsScore, received function"):
        TrainingRequest(epochs=1, physics_score=lambda gan: {})


@pytest.mark.parametrize("call", [fit, distributed.fit])
def test_a_training_shows_the_keywords_of_its_request(call):
    shown = inspect.signature(call).parameters
    assert set(inspect.signature(TrainingRequest).parameters) < set(shown)
    assert shown["epochs"].default is inspect.Parameter.empty and shown["batch_size"].default == 128


def test_a_request_trains_as_its_keywords_do(tiny_gan, tiny_sample):
    request = TrainingRequest(epochs=1, batch_size=7, seed=3, recipe=Recipe(generator_passes=1))
    by_request = fit(tiny_gan(), tiny_sample(), request=request, progress=False)
    by_keywords = fit(tiny_gan(), tiny_sample(), epochs=1, batch_size=7, seed=3, recipe=request.recipe, progress=False)
    assert by_request.epochs[0]["losses"] == by_keywords.epochs[0]["losses"]
    changed = fit(tiny_gan(), tiny_sample(), request=request, seed=4, progress=False)
    assert isinstance(changed, History) and changed.settings["seed"] == 4
    with pytest.raises(TypeError, match="epoch"):
        fit(tiny_gan(), tiny_sample(), epoch=1)


def test_a_request_without_a_recipe_takes_the_published_one(tiny_gan):
    request, lagan = TrainingRequest(epochs=1), replace(tiny_gan(), architecture="lagan")
    recipe = request.recipe_for(lagan)
    assert recipe.weights == {"generation": 1.0, "signal": 1.0}
    assert (recipe.optimizer, recipe.learning_rate, recipe.class_flip) == ("adam", 2e-4, 0.09)
    assert request.recipe_for(tiny_gan()) == Recipe(), "3DGAN's for an architecture that is not in the registry"
    own = Recipe(flip=0.1)
    assert replace(request, recipe=own).recipe_for(lagan) == own


def test_each_label_is_read_once(tiny_gan, tiny_sample):
    """A stream reads a label from disk whenever it is asked for it."""
    sample, read = tiny_sample(), []

    class Labels(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    object.__setattr__(sample, "labels", Labels(sample.labels))
    run = prepare(tiny_gan(), sample, TrainingRequest(epochs=1, batch_size=7), Alone())
    assert read == ["energy"]
    np.testing.assert_array_equal(run.labels["energy"], tiny_sample().labels["energy"])
