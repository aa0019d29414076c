"""Plots: records and arrays in, matplotlib figures out; nothing is shown and no setting of the user's is changed."""
