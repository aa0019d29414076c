"""Generative adversarial networks: the registry, the GAN record and one file per architecture family."""

from calolab.models.gan import GAN, load
from calolab.models.registry import build, names

__all__ = ["GAN", "build", "load", "names"]
