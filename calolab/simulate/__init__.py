"""Simulation of events: showers with Geant4 or GFlash, collisions with Pythia, calorimeter towers and pile-up."""

from calolab.simulate import pileup, sky, slha, towers
from calolab.simulate.electromagnetic_showers import hits, showers
from calolab.simulate.pythia import collisions

__all__ = ["collisions", "hits", "pileup", "showers", "sky", "slha", "towers"]
