"""Widgets: interactive views of samples, GANs, training runs, clusters and searches in the browser.

They work in JupyterLab and, with calolab's template, in Voila, without a request to any other machine:
`JUPYTER_PATH=$(python -c "import calolab.widgets as w; print(*w.__path__)") voila --template=calolab notebook.ipynb`.
"""

from calolab.widgets.cluster.cluster_status import ClusterStatus
from calolab.widgets.jets.jet_comparison import JetComparison
from calolab.widgets.search.search_dashboard import SearchDashboard
from calolab.widgets.showers.energy_interpolation import EnergyInterpolation
from calolab.widgets.showers.profile_explorer import ProfileExplorer
from calolab.widgets.showers.slice_viewer import SliceViewer
from calolab.widgets.training.training_monitor import TrainingMonitor

__all__ = [
    "ClusterStatus",
    "EnergyInterpolation",
    "JetComparison",
    "ProfileExplorer",
    "SearchDashboard",
    "SliceViewer",
    "TrainingMonitor",
]
