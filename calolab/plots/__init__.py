"""Plots: records and arrays in, matplotlib figures out; nothing is shown and no setting of the user's is changed."""

from calolab.plots import comparison, losses, mean_profiles, showers, slices, style

__all__ = ["comparison", "losses", "mean_profiles", "showers", "slices", "style"]
