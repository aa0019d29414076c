"""Validation: is the generated physics right? Observables, distances and their statistical floor."""

import importlib

from calolab.validation.classifiers.classification import Classification
from calolab.validation.comparison import compare, compare_jet_images, compare_jets, compare_maps
from calolab.validation.distances import Distance, kolmogorov_smirnov, minus_log_p, separation_power, wasserstein
from calolab.validation.floors import DisjointHalves, Resampled
from calolab.validation.observables.cells import hit_pairs, hits, sparsity, spectrum
from calolab.validation.observables.energy import response, visible_energy, visible_fraction
from calolab.validation.observables.jet_images import image_mass, image_pt, image_tau_21, nearest
from calolab.validation.observables.profiles import containment_radius, layer_correlations, maximum, moments, profile
from calolab.validation.observables.showers import projection_error
from calolab.validation.observables.texture import gaussian_minkowski, minkowski, pixel_contents, power_spectrum
from calolab.validation.overlays import distributions, pileup_overlay, pixel_spectra, share_binning
from calolab.validation.report import Report
from calolab.validation.scorecards.records import Entry, Scorecard
from calolab.validation.scorecards.scoring import scorecard, shower_score
from calolab.validation.scores import jet_score, ks_comb

__all__ = [
    "Classification",
    "DisjointHalves",
    "Distance",
    "Entry",
    "Report",
    "Resampled",
    "Scorecard",
    "cnn_test",
    "compare",
    "compare_jet_images",
    "compare_jets",
    "compare_maps",
    "containment_radius",
    "distributions",
    "gaussian_minkowski",
    "hit_pairs",
    "hits",
    "image_mass",
    "image_pt",
    "image_tau_21",
    "jet_score",
    "kolmogorov_smirnov",
    "ks_comb",
    "layer_correlations",
    "maximum",
    "minkowski",
    "minus_log_p",
    "mlp_test",
    "moments",
    "nearest",
    "pileup_overlay",
    "pixel_contents",
    "pixel_spectra",
    "power_spectrum",
    "profile",
    "projection_error",
    "response",
    "scorecard",
    "separation_power",
    "share_binning",
    "shower_score",
    "sparsity",
    "spectrum",
    "tree_test",
    "visible_energy",
    "visible_fraction",
    "wasserstein",
]
# These load scikit-learn or Keras, which no other comparison needs.
_HEAVY = {"cnn_test": "cnn", "mlp_test": "mlp", "tree_test": "trees"}


def __getattr__(name):
    if name in _HEAVY:
        return getattr(importlib.import_module(f"calolab.validation.classifiers.{_HEAVY[name]}"), name)
    raise AttributeError(f"module 'calolab.validation' has no attribute {name!r}; it has {', '.join(__all__)}")
