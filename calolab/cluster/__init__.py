"""Engines: start, monitor, signal and stop their processes, on this machine or by MPI, Slurm or ssh."""

from calolab.cluster.description import OWNER
from calolab.cluster.engines import Engines, attach, replace, restart, running, scale, start, stop, stop_all
from calolab.cluster.states import EngineStatus, Status, Text, clusters, logs, status

__all__ = [
    "OWNER",
    "EngineStatus",
    "Engines",
    "Status",
    "Text",
    "attach",
    "clusters",
    "logs",
    "replace",
    "restart",
    "running",
    "scale",
    "start",
    "status",
    "stop",
    "stop_all",
]
