"""Plans of trainings: epochs, stages, and a limited time that the stages share."""

import pytest

from calolab import models, simulate
from calolab.studies import plan
from calolab.training.recipe import Recipe
from calolab.training.stages import Stage

pytestmark = pytest.mark.usefixtures("toy")


def test_epochs_are_those_of_the_stages_or_of_the_paper():
    assert plan.published("toy-showers").stages == [8, 4]
    assert plan.published("toy-showers", epochs=20).stages == [8, 12]
    assert plan.published("3dgan").stages == [60] and plan.published("3dgan", epochs=3).epochs == 3
    with pytest.raises(ValueError, match="more than the 8 epochs before the last stage"):
        plan.published("toy-showers", epochs=8)
    with pytest.raises(ValueError, match="toy-showers"):
        plan.published("toy-shower")


def test_the_batch_size_is_that_of_the_paper_unless_given():
    assert [plan.batch_size(name, None) for name in ("3dgan", "toy-showers", "rpv")] == [128, 128, 64]
    assert plan.batch_size("3dgan", 5) == 5


def test_all_stages_are_shortened_by_the_same_factor():
    made = plan.published("toy-showers")
    assert plan.shared_out(made, [1.0, 3.0], 20.0) == made  # it needs just as much
    short = plan.shared_out(made, [1.0, 3.0], 10.0)
    assert short.stages == [4, 2] and short.epochs == 6
    assert [stage.epochs for stage in short.recipe.stages] == [4, 2]
    assert plan.shared_out(made, [1.0, 3.0], 0.0).stages == [1, 1]
    assert plan.Plan.from_dict(short.to_dict()) == short


def test_a_last_stage_without_epochs_and_a_training_without_stages_are_shortened_too():
    recipe = Recipe(stages=(Stage("discriminator", 2), Stage(("discriminator", "generator"))))
    short = plan.shared_out(plan.Plan(recipe, 12), [1.0, 1.0], 6.0)
    assert (short.stages, short.epochs, short.recipe.stages[-1].epochs) == ([1, 5], 6, None)
    assert plan.shared_out(plan.Plan(Recipe(), 10), [2.0], 9.0) == plan.Plan(Recipe(), 4)


def test_a_last_stage_without_a_number_of_epochs_fills_the_time():
    made = plan.Plan(Recipe(stages=(Stage("discriminator", 2), Stage(("discriminator", "generator")))), 12)
    assert plan.is_open("other", made.recipe) and not plan.is_open("3dgan", made.recipe)
    assert not plan.is_open("toy-showers", plan.published("toy-showers").recipe)
    assert plan.shared_out(made, [1.0, 1.0], 30.0, fills=True).stages == [2, 28]
    assert plan.shared_out(made, [1.0, 1.0], 6.0, fills=True).stages == [2, 4]
    assert plan.shared_out(made, [10.0, 1.0], 10.0, fills=True).stages == [1, 3]  # by the same factor
    assert plan.shared_out(made, [1.0, 1.0], 30.0) == made


def test_the_speed_of_each_stage_is_measured_for_all_events():
    sample = simulate.showers("clic-ecal", 64, (10, 50), seed=1, method="gflash", progress=False)

    def seconds(train, changes):
        recipe = Recipe.published("toy-showers", **changes)
        made = plan.Plan(recipe, 12)
        return plan.seconds_per_epoch(lambda: models.build("toy-showers", "clic-ecal"), train, made, events=16, seed=1)

    found = seconds(sample, {})
    assert len(found) == 2 and all(0 < one < 60 for one in found)
    # An epoch of one step only is measured without the compilation, too, which takes longer than a tenth of a second.
    assert all(0 < one < 0.1 for one in seconds(sample.select(slice(0, 10)), {"batch_multiple": 4}))


def test_other_objectives_have_the_optimizers_of_their_papers():
    changed = plan.with_objective("3dgan", "wgan-gp")
    assert (changed.objective, changed.optimizer, changed.discriminator_passes) == ("wgan-gp", "adam", 5)
    assert changed.weights == Recipe.published("3dgan").weights
    assert plan.with_objective("3dgan", None) == Recipe.published("3dgan")
    assert plan.with_objective("3dgan", "optimal-transport").flip == 0
    with pytest.raises(ValueError, match="wgan-gp"):
        plan.with_objective("3dgan", "wgan_gp")


def test_a_plan_is_described_by_its_stages():
    text = plan.published("toy-showers").about
    assert text == "8 epochs of total (toy-showers/total, adam); 4 epochs of shape (toy-showers/shape, adam)."
