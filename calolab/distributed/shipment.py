"""What travels to engines as code: functions and networks with all that they refer to, also what a notebook defines."""

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

INSTALLED = {"site-packages", "dist-packages"}  # folders whose modules every engine has in its own environment
_registering = threading.Lock()  # cloudpickle's registry of modules is one for all threads


def pack(content: object, what: str) -> np.ndarray:
    """Functions and what they refer to as bytes, which `unpack` reads on an engine.

    What `__main__` or a module beside the notebook defines is sent by value: an engine cannot import it. Installed
    modules are imported on the engine.

    Args:
        content: anything that cloudpickle can serialise.
        what: its name in an error message.

    Raises:
        TypeError: if it cannot be sent.
    """
    try:
        with _registering, _own_modules_by_value():
            return np.frombuffer(cloudpickle.dumps(content), dtype=np.uint8)
    except Exception as error:  # whatever the content refers to fails in its own way
        raise TypeError(f"{what} cannot be sent to the engines: {type(error).__name__}: {error}") from error


def unpack(shipment: np.ndarray, what: str) -> object:
    """Run on an engine: what `pack` made bytes of. Unpickling runs code: only for bytes of this engine's own client.

    Raises:
        ValueError: if it needs something that this engine lacks.
    """
    try:
        return cloudpickle.loads(np.asarray(shipment).tobytes())
    except Exception as error:
        raise ValueError(
            f"{what} cannot be rebuilt on the engine: {type(error).__name__}: {error}. Install what they import in the "
            "engines' environment, too."
        ) from error


def pack_gan(gan) -> np.ndarray:
    """A GAN as bytes, with the definitions of its own layers: engines need no file of ours.

    Raises:
        TypeError: if its networks cannot be saved, or its own layers not be sent.
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
    """Run on an engine: the GAN that `pack_gan` made bytes of."""
    from calolab.models import own_layers

    content, definitions = unpack(shipment, "The networks")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "received.gan")
        path.write_bytes(content)
        return own_layers.load(path, definitions)


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    """Inside the block, cloudpickle sends what modules define that are not installed; other modules go by name."""
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
    """Whether a module is the user's own, which no package installer has put where engines find it."""
    if not isinstance(module, ModuleType) or sys.modules.get(module.__name__) is not module:
        return False
    file, package = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    if file is None or package in ("__main__", "calolab", "calolab_magics"):
        return False
    path = Path(file)
    library = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return not INSTALLED & {*path.parts} and not library & {*path.parents}
