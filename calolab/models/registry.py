"""The registry of architectures: the files of `models/architectures/`, each with its `ARCHITECTURES`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from calolab import spaces
from calolab.models import architectures
from calolab.models.architecture import Architecture, Head
from calolab.models.gan import GAN
from calolab.names import check_name
from calolab.spaces import Space


def names() -> list[str]:
    """Names of all architectures that `build` and `find` accept."""
    return sorted(_all())


def find(name: str) -> Architecture:
    """The record of an architecture: builder, heads, published recipe, citation and numbers of parameters.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    found = _all()
    check_name("architecture", name, sorted(found))
    return found[name]


def get(name: str) -> Architecture | None:
    """Like `find`, but returns None for an unknown name, such as that of a model defined in a notebook."""
    return _all().get(name)


def build(name: str, space: Space | str, *, seed: int = 0, **settings) -> GAN:
    """Build an untrained GAN of a named architecture for a space.

    Args:
        name: one of `names()`.
        space: a `Space` or the name of one.
        seed: seed of the initial weights.
        settings: the architecture's own settings, e.g. `latent_size=200`.

    Raises:
        ValueError: for an unknown name or setting, with the nearest known ones, or if the space does not fit.
    """
    builder = find(name).build
    known = [setting for setting in inspect.signature(builder).parameters if setting not in ("space", "seed")]
    for setting in settings:
        check_name(f"setting of {name!r}", setting, known)
    return builder(spaces.space(space), seed=seed, **settings)


def heads(architecture: str) -> dict[str, Head]:
    """Heads that the discriminator of an architecture may have, by name.

    Args:
        architecture: name of any architecture. One that is not in the registry may have the heads of all that are.
    """
    found = _all()
    records = [found[architecture]] if architecture in found else found.values()
    return {name: head for record in records for name, head in record.heads.items()}


def _all() -> dict[str, Architecture]:
    modules = [
        importlib.import_module(f"{architectures.__name__}.{module.name}")
        for module in pkgutil.iter_modules(architectures.__path__)
    ]
    return {one.name: one for module in modules for one in module.ARCHITECTURES}
