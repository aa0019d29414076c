"""Start engines with ipyparallel, train on all of them with Horovod."""

from calolab.distributed.cluster import (
    ClusterStatus,
    Engines,
    Text,
    attach,
    cluster,
    clusters,
    logs,
    restart,
    start,
    status,
    stop,
    stop_all,
)
from calolab.distributed.data_parallel import fit
from calolab.distributed.training_run import TrainingFailed, TrainingRun

__all__ = [
    "ClusterStatus",
    "Engines",
    "Text",
    "TrainingFailed",
    "TrainingRun",
    "attach",
    "cluster",
    "clusters",
    "fit",
    "logs",
    "restart",
    "start",
    "status",
    "stop",
    "stop_all",
]
