import json

import pytest

from calolab.training import Recipe, Stage


def test_the_published_numbers():
    recipe = Recipe()
    assert recipe.weights == {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1}
    assert (recipe.flip, recipe.learning_rate, recipe.decay) == (0.05, 1e-3, 0.9)
    assert recipe.passes == ("real", "fake", "generator", "generator")


@pytest.mark.parametrize(
    "wrong",
    [{"flip": 0.6}, {"flip": -0.1}, {"learning_rate": 0}, {"decay": 1.0}, {"generator_passes": 0}, {"empty_limit": 0}],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)


def rate(recipe, epoch, batch_size, ranks, epochs=10):
    """The learning rate of all networks."""
    (one,) = set(recipe.rates(epoch, epochs, batch_size, ranks).values())
    return one


@pytest.mark.parametrize("scaling, times", [("none", 1), ("linear", 8), ("sqrt", 8**0.5)])
def test_the_learning_rate_grows_with_the_ranks(scaling, times):
    recipe = Recipe(learning_rate=1e-3, rate_scaling=scaling)
    assert rate(recipe, 0.0, batch_size=64, ranks=1) == 1e-3
    assert rate(recipe, 3.5, batch_size=64, ranks=8) == pytest.approx(times * 1e-3)


def test_the_learning_rate_grows_with_the_batch_from_a_reference():
    recipe = Recipe(learning_rate=1e-3, rate_scaling="linear", reference_batch=128)
    assert rate(recipe, 0.0, batch_size=128, ranks=1) == pytest.approx(1e-3)
    assert rate(recipe, 0.0, batch_size=64, ranks=8) == pytest.approx(4e-3)
    assert rate(recipe, 0.0, batch_size=32, ranks=2) == pytest.approx(0.5e-3)


def test_warm_up_rises_in_equal_increments_from_the_unscaled_rate():
    recipe = Recipe(learning_rate=1e-3, rate_scaling="linear", warmup_epochs=5)
    rates = [rate(recipe, epoch, batch_size=64, ranks=5) for epoch in (0, 1.25, 2.5, 5, 9)]
    assert rates == pytest.approx([1e-3, 2e-3, 3e-3, 5e-3, 5e-3])


@pytest.mark.parametrize("wrong", [{"rate_scaling": "cubic"}, {"reference_batch": 0}, {"warmup_epochs": -1}])
def test_invalid_learning_rates_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)


def test_a_recipe_is_rebuilt_from_json_also_of_an_earlier_version():
    recipe = Recipe(objective="hinge", betas=(0.0, 0.9), empty_limit=3, stages=[Stage(("generator",), 2)])
    content = json.loads(json.dumps(recipe.to_dict()))
    assert Recipe.from_dict(content) == recipe
    content["patience"] = content.pop("empty_limit")
    del content["warmup_epochs"]
    assert Recipe.from_dict(content) == recipe
    with pytest.raises(ValueError, match="'a_later_entry'"):
        Recipe.from_dict(content | {"a_later_entry": 1})
