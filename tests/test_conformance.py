"""What every registered architecture must do; a new one gets a row in the table, or the first test fails."""

import numpy as np
import pytest
from keras.activations import sigmoid

from calolab import models, spaces
from calolab.samples import Sample
from calolab.training import Recipe, fit
from calolab.training.passes import moving_statistics

# Architecture, space, parameters of the generator and of the discriminator as published, and the range of each label,
# in whole numbers for a class. (LAGAN without the 200 biases that cancel in its comparison of events.)
MASSES = {"gluino_mass": (1400.0, 1900.0), "neutralino_mass": (250.0, 850.0)}
TABLE = {
    "3dgan": ("clic-ecal", 872_948, 73_450, {"energy": (10.0, 50.0)}),
    "conditional-rpv": ("whole-detector", 308_416, 175_744, MASSES),
    "cosmogan": ("convergence", 12_826_369, 4_438_017, {}),
    "lagan": ("jet-image", 3_587_072, 1_398_834, {"signal": (0, 1)}),
    "pileup": ("whole-detector", 306_368, 175_488, {"mu": (20.0, 200.0)}),
    "rpv": ("whole-detector", 304_320, 175_232, {}),
}

architectures = pytest.mark.parametrize("name", TABLE)


@pytest.fixture(scope="module")
def built():
    return {name: models.build(name, TABLE[name][0], seed=1) for name in TABLE}


def labels(name, events):
    ranges = TABLE[name][3]
    return {label: np.linspace(low, high, events).astype(type(low)) for label, (low, high) in ranges.items()}


def wanted(name, events):
    """What to ask `generate` for: labels, or where the architecture has none the number of events."""
    return labels(name, events) or events


def sample(name, events):
    """Values of about the size and the sparseness of the architecture's real ones."""
    space, columns, random = spaces.space(TABLE[name][0]), labels(name, events), np.random.default_rng(0)
    shape = (events, *space.shape)
    if space.quantity == "convergence":
        values = random.normal(0.0, 0.02, shape)
    elif "energy" in columns:
        values = random.exponential(1.0, shape)
        axes = tuple(range(1, len(shape)))
        values *= 0.02 * np.expand_dims(columns["energy"], axes) / values.sum(axis=axes, keepdims=True)
    else:
        values = random.exponential(20.0, shape) * (random.random(shape) < 0.1)
    return Sample(values, columns, space)


def networks(gan):
    return (gan.generator, gan.discriminator)


def weights(gan):
    return [np.array(variable.value.numpy()) for network in networks(gan) for variable in network.weights]


def test_every_registered_architecture_is_in_the_table():
    assert sorted(TABLE) == models.names()


@architectures
def test_builds_with_the_published_number_of_parameters(name, built):
    assert [network.count_params() for network in networks(built[name])] == list(TABLE[name][1:3])
    assert set(built[name].conditions) == set(TABLE[name][3])


@architectures
def test_same_seed_builds_equal_weights(name, built):
    again, other = (models.build(name, TABLE[name][0], seed=seed) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(other), strict=True))


@architectures
def test_generation_depends_on_the_seed_and_not_on_the_batch_size(name, built):
    gan, asked = built[name], wanted(name, 5)
    events = gan.generate(asked, seed=3)
    assert events.values.shape == (5, *gan.space.shape)
    assert np.all(np.isfinite(events.values))
    if gan.space.unit == "GeV":
        assert np.all(events.values >= 0)
    assert set(events.labels) == set(gan.conditions)
    assert all(np.array_equal(events.labels[label], asked[label]) for label in gan.conditions)
    np.testing.assert_array_equal(gan.generate(asked, seed=3).values, events.values)
    # Another batch size adds float32 numbers in another order. Through all layers that is worth at most 5e-6 of the
    # largest cell (3DGAN with AVX2), some 40 roundings of 1.2e-7.
    tolerance = 1e-5 * np.abs(events.values).max()
    np.testing.assert_allclose(gan.generate(asked, seed=3, batch_size=2).values, events.values, rtol=0, atol=tolerance)
    assert not np.array_equal(gan.generate(asked, seed=4).values, events.values)


@architectures
def test_the_discriminator_answers_with_one_number_per_head_and_event(name, built):
    gan, events = built[name], sample(name, 3)
    told = {label: column[:, None].astype(np.float32) for label, column in events.labels.items()}
    images = events.values[..., None]
    seen = {"image": images, **told} if isinstance(gan.discriminator.input, dict) else images
    heads = gan.discriminator.predict_on_batch(seen)
    assert "generation" in heads
    assert all(head.shape == (3, 1) and head.dtype == np.float32 for head in heads.values())
    # Answers are logits, and what the heads see has a name.
    assert not [layer.name for layer in gan.discriminator.layers if getattr(layer, "activation", None) is sigmoid]
    assert len(gan.discriminator.get_layer("features").output.shape) == 2


@architectures
def test_saved_and_loaded_makes_equal_events(name, built, tmp_path):
    built[name].save(tmp_path / "gan")
    loaded = models.load(tmp_path / "gan")
    asked = wanted(name, 3)
    np.testing.assert_array_equal(loaded.generate(asked, seed=3).values, built[name].generate(asked, seed=3).values)
    assert loaded.space == built[name].space
    assert loaded.conditions == built[name].conditions
    assert loaded.settings == built[name].settings
    assert loaded.value_scale == built[name].value_scale
    rebuilt = models.build(name, loaded.space, **loaded.settings)
    assert all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(rebuilt), strict=True))


@architectures
@pytest.mark.filterwarnings("ignore:This machine has neither")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_step_moves_all_weights_and_keeps_them_finite_after_loading_too(name, precision, built, tmp_path):
    built[name].save(tmp_path / "gan")
    gan = models.load(tmp_path / "gan")
    before = weights(gan)
    events, recipe = sample(name, 2), Recipe.published(name)
    history = fit(gan, events, epochs=1, batch_size=2, precision=precision, seed=1, recipe=recipe, progress=False)
    assert all(np.isfinite(value) for value in history.epochs[0]["losses"].values())
    for old, new in zip(before, weights(gan), strict=True):
        assert np.all(np.isfinite(new))
        assert not np.array_equal(old, new)
    assert np.all(np.isfinite(gan.generate(wanted(name, 2), seed=1).values))


@pytest.mark.parametrize("name", ["conditional-rpv", "lagan"])
def test_the_directions_of_spectral_normalisation_are_trained_and_shared(name):
    """They move with each pass and are among what ranks share, so that all ranks keep equal discriminators."""
    gan = models.build(name, TABLE[name][0], seed=1, spectral_norm=True)
    directions = [variable for variable in gan.discriminator.non_trainable_weights if variable.name == "direction"]
    assert {id(variable) for variable in directions} <= {id(variable) for variable in moving_statistics(gan)}
    before = weights(gan)
    recipe = Recipe.published(name, objective="hinge")
    fit(gan, sample(name, 2), epochs=1, batch_size=2, seed=1, recipe=recipe, progress=False)
    for old, new in zip(before, weights(gan), strict=True):
        assert np.all(np.isfinite(new))
        assert not np.array_equal(old, new)
    assert all(np.linalg.norm(variable.numpy(), axis=-1) == pytest.approx(1, rel=1e-4) for variable in directions)
    assert len(directions) == len([layer for layer in gan.discriminator.layers if hasattr(layer, "direction")]) > 0
