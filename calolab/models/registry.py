"""The registry of architectures: every GAN that calolab can build, by name."""

from __future__ import annotations

import inspect

from calolab import spaces
from calolab.models import cosmogan, lagan, threedgan, whole_detector
from calolab.models.gan import GAN
from calolab.names import check_name
from calolab.spaces import Space

_BUILDERS = {
    "3dgan": threedgan.build,
    "conditional-rpv": whole_detector.build_conditional_rpv,
    "cosmogan": cosmogan.build,
    "lagan": lagan.build,
    "pileup": whole_detector.build_pileup,
    "rpv": whole_detector.build_rpv,
}


def names() -> list[str]:
    """Names that `build` knows."""
    return sorted(_BUILDERS)


def build(name: str, space: Space | str, *, seed: int = 0, **settings) -> GAN:
    """An untrained GAN of a named architecture for a space.

    Args:
        name: one of `names()`.
        space: a `Space` or the name of one.
        seed: seed of the initial weights.
        settings: the architecture's own settings, e.g. `latent_size=200`.

    Raises:
        ValueError: for an unknown name or setting, with the nearest known ones, or if the space does not fit.
    """
    check_name("architecture", name, names())
    builder = _BUILDERS[name]
    known = [setting for setting in inspect.signature(builder).parameters if setting not in ("space", "seed")]
    for setting in settings:
        check_name(f"setting of {name!r}", setting, known)
    return builder(spaces.space(space), seed=seed, **settings)
