import keras
import numpy as np
import pytest

from calolab import models

# The layers of the published networks (arXiv:1706.02390), in order.
GENERATOR = [8_519_680, 2_048, 3_277_056, 1_024, 819_328, 512, 204_864, 256, 1_601]
DISCRIMINATOR = [1_664, 204_928, 512, 819_456, 1_024, 3_277_312, 2_048, 131_073]


@pytest.fixture(scope="module")
def gan():
    return models.build("cosmogan", "convergence", seed=1, scale=0.2)


def parameters(network):
    return [layer.count_params() for layer in network.layers if layer.count_params()]


def test_published_layers(gan):
    assert parameters(gan.generator) == GENERATOR
    assert sum(GENERATOR) == 12_826_369
    assert parameters(gan.discriminator) == DISCRIMINATOR
    assert sum(DISCRIMINATOR) == 4_438_017
    assert gan.discriminator.get_layer("features").output.shape == (None, 131_072)


def test_maps_are_within_the_scale_and_have_both_signs(gan):
    latent = 1e4 * np.random.default_rng(0).standard_normal((1, 64))
    maps = gan.generate(1, seed=0, latent=latent).values
    assert np.all(np.abs(maps) <= 0.2)
    assert maps.max() > 0.19
    assert maps.min() < -0.19
    assert gan.value_scale == 0.2


def test_the_discriminator_processes_maps_in_units_of_the_scale(gan):
    other = models.build("cosmogan", "convergence", seed=1, scale=0.4)
    maps = np.random.default_rng(0).normal(0, 0.02, (1, 256, 256, 1)).astype(np.float32)
    np.testing.assert_allclose(
        gan.discriminator(maps)["generation"], other.discriminator(2 * maps)["generation"], rtol=1e-4
    )


def test_with_spectral_normalisation_batches_are_not_normalised():
    discriminator = models.build("cosmogan", "convergence", spectral_norm=True).discriminator
    assert not [layer for layer in discriminator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert discriminator.count_params() == 4_438_017 - 4 * (128 + 256 + 512) + (64 + 128 + 256 + 512 + 1)


def test_wrong_settings_and_spaces_are_refused():
    with pytest.raises(ValueError, match="scale positive, received 64 and 0"):
        models.build("cosmogan", "convergence", scale=0)
    with pytest.raises(ValueError, match=r"\(256, 256\).*'convergence'"):
        models.build("cosmogan", "jet-image")
