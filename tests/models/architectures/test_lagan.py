import keras
import numpy as np
import pytest

from calolab import models
from calolab.models.layers.locally_connected import LocallyConnected2D

# The layers of the published networks (arXiv:1701.05927), in order; those of the minibatch discrimination without the
# 200 biases that cancel there.
GENERATOR = [400, 1_260_672, 204_864, 256, 1_882_776, 24, 223_080, 15_000]
DISCRIMINATOR = [832, 1_082_952, 32, 271_752, 32, 28_616, 32, 14_400, 93, 93]


@pytest.fixture(scope="module")
def gan():
    return models.build("lagan", "jet-image", seed=1)


def parameters(network):
    return [layer.count_params() for layer in network.layers if layer.count_params()]


def test_published_layers(gan):
    assert parameters(gan.generator) == GENERATOR
    assert sum(GENERATOR) == 3_586_672 + 400
    assert parameters(gan.discriminator) == DISCRIMINATOR
    assert sum(DISCRIMINATOR[:7]) == 1_384_248
    local = [layer for layer in gan.discriminator.layers if isinstance(layer, LocallyConnected2D)]
    assert [layer.output.shape[1:] for layer in local] == [(13, 13, 8), (13, 13, 8), (7, 7, 8)]
    assert gan.discriminator.get_layer("features").output.shape == (None, 20 + 72)


def test_the_class_multiplies_the_latent_vector(gan):
    classes = next(layer for layer in gan.generator.layers if isinstance(layer, keras.layers.Embedding))
    qcd, boson = classes.embeddings.numpy()
    latent = np.random.default_rng(0).standard_normal((1, 200), dtype=np.float32)
    expected = gan.generate({"signal": [1]}, seed=0, latent=latent).values
    assert np.any(expected)
    np.testing.assert_allclose(
        gan.generate({"signal": [0]}, seed=0, latent=latent * boson / qcd).values, expected, rtol=1e-3, atol=1e-7
    )
    assert not np.array_equal(gan.generate({"signal": [0]}, seed=0, latent=latent).values, expected)


def test_heads_are_logits(gan):
    heads = gan.discriminator.predict_on_batch(gan.generate({"signal": [0, 1, 1]}, seed=0).values[..., None])
    assert {name: head.shape for name, head in heads.items()} == {"generation": (3, 1), "signal": (3, 1)}
    assert all(gan.discriminator.get_layer(name).activation is keras.activations.linear for name in heads)


def test_with_spectral_normalisation_batches_are_not_normalised():
    discriminator = models.build("lagan", "jet-image", spectral_norm=True).discriminator
    assert not [layer for layer in discriminator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    # A direction per kernel, for a local one in each pixel.
    directions = 32 + 8 * (13 * 13 + 13 * 13 + 7 * 7) + 2
    assert discriminator.count_params() == sum(DISCRIMINATOR) - 3 * 32 + directions


def test_wrong_labels_and_spaces_are_refused(gan):
    with pytest.raises(ValueError, match="'signal' must be 0 or 1, received 0.5"):
        gan.generate({"signal": [1, 0.5]}, seed=0)
    with pytest.raises(ValueError, match=r"\(25, 25\).*'jet-image'"):
        models.build("lagan", "whole-detector")
    with pytest.raises(ValueError, match="latent_size"):
        models.build("lagan", "jet-image", latent_size=0)
