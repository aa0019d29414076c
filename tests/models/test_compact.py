"""GAN files for shipping: weights in float16, and only the networks that generate events."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from calolab import models
from calolab.models import GAN, compact, gan_file
from calolab.training import fit
from tests.tiny import SPACE, tiny_gan, tiny_sample

ENERGIES = {"energy": [10.0, 20.0, 50.0]}


def test_weights_are_rounded_to_float16_and_loaded_as_float32(tmp_path):
    gan = tiny_gan()
    fit(gan, tiny_sample(), epochs=1, batch_size=21, progress=False)
    gan.save(tmp_path / "full.gan")
    gan.save(tmp_path / "half.gan", dtype="float16")
    loaded = models.load(tmp_path / "half.gan")
    for network in ("generator", "discriminator"):
        rounded = 0
        for before, after in zip(gan.networks[network].weights, loaded.networks[network].weights, strict=True):
            assert after.dtype == "float32"
            before, after = before.numpy(), after.numpy()
            assert np.all(np.abs(after - before) <= 2.0**-11 * np.max(np.abs(before)))
            rounded += not np.array_equal(before, after)
        assert rounded > len(loaded.networks[network].trainable_weights) / 2
    made, expected = loaded.generate(ENERGIES, seed=1).values, gan.generate(ENERGIES, seed=1).values
    np.testing.assert_allclose(made, expected, atol=5e-3 * expected.max())
    assert gan_file.read_header(tmp_path / "half.gan").dtype == "float16"
    assert gan_file.read_header(tmp_path / "full.gan").dtype == "float32"
    assert loaded.provenance == gan.provenance
    # A loaded one is trained further, and saved in float32 again.
    fit(loaded, tiny_sample(), epochs=1, batch_size=21, progress=False)
    loaded.save(tmp_path / "again.gan")
    again = models.load(tmp_path / "again.gan")
    np.testing.assert_array_equal(again.generate(ENERGIES, seed=1).values, loaded.generate(ENERGIES, seed=1).values)


def test_a_large_network_takes_less_than_half_the_space(tmp_path):
    gan = models.build("3dgan", "clic-ecal", seed=1)
    sizes = {}
    for dtype in gan_file.DTYPES:
        gan.save(tmp_path / f"{dtype}.gan", dtype=dtype, networks=["generator"])
        sizes[dtype] = (tmp_path / f"{dtype}.gan").stat().st_size
    assert sizes["float16"] < 0.5 * sizes["float32"]
    # Keras alone reads its members.
    with zipfile.ZipFile(tmp_path / "float16.gan") as archive:
        archive.extract("generator.keras", tmp_path)
    network = keras.saving.load_model(tmp_path / "generator.keras")
    assert network.count_params() == gan.generator.count_params()


class Constants(layers.Layer):
    """Values that training does not change, in every range of float16."""

    VALUES = {
        "exact": np.array([0.5, -3.0, 0.0], np.float32),
        "large": np.array([1e5, 1.0, 1.0], np.float32),
        "small": np.array([3e-5, 1e-9, 2.0], np.float32),
        "integers": np.array([70_001, 3, -1], np.int32),
    }

    def build(self, shape):
        for name, values in self.VALUES.items():
            setattr(self, name, self.add_weight(shape=(3,), dtype=values.dtype.name, trainable=False, name=name))

    def call(self, x):
        return x + 0.0 * self.exact[0]


def test_constants_that_float16_cannot_hold_are_stored_unchanged(tmp_path):
    image = keras.Input((3,))
    layer = Constants()
    network = keras.Model(image, layers.Dense(2)(layer(image)))
    for name, values in Constants.VALUES.items():
        getattr(layer, name).assign(values)
    network.layers[-1].set_weights([np.array([[1e-9, 1.0], [1e-4, 2.0], [1.0, 1.0]]), np.array([1e5, 0.0])])
    path = tmp_path / "constants.keras"
    compact.save(network, path)
    with keras.saving.custom_object_scope({"Constants": Constants}):
        loaded = keras.saving.load_model(path)
    found = next(layer for layer in loaded.layers if isinstance(layer, Constants))
    for name, values in Constants.VALUES.items():
        np.testing.assert_array_equal(getattr(found, name).numpy(), values)
    kernel, bias = loaded.layers[-1].get_weights()
    # Small weights of a kernel may vanish beside large ones; a bias that is too large is kept.
    assert kernel[0, 0] != np.float32(1e-9) and kernel[1, 0] == np.float16(1e-4)
    assert bias[0] == 1e5


def test_a_file_without_a_discriminator_generates_and_says_what_training_lacks(tmp_path):
    gan = tiny_gan()
    gan.save(tmp_path / "small.gan", dtype="float16", networks=("generator",))
    loaded = models.load(tmp_path / "small.gan")
    assert set(loaded.networks) == {"generator"}
    assert loaded.generate(ENERGIES, seed=1).values.shape == (3, 4, 4, 4)
    with pytest.raises(ValueError, match=r"trains the networks discriminator, generator; 'tiny' has generator.*all"):
        fit(loaded, tiny_sample(), epochs=1, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "Unknown type of stored weights 'float8'"),
        ({"networks": ["generater"]}, "Unknown network of 'tiny' 'generater'.*Nearest: generator"),
        ({"networks": ["discriminator"]}, "needs the network 'generator', received discriminator"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tiny_gan().save(tmp_path / "wrong.gan", **options)
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_network_that_is_left_out_is_stored_itself(tmp_path):
    whole = tiny_gan()
    part = keras.Sequential([keras.Input((6,)), layers.Dense(2)], name="part")
    vector = keras.Input((6,))
    holder = keras.Model(vector, layers.Dense(1)(part(vector)))
    networks = {**whole.networks, "part": part, "holder": holder}
    gan = GAN("tiny", SPACE, networks=networks, latent_size=6)
    gan.save(tmp_path / "part.gan", networks=["generator", "part"])
    loaded = models.load(tmp_path / "part.gan")
    assert set(loaded.networks) == {"generator", "part"}
    np.testing.assert_array_equal(loaded.networks["part"].get_weights()[0], part.get_weights()[0])


def test_a_file_of_version_3_without_a_type_is_float32(tmp_path):
    path = tmp_path / "tiny.gan"
    tiny_gan().save(path)
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("gan.json"))
    del content["dtype"]
    assert gan_file.Header.from_dict(content).dtype == "float32"
