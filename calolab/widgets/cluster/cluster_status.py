"""ClusterStatus: the state of a cluster's engines, refreshed every few seconds, with Restart and Stop."""

from __future__ import annotations

import threading
import time

import traitlets

from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget
from calolab.widgets.shared.watcher import Watcher


class ClusterStatus(LiveWidget):
    """The engines of a cluster with rank, host, memory and load, its batch jobs, and buttons for restart and stop.

    A daemon thread calls `cluster.status` every few seconds, which does not interrupt the engines. The display is
    refreshed while the kernel is busy. Clicks are handled immediately if the kernel has subshells (JupyterLab 4.4,
    ipykernel 7), otherwise at the end of the running cell.

    Args:
        cluster: name of a cluster, or its `Engines`.
        interval: time between two updates [s].

    Raises:
        ValueError: if the interval is not positive.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    name = traitlets.Unicode(help="name of the cluster").tag(sync=True)
    state = traitlets.Unicode(help="running, damaged, broken, not running, ...").tag(sync=True)
    launcher = traitlets.Unicode(help="how the engines were started").tag(sync=True)
    size = traitlets.Int(help="number of engines that were requested").tag(sync=True)
    engines = traitlets.List(help="one dictionary per engine").tag(sync=True)
    queue = traitlets.List(traitlets.Unicode(), help="descriptions of the batch jobs").tag(sync=True)
    note = traitlets.Unicode(help="recommended action if there is a problem").tag(sync=True)
    updated = traitlets.Float(help="time of the last update [Unix seconds]").tag(sync=True)
    action = traitlets.Unicode(help="action in progress: restart, stop or none").tag(sync=True)
    result = traitlets.Unicode(help="result of the last action").tag(sync=True)
    message = traitlets.Unicode(help="error message").tag(sync=True)

    def __init__(self, cluster="calolab", *, interval: float = 3.0):
        self._watcher = Watcher(self, "cluster", interval)
        super().__init__(name=cluster if isinstance(cluster, str) else cluster.name)
        self.refresh()
        self.on_msg(self._on_message)
        self._watcher.start()

    def refresh(self) -> None:
        """Read the cluster's state once and display it."""

        from calolab import cluster  # imports ipyparallel

        status = cluster.status(self.name)
        with self._watcher.lock, self.hold_sync():
            self.state, self.launcher, self.size, self.note = status.state, status.launcher, status.size, status.note
            self.engines = [_describe_engine(number, engine) for number, engine in status.engines.items()]
            self.queue = [str(job) for job in status.queue]
            self.updated = time.time()

    def _on_message(self, _, content, buffers):
        action = content.get("type")
        with self._watcher.lock:
            if action not in ("restart", "stop") or self.action:
                return
            self.action, self.result, self.message = action, "", ""
        threading.Thread(target=self._run_action, args=(action,), name="ClusterStatus action", daemon=True).start()

    def _run_action(self, action):
        from calolab import cluster

        started = time.monotonic()
        try:
            if action == "restart":
                result = cluster.restart(self.name).note
            else:
                result = f"{cluster.stop(self.name)} ({time.monotonic() - started:.1f} s)"
            message = ""
        except Exception as error:
            result, message = "", f"{action} failed: {type(error).__name__}: {error}"
        with self._watcher.lock:
            self.result, self.message, self.action = result, message, ""
        self._watcher.refresh_soon()

    def _repr_html_(self):
        from calolab import cluster

        return cluster.status(self.name)._repr_html_()


def _describe_engine(number, engine) -> dict:
    return {
        "id": number,
        "state": engine.state,
        "rank": engine.rank,
        "host": engine.host,
        "memory": engine.memory,
        "load": engine.load,
    }
