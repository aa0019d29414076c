"""Validation: is the generated physics right? Observables, distances and their statistical floor."""

from calolab.validation.cells import hits, sparsity, spectrum
from calolab.validation.comparison import Comparison, compare
from calolab.validation.jets import JetReport, compare_jets, jet_score
from calolab.validation.maps import MapComparison, compare_maps
from calolab.validation.metrics import kolmogorov_smirnov, projection_error, separation_power, wasserstein
from calolab.validation.profiles import containment_radius, layer_correlations, maximum, moments, profile
from calolab.validation.response import response, visible_energy, visible_fraction
from calolab.validation.texture import gaussian_minkowski, minkowski, pixel_contents, power_spectrum

__all__ = [
    "Comparison",
    "JetReport",
    "MapComparison",
    "compare",
    "compare_jets",
    "compare_maps",
    "containment_radius",
    "gaussian_minkowski",
    "hits",
    "jet_score",
    "kolmogorov_smirnov",
    "layer_correlations",
    "maximum",
    "minkowski",
    "moments",
    "pixel_contents",
    "power_spectrum",
    "profile",
    "projection_error",
    "response",
    "separation_power",
    "sparsity",
    "spectrum",
    "visible_energy",
    "visible_fraction",
    "wasserstein",
]
