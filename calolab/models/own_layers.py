"""Layers of a GAN that are the user's own: their definitions, and networks that are loaded with them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from types import FunctionType

import keras

from calolab.models.gan import GAN, NETWORKS
from calolab.models.gan import load as load_gan

KNOWN = ("keras", "calolab")  # packages whose layers every reader of a GAN file has
PARTS = (keras.Operation, keras.initializers.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint)


def definitions(gan: GAN) -> dict[str, object]:
    """Classes and functions in a GAN's networks that neither Keras nor calolab defines, by the name that files use.

    Args:
        gan: networks with layers, activations, initialisers, regularisers or constraints of one's own.
    """
    found = {}
    for network in NETWORKS:
        for part in _parts(getattr(gan, network)):
            definition = part if isinstance(part, FunctionType) else type(part)
            if definition.__module__.partition(".")[0] not in KNOWN:
                found[keras.saving.get_registered_name(definition)] = definition
    return found


def load(path: str | os.PathLike, definitions: Mapping[str, object]) -> GAN:
    """Read a GAN file whose networks hold layers of one's own, as `models.load` does for others.

    Args:
        path: the file.
        definitions: as `definitions` gives them; the file itself holds no code.
    """
    with keras.saving.custom_object_scope(dict(definitions)):
        return load_gan(path)


def _parts(network: keras.Model) -> Iterator[object]:
    """The layers and other operations of a network, however deep, and what these are configured with."""
    operations = [*network._flatten_layers(), *getattr(network, "operations", ())]
    for operation in {id(one): one for one in operations}.values():
        yield operation
        for name, value in vars(operation).items():
            # Keras wraps some methods in functions that it keeps on the layer.
            if isinstance(value, (*PARTS, FunctionType)) and not hasattr(type(operation), name):
                yield value
