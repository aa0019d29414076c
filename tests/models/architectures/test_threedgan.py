import keras
import numpy as np
import pytest

from calolab import models, spaces

# The layers of the published networks with their parameters (arXiv:1912.06794), in order.
GENERATOR = [630_336, 147_520, 256, 92_166, 24, 2_598, 48]
DISCRIMINATOR = [4_032, 32_008, 32, 8_008, 32, 8_008, 32]


@pytest.fixture(scope="module")
def gan():
    return models.build("3dgan", "clic-ecal", seed=1)


def parameters(network):
    return [layer.count_params() for layer in network.layers if layer.count_params()]


def test_published_layers(gan):
    assert parameters(gan.generator) == GENERATOR
    assert parameters(gan.discriminator)[: len(DISCRIMINATOR)] == DISCRIMINATOR
    assert parameters(gan.discriminator)[len(DISCRIMINATOR) :] == [10_649, 10_649]
    assert gan.generator.count_params() == 872_948
    assert gan.discriminator.count_params() == 73_450
    moving = [sum(int(np.prod(v.shape)) for v in n.non_trainable_weights) for n in (gan.generator, gan.discriminator)]
    assert moving == [140, 48]
    normalisations = [layer for layer in gan.generator.layers if layer.name.startswith("batch_normalization")]
    assert {(layer.epsilon, layer.momentum) for layer in normalisations} == {(1e-3, 0.99)}


def test_energy_multiplies_the_latent_vector(gan):
    latent = np.random.default_rng(0).standard_normal((1, 200), dtype=np.float32)
    twice = gan.generate({"energy": [40.0]}, seed=0, latent=latent)
    np.testing.assert_array_equal(gan.generate({"energy": [20.0]}, seed=0, latent=2 * latent).values, twice.values)


def test_discriminator_heads(gan):
    showers = gan.generate({"energy": [20.0, 40.0]}, seed=0).values[..., None]
    heads = gan.discriminator.predict_on_batch(showers)
    assert {name: head.shape for name, head in heads.items()} == dict.fromkeys(
        ("generation", "auxiliary", "ecal"), (2, 1)
    )
    assert gan.discriminator.get_layer("generation").activation is keras.activations.linear
    assert gan.discriminator.get_layer("features").output.shape == (None, 10_648)
    np.testing.assert_allclose(heads["ecal"][:, 0], showers.sum(axis=(1, 2, 3, 4)), rtol=1e-5)


def test_no_lambda_layers(gan):
    kinds = {type(layer).__name__ for network in (gan.generator, gan.discriminator) for layer in network.layers}
    assert "Lambda" not in kinds


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"clic-ecal-51.*\(51, 51, 25\)"):
        models.build("3dgan", spaces.space("clic-ecal-51"))
