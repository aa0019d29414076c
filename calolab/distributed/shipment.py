"""Functions and networks as bytes for engines, with all that they refer to, including definitions in a notebook."""

from __future__ import annotations

import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import cloudpickle
import numpy as np

from calolab.training.objectives import OBJECTIVES, added_objectives

INSTALLED = {"site-packages", "dist-packages"}  # folders of modules that engines have in their own environment
LIBRARY = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}  # those of Python itself
_registering = threading.Lock()  # cloudpickle's registry of modules is shared by all threads


def pack(content: object, what: str) -> np.ndarray:
    """Functions and everything they refer to as bytes, which `unpack` reads on an engine.

    Definitions of `__main__` and of modules beside the notebook are sent by value, because engines cannot import them;
    installed modules are imported on the engine. Objectives that were added to `training.OBJECTIVES` are sent as well,
    because recipes refer to them by name.

    Args:
        content: anything that cloudpickle can serialise.
        what: its name in an error message.

    Raises:
        TypeError: if it cannot be sent.
        ValueError: if an objective of calolab has been replaced.
    """
    objectives = added_objectives()
    try:
        with _registering, _own_modules_by_value():
            return np.frombuffer(cloudpickle.dumps((content, objectives)), dtype=np.uint8)
    except Exception as error:  # any object may raise any error when it is pickled
        raise TypeError(f"{what} cannot be sent to the engines: {type(error).__name__}: {error}") from error


def unpack(shipment: np.ndarray, what: str) -> object:
    """Run on an engine: the content of `pack`; the objectives in it are then in the engine's `training.OBJECTIVES`.

    Unpickling runs code: only for bytes from this engine's own client.

    Args:
        shipment: bytes from `pack`.
        what: what they contain, for the message.

    Raises:
        ValueError: if the engine lacks something that it needs.
    """
    try:
        content, objectives = cloudpickle.loads(np.asarray(shipment).tobytes())
    except Exception as error:
        raise ValueError(
            f"{what} cannot be rebuilt on the engine: {type(error).__name__}: {error}. Install what they import in the "
            "engines' environment, too."
        ) from error
    OBJECTIVES.update(objectives)
    return content


def pack_gan(gan) -> np.ndarray:
    """A GAN as bytes, with the definitions of custom layers, so that engines need no file.

    Raises:
        TypeError: if its networks cannot be saved, or its custom layers cannot be sent.
    """
    from calolab.models import own_layers

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sent.gan")
        try:
            gan.save(path)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise TypeError(f"The networks cannot be sent to the engines: {error}") from error
        return pack((path.read_bytes(), own_layers.definitions(gan)), "The networks")


def unpack_gan(shipment: np.ndarray):
    """Run on an engine: the GAN from the bytes of `pack_gan`."""
    from calolab.models import own_layers

    content, definitions = unpack(shipment, "The networks")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "received.gan")
        path.write_bytes(content)
        return own_layers.load(path, definitions)


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    """During the block, cloudpickle sends definitions of modules that are not installed by value, others by name."""
    registered = cloudpickle.list_registry_pickle_by_value()
    own = [module for module in list(sys.modules.values()) if _is_own(module) and module.__name__ not in registered]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: object) -> bool:
    """Whether a module is the user's own, rather than installed where engines find it."""
    if not isinstance(module, ModuleType) or sys.modules.get(module.__name__) is not module:
        return False
    file, package = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    if file is None or package in ("__main__", "calolab", "calolab_magics"):
        return False
    path = Path(file)
    return not INSTALLED & {*path.parts} and not LIBRARY & {*path.parents}
