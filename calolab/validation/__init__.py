"""Validation: is the generated physics right? Observables, distances and their statistical floor."""

from calolab.validation.cells import hits, sparsity, spectrum
from calolab.validation.comparison import Comparison, compare
from calolab.validation.metrics import kolmogorov_smirnov, projection_error, separation_power, wasserstein
from calolab.validation.profiles import containment_radius, layer_correlations, maximum, moments, profile
from calolab.validation.response import response, visible_energy, visible_fraction

__all__ = [
    "Comparison",
    "compare",
    "containment_radius",
    "hits",
    "kolmogorov_smirnov",
    "layer_correlations",
    "maximum",
    "moments",
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
