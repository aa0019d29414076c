"""The watchdog of a cluster: errors leave no engines behind."""

import os

import pytest

from calolab.cluster import clients, hub, processes, time_limits, unattended, watchdog


@pytest.fixture
def watched(monkeypatch):
    """A cluster watched by this process, idle immediately; returns the list of stopped clusters."""
    stopped = []
    content = {"cluster": {"watchdog": os.getpid(), "idle": 0.001}, "controller": {}}
    monkeypatch.setattr(processes, "read", lambda _: content)
    monkeypatch.setattr(processes, "stop", stopped.append)
    return stopped


def test_a_silent_controller_keeps_no_client_waiting(watched, monkeypatch, tmp_path, capsys):
    path, asked = tmp_path / "cluster-silent.json", []
    monkeypatch.setattr(time_limits, "CLUSTER_STOPS_WITHIN", 0.0)

    def queues(path):
        clients.hold(path)  # fails if the watchdog keeps clients out
        clients.release(path)
        asked.append(path)
        if len(asked) == 1:
            raise TimeoutError("no answer")
        return {0: 0}

    monkeypatch.setattr(hub, "queues", queues)
    watchdog.watch(path)
    assert len(asked) == 2 and watched == [path]
    assert "TimeoutError: no answer" in capsys.readouterr().err


def test_errors_about_unattended_trainings_keep_no_idle_cluster(watched, monkeypatch, tmp_path, capsys):
    path, asked, tended = tmp_path / "cluster-full.json", [], []

    def tend(path, idle, found):
        tended.append(path)
        raise OSError(28, "No space left on device")

    def queues(path):
        asked.append(path)
        return {0: 1 if len(asked) < 3 else 0}

    monkeypatch.setattr(unattended, "tend", tend)
    monkeypatch.setattr(hub, "queues", queues)
    watchdog.watch(path)
    assert watched == [path] and len(tended) >= 3
    assert capsys.readouterr().err.count("OSError: [Errno 28]") == 1
