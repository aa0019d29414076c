"""TrainingMonitor: progress of each rank, losses, physics score and a generated event per epoch, and a Stop button."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict

import numpy as np
import traitlets

from calolab.labels import symbol, value_text
from calolab.plots import training as figures
from calolab.scores import Score, best
from calolab.spaces import with_unit
from calolab.training.history import FINAL, minimised
from calolab.training.snapshots import plane_of
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget
from calolab.widgets.shared.watcher import Watcher
from calolab.widgets.training.estimates import ElapsedTime, RemainingTime
from calolab.widgets.training.loss_curves import loss_curves

MAX_EVENTS = 40  # generated events that are kept for display, evenly distributed over the epochs
# The fields of `Progress` that are displayed for each rank; the losses are displayed as curves.
PROGRESS_FIELDS = ("rank", "epoch", "epochs", "step", "steps", "samples_per_second")


class TrainingMonitor(LiveWidget):
    """Progress bars of a training's ranks, its losses and scores, an event generated after each epoch, and Stop.

    A daemon thread reads the run and sets traits, so the display is refreshed while a cell is running. It ends with the
    run, or when the widget is closed. While a cell is running, or waiting in `run.wait()`, a click on Stop is handled
    immediately if the kernel has subshells (JupyterLab 4.4, ipykernel 7). `history = await monitor.wait()` works in
    every kernel.

    Args:
        run: a `TrainingRun`, an `ElasticRun`, or an object with their `progress`, `losses`, `status`, `stop()` and
            `wait()`. If it also has `failure`, the reason of a failed run is displayed; if it has `epochs`, `example`,
            `judged_by` and `gan.space`, the physics score and an event generated after each epoch are displayed.
        interval: time between two updates [s].

    Raises:
        ValueError: if the interval is not positive.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    status = traitlets.Unicode(help="running, stopping, finished, stopped or failed").tag(sync=True)
    message = traitlets.Unicode(help="why the training failed or cannot be read").tag(sync=True)
    noun = traitlets.Unicode("events", help="what the events are called, e.g. showers").tag(sync=True)
    ranks = traitlets.List(help="the latest `Progress` of each rank").tag(sync=True)
    elapsed = traitlets.Float(0.0, help="time since the training began [s]").tag(sync=True)
    remaining = traitlets.Float(None, allow_none=True, help="estimated remaining time [s]").tag(sync=True)
    loss_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    styles = traitlets.List(help="line style of each loss: the fields of `plots.training.Style`").tag(sync=True)
    dashes = traitlets.List([list(dash) for dash in figures.DASHES]).tag(sync=True)
    losses = traitlets.Bytes(help="float32 rows: step, then each loss").tag(sync=True)
    steps_per_point = traitlets.Int(1, help="number of steps that a point of the curves averages").tag(sync=True)
    shown = traitlets.List(traitlets.Unicode(), help="names of the losses that are drawn").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic losses").tag(sync=True)
    score_epochs = traitlets.List(traitlets.Int(), help="epochs that have scores, from 1").tag(sync=True)
    scores = traitlets.Dict(help="lists by name, an entry per epoch; None if it is not finite").tag(sync=True)
    floors = traitlets.Dict(help="the floors of the scores that have one, in the same form").tag(sync=True)
    score = traitlets.Unicode(help="name of the score that is drawn").tag(sync=True)
    judged_by = traitlets.Unicode(help="name of the score that selects the best epoch").tag(sync=True)
    best_epoch = traitlets.Int(None, allow_none=True, help="the epoch with its best value, from 1").tag(sync=True)
    plane = traitlets.Dict(help="edges, axes and note of the events' images, and the unit of their cells").tag(
        sync=True
    )
    event_epochs = traitlets.List(traitlets.Int(), help="epochs whose event can be displayed, from 1").tag(sync=True)
    events = traitlets.Bytes(help="float32 images of the reference, then of each of these epochs").tag(sync=True)
    event_epoch = traitlets.Int(0, help="the epoch whose event is displayed; 0 for the latest").tag(sync=True)
    labels = traitlets.Unicode(help="the labels of the reference event and the generated event").tag(sync=True)

    def __init__(self, run, *, interval: float = 0.5):
        self._watcher = Watcher(self, "run", interval, is_finished=lambda: self.status in FINAL)
        self._run, self._interval = run, interval
        self._remaining, self._elapsed = RemainingTime(), ElapsedTime()
        self._curves, self._images, self._reference = np.empty((0, 1)), {}, None
        super().__init__()
        space = getattr(getattr(run, "gan", None), "space", None)
        if space is not None:
            self.noun, self.plane = space.noun, _describe_plane(space)
        self.refresh()
        self.on_msg(self._on_message)
        self._watcher.start()

    async def wait(self):
        """Wait for the run without blocking the kernel: `history = await monitor.wait()`.

        Returns:
            The result of `run.wait()`: the `History`; the GAN then has the trained weights.

        Raises:
            Exception: the exception of `run.wait()` if the training failed.
        """
        while self._run.status not in FINAL:
            await asyncio.sleep(self._interval)
        self.refresh()  # the final state, also for a picture right after
        return self._run.wait()

    def refresh(self) -> None:
        """Read the run once and display its state."""
        with self._watcher.lock:  # also while reading: the latest reading must be set last
            self._refresh()

    def _refresh(self):
        # The status first: what is read after a final status is complete.
        status = self._run.status
        progress = sorted(self._run.progress, key=lambda one: one.rank)
        names, self._curves, steps_per_point = loss_curves(self._run.losses)
        with self.hold_sync():
            self.ranks = [{name: getattr(one, name) for name in PROGRESS_FIELDS} for one in progress]
            if progress:
                self.remaining = self._remaining.estimate(progress[0], len(progress))
            self.elapsed = self._elapsed.measure(progress[0].time if progress else None, status in FINAL)
            if names != self.loss_names:
                # The sums that are minimised, also those of a later stage; the other losses can be selected.
                new = [name for name in minimised(names) if name not in self.loss_names]
                self.styles = [asdict(style) for style in figures.styles(names)]
                self.shown = [name for name in names if name in self.shown or name in new]
                self.loss_names = names
            self.steps_per_point = steps_per_point
            self.losses = self._curves.astype("<f4").tobytes()
            epochs = list(getattr(self._run, "epochs", ()))
            self._set_scores([one for one in epochs if one["scores"]])
            self._set_events({one["epoch"] + 1: one["event"] for one in epochs if one.get("event") is not None})
            self.message = _failure_message(self._run) if status == "failed" else ""
            self.status = status

    def _set_scores(self, scored):
        names = dict.fromkeys(name for one in scored for name in one["scores"])
        self.judged_by = getattr(self._run, "judged_by", "")
        records = {name: [one["scores"].get(name, {}) for one in scored] for name in names}
        self.scores = {name: [frontend.finite(one.get("value")) for one in column] for name, column in records.items()}
        floors = {name: [frontend.finite(one.get("floor")) for one in column] for name, column in records.items()}
        self.floors = {name: column for name, column in floors.items() if any(one is not None for one in column)}
        self.score_epochs = [one["epoch"] + 1 for one in scored]
        self.score = self.score if self.score in names else self.judged_by if self.judged_by in names else ""
        rated = zip(self.score_epochs, records.get(self.judged_by, ()), strict=False)
        self.best_epoch = best({epoch: Score.from_dict(self.judged_by, one) for epoch, one in rated if one})

    def _set_events(self, images):
        example = getattr(self._run, "example", {})
        same = [*self._images] == [*images] and all(images[one] is self._images[one] for one in images)
        # After a restart, an elastic run has no example until the end of the first epoch.
        if not images or not example or not self.plane or same:
            return
        self._images, self._reference = images, example["event"]
        kept = list(images)[:: -(-len(images) // MAX_EVENTS)]
        kept += [] if kept[-1] == list(images)[-1] else [list(images)[-1]]
        self.labels = ", ".join(f"{symbol(name)} {value_text(name, one)}" for name, one in example["labels"].items())
        self.events = np.asarray([self._reference, *(images[epoch] for epoch in kept)], dtype="<f4").tobytes()
        self.event_epochs = kept

    def _on_message(self, _, content, buffers):
        if content.get("type") == "stop":
            self._run.stop()
            self.refresh()

    def _repr_png_(self):
        scores, events = None, None
        values = self.scores.get(self.score)
        if values:
            floor = self.floors.get(self.score, [])
            scores = {
                "name": self.score,
                "epochs": self.score_epochs,
                "values": [math.nan if value is None else value for value in values],
                "floor": [math.nan if value is None else value for value in floor] or [math.nan] * len(values),
                "best": self.best_epoch if self.score == self.judged_by else None,
            }
        if self.event_epochs:
            epoch = self.event_epoch if self.event_epoch in self._images else self.event_epochs[-1]
            events = {
                f"reference, {self.labels}".rstrip(", "): self._reference,
                f"generated after epoch {epoch}": self._images[epoch],
            }
        figure = figures.show(
            self._curves,
            self.loss_names,
            self.shown,
            self.status,
            log=self.log,
            scores=scores,
            events=events,
            edges=self.plane.get("edges", ()),
            labels=[with_unit(*one) for one in zip(self.plane.get("symbols", ()), self.plane.get("units", ()))],
            unit=self.plane.get("unit", ""),
            rows_first=self.plane.get("rows_first", False),
        )
        return figure._repr_png_()


def _describe_plane(space) -> dict:
    plane = plane_of(space)
    return {
        "edges": plane.edges,
        "axes": list(plane.axes),
        "symbols": [symbol(axis) for axis in plane.axes],
        "units": [space.units[space.axes.index(axis)] for axis in plane.axes],
        "rows_first": space.rows_first,
        "note": plane.note,
        "unit": space.unit,
    }


def _failure_message(run) -> str:
    failure = getattr(run, "failure", None)
    return f"{type(failure).__name__}: {failure}" if failure else "The run failed without giving a reason."
