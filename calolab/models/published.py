"""Published weights of the first 3DGAN in HDF5 files of Keras 2.

Such a file has a group for each layer with weights, and in it arrays such as `conv3d_1/kernel` or, with TensorFlow,
`conv3d_1/kernel:0`; attributes list both in their order. A network inside another is one group. The numbers in the
names depend on what else was built in the same process, so layers of a kind are matched by their order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np

from calolab.files import diagnosed
from calolab.models import registry
from calolab.models.gan import GAN
from calolab.names import check_name
from calolab.spaces import Space

ARCHITECTURE = "3dgan"
# Beginnings of the names in the file.
_KINDS = {
    keras.layers.Dense: "dense",
    keras.layers.Conv3D: "conv3d",
    keras.layers.BatchNormalization: "batch_normalization",
}
_HEADS = ("generation", "auxiliary")
_LAYOUTS = ("channels_last", "channels_first")
_DEPTH = 8  # maximum depth of groups


def load_published(
    path: str | os.PathLike,
    discriminator: str | os.PathLike | None = None,
    *,
    space: Space | str = "clic-ecal",
    data_format: str = "channels_last",
    seed: int = 0,
) -> GAN:
    """Load published weights of the first 3DGAN (arXiv:1912.06794) from HDF5 files that Keras 2 wrote.

    Args:
        path: weights of the generator, e.g. `params_generator_epoch_029.hdf5`, or a whole Keras 2 model.
        discriminator: weights of the discriminator; by default it is untrained.
        space: space of the showers, of shape (25, 25, 25).
        data_format: order of the axes in the network that was trained, `"channels_last"` or `"channels_first"`, which
            the files do not contain. It determines how the dense layers are connected.
        seed: seed of the initial weights of an untrained discriminator.

    Returns:
        A GAN of the architecture `3dgan`, whose generator makes showers in GeV.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, has links to other files, or does not contain the layers of the network with
            their shapes; the message names the first layer that differs.
        OSError, MemoryError: if a file cannot be read at present.
    """
    check_name("data format", data_format, _LAYOUTS)
    gan = registry.build(ARCHITECTURE, space, seed=seed)
    files = {"generator": path} | ({} if discriminator is None else {"discriminator": discriminator})
    for name, file in files.items():
        _assign(Path(file), name, gan.networks[name], data_format)
    names = {name: Path(file).name for name, file in files.items()}
    return replace(gan, provenance={**gan.provenance, "published weights": names})


def _assign(path: Path, name: str, network: keras.Model, data_format: str) -> None:
    """Set the weights of a network; nothing is set if the file does not fit."""
    if not path.is_file():
        raise FileNotFoundError(f"No file {path}; expected the weights of the {name} of the 3DGAN, written by Keras 2.")

    def damaged(error: Exception) -> str:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            return str(error)
        return f"{path}: damaged, or not an HDF5 file of weights ({error}). Copy or download it again."

    with diagnosed(path, damaged), h5py.File(path, "r") as file:
        held = _layers(path, file)
        pairs = _matched(path, name, network, held)
        # Shapes are compared before anything is read.
        found = [(variable, _read(path, array)) for layer, arrays in pairs for variable, array in _pairs(layer, arrays)]
    if data_format == "channels_first":
        found = [(variable, _channels_last(network, variable, values)) for variable, values in found]
    for variable, values in found:
        variable.assign(values)


def _layers(path: Path, file: h5py.File) -> dict[str, dict[str, h5py.Dataset]]:
    """The arrays of each layer by their short names, in the order of the file."""
    whole = _member(path, file, "model_weights") if "model_weights" in file else file
    found: dict[str, dict[str, h5py.Dataset]] = {}
    for name, array in _arrays(path, whole):
        layer, _, short = name.rpartition("/")
        found.setdefault(layer.rpartition("/")[2], {})[short.partition(":")[0]] = array
    return found


def _arrays(path: Path, whole: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Names and arrays of all weights, in the order of the attributes or else of the numbers in the names."""
    if "layer_names" not in whole.attrs:
        yield from sorted(_walk(path, whole, ""), key=lambda one: _natural(one[0]))
        return
    for layer in map(_text, whole.attrs["layer_names"]):
        group = _member(path, whole, layer)
        for name in map(_text, group.attrs["weight_names"]):
            array = _member(path, group, name)
            if not isinstance(array, h5py.Dataset):
                raise ValueError(f"{path}: {layer}/{name} is a group, expected an array.")
            yield name, array


