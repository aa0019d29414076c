"""Weight files of the first 3DGAN in the layout of Keras 2 load into the network of calolab."""

import h5py
import keras
import numpy as np
import pytest

from calolab import models

KINDS = {"Dense": "dense", "Conv3D": "conv3d", "BatchNormalization": "batch_normalization"}


@pytest.fixture(scope="module")
def gan():
    """A 3DGAN whose weights differ from all initial values."""
    gan = models.build("3dgan", "clic-ecal", seed=5)
    random = np.random.default_rng(1)
    for network in gan.networks.values():
        for variable in network.weights:
            variable.assign(variable + random.uniform(0.01, 0.02, variable.shape))
    return gan


def weights_of(network):
    """Arrays by layer with the names of Keras 2, whose numbers continue those of a network built before."""
    found, number = {}, dict.fromkeys(KINDS.values(), 3)
    for layer in network.layers:
        if not layer.weights:
            continue
        kind = KINDS[type(layer).__name__]
        number[kind] += 1
        name = layer.name if layer.name in ("generation", "auxiliary") else f"{kind}_{number[kind]}"
        found[name] = {variable.name: keras.ops.convert_to_numpy(variable) for variable in layer.weights}
    return found


def write(path, weights, end=":0", group="", listed=True, inner="model_1"):
    """A file of Keras 2: what is not a head is in a network inside the network, trainable weights first."""
    heads = [name for name in weights if name in ("generation", "auxiliary")]
    groups = {inner: [name for name in weights if name not in heads], **{name: [name] for name in heads}}
    with h5py.File(path, "w") as file:
        whole = file.create_group(group) if group else file
        for name, layers in groups.items():
            inside = whole.create_group(name)
            arrays = {f"{one}/{short}{end}": array for one in layers for short, array in weights[one].items()}
            order = sorted(arrays, key=lambda one: "moving" in one)
            for one in order:
                inside[one] = arrays[one]
            inside.attrs["weight_names"] = np.array(order, "S")
            if not listed:
                del inside.attrs["weight_names"]
        whole.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        if listed:
            whole.attrs["layer_names"] = np.array(["input_1", *groups], "S")
    return path


def same(network, other):
    assert len(network.weights) == len(other.weights)
    for one, two in zip(network.weights, other.weights):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


@pytest.mark.parametrize(
    "layout", [{}, {"end": ""}, {"group": "model_weights"}, {"listed": False, "end": ""}], ids=lambda one: str(one)
)
def test_both_networks_of_a_published_gan(tmp_path, gan, layout):
    files = {name: write(tmp_path / f"{name}.hdf5", weights_of(gan.networks[name]), **layout) for name in gan.networks}
    loaded = models.load_published(files["generator"], files["discriminator"])
    for name in gan.networks:
        same(loaded.networks[name], gan.networks[name])
    assert loaded.architecture == "3dgan" and loaded.conditions == ("energy",)
    assert loaded.provenance["published weights"] == {name: f"{name}.hdf5" for name in gan.networks}
    energies = {"energy": [50.0, 400.0]}
    assert np.array_equal(loaded.generate(energies, seed=3).values, gan.generate(energies, seed=3).values)


def test_a_generator_alone(tmp_path, gan):
    loaded = models.load_published(write(tmp_path / "g.hdf5", weights_of(gan.generator)), seed=5)
    same(loaded.generator, gan.generator)
    same(loaded.discriminator, models.build("3dgan", "clic-ecal", seed=5).discriminator)


def test_networks_that_were_trained_with_channels_first(tmp_path, gan):
    """Their dense layers connect cells in the order (channel, x, y, z)."""
    generator, discriminator = (weights_of(gan.networks[name]) for name in ("generator", "discriminator"))
    for name, values in generator["dense_4"].items():
        cells = values.reshape(-1, 7, 7, 8, 8).transpose(0, 4, 1, 2, 3)
        generator["dense_4"][name] = cells.reshape(values.shape)
    for head in ("generation", "auxiliary"):
        kernel = discriminator[head]["kernel"].reshape(11, 11, 11, 8)
        discriminator[head]["kernel"] = kernel.transpose(3, 0, 1, 2).reshape(-1, 1)
    files = write(tmp_path / "g.hdf5", generator), write(tmp_path / "d.hdf5", discriminator)
    loaded = models.load_published(*files, data_format="channels_first")
    for name in gan.networks:
        same(loaded.networks[name], gan.networks[name])
    with pytest.raises(ValueError, match="Unknown data format 'channels-first'. Nearest: channels_first"):
        models.load_published(*files, data_format="channels-first")


def test_files_that_do_not_fit(tmp_path, gan):
    path, weights = tmp_path / "weights.hdf5", weights_of(gan.generator)
    less = {name: arrays for name, arrays in weights.items() if name != "conv3d_7"}
    with pytest.raises(ValueError, match=r"weights\.hdf5: does not fit .* layer 7 .*, conv3d, .* has no more of 6"):
        models.load_published(write(path, less))
    wrong = weights | {"conv3d_5": {**weights["conv3d_5"], "kernel": np.zeros((6, 6, 8, 64, 6))}}
    with pytest.raises(ValueError, match=r"kernel \(6, 5, 8, 64, 6\).*'conv3d_5' with kernel \(6, 6, 8, 64, 6\)"):
        models.load_published(write(path, wrong))
    with pytest.raises(ValueError, match=r"Expected 7 layers with weights, the file has 8; dense_9 are left"):
        models.load_published(write(path, weights | {"dense_9": {"kernel": np.zeros((2, 2))}}))
    with pytest.raises(ValueError, match=r"one is of a discriminator: load_published\(generator, discriminator\)"):
        models.load_published(write(path, weights_of(gan.discriminator)))
    diverged = weights | {"conv3d_7": {"kernel": np.full((2, 2, 2, 6, 1), np.nan)}}
    with pytest.raises(ValueError, match="conv3d_7/kernel:0 holds values that are not finite: its training diverged"):
        models.load_published(write(path, diverged))
    with pytest.raises(FileNotFoundError, match="expected the weights of the generator of the 3DGAN"):
        models.load_published(tmp_path / "none.hdf5")
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(ValueError, match=r"weights\.hdf5: damaged, or not an HDF5 file of weights .*again"):
        models.load_published(path)


def test_links_and_lists_that_lead_nowhere(tmp_path, gan):
    weights = weights_of(gan.generator)
    path = write(tmp_path / "a.hdf5", weights)
    with h5py.File(path, "a") as file:
        del file["model_1/conv3d_7/kernel:0"]
    with pytest.raises(ValueError, match=r"a\.hdf5: lacks 'conv3d_7/kernel:0' in .*attributes list"):
        models.load_published(path)
    write(tmp_path / "other.hdf5", weights)
    with h5py.File(path, "a") as file:
        file["model_1/conv3d_7/kernel:0"] = h5py.ExternalLink("other.hdf5", "/model_1/conv3d_7/kernel:0")
    with pytest.raises(ValueError, match=r"'conv3d_7/kernel:0' is a link, which is not followed"):
        models.load_published(path)
    with h5py.File(path, "a") as file:
        del file["model_1/conv3d_7/kernel:0"]
        file["model_1/conv3d_7"].create_dataset("kernel:0", (2, 2, 2, 6, 1), "f4", external=[("raw", 0, 192)])
    with pytest.raises(ValueError, match="stored in other files, which are not read"):
        models.load_published(path)
