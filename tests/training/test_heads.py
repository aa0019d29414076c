import numpy as np
import pytest

from calolab.models import registry
from calolab.samples import Sample
from calolab.training import Recipe, heads
from calolab.training.heads import Response
from calolab.training.inputs import Draw, step_inputs

RECIPE = Recipe()
RESPONSE = Response((2.0,), 10.0, 100.0, 1)
HEADS = registry.find("3dgan").heads


def inputs_and_targets(kind, sample, drawn, recipe=RECIPE, heads=HEADS):
    return step_inputs(kind, sample, drawn, ("energy",), heads, recipe, RESPONSE)


def drawn(flips, class_flips=None, **labels):
    events = len(flips)
    return Draw(
        latent=np.ones((events, 6), np.float32),
        labels=labels or {"energy": np.full(events, 50.0)},
        flips=np.array(flips),
        class_flips=np.array(class_flips or [False] * events),
        mixing=np.zeros(events, np.float32),
        seeds=np.zeros((1, 2)),
        seed=np.zeros(2, np.int64),
    )


def test_losses_of_the_heads_are_the_published_ones():
    outputs = {"generation": [[3.0], [0.4]], "auxiliary": [[0.5], [0.1]], "ecal": [[1.0], [2.0]]}
    targets = {"generation": [[1.0], [0.0]], "auxiliary": [[0.25], [0.1]], "ecal": [[2.0], [2.0]]}
    arrays = [{name: np.array(rows, np.float32) for name, rows in heads.items()} for heads in (outputs, targets)]
    total, means = heads.head_losses(HEADS, *arrays, RECIPE.weights)
    assert sorted(means) == ["auxiliary", "ecal"]
    assert float(means["auxiliary"]) == pytest.approx(50)
    assert float(means["ecal"]) == pytest.approx(25)
    assert float(total) == pytest.approx(0.1 * 50 + 0.1 * 25)


def test_real_showers_lose_cells_below_threshold_and_flip_labels(tiny_sample):
    sample = tiny_sample(3)
    values = sample.values.copy()
    values[:, 0, 0, 0] = 1e-7
    sample = Sample(values, sample.labels, sample.space)
    inputs, targets = inputs_and_targets("real", sample, drawn([False, True, False]))
    assert inputs["image"].shape == (3, 4, 4, 4, 1)
    assert np.all(inputs["image"][:, 0, 0, 0] == 0)
    assert list(targets) == ["real"]
    np.testing.assert_array_equal(targets["real"]["generation"], [[1], [0], [1]])
    np.testing.assert_allclose(targets["real"]["auxiliary"][:, 0], sample.labels["energy"] / 100, rtol=1e-6)
    np.testing.assert_allclose(targets["real"]["ecal"][:, 0], inputs["image"].sum(axis=(1, 2, 3, 4)), rtol=1e-5)
    keep = Recipe(threshold=None)
    inputs, _ = inputs_and_targets("real", sample, drawn([False] * 3), keep)
    np.testing.assert_array_equal(inputs["image"][..., 0], values)


def test_only_the_discriminators_labels_are_flipped(tiny_sample):
    def of(kind):
        return inputs_and_targets(kind, tiny_sample(2), drawn([False, True]))

    inputs, targets = of("fake")
    assert sorted(inputs) == ["energy", "latent"]
    np.testing.assert_array_equal(targets["generated"]["generation"], [[0], [1]])
    np.testing.assert_allclose(targets["generated"]["ecal"], [[1.0], [1.0]])
    np.testing.assert_array_equal(inputs["energy"], [[50], [50]])
    inputs, targets = of("generator")
    np.testing.assert_array_equal(targets["generated"]["generation"], [[1], [1]])


def test_a_joint_pass_flips_both_and_generates_with_the_labels_of_the_real_events(tiny_sample):
    sample = tiny_sample(2)
    inputs, targets = inputs_and_targets("discriminator", sample, drawn([False, True]))
    np.testing.assert_array_equal(targets["real"]["generation"], [[1], [0]])
    np.testing.assert_array_equal(targets["generated"]["generation"], [[0], [1]])
    np.testing.assert_allclose(inputs["energy"][:, 0], sample.labels["energy"], rtol=1e-6)
    np.testing.assert_allclose(targets["generated"]["auxiliary"][:, 0], sample.labels["energy"] / 100, rtol=1e-6)


def test_class_flips_change_the_targets_of_the_generator_and_not_its_inputs(tiny_sample):
    recipe = Recipe(weights={"generation": 1.0, "signal": 1.0}, class_flip=0.1)
    given = drawn([False] * 2, [True, False], energy=np.full(2, 50.0), signal=np.array([1.0, 1.0]))
    sample = Sample(tiny_sample(2).values, dict(given.labels), tiny_sample(2).space)
    classes = registry.find("lagan").heads
    _, targets = inputs_and_targets("generator", sample, given, recipe, classes)
    np.testing.assert_array_equal(targets["generated"]["signal"], [[0], [1]])
    _, targets = inputs_and_targets("fake", sample, given, recipe, classes)
    np.testing.assert_array_equal(targets["generated"]["signal"], [[1], [1]])


def test_heads_and_recipe_must_fit(tiny_gan):
    with pytest.raises(ValueError, match="All heads need"):
        heads.heads_of(tiny_gan(), Recipe(weights={"generation": 1.0}))
    with pytest.raises(ValueError, match="class_flip needs"):
        heads.heads_of(tiny_gan(), Recipe(class_flip=0.1))
