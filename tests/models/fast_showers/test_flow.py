"""The flow: a path that ends at the numbers on which it was trained, and the same network for all layers."""

import keras
import numpy as np
import pytest
from keras import ops

from calolab.models.fast_showers.flow import Flow


def built(columns=3, layers=4, **settings):
    flow = Flow(columns, layers, **{"width": 8, "blocks": 2, "steps": 4, "seed": 1, **settings})
    inputs = {name: np.zeros((2, size), np.float32) for name, size in (("noise", columns * layers), ("scaled", 1))}
    flow({**inputs, "total": inputs["scaled"]})
    return flow


def test_the_path_of_a_constant_velocity_is_straight():
    flow = built()
    flow.velocity = lambda position, time, given: ops.ones_like(position)
    noise = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)
    given = np.zeros((5, 1), np.float32)
    np.testing.assert_allclose(flow({"noise": noise, "scaled": given, "total": given}), noise + 1, atol=1e-5)


def test_the_loss_is_the_squared_error_of_the_velocity_on_the_straight_path():
    flow, random = built(), np.random.default_rng(0)
    numbers, noise = (random.standard_normal((5, 12)).astype(np.float32) for _ in range(2))
    flow.velocity = lambda position, time, given: position
    time, given = np.full((5, 1), 0.25, np.float32), np.zeros((5, 1), np.float32)
    expected = (0.25 * numbers + 0.75 * noise - (numbers - noise)) ** 2
    np.testing.assert_allclose(flow.losses_of(numbers, noise, time, given, given), expected, atol=1e-5)


@pytest.mark.parametrize("changed", ["scaled", "total", "noise"])
def test_the_numbers_depend_on_all_inputs_and_each_layer_on_the_others(changed):
    flow, random = built(), np.random.default_rng(0)
    for weight in flow.trainable_variables:
        weight.assign(random.normal(0, 0.5, weight.shape))
    sizes = (("noise", 12), ("scaled", 1), ("total", 1))
    inputs = {name: random.standard_normal((3, size)).astype(np.float32) for name, size in sizes}
    before = np.asarray(flow(inputs)).reshape(3, 3, 4)
    inputs[changed] = inputs[changed].copy()
    inputs[changed][0, 0] += 1
    after = np.asarray(flow(inputs)).reshape(3, 3, 4)
    assert np.all(abs(after[0] - before[0]).max(axis=0) > 1e-4)  # all layers
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-5)  # of this event only


def test_a_short_training_finds_correlations_between_columns_and_layers():
    random = np.random.default_rng(0)
    common = random.standard_normal((4000, 1, 1))
    numbers = (common * np.array([1, -1, 0.5])[:, None] + 0.3 * random.standard_normal((4000, 3, 4))).reshape(-1, 12)
    numbers = (numbers / numbers.std(axis=0)).astype(np.float32)
    flow = built()
    optimizer = keras.optimizers.Adam(1e-2)
    import tensorflow as tf

    @tf.function
    def step(numbers, noise, time):
        zero = ops.zeros_like(time)
        with tf.GradientTape() as tape:
            loss = ops.mean(flow.losses_of(numbers, noise, time, zero, zero))
        optimizer.apply_gradients(zip(tape.gradient(loss, flow.trainable_variables), flow.trainable_variables))

    for _ in range(300):
        chosen, noise = numbers[random.integers(4000, size=200)], random.standard_normal((200, 12)).astype(np.float32)
        step(chosen, noise, random.random((200, 1)).astype(np.float32))
    given = np.zeros((3000, 1), np.float32)
    made = flow({"noise": random.standard_normal((3000, 12)).astype(np.float32), "scaled": given, "total": given})
    np.testing.assert_allclose(np.corrcoef(np.asarray(made).T), np.corrcoef(numbers.T), atol=0.15)
