"""Plots: matplotlib figures of records and arrays; they change no settings of the user."""

from calolab.plots import (
    adaptation,
    comparison,
    event_images,
    hit_pairs,
    jet_board,
    jets,
    mean_profiles,
    ratios,
    scales,
    scaling,
    showers,
    slices,
    style,
    texture,
    training,
    trials,
)

__all__ = [
    "adaptation",
    "comparison",
    "event_images",
    "hit_pairs",
    "jet_board",
    "jets",
    "mean_profiles",
    "ratios",
    "scales",
    "scaling",
    "showers",
    "slices",
    "style",
    "texture",
    "training",
    "trials",
]
