"""Networks as compiled functions: once for all batch sizes, with present weights and the present precision."""

import copy

import keras
import numpy as np
import pytest

from calolab.models import compiled
from calolab.training.precision import computing_in


@pytest.fixture
def network():
    keras.utils.set_random_seed(1)
    given, energy = keras.Input((8,), name="latent"), keras.Input((1,), name="energy")
    found = keras.layers.Dense(32, activation="tanh")(keras.layers.concatenate([given, energy]))
    return keras.Model({"latent": given, "energy": energy}, keras.layers.Dense(4)(found))


def inputs(events):
    random = np.random.default_rng(events)
    return {
        "latent": random.standard_normal((events, 8), dtype=np.float32),
        "energy": random.random((events, 1), dtype=np.float32),
    }


def test_it_is_compiled_once_for_all_batch_sizes(network, monkeypatch):
    calls, call = [], network.call
    monkeypatch.setattr(network, "call", lambda *given, **options: calls.append(1) or call(*given, **options))
    first = compiled.predict(network, inputs(3))
    compiled.predict(network, inputs(50))
    np.testing.assert_array_equal(compiled.predict(network, inputs(3)), first)
    np.testing.assert_allclose(first, call(inputs(3)), rtol=1e-5)
    assert first.shape == (3, 4) and len(calls) == 1


def test_changed_weights_count_at_once(network):
    before = compiled.predict(network, inputs(3))
    network.layers[-1].bias.assign_add(np.ones(4, np.float32))
    np.testing.assert_allclose(compiled.predict(network, inputs(3)), before + 1, rtol=1e-5)


def test_another_precision_counts_inside_the_block_only(network):
    before = compiled.predict(network, inputs(20)), network.predict_on_batch(inputs(20))
    with computing_in("bfloat16", network):
        inside = compiled.predict(network, inputs(20)), network.predict_on_batch(inputs(20))
    after = compiled.predict(network, inputs(20)), network.predict_on_batch(inputs(20))
    for one, other, again in zip(before, inside, after):
        np.testing.assert_array_equal(one, again)
        assert 1e-4 < np.abs(one - other).max() < 0.1


def test_a_network_can_be_copied_and_saved_after_a_prediction(network, tmp_path):
    before = compiled.predict(network, inputs(3))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    for one in (loaded, copy.deepcopy(network)):
        np.testing.assert_allclose(compiled.predict(one, inputs(3)), before, rtol=1e-6)
