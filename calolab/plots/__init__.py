"""Plots: records and arrays in, matplotlib figures out; nothing is shown and no setting of the user's is changed."""

from calolab.plots import (
    comparison,
    event_images,
    jet_board,
    jets,
    losses,
    mean_profiles,
    ratios,
    scales,
    scaling,
    showers,
    slices,
    style,
    texture,
    trials,
)

__all__ = [
    "comparison",
    "event_images",
    "jet_board",
    "jets",
    "losses",
    "mean_profiles",
    "ratios",
    "scales",
    "scaling",
    "showers",
    "slices",
    "style",
    "texture",
    "trials",
]
