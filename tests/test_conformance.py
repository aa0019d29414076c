"""What every registered architecture must do.

A new one needs its published recipe in `PUBLISHED`, and a range for each new label in `RANGES`.
"""

import importlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.activations import sigmoid

from calolab import models, spaces
from calolab.models import architectures as architectures_folder
from calolab.samples import Sample
from calolab.training import Recipe, fit
from calolab.training.passes import moving_statistics

# Values of the labels to generate events with, in whole numbers for a class.
RANGES = {
    "energy": (10.0, 50.0),
    "gluino_mass": (1400.0, 1900.0),
    "mu": (20.0, 200.0),
    "neutralino_mass": (250.0, 850.0),
    "signal": (0, 1),
}
RECORDS = {name: models.find(name) for name in models.names()}
# Their layers include those of all others.
IN_BFLOAT16 = ("3dgan", "lagan", "rpv")

architectures = pytest.mark.parametrize("name", RECORDS)
adversarial = pytest.mark.parametrize(
    "name", [name for name, one in RECORDS.items() if "discriminator" in one.parameters]
)
# A class has no values between 0 and 1.
CONTINUOUS = {label for label, (low, _) in RANGES.items() if isinstance(low, float)}
conditional = pytest.mark.parametrize(
    "name", [name for name, record in RECORDS.items() if CONTINUOUS & set(record.conditions)]
)

# Batch size and recipe as in the papers or the programs published with them.
DCGAN = {
    "objective": "non-saturating",
    "weights": {"generation": 1.0},
    "discriminator_passes": 1,
    "generator_passes": 1,
    "optimizer": "adam",
    "learning_rate": 2e-4,
    "betas": (0.5, 0.999),
    "flip": 0.0,
}
WHOLE_DETECTOR = (64, {**DCGAN, "batch_flip": 0.0, "threshold": 0.5})
PUBLISHED = {
    "3dgan": (
        128,
        {
            "objective": "non-saturating",
            "weights": {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1},
            "together": False,
            "discriminator_passes": 1,
            "generator_passes": 2,
            "optimizer": "rmsprop",
            "learning_rate": 1e-3,
            "decay": 0.9,
            "flip": 0.05,
            "threshold": 1e-6,
        },
    ),
    "lagan": (
        100,
        {
            "objective": "non-saturating",
            "weights": {"generation": 1.0, "signal": 1.0},
            "optimizer": "adam",
            "learning_rate": 2e-4,
            "betas": (0.5, 0.999),
            "flip": 0.05,
            "class_flip": 0.09,
            "threshold": 1e-3,
        },
    ),
    "cosmogan": (64, {**DCGAN, "batch_flip": 0.01, "threshold": None}),
    "rpv": WHOLE_DETECTOR,
    "conditional-rpv": WHOLE_DETECTOR,
    "pileup": WHOLE_DETECTOR,
    "calolab-fast": (
        32,
        {
            "objective": "calolab-fast/quantities",
            "optimizer": "adam",
            "betas": (0.9, 0.999),
            "threshold": 3e-5,
            "augment": True,
            "schedule": "cosine",
        },
    ),
}


@pytest.fixture(scope="module")
def built():
    return {name: models.build(name, record.space, seed=1) for name, record in RECORDS.items()}


def labels(name, events):
    ranges = {label: RANGES[label] for label in RECORDS[name].conditions}
    return {label: np.linspace(low, high, events).astype(type(low)) for label, (low, high) in ranges.items()}


def request(name, events):
    """Argument of `generate`: labels, or the number of events for an unconditional architecture."""
    return labels(name, events) or events


def sample(name, events):
    """Values of about the size and the sparseness of the architecture's real ones."""
    space, columns, random = spaces.space(RECORDS[name].space), labels(name, events), np.random.default_rng(0)
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


def weights(gan):
    return [np.array(variable.value.numpy()) for network in gan.networks.values() for variable in network.weights]


def test_every_file_of_the_folder_is_in_the_registry():
    files = {path.stem for path in Path(architectures_folder.__path__[0]).glob("*.py")} - {"__init__"}
    modules = [importlib.import_module(f"calolab.models.architectures.{name}") for name in files]
    assert sorted(one.name for module in modules for one in module.ARCHITECTURES) == models.names()
    assert len(models.names()) >= len(files) >= 4


@architectures
def test_the_record_names_its_paper_and_its_published_recipe(name):
    record = RECORDS[name]
    assert record.name == name and record.citation
    recipe = Recipe.published(name)
    assert set(recipe.weights) == {"generation", *record.heads}
    batch_size, published = PUBLISHED[name]
    assert record.batch_size == batch_size
    assert {part: getattr(recipe, part) for part in published} == published


