import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab.models.layers.locally_connected import LocallyConnected2D


def naive(images, kernel, bias, size, strides, padding):
    """One output pixel after the other, by the definition."""
    if padding == "same":
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(images.shape[1:3], size, strides)]
        images = np.pad(images, ((0, 0), *((zeros // 2, zeros - zeros // 2) for zeros in missing), (0, 0)))
    outputs = np.zeros((len(images), *bias.shape))
    for row in range(bias.shape[0]):
        for column in range(bias.shape[1]):
            top, left = row * strides[0], column * strides[1]
            patch = images[:, top : top + size[0], left : left + size[1]].reshape(len(images), -1)
            outputs[:, row, column] = patch @ kernel[row, column] + bias[row, column]
    return outputs


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=25, deadline=None)
@given(
    cells=st.tuples(st.integers(3, 8), st.integers(3, 8)),
    size=pairs,
    strides=pairs,
    padding=st.sampled_from(["valid", "same"]),
    channels=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_equals_a_loop_over_the_pixels(cells, size, strides, padding, channels, seed):
    layer = LocallyConnected2D(2, size, strides, padding)
    images = np.random.default_rng(seed).standard_normal((2, *cells, channels), dtype=np.float32)
    outputs = layer(images)
    assert layer.compute_output_shape(images.shape) == outputs.shape
    random = np.random.default_rng(seed + 1)
    layer.set_weights([random.standard_normal(weight.shape) for weight in layer.get_weights()])
    np.testing.assert_allclose(layer(images), naive(images, *layer.get_weights(), size, strides, padding), atol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_with_equal_kernels_it_is_a_convolution(strides, padding):
    images = np.random.default_rng(0).standard_normal((3, 8, 7, 4), dtype=np.float32)
    convolution = keras.layers.Conv2D(5, (3, 2), strides=strides, padding=padding, activation="relu")
    expected = convolution(images)
    layer = LocallyConnected2D(5, (3, 2), strides=strides, padding=padding, activation="relu")
    layer(images)
    kernel = convolution.kernel.numpy().reshape(-1, 5)
    layer.kernel.assign(np.broadcast_to(kernel, layer.kernel.shape))
    np.testing.assert_allclose(layer(images), expected, atol=1e-5)


def test_each_pixel_has_its_own_kernel():
    layer = LocallyConnected2D(1, 2, use_bias=False)
    images = np.ones((1, 4, 4, 1), np.float32)
    before = layer(images).numpy()
    kernel = layer.kernel.numpy()
    kernel[1, 2] += 1
    layer.kernel.assign(kernel)
    assert layer.bias is None
    np.testing.assert_array_equal(np.argwhere(layer(images).numpy() != before), [[0, 1, 2, 0]])


def test_saved_and_loaded_it_is_the_same(tmp_path):
    image = keras.Input((6, 5, 2))
    layer = LocallyConnected2D(
        3, (2, 3), (2, 1), "same", activation="relu", kernel_initializer=keras.initializers.HeUniform(seed=3)
    )
    network = keras.Model(image, layer(image))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = np.random.default_rng(0).standard_normal((2, 6, 5, 2), dtype=np.float32)
    np.testing.assert_array_equal(loaded(images), network(images))
    assert loaded.layers[-1].get_config() == layer.get_config()


def test_it_computes_in_the_policy_of_its_precision():
    images = np.random.default_rng(0).standard_normal((2, 5, 5, 3), dtype=np.float32)
    full = LocallyConnected2D(4, 3, kernel_initializer=keras.initializers.HeUniform(seed=1))
    mixed = LocallyConnected2D(4, 3, kernel_initializer=keras.initializers.HeUniform(seed=1), dtype="mixed_bfloat16")
    expected, outputs = full(images), mixed(images)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert mixed.kernel.dtype == "float32"
    np.testing.assert_allclose(outputs.numpy().astype(np.float32), expected, atol=0.02 * np.max(np.abs(expected)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 0, "kernel_size": 2}, "at least 1 filter, received 0"),
        ({"filters": 1, "kernel_size": (2, 0)}, r"kernel_size.*\(2, 0\)"),
        ({"filters": 1, "kernel_size": 2, "strides": (1, 1, 1)}, "strides"),
        ({"filters": 1, "kernel_size": 2, "padding": "causal"}, "padding.*'causal'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LocallyConnected2D(**settings)


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="needs 5 cells.*has 4"):
        LocallyConnected2D(1, 5)(np.zeros((1, 4, 8, 1)))
    with pytest.raises(ValueError, match="of known size"):
        LocallyConnected2D(1, 2)(keras.Input((None, 8, 1)))
