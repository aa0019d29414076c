import asyncio
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab import spaces
from calolab.training.history import Progress
from calolab.widgets import TrainingMonitor
from calolab.widgets.training.estimates import ElapsedTime, RemainingTime
from calolab.widgets.training.loss_curves import loss_curves
from calolab.widgets.training.training_monitor import MAX_EVENTS
from tests.helpers import wait_for


class Run:
    """A run with the interface of a TrainingRun, advanced step by step."""

    def __init__(self, ranks=2):
        self.status, self.ranks, self.losses, self.progress, self.failure = "running", ranks, [], [], None
        self.epochs, self.example, self.judged_by = [], {}, ""
        self.gan = SimpleNamespace(space=spaces.space("clic-ecal"))

    def step(self):
        n = len(self.losses)
        losses = {"discriminator": 9.0 - n, "generator": 20.0 - n, "real_auxiliary": 30.0}
        self.losses.append({"epoch": n // 4, "step": n % 4, **losses})
        # The first step takes one minute longer.
        self.progress = [Progress(rank, n // 4, 2, n % 4, 4, losses, 50.0, 60 + 2.0 * n) for rank in range(self.ranks)]

    def end_epoch(self, **scores):
        number = len(self.epochs)
        event = np.full((25, 25), number, np.float32)
        self.epochs = [*self.epochs, {"epoch": number, "scores": scores, "event": event}]
        self.example = {"labels": {"energy": 34.25}, "event": np.full((25, 25), -1, np.float32)}

    def stop(self):
        self.status = "stopping"

    def wait(self, timeout=None):
        return "history"


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "TrainingMonitor"]


@pytest.fixture
def run():
    run = Run()
    yield run
    run.status = "finished"
    wait_for(lambda: not watchers())


def test_a_thread_updates_ranks_losses_and_time(run):
    monitor = TrainingMonitor(run, interval=0.01)
    assert (monitor.ranks, monitor.loss_names, monitor.remaining) == ([], [], None)
    for _ in range(3):
        run.step()
        wait_for(lambda: len(monitor.losses) == len(run.losses) * 4 * 4 and len(monitor.ranks) == 2)
    assert monitor.loss_names == ["discriminator", "generator", "real_auxiliary"]
    assert monitor.shown == ["discriminator", "generator"]
    table = np.frombuffer(monitor.losses, dtype="<f4").reshape(3, 4)
    assert table.tolist() == [[1, 9, 20, 30], [2, 8, 19, 30], [3, 7, 18, 30]]
    assert monitor.noun == "showers"
    # Two seconds per step, five of eight steps remaining; the first step, which compiles, is not included.
    assert monitor.remaining == pytest.approx(10)


def test_the_clock_runs_between_steps_and_stops_with_the_run(run):
    monitor = TrainingMonitor(run, interval=0.01)
    wait_for(lambda: monitor.elapsed > 0)  # before the first step, too
    run.step()
    wait_for(lambda: monitor.elapsed >= 60)
    before = monitor.elapsed
    wait_for(lambda: monitor.elapsed > before)
    run.status = "finished"
    wait_for(lambda: not watchers())
    after = monitor.elapsed
    monitor.refresh()
    assert monitor.elapsed == after


def test_the_clock_of_a_run_that_has_ended_shows_its_last_step():
    assert ElapsedTime().measure(61.5, ended=True) == 61.5


def test_the_remaining_time_needs_two_steps_after_the_first_also_after_a_restart():
    def at(step, time, ranks=2):
        return remaining_time.estimate(Progress(0, step // 10, 3, step % 10, 10, {}, 50.0, time), ranks)

    remaining_time = RemainingTime()
    # One minute of tracing, then a second per step.
    assert [at(0, 60.0), at(0, 60.0), at(1, 61.0)] == [None, None, None]
    assert at(2, 62.0) == pytest.approx(27)
    # Engines were lost: the ranks resume from the last checkpoint and compile again.
    assert [at(3, 200.0, ranks=1), at(4, 202.0, ranks=1)] == [None, None]
    assert at(5, 204.0, ranks=1) == pytest.approx(48)
    assert at(1, 300.0, ranks=1) is None


def test_a_time_limit_bounds_the_remaining_time_from_the_first_step_on():
    remaining_time, at = RemainingTime(), Progress(0, 0, 3, 0, 10, {}, 50.0, 60.0, time_limit=70.0)
    assert remaining_time.estimate(at, 1) == 10
    for step in range(1, 4):
        left = remaining_time.estimate(replace(at, step=step, time=60.0 + step), 1)
    assert left == 7  # not the 26 s that the other steps would take
    left = remaining_time.estimate(replace(at, epoch=2, step=9, time=69.0), 1)
    assert left == 0


def test_the_remaining_time_follows_from_the_last_two_epochs():
    remaining_time = RemainingTime()
    for n in range(100):  # one second per step, then three
        left = remaining_time.estimate(Progress(0, n // 10, 20, n % 10, 10, {}, 50.0, float(n if n < 50 else 3 * n)), 1)
    assert left == pytest.approx(3 * 100)


def test_scores_and_events_of_the_epochs_are_sent_with_the_best_epoch(run):
    run.judged_by = "ks_comb"
    monitor = TrainingMonitor(run, interval=0.05)
    assert (monitor.score, monitor.event_epochs, monitor.best_epoch) == ("", [], None)
    run.step()
    for value in (9.0, 4.0, 4.0, float("inf")):
        run.end_epoch(ks_comb={"value": value, "floor": 2.0, "direction": "lower"})
    monitor.refresh()
    assert monitor.score_epochs == [1, 2, 3, 4]
    assert monitor.scores == {"ks_comb": [9, 4, 4, None]} and monitor.floors == {"ks_comb": [2, 2, 2, 2]}
    json.dumps(monitor.scores, allow_nan=False)
    # As in the training, the first of equal values.
    assert (monitor.score, monitor.best_epoch) == ("ks_comb", 2)
    assert monitor.labels == "E 34.25 GeV"
    images = np.frombuffer(monitor.events, "<f4").reshape(5, 25, 25)
    assert images[:, 0, 0].tolist() == [-1, 0, 1, 2, 3] and monitor.event_epochs == [1, 2, 3, 4]
    assert monitor.plane["axes"] == ["z", "y"] and monitor.plane["note"] == "sum along x"
    assert monitor._repr_png_()[0].startswith(b"\x89PNG")
    # An elastic training may repeat an epoch.
    run.epochs = [*run.epochs[:3], {**run.epochs[3], "event": np.full((25, 25), 7, np.float32)}]
    monitor.refresh()
    assert np.frombuffer(monitor.events, "<f4")[-1] == 7


def test_the_reference_is_kept_while_an_elastic_run_restarts(run):
    monitor = TrainingMonitor(run, interval=0.05)
    run.step()
    run.end_epoch()
    monitor.refresh()
    shown = monitor.events
    run.example = {}  # until the first epoch on other engines has ended
    monitor.refresh()
    assert monitor.events == shown
    assert monitor._repr_png_()[0].startswith(b"\x89PNG")


def test_of_many_epochs_events_are_kept_evenly_with_the_last(run):
    monitor = TrainingMonitor(run, interval=0.05)
    for _ in range(3 * MAX_EVENTS - 1):
        run.end_epoch()
    monitor.refresh()
    assert monitor.event_epochs == [*range(1, 3 * MAX_EVENTS - 1, 3), 3 * MAX_EVENTS - 1]
    assert len(monitor.events) == 4 * 625 * (1 + len(monitor.event_epochs))
    assert monitor.score == ""  # these epochs have no scores


def test_a_run_without_results_of_its_epochs_is_displayed_without_them(run):
    plain = SimpleNamespace(status="finished", progress=[], losses=[])
    monitor = TrainingMonitor(plain, interval=0.05)
    assert (monitor.noun, monitor.plane, monitor.score_epochs) == ("events", {}, [])


def test_the_thread_ends_with_the_run(run):
    monitor = TrainingMonitor(run, interval=0.01)
    run.step()
    run.status = "finished"
    wait_for(lambda: not watchers())
    assert monitor.status == "finished"
    assert len(monitor.ranks) == 2


def test_the_thread_ends_when_the_widget_is_closed(run):
    monitor = TrainingMonitor(run, interval=0.01)
    assert len(watchers()) == 1
    monitor.close()
    wait_for(lambda: not watchers())
    assert run.status == "running"


def test_the_button_stops_the_run(run):
    monitor = TrainingMonitor(run, interval=0.2)
    monitor._handle_custom_msg({"type": "stop"}, [])
    assert (run.status, monitor.status) == ("stopping", "stopping")


def test_a_failure_is_reported(run):
    monitor = TrainingMonitor(run, interval=0.01)
    run.wait = None  # it would set the weights of the GAN, from the monitor's thread
    run.failure, run.status = RuntimeError("rank 1 lost its engine"), "failed"
    wait_for(lambda: monitor.status == "failed")
    assert monitor.message == "RuntimeError: rank 1 lost its engine"
    assert monitor._repr_png_()[0].startswith(b"\x89PNG")


def test_a_run_that_cannot_be_read_is_reported_until_it_can(run):
    monitor = TrainingMonitor(run, interval=0.01)
    run.progress = [SimpleNamespace(rank=0)]
    wait_for(lambda: monitor.message.startswith("The run cannot be read: AttributeError"))
    run.step()
    wait_for(lambda: monitor.message == "" and len(monitor.ranks) == 2)


def test_waiting_leaves_the_kernel_free_and_ends_with_the_final_state(run):
    monitor = TrainingMonitor(run, interval=0.01)
    monitor.close()  # nothing else refreshes it

    async def notebook():
        waiting = asyncio.ensure_future(monitor.wait())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        run.status = "finished"
        return await waiting

    assert asyncio.run(notebook()) == "history" and monitor.status == "finished"


@given(st.integers(0, 3000), st.integers(1, 700))
def test_curves_are_short_and_keep_the_mean(steps, points):
    losses = [{"epoch": 0, "step": n, "generator": float(n)} for n in range(steps)]
    names, table, steps_per_point = loss_curves(losses, points)
    assert len(table) <= points
    assert len(table) == steps // steps_per_point
    if len(table):
        assert names == ["generator"]
        # Loss n belongs to step n + 1; the same is true of means.
        assert np.allclose(table[:, 0], table[:, 1] + 1)


def test_curves_of_stages_have_the_losses_of_all_networks():
    losses = [{"epoch": 0, "step": n, "quantities": 1.5} for n in range(5)]
    losses += [{"epoch": 1, "step": n, "cells": 2000.0, "cells_hits": 1300.0} for n in range(5)]
    names, table, steps_per_point = loss_curves(losses, 5)
    assert names == ["quantities", "cells", "cells_hits"] and steps_per_point == 2
    np.testing.assert_array_equal(table[:, 1], [1.5, 1.5, 1.5, np.nan, np.nan])  # the third point has one step of each
    np.testing.assert_array_equal(table[:, 3], [np.nan, np.nan, 1300, 1300, 1300])
    losses[2]["quantities"] = np.inf  # not hidden by the mean with a finite one
    np.testing.assert_array_equal(loss_curves(losses, 5)[1][:, 1], [1.5, np.inf, 1.5, np.nan, np.nan])


def test_a_later_stage_is_displayed_and_the_choice_of_losses_stays():
    run = Run()
    run.losses = [{"epoch": 0, "step": 0, "quantities": 1.5, "quantities_part": 1.0}]
    monitor = TrainingMonitor(run, interval=0.01)
    assert monitor.shown == ["quantities"]
    run.losses.append({"epoch": 1, "step": 0, "cells": 2000.0, "cells_hits": 1300.0})
    run.status = "finished"
    monitor.refresh()
    assert monitor.status == "finished" and monitor.shown == ["quantities", "cells"]
    assert {style["name"]: style["group"] for style in monitor.styles}["cells_hits"] == "parts of these"
    monitor.shown = ["cells_hits"]
    monitor.refresh()
    assert monitor.shown == ["cells_hits"] and monitor._repr_png_()
    monitor.close()


def test_an_interval_must_be_positive(run):
    with pytest.raises(ValueError, match="interval must be positive"):
        TrainingMonitor(run, interval=0)
