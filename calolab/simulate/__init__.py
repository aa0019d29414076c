"""Showers made by simulation: Geant4 particle by particle, GFlash by parametrisation."""

from calolab.simulate.showers import hits, showers

__all__ = ["hits", "showers"]
