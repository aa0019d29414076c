"""GANs with layers that neither Keras nor calolab defines."""

import keras
import numpy as np
import pytest
from keras import layers

from calolab import models, spaces
from calolab.models import GAN, own_layers


def twice(x):
    return 2 * x


class Third(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 1 / 3, dtype)


class Inner(layers.Layer):
    def call(self, x):
        return x + 1


class Outer(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner = Inner()

    def call(self, x):
        return self.inner(x)


@pytest.fixture
def gan():
    space = spaces.space("whole-detector")
    latent, image = keras.Input((2,), name="latent"), keras.Input((64, 64, 1))
    x = Outer()(layers.Dense(64, activation=twice, kernel_initializer=Third())(latent))
    x = layers.UpSampling2D(8)(layers.Reshape((8, 8, 1))(x))
    seen = layers.Flatten(name="features")(layers.AveragePooling2D(8)(image))
    discriminator = keras.Model(image, {"generation": layers.Dense(1)(seen)})
    networks = {"generator": keras.Model({"latent": latent}, x), "discriminator": discriminator}
    return GAN("own", space, networks=networks, latent_size=2, conditions=())


def test_definitions_are_found_at_any_depth_and_load_the_file(gan, tmp_path):
    found = own_layers.definitions(gan)
    assert found == {"twice": twice, "Third": Third, "Inner": Inner, "Outer": Outer}
    gan.save(tmp_path / "own.gan")
    with pytest.raises((TypeError, ValueError)):  # the file holds no code
        models.load(tmp_path / "own.gan")
    loaded = own_layers.load(tmp_path / "own.gan", found)
    np.testing.assert_array_equal(loaded.generate(2, seed=1).values, gan.generate(2, seed=1).values)


def test_published_networks_need_no_definitions():
    for name, space in (("3dgan", "clic-ecal"), ("rpv", "whole-detector")):
        assert own_layers.definitions(models.build(name, space)) == {}
