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

__all__ = [
    "ClusterStatus",
    "Engines",
    "Text",
    "attach",
    "cluster",
    "clusters",
    "logs",
    "restart",
    "start",
    "status",
    "stop",
    "stop_all",
]
