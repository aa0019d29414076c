"""SearchDashboard: the trials of a hyper-parameter search in table and curves, and buttons that steer it."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Callable, Mapping

import traitlets

from calolab.widgets.search.trial_changes import changes, describe_space
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget

ACTIONS = {"stop": "Stop", "restart": "Restart", "promote": "Promote"}
ACTIVE = ("running", "stopping")
BEAT = 2.0  # seconds between two signs of life while the search runs
KEPT = 6  # so many answers to clicks stay in sight


class SearchDashboard(LiveWidget):
    """The trials of a search as table, learning curves and parallel coordinates, with Stop, Restart and Promote.

    A daemon thread looks at the search and sends what has changed; it ends when the widget is closed. While the kernel
    is busy with a cell, the figures go on as long as that cell lets other threads run, and sorting, filtering, brushing
    and hovering go on in any case. A click is heard at once where the kernel has subshells (JupyterLab 4.4, ipykernel
    7); elsewhere it waits for the cell's end, and `await dashboard.wait()` keeps the kernel free, `search.wait()` does
    not. The widget says since when the kernel has not answered.

    Args:
        search: a `Search`, or anything with its interface. One without `engines`, reattached for reading, is shown
            with its whole history and without buttons.
        views: for each name of a button a function of a trial's GAN and its `Trial` that gives a widget, a figure or
            anything that shows itself as HTML; it shows the best model so far, or a selected one.
        interval: seconds between two looks at the search.

    Raises:
        TypeError: if a view is not a function.
        ValueError: if the interval is not positive.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    title = traitlets.Unicode(help="where the search is stored").tag(sync=True)
    status = traitlets.Unicode(help="the state of the search").tag(sync=True)
    direction = traitlets.Unicode("minimize").tag(sync=True)
    objective = traitlets.Unicode(help="the metric that decides which trial is best").tag(sync=True)
    space = traitlets.List(help="the parameters: ranges or choices").tag(sync=True)
    asked = traitlets.Int(help="number of trials asked for").tag(sync=True)
    note = traitlets.Unicode(help="what the search has to say besides").tag(sync=True)
    reason = traitlets.Unicode(help="why the buttons are off, if they are").tag(sync=True)
    view_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # The value counts for nothing: whoever asks for this trait gets all trials as they are now.
    trials = traitlets.Int(help="all trials").tag(sync=True, to_json=lambda _, widget: widget._snapshot())
    changed = traitlets.Dict(help="the trials that changed last").tag(sync=True)
    beat = traitlets.Float(help="when the thread last looked [Unix seconds]").tag(sync=True)
    answers = traitlets.List(help="what became of the latest clicks").tag(sync=True)
    message = traitlets.Unicode(help="why the search cannot be read").tag(sync=True)
    view = traitlets.Dict(help="the view that is open").tag(sync=True)
    metric = traitlets.Unicode(help="the metric that the curves show").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic metric").tag(sync=True)
    selected = traitlets.List(traitlets.Int(), help="numbers of the selected trials").tag(sync=True)

    def __init__(self, search, views: Mapping[str, Callable] | None = None, *, interval: float = 0.5):
        views = dict(views or {})
        for name, view in views.items():
            if not callable(view):
                raise TypeError(f"view {name!r} must be a function of a GAN and a trial, received {view!r}.")
        if not interval > 0:
            raise ValueError(f"interval must be positive [s], received {interval}.")
        self._search, self._views, self._interval = search, views, interval
        self._trials, self._sent, self._serial, self._version = (), {}, 0, None
        self._lock, self._answering, self._shown = threading.RLock(), threading.Lock(), None
        self._look()
        super().__init__(
            title=str(search.folder),
            direction=str(search.direction),
            objective=search.metric,
            metric=search.metric,
            space=describe_space(search.space),
            asked=search.asked,
            view_names=list(views),
            status=search.status,
            note=search.note,
            reason=_reason(search),
        )
        self.on_msg(self._on_message)
        threading.Thread(target=self._watch, name="SearchDashboard", daemon=True).start()

    async def wait(self):
        """Wait for the end of the search without blocking the kernel: `search = await dashboard.wait()`."""
        while self._search.status in ACTIVE:
            await asyncio.sleep(self._interval)
        self.refresh()
        return self._search

    def refresh(self) -> None:
        """Look at the search once and send what has changed."""
        with self._lock:
            status = self._search.status
            message = self._look()
            if message:
                self.changed = message
            self.status, self.reason, self.note = status, _reason(self._search), self._search.note
            if status in ACTIVE and time.time() - self.beat > BEAT:
                self.beat = time.time()

    def _look(self):
        """What has changed since the last look, or nothing."""
        # The version first: what changes while the trials are read is read again.
        version = self._search.version
        if version == self._version:
            return None
        self._trials = self._search.trials
        message, self._sent = changes(self._trials, self._sent)
        self._version = version
        self._serial += 1
        return {"serial": self._serial, **message}

    def _snapshot(self):
        with self._lock:
            return {"serial": self._serial, **changes(self._trials)[0]}

    def _watch(self):
        pause = threading.Event()
        while not pause.wait(self._interval) and self.comm is not None:
            try:
                self.refresh()
                self.message = ""
            except Exception as error:  # The thread has nobody to raise to: the widget says it, and looks again.
                self.message = f"The search cannot be read: {type(error).__name__}: {error}"
        self._replace_view(None)

    def _on_message(self, _, content, buffers):
        kind = content.get("type")
        if kind == "ping":
            self.send({"type": "pong"})
        elif kind == "all":
            self.send_state("trials")
        elif kind == "close view":
            self._replace_view(None)
        elif kind == "act" and content.get("action") in ACTIONS:
            self._answer(content, self._act)
        elif kind == "view" and content.get("view") in self._views:
            self._answer(content, self._open_view)

    def _answer(self, content, work):
        """Do what a click asks for in a thread of its own, which keeps the kernel free, and tell what became of it."""

        def run():
            begun = time.monotonic()
            try:
                told, failed = work(content), False
            except Exception as error:
                told, failed = f"{type(error).__name__}: {error}", True
            self._tell(content["id"], _asked(content), told, time.monotonic() - begun, failed)

        threading.Thread(target=run, name="SearchDashboard click", daemon=True).start()

    def _tell(self, answer, asked, told, seconds, failed):
        entry = {"id": answer, "time": time.time(), "asked": asked, "told": told, "seconds": seconds, "failed": failed}
        with self._answering:
            self.answers = [*self.answers, entry][-KEPT:]

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

    def _open_view(self, content):
        trial = self._search.trial(content["trial"])
        shown = self._views[content["view"]](self._search.gan(trial.number), trial)
        where = "" if trial.best_epoch is None else f", epoch {trial.best_epoch + 1}"
        self._replace_view(shown, f"{content['view']}: trial {trial.number}{where}")
        return "shown above"

    def _replace_view(self, shown, title=""):
        with self._answering:
            before, self._shown = self._shown, shown
            if self.comm is not None:
                self.view = {} if shown is None else {"title": title, **_contents(shown)}
        # The view's function made it for this place, and nobody else closes it.
        if before is not None and before is not shown and hasattr(before, "model_id"):
            before.close()

    def _repr_html_(self):
        return self._search.table(10)._repr_html_()


def _reason(search) -> str:
    """Why nothing can be stopped or started, or nothing."""
    if search.engines is None:
        return "Read only: this search was reattached without engines."
    return ""


def _asked(content) -> str:
    if content["type"] == "view":
        return f"{content['view']} of trial {content['trial']}"
    number = content.get("trial")
    epochs = f" to {content['epochs']} epochs" if content["action"] == "promote" else ""
    return f"{ACTIONS[content['action']]} {'the search' if number is None else f'trial {number}'}{epochs}"


def _contents(shown) -> dict:
    """A view as the browser needs it.

    Raises:
        TypeError: if it cannot be shown.
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
        f"a view must give a widget, a figure or something that shows itself as HTML, received {type(shown).__name__}."
    )
