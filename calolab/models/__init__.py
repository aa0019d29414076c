"""Generative networks: their architectures, the GAN record, its files, and the trained generators of calolab."""

import importlib

# Keras loads with the first of these, not with this package: the header of a file can be read without it.
_MODULES = {
    "Architecture": "architecture",
    "GAN": "gan",
    "Head": "architecture",
    "ModelCard": "gan_file",
    "build": "registry",
    "find": "registry",
    "load": "collection",
    "load_published": "published",
    "names": "registry",
    "read_header": "gan_file",
    "shipped": "collection",
}
__all__ = sorted(_MODULES)


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"calolab.models.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'calolab.models' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return list(__all__)
