"""What every registered architecture must do; a new one gets a row in the table, or the first test fails."""

import numpy as np
import pytest

from calolab import models, spaces
from calolab.samples import Sample
from calolab.training import fit

# Architecture, space, parameters of the generator and of the discriminator as published, labels.
TABLE = {
    "3dgan": ("clic-ecal", 872_948, 73_450, {"energy": (10.0, 50.0)}),
}

architectures = pytest.mark.parametrize("name", TABLE)


@pytest.fixture(scope="module")
def built():
    return {name: models.build(name, TABLE[name][0], seed=1) for name in TABLE}


def labels(name, events):
    return {label: np.linspace(low, high, events) for label, (low, high) in TABLE[name][3].items()}


def sample(name, events):
    space = spaces.space(TABLE[name][0])
    columns = labels(name, events)
    values = np.random.default_rng(0).exponential(1.0, (events, *space.shape))
    totals = values.reshape(events, -1).sum(axis=1).reshape(events, *(1,) * len(space.shape))
    energy = columns["energy"].reshape(totals.shape)
    return Sample(values * 0.02 * energy / totals, columns, space)


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
    gan, wanted = built[name], labels(name, 5)
    showers = gan.generate(wanted, seed=3)
    assert showers.values.shape == (5, *gan.space.shape)
    assert np.all(np.isfinite(showers.values))
    assert np.all(showers.values >= 0)
    assert all(np.array_equal(showers.labels[label], wanted[label]) for label in gan.conditions)
    np.testing.assert_array_equal(gan.generate(wanted, seed=3).values, showers.values)
    np.testing.assert_allclose(
        gan.generate(wanted, seed=3, batch_size=2).values, showers.values, rtol=1e-4, atol=1e-6 * showers.values.max()
    )
    assert not np.array_equal(gan.generate(wanted, seed=4).values, showers.values)


@architectures
def test_saved_and_loaded_makes_equal_showers(name, built, tmp_path):
    built[name].save(tmp_path / "gan")
    loaded = models.load(tmp_path / "gan")
    wanted = labels(name, 3)
    np.testing.assert_array_equal(loaded.generate(wanted, seed=3).values, built[name].generate(wanted, seed=3).values)
    assert loaded.space == built[name].space
    assert loaded.conditions == built[name].conditions
    assert loaded.settings == built[name].settings


@architectures
@pytest.mark.filterwarnings("ignore:This machine has neither")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_step_moves_all_weights_and_keeps_them_finite_after_loading_too(name, precision, built, tmp_path):
    built[name].save(tmp_path / "gan")
    gan = models.load(tmp_path / "gan")
    before = weights(gan)
    history = fit(gan, sample(name, 2), epochs=1, batch_size=2, precision=precision, seed=1, progress=False)
    assert all(np.isfinite(value) for value in history.epochs[0]["losses"].values())
    for old, new in zip(before, weights(gan), strict=True):
        assert np.all(np.isfinite(new))
        assert not np.array_equal(old, new)
    assert np.all(np.isfinite(gan.generate(labels(name, 2), seed=1).values))
