"""Start engines with ipyparallel, train on all of them with Horovod."""

from calolab.distributed.cluster import (
    Engines,
    attach,
    cluster,
    replace_engines,
    restart,
    scale,
    start,
    stop,
    stop_all,
)
from calolab.distributed.cluster_status import ClusterStatus, EngineStatus, Text, clusters, logs, status
from calolab.distributed.dask_client import dask, stop_dask
from calolab.distributed.data_parallel import fit
from calolab.distributed.elastic import ElasticRun, Interruption
from calolab.distributed.launch import OWNER
from calolab.distributed.network_model import Network
from calolab.distributed.scaling import scaling_report
from calolab.distributed.scaling_record import ScalingPoint, ScalingReport
from calolab.distributed.search import Search, reattach_search, search, searches
from calolab.distributed.search_space import Choice, Integer, Real
from calolab.distributed.training_run import TrainingFailed, TrainingRun
from calolab.distributed.trials import Trial

__all__ = [
    "OWNER",
    "Choice",
    "ClusterStatus",
    "ElasticRun",
    "EngineStatus",
    "Engines",
    "Integer",
    "Interruption",
    "Network",
    "Real",
    "ScalingPoint",
    "ScalingReport",
    "Search",
    "Text",
    "TrainingFailed",
    "TrainingRun",
    "Trial",
    "attach",
    "cluster",
    "clusters",
    "dask",
    "fit",
    "logs",
    "reattach_search",
    "replace_engines",
    "restart",
    "scale",
    "scaling_report",
    "search",
    "searches",
    "start",
    "status",
    "stop",
    "stop_all",
    "stop_dask",
]
