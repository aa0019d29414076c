"""A GAN that was trained before is trained further with the recipe of its last training."""

from dataclasses import replace

import pytest

from calolab import models
from calolab.models.gan import GAN
from calolab.training import OBJECTIVES, Recipe, Stage, TrainingRequest, fit

QUIET = {"batch_size": 21, "progress": False}


def settings_recipe(history):
    return Recipe.from_dict(history.settings["recipe"])


def test_a_loaded_gan_is_trained_with_the_recipe_of_its_file(tiny_gan, tiny_sample, tmp_path):
    own = Recipe(generator_passes=1, learning_rate=3e-4)
    gan, sample = tiny_gan(), tiny_sample()
    fit(gan, sample, epochs=1, recipe=own, **QUIET)
    gan.save(tmp_path / "own.gan")
    loaded = models.load(tmp_path / "own.gan")
    assert Recipe.of(loaded) == own and Recipe.of(loaded, flip=0.1) == Recipe.of(gan, flip=0.1) != own
    assert settings_recipe(fit(loaded, sample, epochs=1, **QUIET)) == own
    # An explicit recipe has precedence, and is then the one of the last training.
    explicit = Recipe(generator_passes=1, flip=0.2)
    assert settings_recipe(fit(loaded, sample, epochs=1, recipe=explicit, **QUIET)) == explicit
    assert TrainingRequest(epochs=1).recipe_for(loaded) == explicit
    assert TrainingRequest(epochs=1).recipe_for(tiny_gan()) == Recipe()


def test_a_resumed_training_has_the_recipe_of_its_checkpoint(tiny_gan, tiny_sample, tmp_path):
    own = Recipe(generator_passes=1, learning_rate=3e-4)
    fit(tiny_gan(), tiny_sample(), epochs=1, recipe=own, checkpoints=tmp_path, **QUIET)
    history = fit(tiny_gan(), tiny_sample(), epochs=2, checkpoints=tmp_path, resume=True, **QUIET)
    assert settings_recipe(history) == own and len(history.epochs) == 2


def trained(recipe, epochs):
    """What a GAN trained with a recipe records, without training it."""
    return {"trainings": [{"epochs": epochs, "recipe": recipe.to_dict()}]}


def test_after_a_training_in_stages_only_the_last_one_is_repeated(tiny_gan):
    recipe = Recipe(stages=[Stage(("discriminator",), 2), Stage(("generator",))])
    gan = tiny_gan()
    gan.provenance.update(trained(recipe, epochs=3))
    assert Recipe.of(gan).stages == (Stage(("generator",)),)
    assert Recipe.of(gan, stages=()).stages == ()
    gan.provenance.update(trained(replace(recipe, prepare=True), epochs=3))
    assert Recipe.of(gan).prepare is None, "the constants were fitted in the first training"
    gan.provenance.update(trained(recipe, epochs=2))  # it was stopped before the last stage
    assert Recipe.of(gan).stages == recipe.stages


def test_a_gan_learns_a_changed_detector_with_the_recipe_of_its_architecture_for_that(tiny_gan):
    gan = tiny_gan()
    gan.provenance.update(trained(Recipe(generator_passes=1), epochs=1))
    assert Recipe.of_adaptation(gan, flip=0.1) == Recipe.of(gan, flip=0.1)  # it has none
    fast = models.build("calolab-fast", "clic-ecal", width=4, hidden=2)
    recipe = Recipe.of_adaptation(fast, calibrate=False)
    assert recipe.prepare and not recipe.calibrate and recipe.threshold == Recipe.published("calolab-fast").threshold
    assert [stage.networks for stage in recipe.stages] == [("quantities",), ("cells",)]
    assert recipe.parts[0].learning_rate < Recipe.published("calolab-fast").parts[0].learning_rate


def test_a_missing_objective_of_ones_own_is_named(tiny_gan, tiny_sample, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "own", OBJECTIVES["hinge"])
    gan = tiny_gan()
    gan.provenance.update(trained(Recipe(objective="own"), epochs=1))
    assert Recipe.of(gan).objective == "own"
    monkeypatch.delitem(OBJECTIVES, "own")
    with pytest.raises(ValueError, match=r"last training of this 'tiny' had a recipe.*'own'.*training\.OBJECTIVES"):
        fit(gan, tiny_sample(), epochs=1, **QUIET)
    fit(gan, tiny_sample(), epochs=1, recipe=Recipe(generator_passes=1), **QUIET)


def test_a_gan_without_a_discriminator_is_refused_with_what_is_missing(tiny_gan, tiny_sample):
    gan = tiny_gan()
    alone = GAN("tiny", gan.space, latent_size=6, networks={"generator": gan.generator})
    with pytest.raises(
        ValueError, match="trains the networks discriminator, generator; 'tiny' has generator.*a file with all networks"
    ):
        fit(alone, tiny_sample(), epochs=1, **QUIET)
