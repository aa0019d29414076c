"""Widgets: what the browser shows of samples, GANs and training runs."""

from calolab.widgets.energy_interpolation import EnergyInterpolation
from calolab.widgets.profile_explorer import ProfileExplorer
from calolab.widgets.slice_viewer import SliceViewer
from calolab.widgets.training_monitor import TrainingMonitor

__all__ = ["EnergyInterpolation", "ProfileExplorer", "SliceViewer", "TrainingMonitor"]
