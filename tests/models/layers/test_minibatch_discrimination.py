import keras
import numpy as np

from calolab.models.layers.minibatch_discrimination import MinibatchDiscrimination


def test_equals_a_loop_over_pairs_of_events():
    layer = MinibatchDiscrimination(3, 4)
    features = np.random.default_rng(0).standard_normal((5, 6), dtype=np.float32)
    answers = layer(features).numpy()
    vectors = (features @ layer.kernel.numpy()).reshape(5, 3, 4)
    for event in range(5):
        closeness = sum(np.exp(-np.abs(vectors[event] - other).sum(axis=1)) for other in vectors)
        np.testing.assert_allclose(answers[event], closeness, rtol=1e-5)
    assert layer.count_params() == 6 * 3 * 4


def test_equal_events_count_each_other_and_far_ones_do_not():
    layer = MinibatchDiscrimination(2, 3)
    np.testing.assert_allclose(layer(np.ones((7, 4))), 7, rtol=1e-6)
    np.testing.assert_allclose(layer(np.array([[1e4] * 4, [-1e4] * 4])), 1, rtol=1e-6)


def test_the_order_of_the_batch_does_not_matter():
    layer = MinibatchDiscrimination(2, 3)
    features = np.random.default_rng(1).standard_normal((6, 4), dtype=np.float32)
    order = np.random.default_rng(2).permutation(6)
    np.testing.assert_allclose(layer(features[order]), layer(features).numpy()[order], rtol=1e-5)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    features = keras.Input((4,))
    network = keras.Model(features, MinibatchDiscrimination(2, 3)(features))
    network.save(tmp_path / "network.keras")
    values = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(values), network(values))
