"""ClusterStatus with real engines: their state, memory and load, Restart and Stop."""

import threading

import pytest

from calolab import cluster
from calolab.widgets import ClusterStatus
from tests.helpers import wait_for


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """One local engine in an IPython folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        with cluster.running(1, "local", name="watched", cores=1) as made:
            yield made


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ClusterStatus")]


@pytest.fixture
def shown(engines):
    widget = ClusterStatus(engines, interval=0.3)
    yield widget
    widget.close()
    wait_for(lambda: not threads())


def test_it_displays_engines_with_memory_and_load(engines, shown):
    assert (shown.name, shown.state, shown.launcher, shown.size) == ("watched", "running", "local", 1)
    (engine,) = shown.engines
    assert (engine["id"], engine["rank"], engine["state"]) == (engines.ids[0], 0, "idle")
    assert engine["host"] and 1e7 < engine["memory"] < 1e11 and engine["load"] < 1.5


def test_a_busy_engine_is_displayed_as_busy_and_not_interrupted(engines, shown, tmp_path):
    def work(signal):
        import os

        rounds = 0
        open(f"{signal} begun", "w").close()
        while not os.path.exists(signal):
            rounds += 1
        return rounds

    answer = engines.client[engines.ids[0]].apply_async(work, str(tmp_path / "enough"))
    wait_for((tmp_path / "enough begun").exists)
    wait_for(lambda: shown.engines and shown.engines[0]["state"] == "busy" and shown.engines[0]["load"] > 0.1)
    (tmp_path / "enough").touch()
    assert answer.get(timeout=30) > 0
    wait_for(lambda: shown.engines[0]["state"] == "idle")


def test_restart_gives_new_engines(engines, shown):
    def process():
        import os

        return os.getpid()

    before = engines.client[:].apply_sync(process)
    shown._handle_custom_msg({"type": "restart"}, [])
    # A second click meanwhile is ignored.
    shown._handle_custom_msg({"type": "stop"}, [])
    assert shown.action == "restart"
    wait_for(lambda: not shown.action)
    assert shown.message == "" and shown.result.startswith("restarted in")
    assert engines.client[:].apply_sync(process) != before
    wait_for(lambda: shown.state == "running" and len(shown.engines) == 1)


def test_stop_stops_it_and_a_failure_is_displayed(engines, shown):
    shown._handle_custom_msg({"type": "stop"}, [])
    wait_for(lambda: not shown.action)
    assert shown.result.startswith("Stopped cluster 'watched'")
    wait_for(lambda: shown.state == "not running")
    assert cluster.status("watched").state == "not running" and shown.engines == []
    shown._handle_custom_msg({"type": "restart"}, [])
    wait_for(lambda: shown.message)
    assert "restart failed: RuntimeError: No cluster 'watched' is running" in shown.message
    # The next update does not clear it.
    updated = shown.updated
    wait_for(lambda: shown.updated > updated)
    assert shown.message.startswith("restart failed")


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="interval must be positive"):
        ClusterStatus("watched", interval=0)
