import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.training.history import Progress
from calolab.widgets import TrainingMonitor
from calolab.widgets.training_monitor import curve
from tests.helpers import wait_for


class Run:
    """A run at a step of its choosing, with a TrainingRun's interface."""

    def __init__(self, ranks=2):
        self.status, self.ranks, self.losses, self.progress, self.error = "running", ranks, [], [], None

    def step(self):
        n = len(self.losses)
        losses = {"discriminator": 9.0 - n, "generator": 20.0 - n, "real_auxiliary": 30.0}
        self.losses.append({"epoch": n // 4, "step": n % 4, **losses})
        self.progress = [Progress(rank, n // 4, 2, n % 4, 4, losses, 50.0, 2.0 * n) for rank in range(self.ranks)]

    def stop(self):
        self.status = "stopping"

    def wait(self, timeout=None):
        if self.error:
            raise self.error
        return "history"


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "TrainingMonitor"]


@pytest.fixture
def run():
    run = Run()
    yield run
    run.status = "finished"
    wait_for(lambda: not watchers())


def test_a_thread_brings_ranks_losses_and_time(run):
    monitor = TrainingMonitor(run, interval=0.01)
    assert (monitor.ranks, monitor.loss_names, monitor.remaining) == ([], [], None)
    for _ in range(3):
        run.step()
        wait_for(lambda: monitor.elapsed == 2.0 * (len(run.losses) - 1) and len(monitor.ranks) == 2)
    wait_for(lambda: len(monitor.losses) == 3 * 4 * 4)
    assert monitor.loss_names == ["discriminator", "generator", "real_auxiliary"]
    assert monitor.shown == ["discriminator", "generator"]
    table = np.frombuffer(monitor.losses, dtype="<f4").reshape(3, 4)
    assert table.tolist() == [[1, 9, 20, 30], [2, 8, 19, 30], [3, 7, 18, 30]]
    # Two seconds a step, five of eight steps left.
    assert monitor.remaining == pytest.approx(10)


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


def test_a_failure_is_told(run):
    monitor = TrainingMonitor(run, interval=0.01)
    run.error, run.status = RuntimeError("rank 1 lost its engine"), "failed"
    wait_for(lambda: monitor.status == "failed")
    assert monitor.message == "RuntimeError: rank 1 lost its engine"
    assert monitor._repr_png_()[0].startswith(b"\x89PNG")


def test_a_run_that_cannot_be_read_is_told(run):
    monitor = TrainingMonitor(run, interval=0.01)
    run.progress = [SimpleNamespace(rank=0)]
    wait_for(lambda: monitor.message)
    assert monitor.message.startswith("The monitor cannot read the run any more: ")
    wait_for(lambda: not watchers())


def test_waiting_leaves_the_kernel_free(run):
    monitor = TrainingMonitor(run, interval=0.01)

    async def notebook():
        waiting = asyncio.ensure_future(monitor.wait())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        run.status = "finished"
        return await waiting

    assert asyncio.run(notebook()) == "history"


@given(st.integers(0, 3000), st.integers(1, 700))
def test_curves_are_short_and_keep_the_mean(steps, points):
    losses = [{"epoch": 0, "step": n, "generator": float(n)} for n in range(steps)]
    names, table, bucket = curve(losses, points)
    assert len(table) <= points
    assert len(table) == steps // bucket
    if len(table):
        assert names == ["generator"]
        # Loss n belongs to step n + 1, and so do their means.
        assert np.allclose(table[:, 0], table[:, 1] + 1)


def test_an_interval_must_be_positive(run):
    with pytest.raises(ValueError, match="interval must be positive"):
        TrainingMonitor(run, interval=0)
