import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from calolab.models.initial_weights import SeedStream
from calolab.models.layers.locally_connected import LocallyConnected2D
from calolab.models.layers.spectral_normalisation import SpectralNormalisation, with_norm

LAYERS = {
    "dense": lambda: layers.Dense(3, kernel_initializer=keras.initializers.GlorotNormal(seed=1)),
    "convolution": lambda: layers.Conv2D(4, 3, kernel_initializer=keras.initializers.GlorotNormal(seed=1)),
    "without bias": lambda: layers.Conv2D(
        4, 3, use_bias=False, kernel_initializer=keras.initializers.GlorotNormal(seed=1)
    ),
    "local": lambda: LocallyConnected2D(4, 3, kernel_initializer=keras.initializers.GlorotNormal(seed=1)),
}
each = pytest.mark.parametrize("kind", LAYERS)


def inputs(kind):
    shape = (2, 5) if kind == "dense" else (2, 5, 6, 2)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def converged(layer, values, passes=200):
    layer.build(values.shape)
    training_pass = tf.function(lambda values: layer(values, training=True), autograph=False)
    for _ in range(passes):
        training_pass(values)
    return layer


def largest_singular_values(kernel, local):
    matrices = kernel if local else kernel.reshape(-1, kernel.shape[-1])
    return np.linalg.svd(matrices, compute_uv=False)[..., 0]


@each
def test_the_kernel_is_divided_by_its_largest_singular_value(kind):
    plain, values = LAYERS[kind](), inputs(kind)
    layer = converged(SpectralNormalisation(plain), values)
    if plain.bias is not None:
        plain.bias.assign(np.full(plain.bias.shape, 0.3))
    outputs = layer(values).numpy()
    kernel = plain.kernel.numpy()
    largest = largest_singular_values(kernel, kind == "local")
    plain.kernel.assign(kernel / (largest[..., None, None] if kind == "local" else largest))
    np.testing.assert_allclose(outputs, plain(values), atol=1e-4)
    assert layer.compute_output_shape(values.shape) == outputs.shape


@each
def test_a_training_pass_follows_the_direction_and_leaves_the_kernel(kind):
    layer, values = SpectralNormalisation(LAYERS[kind]()), inputs(kind)
    layer.build(values.shape)
    kernel, direction = layer.layer.kernel.numpy(), layer.direction.numpy()

    @tf.function(autograph=False)
    def gradients(values, training):
        with tf.GradientTape() as tape:
            cost = tf.reduce_sum(layer(values, training=training) ** 2)
        return tape.gradient(cost, [variable.value for variable in layer.trainable_variables])

    gradients(values, False)
    np.testing.assert_array_equal(layer.direction.numpy(), direction)
    found = gradients(values, True)
    assert not np.array_equal(layer.direction.numpy(), direction)
    np.testing.assert_array_equal(layer.layer.kernel.numpy(), kernel)
    assert all(np.all(np.isfinite(gradient)) and np.any(gradient) for gradient in found)
    assert layer.non_trainable_weights == [layer.direction]


@each
def test_the_gradient_passes_through_the_division(kind):
    """A scaled kernel gives the same outputs, so the gradient has no component along the kernel."""
    layer, values = converged(SpectralNormalisation(LAYERS[kind]()), inputs(kind)), inputs(kind)
    with tf.GradientTape() as tape:
        cost = tf.reduce_sum(layer(values) ** 2)
    gradient, kernel = tape.gradient(cost, layer.layer.kernel.value).numpy(), layer.layer.kernel.numpy()
    assert abs(np.sum(gradient * kernel)) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(kernel)
    before = layer(values)
    layer.layer.kernel.assign(3 * kernel)
    np.testing.assert_allclose(layer(values), before, rtol=1e-4, atol=1e-5)


def test_the_first_direction_is_a_function_of_the_seed():
    directions = [with_norm(LAYERS["dense"](), SeedStream(seed)) for seed in (1, 1, 2)]
    for layer in directions:
        layer.build((None, 5))
    same, again, other = (layer.direction.numpy() for layer in directions)
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


@each
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    values = inputs(kind)
    image = keras.Input(values.shape[1:])
    network = keras.Model(image, SpectralNormalisation(LAYERS[kind](), seed=3)(image))
    network(values, training=True)
    network.save(tmp_path / "network.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(values), network(values))


def test_layers_with_activation_are_refused():
    with pytest.raises(ValueError, match="without activation"):
        SpectralNormalisation(layers.Dense(3, activation="relu"))
