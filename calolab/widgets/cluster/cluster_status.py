"""ClusterStatus: how a cluster's engines are, refreshed every few seconds, with Restart and Stop."""

from __future__ import annotations

import threading
import time

import traitlets

from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget


class ClusterStatus(LiveWidget):
    """The engines of a cluster with rank, machine, memory and load, its place in a queue, and Restart and Stop.

    A daemon thread asks `cluster.status` every few seconds, which does not disturb the engines, busy ones included;
    it ends when the widget is closed. While the kernel is busy the figures go on; a click is heard at once where the
    kernel has subshells (JupyterLab 4.4, ipykernel 7), else at the cell's end.

    Args:
        cluster: a cluster's name, or its `Engines`.
        interval: seconds between two looks.

    Raises:
        ValueError: if the interval is not positive.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    name = traitlets.Unicode(help="the cluster's name").tag(sync=True)
    state = traitlets.Unicode(help="running, damaged, broken, not running, ...").tag(sync=True)
    launcher = traitlets.Unicode(help="how its engines were started").tag(sync=True)
    size = traitlets.Int(help="how many engines it should have").tag(sync=True)
    engines = traitlets.List(help="one dictionary per engine").tag(sync=True)
    queue = traitlets.List(traitlets.Unicode(), help="its batch jobs in words").tag(sync=True)
    note = traitlets.Unicode(help="what to do if something is wrong").tag(sync=True)
    looked = traitlets.Float(help="when the cluster was last looked at [Unix seconds]").tag(sync=True)
    doing = traitlets.Unicode(help="what a click has begun").tag(sync=True)
    done = traitlets.Unicode(help="what became of the last click").tag(sync=True)
    message = traitlets.Unicode(help="what went wrong").tag(sync=True)

    def __init__(self, cluster="calolab", *, interval: float = 3.0):
        if not interval > 0:
            raise ValueError(f"interval must be positive [s], received {interval}.")
        self._interval, self._look = interval, threading.Event()
        self._lock = threading.RLock()  # what one thread sets while another sends what it held back would be lost
        super().__init__(name=cluster if isinstance(cluster, str) else cluster.name)
        self.refresh()
        self.on_msg(self._on_message)
        threading.Thread(target=self._watch, name="ClusterStatus", daemon=True).start()

    def refresh(self) -> None:
        """Look at the cluster once and show how it is."""

        from calolab import cluster  # ipyparallel loads when a cluster is looked at

        found = cluster.status(self.name)
        with self._lock, self.hold_sync():
            self.state, self.launcher, self.size, self.note = found.state, found.launcher, found.size, found.note
            self.engines = [_facts(number, engine) for number, engine in found.engines.items()]
            self.queue = [str(job) for job in found.queue]
            self.looked = time.time()

    def _watch(self):
        failure = ""
        while self.comm is not None:
            if self._look.wait(self._interval):
                self._look.clear()
            if self.comm is None:
                return
            try:
                self.refresh()
                with self._lock:
                    # What a click has left there stays until the next one.
                    if self.message == failure:
                        self.message = ""
            except Exception as error:  # The thread has nobody to raise to: the widget says it, and looks again.
                with self._lock:
                    self.message = failure = f"The cluster cannot be read: {type(error).__name__}: {error}"

    def _on_message(self, _, content, buffers):
        action = content.get("type")
        with self._lock:
            if action not in ("restart", "stop") or self.doing:
                return
            self.doing, self.done, self.message = action, "", ""
        threading.Thread(target=self._act, args=(action,), name="ClusterStatus click", daemon=True).start()

    def _act(self, action):
        from calolab import cluster

        begun = time.monotonic()
        try:
            told = cluster.restart(self.name).note if action == "restart" else str(cluster.stop(self.name))
            done, message = told if action == "restart" else f"{told} ({time.monotonic() - begun:.1f} s)", ""
        except Exception as error:
            done, message = "", f"{action} failed: {type(error).__name__}: {error}"
        with self._lock:
            self.done, self.message, self.doing = done, message, ""
        self._look.set()

    def _repr_html_(self):
        from calolab import cluster

        return cluster.status(self.name)._repr_html_()


def _facts(number, engine) -> dict:
    return {
        "id": number,
        "state": engine.state,
        "rank": engine.rank,
        "host": engine.host,
        "memory": engine.memory,
        "load": engine.load,
    }
