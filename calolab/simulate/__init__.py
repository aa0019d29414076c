"""Simulation of events: showers (Geant4, GFlash), collisions (Pythia), calorimeter towers, jet images and pile-up."""

from calolab.simulate import pileup, sky, slha, towers
from calolab.simulate.electromagnetic_showers import hits, showers
from calolab.simulate.jet_preprocessing import jet_images
from calolab.simulate.pythia import collisions

__all__ = ["collisions", "hits", "jet_images", "pileup", "showers", "sky", "slha", "towers"]
