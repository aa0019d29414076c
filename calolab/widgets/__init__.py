"""Widgets: what the browser shows of samples, GANs and training runs."""

from calolab.widgets.slice_viewer import SliceViewer

__all__ = ["SliceViewer"]
