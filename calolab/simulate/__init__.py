"""Events made by simulation: showers by Geant4 or GFlash, whole collisions by Pythia, their towers and pile-up."""

from calolab.simulate import pileup, sky, slha, towers
from calolab.simulate.pythia import collisions
from calolab.simulate.showers import hits, showers

__all__ = ["collisions", "hits", "pileup", "showers", "sky", "slha", "towers"]
