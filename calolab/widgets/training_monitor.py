"""TrainingMonitor: how far each rank of a training is, how its losses go, and a Stop button."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import traitlets

from calolab.plots import losses as loss_figure
from calolab.widgets import frontend
from calolab.widgets.live import LiveWidget

FINAL = ("finished", "stopped", "failed")
# The curve is sent anew with each look at the run; so many points show all that a screen can.
POINTS = 600
# What a rank's bar shows of its Progress; the losses go as curves.
BAR = ("rank", "epoch", "epochs", "step", "steps", "samples_per_second")


class TrainingMonitor(LiveWidget):
    """Bars for the ranks of a running training, its losses, and a button that stops it.

    A thread looks at the run and sets traits, nothing else, so that the monitor moves on while a cell is busy. It ends
    with the run, or when the widget is closed. While a cell works, or waits by `run.wait()`, the button is heard where
    the kernel has subshells (JupyterLab 4.4, ipykernel 7); `history = await monitor.wait()` leaves it alive everywhere.

    Args:
        run: a `TrainingRun`, or anything with its `progress`, `losses`, `status`, `stop()` and `wait()`.
        interval: seconds between two looks at the run.
    """

    _esm = frontend.module("training_monitor")
    _css = frontend.style()

    status = traitlets.Unicode(help="running, stopping, finished, stopped or failed").tag(sync=True)
    message = traitlets.Unicode(help="why the training failed").tag(sync=True)
    ranks = traitlets.List(help="the latest `Progress` of each rank").tag(sync=True)
    elapsed = traitlets.Float(0.0, help="time since training began [s]").tag(sync=True)
    remaining = traitlets.Float(None, allow_none=True, help="estimated time left [s]").tag(sync=True)
    loss_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    losses = traitlets.Bytes(help="float32 rows: step, then each loss").tag(sync=True)
    bucket = traitlets.Int(1, help="steps whose mean makes one point of the curves").tag(sync=True)
    shown = traitlets.List(traitlets.Unicode(), help="losses that are drawn").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic losses").tag(sync=True)

    def __init__(self, run, *, interval: float = 0.5):
        if not interval > 0:
            raise ValueError(f"interval must be positive [s], received {interval}.")
        self._run, self._interval, self._lock = run, interval, threading.RLock()
        self._first = None
        self._curve = np.empty((0, 1))
        super().__init__()
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
                self._first = self._first or progress[0]
                self.elapsed = progress[0].time
                self.remaining = _time_left(self._first, progress[0])
            if names != self.loss_names:
                self.loss_names = names
                # The sums that are minimised, where they go by their names; each head's own on request.
                self.shown = [name for name in names if name in ("discriminator", "generator")] or names
            self.bucket = bucket
            self.losses = self._curve.astype("<f4").tobytes()
            self.message = _failure(self._run) if status == "failed" else ""
            self.status = status

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
        return loss_figure.show(self._curve, self.loss_names, self.shown, self.status, log=self.log)._repr_png_()


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


def _time_left(first, latest):
    """Seconds that the remaining steps take at the pace of those seen so far, or None before there is a pace."""
    done, before = (one.epoch * one.steps + one.step for one in (latest, first))
    if done <= before:
        return None
    return (latest.epochs * latest.steps - 1 - done) * (latest.time - first.time) / (done - before)


def _failure(run):
    """What a failed run says for itself: `wait` raises it."""
    try:
        run.wait(timeout=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "The run failed and gave no reason."
