"""Data-parallel training on several engines with Horovod, and Dask on engines."""

from calolab.distributed.dask import start_dask, stop_dask
from calolab.distributed.data_parallel import fit
from calolab.distributed.elastic import ElasticRun, Interruption
from calolab.distributed.runs import TrainingFailed, TrainingRun

__all__ = ["ElasticRun", "Interruption", "TrainingFailed", "TrainingRun", "fit", "start_dask", "stop_dask"]

_NOW = {
    "ClusterStatus": "cluster.Status",
    "cluster": "cluster.running",
    "reattach_search": "search.reattach",
    "replace_engines": "cluster.replace",
    "scaling_report": "scaling.report",
    "search": "search.start",
    "searches": "search.known",
    **dict.fromkeys(("Choice", "Integer", "Real", "Search", "Trial"), "search"),
    **dict.fromkeys(("Network", "ScalingPoint", "ScalingReport"), "scaling"),
    **dict.fromkeys(("EngineStatus", "Engines", "Text", "attach", "clusters", "logs"), "cluster"),
    **dict.fromkeys(("restart", "scale", "start", "status", "stop", "stop_all"), "cluster"),
}


def __getattr__(name):
    if name not in _NOW:
        raise AttributeError(f"module 'calolab.distributed' has no attribute {name!r}; it has {', '.join(__all__)}")
    now = _NOW[name] if "." in _NOW[name] else f"{_NOW[name]}.{name}"
    raise AttributeError(f"calolab.distributed.{name} is now calolab.{now}.")
