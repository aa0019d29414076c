"""Layers that a user has defined: finding their definitions in a GAN, and loading a GAN with them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import FunctionType

import keras

from calolab.models.gan import GAN
from calolab.models.gan import load as load_gan

KNOWN = ("keras", "calolab")  # packages whose layers are installed wherever a GAN file is read
PARTS = (keras.Operation, keras.initializers.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint)


def definitions(gan: GAN) -> dict[str, object]:
    """Classes and functions in a GAN's networks that neither Keras nor calolab defines, by the name that files use.

    Args:
        gan: networks with user-defined layers, activations, initialisers, regularisers or constraints.
    """
    found = {}
    for network in gan.networks.values():
        for part in _parts(network):
            definition = part if isinstance(part, FunctionType) else type(part)
            if definition.__module__.partition(".")[0] not in KNOWN:
                found[keras.saving.get_registered_name(definition)] = definition
    return found


def load(path: str | os.PathLike, definitions: Mapping[str, object]) -> GAN:
    """Read a GAN file whose networks have user-defined layers; for other files use `models.load`.

    Args:
        path: the file.
        definitions: as returned by `definitions`; the file itself holds no code.

    Raises:
        FileNotFoundError, ValueError, OSError, MemoryError: as for `models.load`.
    """
    with keras.saving.custom_object_scope(dict(definitions)):
        return load_gan(path)


def _parts(network: keras.Model) -> Iterator[object]:
    """The layers and other operations of a network at any depth, and the objects in their configuration."""
    operations = [*network._flatten_layers(), *getattr(network, "operations", ())]
    for operation in {id(one): one for one in operations}.values():
        yield operation
        for name, value in vars(operation).items():
            # Keras wraps some methods in functions that it stores on the layer.
            if isinstance(value, (*PARTS, FunctionType)) and not hasattr(type(operation), name):
                yield value
