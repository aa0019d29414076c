"""Plots: matplotlib figures of records and arrays; they change no settings of the user."""

from calolab.plots import (
    comparison,
    event_images,
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
    "comparison",
    "event_images",
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
