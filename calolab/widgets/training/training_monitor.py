"""TrainingMonitor: progress of each rank, losses, physics score and a generated event by epoch, and a Stop button."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from dataclasses import asdict

import numpy as np
import traitlets

from calolab.labels import SYMBOLS, UNITS
from calolab.plots import training as figures
from calolab.scores import Score, best
from calolab.spaces import with_unit
from calolab.training.history import FINAL
from calolab.training.snapshots import plane_of
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import LiveWidget

# The curve is sent anew with each look at the run; so many points show all that a screen can.
POINTS = 600
EVENTS = 40  # generated events that are kept for looking at, evenly chosen from all epochs
# What a rank's bar shows of its Progress; the losses go as curves.
BAR = ("rank", "epoch", "epochs", "step", "steps", "samples_per_second")


class TrainingMonitor(LiveWidget):
    """Bars for the ranks of a running training, its losses and scores, generated events, and a button that stops it.

    A thread looks at the run and sets traits, nothing else, so that the monitor moves on while a cell is busy. It ends
    with the run, or when the widget is closed. While a cell works, or waits by `run.wait()`, the button is heard where
    the kernel has subshells (JupyterLab 4.4, ipykernel 7); `history = await monitor.wait()` leaves it alive everywhere.

    Args:
        run: a `TrainingRun`, an `ElasticRun`, or anything with their `progress`, `losses`, `status`, `stop()` and
            `wait()`. With `failure` it says why the run failed; with `epochs`, `example`, `judged_by` and `gan.space`
            it also shows the physics score and an event generated after each epoch.
        interval: seconds between two looks at the run.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    status = traitlets.Unicode(help="running, stopping, finished, stopped or failed").tag(sync=True)
    message = traitlets.Unicode(help="why the training failed").tag(sync=True)
    noun = traitlets.Unicode("events", help="what the events are called").tag(sync=True)
    ranks = traitlets.List(help="the latest `Progress` of each rank").tag(sync=True)
    elapsed = traitlets.Float(0.0, help="time since training began, or since the monitor looks [s]").tag(sync=True)
    remaining = traitlets.Float(None, allow_none=True, help="estimated time left [s]").tag(sync=True)
    loss_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    styles = traitlets.List(help="how each loss is drawn: the fields of `plots.training.Style`").tag(sync=True)
    dashes = traitlets.List([list(dash) for dash in figures.DASHES]).tag(sync=True)
    losses = traitlets.Bytes(help="float32 rows: step, then each loss").tag(sync=True)
    bucket = traitlets.Int(1, help="steps whose mean makes one point of the curves").tag(sync=True)
    shown = traitlets.List(traitlets.Unicode(), help="losses that are drawn").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic losses").tag(sync=True)
    score_epochs = traitlets.List(traitlets.Int(), help="epochs that have scores, from 1").tag(sync=True)
    scores = traitlets.Dict(help="lists by name, an entry per epoch; None where it is not finite").tag(sync=True)
    floors = traitlets.Dict(help="likewise the floors of the scores that have one").tag(sync=True)
    score = traitlets.Unicode(help="the score that is drawn").tag(sync=True)
    judged_by = traitlets.Unicode(help="the score that decides which epoch is the best").tag(sync=True)
    best_epoch = traitlets.Int(None, allow_none=True, help="the epoch with the best of it, from 1").tag(sync=True)
    plane = traitlets.Dict(help="edges, axes and note of the events' images, and the unit of their cells").tag(
        sync=True
    )
    event_epochs = traitlets.List(traitlets.Int(), help="epochs whose event can be looked at, from 1").tag(sync=True)
    events = traitlets.Bytes(help="float32 images of the reference, then of each of these epochs").tag(sync=True)
    event_epoch = traitlets.Int(0, help="the epoch whose event is shown; 0 for the latest").tag(sync=True)
    labels = traitlets.Unicode(help="the labels of reference and generated event").tag(sync=True)

    def __init__(self, run, *, interval: float = 0.5):
        if not interval > 0:
            raise ValueError(f"interval must be positive [s], received {interval}.")
        self._run, self._interval, self._lock = run, interval, threading.RLock()
        self._pace, self._clock = Pace(), Clock()
        self._curve, self._images, self._reference = np.empty((0, 1)), {}, None
        super().__init__()
        space = getattr(getattr(run, "gan", None), "space", None)
        if space is not None:
            plane = plane_of(space)
            self.noun = space.noun
            self.plane = {
                "edges": plane.edges,
                "axes": list(plane.axes),
                "symbols": [SYMBOLS.get(axis, axis) for axis in plane.axes],
                "units": [space.units[space.axes.index(axis)] for axis in plane.axes],
                "rows_first": space.rows_first,
                "note": plane.note,
                "unit": space.unit,
            }
        self.refresh()
        self.on_msg(self._on_message)
        threading.Thread(target=self._watch, name="TrainingMonitor", daemon=True).start()

    async def wait(self):
        """Wait for the run without blocking the kernel: `history = await monitor.wait()`.

        Returns:
            What `run.wait()` returns: the `History`, with the trained weights in the GAN.

        Raises:
            Exception: what `run.wait()` raises when the training failed.
        """
        while self._run.status not in FINAL:
            await asyncio.sleep(self._interval)
        return self._run.wait()

    def refresh(self) -> None:
        """Look at the run once and show what it says."""
        with self._lock:  # one look after the other: an older one must not end up on top
            self._refresh()

    def _refresh(self):
        # The status first: what is read after a final status is complete.
        status = self._run.status
        progress = sorted(self._run.progress, key=lambda one: one.rank)
        names, self._curve, bucket = curve(self._run.losses)
        with self.hold_sync():
            self.ranks = [{name: getattr(one, name) for name in BAR} for one in progress]
            if progress:
                self.remaining = self._pace.time_left(progress[0], len(progress))
            self.elapsed = self._clock.elapsed(progress[0].time if progress else None, status in FINAL)
            if names != self.loss_names:
                self.styles = [asdict(style) for style in figures.styles(names)]
                self.loss_names = names
                # The sums that are minimised, where they go by their names; each head's own on request.
                self.shown = [name for name in names if name in figures.SUMS] or names
            self.bucket = bucket
            self.losses = self._curve.astype("<f4").tobytes()
            self._show_epochs(list(getattr(self._run, "epochs", ())))
            self.message = self._failure() if status == "failed" else ""
            self.status = status

    def _show_epochs(self, epochs):
        scored = [one for one in epochs if one["scores"]]
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
        images = {one["epoch"] + 1: one["event"] for one in epochs if one.get("event") is not None}
        example = getattr(self._run, "example", {})
        known = [*self._images] == [*images] and all(images[one] is self._images[one] for one in images)
        if images and example and self.plane and not known:
            # An elastic run has no example again until the first epoch on other engines has ended.
            self._images, self._reference = images, example["event"]
            kept = list(images)[:: -(-len(images) // EVENTS)]
            kept += [] if kept[-1] == list(images)[-1] else [list(images)[-1]]
            self.labels = ", ".join(
                f"{SYMBOLS.get(name, name)} {value:.4g} {UNITS.get(name, '')}".strip()
                for name, value in example["labels"].items()
            )
            shown = [self._reference, *(images[epoch] for epoch in kept)]
            self.events = np.asarray(shown, dtype="<f4").tobytes()
            self.event_epochs = kept

    def _failure(self):
        """What a failed run says for itself."""
        failure = getattr(self._run, "failure", None)
        return f"{type(failure).__name__}: {failure}" if failure else "The run failed and gave no reason."

    def _watch(self):
        pause = threading.Event()
        while self.status not in FINAL and not pause.wait(self._interval) and self.comm is not None:
            try:
                self.refresh()
            except Exception as error:  # The thread has nobody to raise to: the widget says it.
                self.message = f"The monitor cannot read the run any more: {type(error).__name__}: {error}"
                return

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
            self._curve,
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


class Pace:
    """How fast a training goes, from its steps after the first, in which the networks are traced and compiled."""

    def __init__(self):
        self._seen, self._ranks = deque(), 0  # (steps done, time) of the latest steps

    def time_left(self, latest, ranks: int) -> float | None:
        """Seconds that the remaining steps take, epoch ends included, or None while that cannot be told.

        A time limit that passes earlier ends the training, and is known from the first step on.

        Args:
            latest: rank 0's `Progress`.
            ranks: number of ranks; another number means that the ranks have started again, and compile again.
        """
        done = latest.epoch * latest.steps + latest.step + 1
        if ranks != self._ranks or (self._seen and done < self._seen[-1][0]):
            self._seen.clear()
        self._ranks = ranks
        if not self._seen or done > self._seen[-1][0]:
            self._seen.append((done, latest.time))
        # Two epochs, so that what is done at an epoch's end counts in its proportion.
        while len(self._seen) > 2 and self._seen[1][0] <= done - max(2 * latest.steps, 20):
            self._seen.popleft()
        (before, began), (now, ended) = self._seen[0], self._seen[-1]
        limit = None if latest.time_limit is None else max(latest.time_limit - latest.time, 0.0)
        if now - before < 2:
            return limit
        left = (latest.epochs * latest.steps - now) * (ended - began) / (now - before)
        return left if limit is None else min(left, limit)


class Clock:
    """Time since a training began, which also runs between its steps."""

    def __init__(self):
        self._began, self._latest, self._ended = time.monotonic(), 0.0, False

    def elapsed(self, told: float | None, ended: bool) -> float:
        """Seconds since the training began; until it tells of a step, since the monitor looks at it.

        Args:
            told: when its latest step ended, as the run tells it [s].
            ended: whether the run has ended, with which the clock stops.
        """
        now = time.monotonic()
        # A run that began before the monitor looked says so.
        self._began = min(self._began, now - (told or 0.0))
        if not self._ended:
            # One that had ended by the first look took no longer than its last step tells.
            self._latest = (told or 0.0) if ended and not self._latest else now - self._began
        self._ended = ended
        return self._latest


def curve(losses: list[dict], points: int = POINTS) -> tuple[list[str], np.ndarray, int]:
    """The losses of a run as curves of at most `points` points, each the mean of equally many steps.

    Args:
        losses: one dictionary per step, with `epoch`, `step` and the losses by name.
        points: largest number of points.

    Returns:
        The names of the losses; an array of shape `(point, 1 + names)` whose first column counts the steps; and the
        number of steps in a point.
    """
    # Another thread may append while this one reads.
    losses = list(losses)
    names = [name for name in losses[0] if name not in ("epoch", "step")] if losses else []
    bucket = max(1, -(-len(losses) // points))
    # An unfinished last bucket waits for its steps: its mean would jump about.
    points = len(losses) // bucket
    table = np.array([[one[name] for name in names] for one in losses[: points * bucket]], dtype=float)
    means = table.reshape(points, bucket, len(names)).mean(axis=1)
    middles = np.arange(points) * bucket + (bucket + 1) / 2
    return names, np.column_stack([middles, means]), bucket
