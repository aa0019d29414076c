import keras
import numpy as np
import pytest
import tensorflow as tf

from calolab import models

# The layers of the published networks (sparticlesteve/atlas-gan, 16 filters), without conditions.
GENERATOR = [131_072, 512, 131_072, 256, 32_768, 128, 8_192, 64, 256]
DISCRIMINATOR = [256, 8_192, 128, 32_768, 256, 131_072, 512, 2_048]
MASSES = {"gluino_mass": [1400.0, 1800.0], "neutralino_mass": [250.0, 850.0]}
FAMILY = {"rpv": {}, "conditional-rpv": MASSES, "pileup": {"mu": [20.0, 200.0]}}


@pytest.fixture(scope="module")
def gans():
    return {name: models.build(name, "whole-detector", seed=1) for name in FAMILY}


def parameters(network):
    return [layer.count_params() for layer in network.layers if layer.count_params()]


def between(network, first, last):
    """The part of a network from the input of one layer to the output of another."""
    return keras.Model(first.input, last.output)


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def images(events, seed=0):
    random = np.random.default_rng(seed)
    return (random.exponential(20.0, (events, 64, 64, 1)) * (random.random((events, 64, 64, 1)) < 0.1)).astype(
        "float32"
    )


def test_published_layers(gans):
    assert parameters(gans["rpv"].generator) == GENERATOR
    assert parameters(gans["rpv"].discriminator) == DISCRIMINATOR
    for name, labels in FAMILY.items():
        assert parameters(gans[name].generator)[0] == (64 + len(labels)) * 2048
        assert parameters(gans[name].discriminator)[0] == (1 + len(labels)) * 256
    normalisations = [
        layer
        for network in (gans["rpv"].generator, gans["rpv"].discriminator)
        for layer in layers_of(network, keras.layers.BatchNormalization)
    ]
    assert {(layer.epsilon, layer.momentum) for layer in normalisations} == {(1e-5, 0.9)}
    assert len(normalisations) == 7


