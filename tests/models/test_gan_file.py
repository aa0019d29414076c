"""Files of networks: a header that needs no Keras, several formats, and networks that share weights."""

import io
import json
import subprocess
import sys
import textwrap
import zipfile
from itertools import permutations

import keras
import numpy as np
import pytest
from keras import layers

from calolab import models
from calolab.models import GAN, gan_file
from tests.tiny import SPACE, tiny_gan


def test_the_header_is_read_without_keras(tmp_path):
    tiny_gan().save(tmp_path / "tiny.gan")
    code = f"""
        import sys
        from calolab import models
        header = models.read_header({str(tmp_path / "tiny.gan")!r})
        print(header.architecture, header.space.shape, header.conditions, header.latent_size, dict(header.networks))
        print([name for name in ("keras", "tensorflow", "h5py") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    networks = {"generator": {"keras": "generator.keras"}, "discriminator": {"keras": "discriminator.keras"}}
    assert done.stdout.splitlines() == [f"tiny (4, 4, 4) ('energy',) 6 {networks}", "[]"], done.stderr


def test_a_header_comes_back_from_its_dictionary(tmp_path):
    tiny_gan().save(tmp_path / "tiny.gan")
    header = gan_file.read_header(tmp_path / "tiny.gan")
    assert gan_file.Header.from_dict(json.loads(json.dumps(header.to_dict()))) == header
    assert header.version == gan_file.VERSION and header.library["keras"] == keras.__version__


def test_a_file_of_version_2_is_read(tmp_path):
    gan, path = tiny_gan(), tmp_path / "old.gan"
    gan.save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(content["gan.json"]) | {"version": 2}
    for name in ("networks", "parts", "library"):
        del description[name]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, "gan.json": json.dumps(description)}.items():
            archive.writestr(name, text)
    energies = {"energy": [10.0, 20.0]}
    loaded = models.load(path)
    np.testing.assert_array_equal(loaded.generate(energies, seed=1).values, gan.generate(energies, seed=1).values)
    with pytest.raises(ValueError, match=r"old\.gan: .*version is 2; load it and save it again") as refused:
        gan_file.add_network(path, "generator", "numpy", path)
    assert "damaged" not in str(refused.value)


def test_layers_are_found_that_were_in_other_modules_when_a_file_was_written(tmp_path):
    gan, path = models.build("rpv", "whole-detector", seed=1, filters=1, periodic=True), tmp_path / "rpv.gan"
    gan.save(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(io.BytesIO(content["generator.keras"])) as network:
            members = {name: network.read(name) for name in network.namelist()}
    moved = members["config.json"].replace(b"calolab.models.layers.dcgan", b"calolab.models.dcgan")
    assert moved != members["config.json"]
    rewritten = io.BytesIO()
    with zipfile.ZipFile(rewritten, "w") as network:
        for name, text in {**members, "config.json": moved}.items():
            network.writestr(name, text)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, "generator.keras": rewritten.getvalue()}.items():
            archive.writestr(name, text)
    np.testing.assert_array_equal(models.load(path).generate(2, seed=1).values, gan.generate(2, seed=1).values)


def test_a_file_holds_a_network_in_another_format_too(tmp_path):
    gan, path, part = tiny_gan(), tmp_path / "tiny.gan", tmp_path / "weights.npz"
    gan.save(path)
    for factor in (2.0, 3.0):  # the second one replaces the first
        np.savez(part, factor=factor)
        gan_file.add_network(path, "generator", "numpy", part)
    with gan_file.opened(path) as (archive, header):
        member = header.member("generator", "numpy")
        with archive.open(member) as file, np.load(file) as weights:
            assert float(weights["factor"]) == 3
    missing = pytest.raises(ValueError, match="not a complete GAN file.*'onnx' is expected.*generator .keras, numpy")
    with missing, gan_file.opened(path) as (_, header):
        header.member("generator", "onnx")
    energies = {"energy": [10.0, 20.0]}
    loaded = models.load(path)
    np.testing.assert_array_equal(loaded.generate(energies, seed=1).values, gan.generate(energies, seed=1).values)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["tiny.gan", "weights.npz"]


def test_a_network_that_is_a_layer_of_another_shares_its_weights_after_loading(tmp_path):
    latent, energy = keras.Input((6,), name="latent"), keras.Input((1,), name="energy")
    vector, encoded = keras.Input((7,)), keras.Input((4, 4, 4, 1))
    core = keras.Model(vector, layers.Dense(64)(vector), name="core")
    values = layers.Reshape((4, 4, 4, 1))(core(layers.Concatenate()([latent, energy])))
    networks = {
        "core": core,
        "generator": keras.Model({"latent": latent, "energy": energy}, values),
        "encoder": keras.Model(encoded, layers.Dense(6)(layers.Flatten()(encoded))),
    }
    gan = GAN("staged", SPACE, networks=networks, latent_size=6)
    gan.save(tmp_path / "staged.gan")
    with zipfile.ZipFile(tmp_path / "staged.gan") as archive:
        assert set(archive.namelist()) == {"gan.json", "generator.keras", "encoder.keras"}
    loaded = models.load(tmp_path / "staged.gan")
    assert set(loaded.networks) == set(networks)
    before = loaded.generate({"energy": [10.0]}, seed=1).values
    np.testing.assert_array_equal(before, gan.generate({"energy": [10.0]}, seed=1).values)
    loaded.networks["core"].weights[1].assign(np.ones(64))
    np.testing.assert_allclose(loaded.generate({"energy": [10.0]}, seed=1).values, before + 1, rtol=1e-5)
    with pytest.raises(ValueError, match="'staged' has no discriminator, only core, generator, encoder"):
        _ = gan.discriminator


@pytest.mark.parametrize("order", list(permutations(("outer", "core", "generator"))), ids="-".join)
def test_networks_in_networks_share_their_weights_after_loading_in_any_order(order, tmp_path):
    latent, energy = keras.Input((6,), name="latent"), keras.Input((1,), name="energy")
    hidden, vector = keras.Input((64,)), keras.Input((7,))
    core = keras.Model(hidden, layers.Dense(64)(hidden), name="core")
    outer = keras.Model(vector, core(layers.Dense(64)(vector)), name="outer")
    values = layers.Reshape((4, 4, 4, 1))(outer(layers.Concatenate()([latent, energy])))
    networks = {"core": core, "outer": outer, "generator": keras.Model({"latent": latent, "energy": energy}, values)}
    gan = GAN("staged", SPACE, networks={name: networks[name] for name in order}, latent_size=6)
    gan.save(tmp_path / "staged.gan")
    with zipfile.ZipFile(tmp_path / "staged.gan") as archive:
        assert set(archive.namelist()) == {"gan.json", "generator.keras"}
    loaded = models.load(tmp_path / "staged.gan")
    assert set(loaded.networks) == set(networks)
    assert loaded.networks["outer"].get_layer("core") is loaded.networks["core"]
    before = loaded.generate({"energy": [10.0]}, seed=1).values
    np.testing.assert_array_equal(before, gan.generate({"energy": [10.0]}, seed=1).values)
    loaded.networks["core"].weights[1].assign(np.ones(64))
    np.testing.assert_allclose(loaded.generate({"energy": [10.0]}, seed=1).values, before + 1, rtol=1e-5)
