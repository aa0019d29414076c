"""Datasets: load, stream and save files of events, and download public data sets."""

import importlib

from calolab.datasets.fetching import fetch
from calolab.datasets.files import load, save, stream
from calolab.datasets.images import symmetries
from calolab.datasets.public_sets import catalogue
from calolab.datasets.streaming import EventStream

# awkward and uproot load with the first of these, not with this package.
_MODULES = {"Reconstructed": "delphes_objects", "reconstructed": "delphes_objects"}
__all__ = [
    "EventStream",
    "Reconstructed",
    "catalogue",
    "fetch",
    "load",
    "reconstructed",
    "save",
    "stream",
    "symmetries",
]


def __getattr__(name):
    if name in _MODULES:
        return getattr(importlib.import_module(f"calolab.datasets.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'calolab.datasets' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted({*__all__, *globals()})