@architectures
def test_builds_with_the_published_number_of_parameters(name, built):
    gan, record = built[name], RECORDS[name]
    assert {key: network.count_params() for key, network in gan.networks.items()} == record.parameters
    assert (gan.architecture, gan.conditions) == (name, record.conditions)
    if "discriminator" in gan.networks:
        assert set(gan.discriminator.output) == {"generation", *record.heads}


@architectures
def test_same_seed_builds_equal_weights(name, built):
    again, other = (models.build(name, RECORDS[name].space, seed=seed) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(other), strict=True))


@architectures
def test_generation_depends_on_the_seed_and_not_on_the_batch_size(name, built):
    gan, asked = built[name], request(name, 5)
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


@conditional
def test_a_traversal_moves_smoothly_with_the_conditions(name, built):
    """All random inputs are in the latent vector: with it fixed, a smaller step of the labels is a smaller change."""
    gan, middle = built[name], {label: np.mean(column) for label, column in labels(name, 2).items()}

    def change(step):
        points = {label: value * np.array([1, 1 + step]) for label, value in middle.items()}
        first, second = gan.traverse(points, seed=3).values.astype(float)
        return np.abs(second - first).sum() / np.abs(first).sum()

    assert 0 < change(1e-3) < 0.1 * change(0.1) + 1e-4


@adversarial
def test_the_discriminator_answers_with_one_number_per_head_and_event(name, built):
    gan, events = built[name], sample(name, 3)
    conditions = {label: column[:, None].astype(np.float32) for label, column in events.labels.items()}
    images = events.values[..., None]
    seen = {"image": images, **conditions} if isinstance(gan.discriminator.input, dict) else images
    heads = gan.discriminator.predict_on_batch(seen)
    assert "generation" in heads
    assert all(head.shape == (3, 1) and head.dtype == np.float32 for head in heads.values())
    # Answers are logits, and what the heads see has a name.
    assert not [layer.name for layer in gan.discriminator.layers if getattr(layer, "activation", None) is sigmoid]
    assert len(gan.discriminator.get_layer("features").output.shape) == 2


# Constants that are measured at the end of a training.
CALIBRATED = {"hit_spread", "energy_spread", "hit_correction", "spectrum_correction"}


@architectures
def test_saved_and_loaded_makes_equal_events(name, built, tmp_path):
    built[name].save(tmp_path / "gan")
    loaded = models.load(tmp_path / "gan")
    asked = request(name, 3)
    np.testing.assert_array_equal(loaded.generate(asked, seed=3).values, built[name].generate(asked, seed=3).values)
    assert loaded.space == built[name].space
    assert loaded.conditions == built[name].conditions
    assert loaded.settings == built[name].settings
    assert loaded.value_scale == built[name].value_scale
    rebuilt = models.build(name, loaded.space, **loaded.settings)
    assert all(np.array_equal(a, b) for a, b in zip(weights(built[name]), weights(rebuilt), strict=True))


@pytest.mark.filterwarnings("ignore:This machine has neither")
@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "float32") for name in RECORDS), *((name, "bfloat16") for name in IN_BFLOAT16)],
)
def test_one_step_moves_all_weights_and_keeps_them_finite_after_loading_too(name, precision, built, tmp_path):
    built[name].save(tmp_path / "gan")
    gan = models.load(tmp_path / "gan")
    before = weights(gan)
    events, recipe = sample(name, 2), Recipe.published(name)
    stages = tuple(replace(stage, epochs=1) for stage in recipe.stages)
    recipe = replace(recipe, stages=stages, calibrate=False)
    options = {"epochs": max(1, len(stages)), "recipe": recipe, "precision": precision}
    history = fit(gan, events, batch_size=2, seed=1, progress=False, **options)
    assert all(np.isfinite(value) for epoch in history.epochs for value in epoch["losses"].values())
    variables = [variable for network in gan.networks.values() for variable in network.weights]
    for variable, old, new in zip(variables, before, weights(gan), strict=True):
        assert np.all(np.isfinite(new))
        assert np.array_equal(old, new) == (variable.name in CALIBRATED)
    assert np.all(np.isfinite(gan.generate(request(name, 2), seed=1).values))


def test_the_layers_of_all_architectures_are_trained_in_bfloat16(built):
    def layers(names):
        found = [layer for name in names for network in built[name].networks.values() for layer in network.layers]
        # Those without autocast, and networks that are layers of others, compute in float32.
        return {type(layer) for layer in found if layer.autocast and not isinstance(layer, keras.Model)}

    assert layers(RECORDS) == layers(IN_BFLOAT16)


@pytest.mark.parametrize("name", ["conditional-rpv", "lagan"])
def test_the_directions_of_spectral_normalisation_are_trained_and_shared(name):
    """They change with each pass and are averaged over the ranks, so that all ranks have equal discriminators."""
    gan = models.build(name, RECORDS[name].space, seed=1, spectral_norm=True)
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