def _walk(path: Path, group: h5py.Group, above: str, depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    for name in group:
        held = _member(path, group, name)
        if isinstance(held, h5py.Dataset):
            yield above + name, held
        elif depth < _DEPTH:
            yield from _walk(path, held, f"{above}{name}/", depth + 1)


def _member(path: Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """A member of a group; links, and arrays that are stored in other files, are rejected."""
    for part in name.split("/"):
        link = group.get(part, getlink=True)
        if link is None:
            raise ValueError(f"{path}: lacks {name!r} in {group.name!r}, which its attributes list. Copy it again.")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{path}: {name!r} is a link, which is not followed. Copy the weights into one file.")
        group = group[part]
    if isinstance(group, h5py.Dataset) and (group.is_virtual or group.external):
        raise ValueError(f"{path}: {name!r} is stored in other files, which are not read. Copy it into this one.")
    return group


def _matched(
    path: Path, name: str, network: keras.Model, held: Mapping[str, Mapping[str, h5py.Dataset]]
) -> list[tuple[keras.Layer, Mapping[str, h5py.Dataset]]]:
    """The layers of a network with their arrays: heads by their names, the others by kind and order.

    Raises:
        ValueError: if there are more or fewer layers of a kind, or a layer has other weights.
    """
    left, pairs = list(held), []
    for number, layer in enumerate((layer for layer in network.layers if layer.weights), start=1):
        kind = layer.name if layer.name in _HEADS else _KINDS[type(layer)]
        one = next((one for one in left if re.sub(r"_\d+$", "", one) == kind), None)
        shapes = {variable.name: tuple(variable.shape) for variable in layer.weights}
        found = {} if one is None else {short: array.shape for short, array in held[one].items()}
        if found != shapes:
            received = f"has no more of {len(held)} layers" if one is None else f"has {one!r} with {_shapes(found)}"
            raise ValueError(
                f"{path}: does not fit the {name} of the 3DGAN. Expected layer {number} with weights, {kind}, with "
                f"{_shapes(shapes)}; the file {received}. It must be a weight file of this network by Keras "
                f"2{_hint(name, held)}."
            )
        left.remove(one)
        pairs.append((layer, held[one]))
    if left:
        raise ValueError(
            f"{path}: does not fit the {name} of the 3DGAN. Expected {len(pairs)} layers with weights, the file has "
            f"{len(held)}; {', '.join(left)} are left{_hint(name, held)}."
        )
    return pairs


def _hint(name: str, held: Mapping[str, object]) -> str:
    """A hint at what the file may contain instead."""
    is_discriminator = set(_HEADS) <= set(held)
    if is_discriminator == (name == "discriminator"):
        return ""
    return "; this one is of a discriminator: load_published(generator, discriminator)" if is_discriminator else ""


def _pairs(layer: keras.Layer, arrays: Mapping[str, h5py.Dataset]):
    return [(variable, arrays[variable.name]) for variable in layer.weights]


def _read(path: Path, array: h5py.Dataset) -> np.ndarray:
    if array.dtype.kind != "f":
        raise ValueError(f"{path}: {array.name} holds {array.dtype}, expected floating-point numbers.")
    values = array[()]
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: {array.name} holds values that are not finite: its training diverged.")
    return values


def _channels_last(network: keras.Model, variable: keras.Variable, values: np.ndarray) -> np.ndarray:
    """The weights of a dense layer adjacent to flattened cells, whose channels came first; others are unchanged."""
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    if not any(variable is one for layer in dense for one in layer.weights):
        return values
    for layer in network.layers:
        if isinstance(layer, keras.layers.Reshape):  # the dense layer precedes it
            *cells, channels = layer.target_shape
            shaped = values.reshape(*values.shape[:-1], channels, *cells)
            return np.moveaxis(shaped, values.ndim - 1, -1).reshape(values.shape)
        if isinstance(layer, keras.layers.Flatten) and values.ndim == 2:  # the dense layers follow it
            *cells, channels = layer.input.shape[1:]
            return np.moveaxis(values.reshape(channels, *cells, -1), 0, -2).reshape(values.shape)
    return values


def _shapes(weights: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in weights.items()) or "no weights"


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts `conv3d_10` after `conv3d_9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
