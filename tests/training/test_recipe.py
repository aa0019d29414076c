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


def test_schedules_fall_from_the_rate_to_its_final_fraction():
    def rates(schedule, final, epochs=(0, 1, 2, 3, 4, 9)):
        recipe = Recipe(learning_rate=1e-2, schedule=schedule, final_rate=final)
        return [rate(recipe, epoch, 64, 1, epochs=4) for epoch in epochs]

    assert rates("constant", 0.0) == [1e-2] * 6
    assert rates("linear", 0.2) == pytest.approx([1e-2, 8e-3, 6e-3, 4e-3, 2e-3, 2e-3])
    assert rates("exponential", 1e-4) == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-6])
    assert rates("cosine", 0.0) == pytest.approx([1e-2, 0.853553e-2, 0.5e-2, 0.146447e-2, 0, 0], abs=1e-8)
    with pytest.raises(ValueError, match="never reaches 0: give a positive final_rate"):
        Recipe(schedule="exponential")


def test_a_schedule_multiplies_the_scaled_rates_of_each_network():
    recipe = Recipe(
        learning_rate={"discriminator": 4e-4, "generator": 1e-4},
        schedule="linear",
        rate_scaling="linear",
        reference_batch=64,
        warmup_epochs=2,
    )
    # Half of the warm-up from 1 to 4 times the rate, and a quarter of the schedule.
    assert recipe.rates(1, 4, 64, 4) == pytest.approx({"discriminator": 7.5e-4, "generator": 1.875e-4})


def test_a_stage_changes_the_recipe():
    later = {"objective": "hinge", "learning_rate": 1e-4, "betas": (0.0, 0.9), "clip": 1.0, "average": 0.999}
    recipe = Recipe(
        learning_rate={"generator": 1e-3, "discriminator": 2e-3},
        stages=(Stage("generator", 3), Stage(("generator", "discriminator"), recipe=later)),
    )
    first, second = recipe.parts
    assert [recipe.place(epoch) for epoch in (0, 2, 3, 99)] == [0, 0, 1, 1] and recipe.spans == ((0, 3), (3, None))
    assert first.learning_rate == {"generator": 1e-3} and first.objective == "non-saturating"
    assert {name: getattr(second, name) for name in later} == later and recipe.at(3) == second
    assert recipe.passes_in(2) == ("generator", "generator") and recipe.passes_in(3)[:2] == ("real", "fake")
    assert second.parts == (second,) and second.at(17) is second
    assert recipe.trained_networks == ("generator", "discriminator") and second.batches == 1
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert not recipe.has_schedule_to_end
    assert Recipe(schedule="cosine").has_schedule_to_end
    assert not Recipe(schedule="cosine", stages=(Stage("generator", 3),)).has_schedule_to_end


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "step"}, "Unknown schedule 'step'"),
        ({"final_rate": 1.5}, "final_rate expects a number from 0 to 1, received 1.5"),
        ({"clip": 0}, "clip expects a positive number or None, received 0"),
        ({"average": 1.0}, "average expects a number between 0 and 1, or None, received 1.0"),
        ({"learning_rate": "fast"}, "learning_rate expects positive numbers, received 'fast'"),
        ({"learning_rate": {"generator": 0.0}}, "learning_rate expects positive numbers, received 0.0"),
        ({"learning_rate": {"generator": 1e-3}}, r"learning_rate expects a number for each network that learns \(disc"),
        ({"learning_rate": {"critic": 1e-3}}, "Unknown network in learning_rate 'critic'"),
        ({"network_passes": {"generator": 2}}, "set discriminator_passes and generator_passes"),
        ({"batch_multiple": 1.5}, "batch_multiple expects a whole number, at least 1, received 1.5"),
        ({"stages": (Stage("generator", 1, {"learning_rat": 1e-3}),)}, "Nearest: learning_rate"),
        ({"stages": (Stage("generator", 1, {"objective": "hinges"}),)}, "Nearest: hinge"),
        ({"stages": (Stage("generator", 1, {"flip": 0.7}),)}, "flip expects"),
        ({"stages": (Stage("critic", 1, {"objective": "hinge"}),)}, "Unknown network of a stage 'critic'"),
        (
            {"learning_rate": {"generator": 1e-3}, "stages": (Stage("discriminator", 1), Stage("generator"))},
            r"a number for each network that learns \(discriminator\), received \{\}",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_the_recipe_is_made(wrong, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**wrong)


@pytest.mark.parametrize("name", ["stages", "prepare", "calibrate"])
def test_a_stage_cannot_have_stages(name):
    with pytest.raises(ValueError, match=f"The recipe of a Stage cannot change {name}"):
        Stage("generator", recipe={name: ()})
