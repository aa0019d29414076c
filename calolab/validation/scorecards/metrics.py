"""The metrics of a scorecard as a table of records: what each one measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calolab.names import check_name

GROUPS = {
    "energy": "Energy",
    "separation": "Separation powers",
    "frechet": "Fréchet and kernel distances",
    "classifiers": "Classifiers",
    "neighbours": "Nearest neighbours",
    "correlations": "Correlations",
    "images": "Images",
    "jets": "Jets",
}


@dataclass(frozen=True)
class Metric:
    """One metric of a scorecard.

    Args:
        name: e.g. `"auc.trees"`.
        group: a key of `GROUPS`.
        label: short name in tables and figures.
        about: description of the measured quantity, in one sentence.
        direction: which values are better, `"lower"` or `"higher"`.
        two_sided: whether values on either side of the floor are worse.
        factor: factor by which the value is multiplied in tables, e.g. 1000 for FPD, as in published tables.
    """

    name: str
    group: str
    label: str
    about: str
    direction: str = "lower"
    two_sided: bool = False
    factor: float = 1.0


_SEPARATIONS = {
    "total": ("total energy", "of total over incident energy"),
    "layers": ("layer energies", "of the layer energies, mean over the layers"),
    "centres": ("centres", "of the transverse centres of energy, mean over layers and axes"),
    "widths": ("widths", "of the transverse widths, mean over layers and axes"),
    "radial": ("radius", "of the mean radius and its width, mean over the layers"),
    "sparsity": ("occupancy", "of the fraction of empty cells, mean over the layers"),
    "cells": ("cell spectrum", "of the energies of single cells"),
    "mean": ("mean", "mean of the separation powers above"),
}
METRICS = {
    metric.name: metric
    for metric in (
        Metric("response", "energy", "response", "largest deviation of the mean visible energy, over bins of energy"),
        Metric("resolution", "energy", "resolution", "largest relative deviation of the resolution, over these bins"),
        Metric("linearity", "energy", "linearity", "spread over the energy bins of the deviation of the mean"),
        *(
            Metric(f"separation.{name}", "separation", label, f"separation power {about}", factor=1e3)
            for name, (label, about) in _SEPARATIONS.items()
        ),
        Metric(
            "fpd", "frechet", "FPD", "Fréchet distance of the features, extrapolated to infinite samples", factor=1e3
        ),
        Metric(
            "kpd",
            "frechet",
            "KPD",
            "kernel distance of the features (squared MMD with a kernel of degree four)",
            factor=1e3,
        ),
        Metric("auc.trees", "classifiers", "AUC trees", "boosted trees on the high-level features"),
        Metric("auc.cnn", "classifiers", "AUC CNN", "convolutional network on the cells"),
        Metric("auc.low", "classifiers", "AUC low", "the CaloChallenge's network on the cells"),
        Metric("auc.normed", "classifiers", "AUC low, normed", "the same on the cells over their layer's energy"),
        Metric("auc.high", "classifiers", "AUC high", "the same on the high-level features"),
        *(
            Metric(
                f"jsd.{judge}", "classifiers", f"JSD {word}", f"Jensen-Shannon divergence by the judge of auc.{judge}"
            )
            for judge, word in {
                "trees": "trees",
                "cnn": "CNN",
                "low": "low",
                "normed": "low, normed",
                "high": "high",
            }.items()
        ),
        Metric("precision", "neighbours", "precision", "fraction of generated events among the reference", "higher"),
        Metric("recall", "neighbours", "recall", "fraction of reference events among the generated", "higher"),
        Metric("density", "neighbours", "density", "density of generated events among the reference", "higher", True),
        Metric(
            "coverage", "neighbours", "coverage", "fraction of reference events with a generated one near", "higher"
        ),
        Metric(
            "memorised",
            "neighbours",
            "memorised",
            "probability that a generated event is closer to the training sample than a real event is",
        ),
        Metric("correlations.layers", "correlations", "Δρ layers", "mean difference of the layer correlations"),
        Metric("correlations.moments", "correlations", "Δρ moments", "mean difference of the moment correlations"),
        Metric("ks_comb", "jets", "ks_comb", "sum of minus log p of jet pt, multiplicity and summed mass"),
        Metric("ssim", "images", "1 − SSIM", "dissimilarity of the mean images"),
        Metric("diversity", "images", "diversity", "difference of the mean SSIM within either sample"),
    )
}
# Sufficient for the selection of an epoch, in seconds for a few thousand showers.
CHEAP = ("separation", "fpd", "auc.trees")


def chosen(names: str | Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    """The metrics that a request names, in the order of the table.

    Args:
        names: metrics or their groups, `"cheap"` for those of `CHEAP`, or None for all.
        available: the metrics that the samples and options allow.

    Raises:
        ValueError: for an unknown name, with the nearest known ones, or one that is not available.
    """
    if names is None:
        return tuple(available)
    wanted = CHEAP if names == "cheap" else (names,) if isinstance(names, str) else tuple(names)
    if not wanted:
        raise ValueError(f"metrics= expects at least one name among {', '.join(available)}.")
    found = []
    for name in wanted:
        check_name("metric", name, [*GROUPS, *METRICS])
        members = [one for one in available if one == name or METRICS[one].group == name]
        if not members:
            raise ValueError(f"metric {name!r} is not available here; available: {', '.join(available)}.")
        found += members
    return tuple(one for one in available if one in found)