def test_transposed_convolutions_are_aligned_as_in_the_published_networks(gans):
    """In PyTorch, with stride 2 and padding 1, input i meets output 2 i - 1 + t with weight t."""
    convolution = layers_of(gans["rpv"].generator, keras.layers.Conv2DTranspose)[-1]
    small = np.random.default_rng(0).standard_normal((1, 32, 32, 16), dtype=np.float32)
    whole = np.zeros((66, 66))
    kernel = convolution.kernel.numpy()[:, :, 0]  # (row, column, channel)
    for row in range(32):
        for column in range(32):
            whole[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += kernel @ small[0, row, column]
    np.testing.assert_allclose(convolution(small)[0, ..., 0], whole[1:-1, 1:-1], atol=1e-5)


def test_convolutions_are_aligned_as_in_the_published_networks(gans):
    convolution = layers_of(gans["rpv"].discriminator, keras.layers.Conv2D)[0]
    image = images(1)
    padded = np.pad(image[0, ..., 0], 1)
    patches = np.lib.stride_tricks.sliding_window_view(padded, (4, 4))[::2, ::2]
    expected = np.einsum("ijkl,klf->ijf", patches, convolution.kernel.numpy()[:, :, 0])
    np.testing.assert_allclose(convolution(image)[0], expected, atol=1e-4)


def test_energies_are_empty_or_between_threshold_and_norm():
    gan = models.build("rpv", "whole-detector", latent_size=16, image_norm=100.0, threshold=50.0)
    values = gan.generate(4, seed=0).values
    assert np.any(values == 0)
    assert np.all((values == 0) | ((values > 50) & (values < 100)))
    assert gan.value_scale == 100
    assert gan.latent_size == 16


@pytest.mark.parametrize("name", ["conditional-rpv", "pileup"])
def test_conditions_reach_both_networks(name, gans):
    gan, labels = gans[name], FAMILY[name]
    conditions = {label: np.array(column, np.float32)[:, None] for label, column in labels.items()}
    latent = np.repeat(np.random.default_rng(0).standard_normal((1, 64)), 2, axis=0)
    first, second = gan.generate(labels, seed=0, latent=latent).values
    assert not np.array_equal(first, second)
    same = np.repeat(images(1), 2, axis=0)
    for label in conditions:
        inputs = {other: column[:1].repeat(2, axis=0) for other, column in conditions.items()} | {
            label: conditions[label]
        }
        first, second = gan.discriminator.predict_on_batch({"image": same, **inputs})["generation"]
        assert first != second, label


def test_masses_at_the_origin_do_not_change_the_projection(gans):
    gan = gans["conditional-rpv"]
    dense = layers_of(gan.generator, keras.layers.Dense)[0]
    projected = keras.Model(gan.generator.input, dense.output)
    inputs = {"latent": np.zeros((2, 64)), "gluino_mass": [[1400.0], [1900.0]], "neutralino_mass": [[250.0], [1650.0]]}
    inputs = {name: np.array(column, np.float32) for name, column in inputs.items()}
    first, second = projected.predict_on_batch(inputs)
    np.testing.assert_array_equal(first, 0)
    np.testing.assert_allclose(second, dense.kernel.numpy()[64] + dense.kernel.numpy()[65], rtol=1e-5)


@pytest.mark.parametrize("periodic", [True, False])
def test_a_periodic_discriminator_is_equivariant_in_phi(periodic):
    """A shift by 16 columns of the image is a shift by one column of the features, only with `periodic`."""
    gan = models.build("rpv", "whole-detector", seed=1, periodic=periodic)
    features = keras.Model(gan.discriminator.input, gan.discriminator.get_layer("features").input)
    image = images(1)
    turned = np.roll(features.predict_on_batch(image), 1, axis=2)
    assert np.allclose(features.predict_on_batch(np.roll(image, 16, axis=2)), turned, atol=1e-6) == periodic
    turned = np.roll(features.predict_on_batch(image), 1, axis=1)
    assert not np.allclose(features.predict_on_batch(np.roll(image, 16, axis=1)), turned, atol=1e-6)


@pytest.mark.parametrize("periodic", [True, False])
def test_a_periodic_generator_is_equivariant_in_phi(periodic):
    gan = models.build("rpv", "whole-detector", seed=1, periodic=periodic)
    grown = keras.Model(layers_of(gan.generator, keras.layers.Reshape)[0].output, gan.generator.output)
    seeds = np.random.default_rng(0).standard_normal((1, 4, 4, 128), dtype=np.float32)
    turned = np.roll(grown.predict_on_batch(seeds), 16, axis=2)
    assert np.allclose(grown.predict_on_batch(np.roll(seeds, 1, axis=2)), turned, rtol=1e-5) == periodic
    assert parameters(gan.generator) == GENERATOR


def test_normalisations_of_the_discriminator():
    for settings in ({"spectral_norm": True}, {"batch_norm": False}):
        discriminator = models.build("rpv", "whole-detector", **settings).discriminator
        assert not layers_of(discriminator, keras.layers.BatchNormalization)
        # A bias for each channel takes the place of the shift; spectral normalisation keeps a direction per kernel.
        biases, directions = 32 + 64 + 128, 16 + 32 + 64 + 128 + 1
        spectral = "spectral_norm" in settings
        assert discriminator.count_params() == 175_232 - 4 * biases + biases + spectral * directions
        assert discriminator(images(2))["generation"].shape == (2, 1)
        assert discriminator.get_layer("features").output.shape == (None, 2048)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"conditional-rpv.*\(64, 64\).*'jet-image'.*'whole-detector'"):
        models.build("conditional-rpv", "jet-image")
    with pytest.raises(ValueError, match="at least 1, received 0"):
        models.build("rpv", "whole-detector", latent_size=0)
    with pytest.raises(ValueError, match="threshold < image_norm.*5.0 and 4.0"):
        models.build("pileup", "whole-detector", threshold=5.0, image_norm=4.0)
    with pytest.raises(ValueError, match="'periodical'.*Nearest: periodic"):
        models.build("pileup", "whole-detector", periodical=True)


def test_a_power_is_undone_by_the_generator_and_applied_by_the_discriminator():
    linear, root = (models.build("rpv", "whole-detector", seed=1, power=power) for power in (1.0, 0.3))
    latent = np.random.default_rng(0).standard_normal((2, 64), dtype=np.float32)
    energies = [gan.generator.predict_on_batch({"latent": latent}) for gan in (linear, root)]
    np.testing.assert_allclose((energies[1] / 4000) ** 0.3, energies[0] / 4000, rtol=1e-4)
    image = np.where(images(2) > 0.5, images(2), 0)
    seen = np.where(image > 0, 4000 * (image / 4000) ** 0.3, 0)
    answers = root.discriminator(image)["generation"], linear.discriminator(seen)["generation"]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-6)
    empty = tf.Variable(np.zeros((1, 64, 64, 1), np.float32))
    with tf.GradientTape() as tape:
        score = root.discriminator(empty)["generation"]
    assert np.all(np.isfinite(tape.gradient(score, empty)))
    with pytest.raises(ValueError, match="power is expected above 0 and up to 1, received 0"):
        models.build("rpv", "whole-detector", power=0)
