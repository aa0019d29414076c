"""SearchDashboard: the trials of a hyper-parameter search as a table and as curves, with buttons to control it."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable, Mapping

import traitlets

from calolab.widgets.search.trial_changes import changes, describe_parameters
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget
from calolab.widgets.shared.watcher import Watcher

LABELS = {"stop": "Stop", "restart": "Restart", "promote": "Promote"}
ACTIVE = ("running", "stopping")
HEARTBEAT = 2.0  # time between two heartbeats while the search runs [s]
MAX_ACTIONS = 6  # number of latest actions that are kept for display


class SearchDashboard(LiveWidget):
    """The trials of a search as table, learning curves and parallel coordinates, with Stop, Restart and Promote.

    A daemon thread reads the search and sends what has changed, until the widget is closed. While a cell is running,
    the display is refreshed as long as the cell lets other threads run; sorting, filtering, brushing and hovering do
    not need the kernel. Clicks are handled immediately if the kernel has subshells (JupyterLab 4.4, ipykernel 7),
    otherwise at the end of the running cell; `await dashboard.wait()` keeps the kernel free, `search.wait()` does not.
    If the kernel does not answer, the widget displays how long it has not.

    Args:
        search: a `Search`, or an object with its interface. If its `engines` is None, as after reattaching for reading,
            the history is displayed without buttons.
        views: for each button label, a function of a trial's GAN and its `Trial`. It returns a widget, a figure or an
            object with an HTML representation, which is displayed for the best or a selected trial.
        interval: time between two updates [s].

    Raises:
        TypeError: if a view is not callable.
        ValueError: if the interval is not positive.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    title = traitlets.Unicode(help="folder of the search").tag(sync=True)
    status = traitlets.Unicode(help="status of the search").tag(sync=True)
    direction = traitlets.Unicode("minimize").tag(sync=True)
    objective = traitlets.Unicode(help="metric to optimise").tag(sync=True)
    space = traitlets.List(help="the parameters: ranges or choices").tag(sync=True)
    requested = traitlets.Int(help="number of trials requested").tag(sync=True)
    note = traitlets.Unicode(help="remarks of the search").tag(sync=True)
    reason = traitlets.Unicode(help="why the buttons are disabled; empty if they are enabled").tag(sync=True)
    view_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # The value is not used: whenever this trait is sent, all trials are sent in their current state.
    trials = traitlets.Int(help="all trials").tag(sync=True, to_json=lambda _, widget: widget._all_trials())
    changed = traitlets.Dict(help="the trials that changed last").tag(sync=True)
    heartbeat = traitlets.Float(help="time of the last heartbeat [Unix seconds]").tag(sync=True)
    actions = traitlets.List(help="the latest actions with their results").tag(sync=True)
    message = traitlets.Unicode(help="why the search cannot be read").tag(sync=True)
    view = traitlets.Dict(help="the view that is open").tag(sync=True)
    metric = traitlets.Unicode(help="the metric of the learning curves").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic metric").tag(sync=True)
    selected = traitlets.List(traitlets.Int(), help="numbers of the selected trials").tag(sync=True)

    def __init__(self, search, views: Mapping[str, Callable] | None = None, *, interval: float = 0.5):
        views = dict(views or {})
        for name, view in views.items():
            if not callable(view):
                raise TypeError(f"view {name!r} must be a function of a GAN and a trial, received {view!r}.")
        # The widget that a view has made is closed with the dashboard.
        self._watcher = Watcher(self, "search", interval, on_end=lambda: self._replace_view(None))
        self._search, self._views, self._interval = search, views, interval
        self._trials, self._sent, self._serial, self._version = (), {}, 0, None
        self._actions_lock, self._open_view = threading.Lock(), None
        self._read_changes()
        super().__init__(
            title=str(search.folder),
            direction=str(search.direction),
            objective=search.metric,
            metric=search.metric,
            space=describe_parameters(search.space),
            requested=search.asked,
            view_names=list(views),
            status=search.status,
            note=search.note,
            reason=_reason(search),
        )
        self.on_msg(self._on_message)
        self._watcher.start()

    async def wait(self):
        """Wait for the end of the search without blocking the kernel: `search = await dashboard.wait()`."""
        while self._search.status in ACTIVE:
            await asyncio.sleep(self._interval)
        self.refresh()
        return self._search

    def refresh(self) -> None:
        """Read the search once and send what has changed."""
        with self._watcher.lock:
            status = self._search.status
            changed = self._read_changes()
            if changed:
                self.changed = changed
            self.status, self.reason, self.note = status, _reason(self._search), self._search.note
            if status in ACTIVE and time.time() - self.heartbeat > HEARTBEAT:
                self.heartbeat = time.time()

    def _read_changes(self):
        """The changes since the last call, or None."""
        # The version first: what changes while the trials are being read is read again.
        version = self._search.version
        if version == self._version:
            return None
        self._trials = self._search.trials
        changed, self._sent = changes(self._trials, self._sent)
        self._version = version
        self._serial += 1
        return {"serial": self._serial, **changed}

    def _all_trials(self):
        with self._watcher.lock:
            return {"serial": self._serial, **changes(self._trials)[0]}

    def _on_message(self, _, content, buffers):
        kind = content.get("type")
        if kind == "ping":
            self.send({"type": "pong"})
        elif kind == "all":
            self.send_state("trials")
        elif kind == "close view":
            self._replace_view(None)
        elif kind == "act" and content.get("action") in LABELS:
            self._run_in_thread(content, self._act)
        elif kind == "view" and content.get("view") in self._views:
            self._run_in_thread(content, self._show_view)

    def _run_in_thread(self, content, action):
        """Run an action in its own thread, which keeps the kernel free, and display its result."""

        def run():
            started = time.monotonic()
            try:
                result, failed = action(content), False
            except Exception as error:
                result, failed = f"{type(error).__name__}: {error}", True
            entry = {"id": content["id"], "time": time.time(), "request": _describe_request(content)}
            entry |= {"result": result, "seconds": time.monotonic() - started, "failed": failed}
            with self._actions_lock:
                self.actions = [*self.actions, entry][-MAX_ACTIONS:]

        threading.Thread(target=run, name="SearchDashboard action", daemon=True).start()

    def _act(self, content):
        action, number = content["action"], content.get("trial")
        if reason := _reason(self._search):
            raise RuntimeError(reason)
        if action == "stop":
            self._search.stop(number)
        elif action == "restart":
            self._search.restart(number)
        else:
            self._search.promote(number, int(content["epochs"]))
        self.refresh()
        if number is None:
            return f"the search is {self._search.status}"
        return f"trial {number} is {self._search.trial(number).status}"

    def _show_view(self, content):
        trial = self._search.trial(content["trial"])
        shown = self._views[content["view"]](self._search.gan(trial.number), trial)
        epoch = "" if trial.best_epoch is None else f", epoch {trial.best_epoch + 1}"
        self._replace_view(shown, f"{content['view']}: trial {trial.number}{epoch}")
        return "displayed above"

    def _replace_view(self, shown, title=""):
        with self._actions_lock:
            previous, self._open_view = self._open_view, shown
            if self.comm is not None:
                self.view = {} if shown is None else {"title": title, **_describe_view(shown)}
        # The widget was made for this dashboard and is not displayed anywhere else.
        if previous is not None and previous is not shown and hasattr(previous, "model_id"):
            previous.close()

    def _repr_html_(self):
        return self._search.table(10)._repr_html_()


def _reason(search) -> str:
    """Why the search cannot be controlled; empty if it can."""
    if search.engines is None:
        return "Read only: this search was reattached without engines."
    return ""


def _describe_request(content) -> str:
    if content["type"] == "view":
        return f"{content['view']} of trial {content['trial']}"
    number = content.get("trial")
    epochs = f" to {content['epochs']} epochs" if content["action"] == "promote" else ""
    return f"{LABELS[content['action']]} {'the search' if number is None else f'trial {number}'}{epochs}"


def _describe_view(shown) -> dict:
    """A view in the form that the browser displays.

    Raises:
        TypeError: if it cannot be displayed.
    """
    if getattr(shown, "model_id", None):
        return {"kind": "widget", "widget": shown.model_id}
    if callable(getattr(shown, "savefig", None)):
        file = io.BytesIO()
        shown.savefig(file, format="png", dpi=110, bbox_inches="tight")
        return {"kind": "image", "image": file.getvalue()}
    if callable(getattr(shown, "_repr_html_", None)):
        return {"kind": "html", "html": shown._repr_html_()}
    raise TypeError(
        f"a view must return a widget, a figure or an object with an HTML representation, "
        f"received {type(shown).__name__}."
    )
