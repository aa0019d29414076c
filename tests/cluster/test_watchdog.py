"""The watchdog of a cluster: what fails, fails without leaving engines behind."""

import os

import pytest

from calolab.cluster import clients, hub, processes, unattended, watchdog


@pytest.fixture
def watched(monkeypatch):
    """A cluster that this process is to watch, idle at once; gives the list of those that were stopped."""
    stopped = []
    content = {"cluster": {"watchdog": os.getpid(), "idle": 0.001}, "controller": {}}
    monkeypatch.setattr(processes, "read", lambda _: content)
    monkeypatch.setattr(processes, "stop", stopped.append)
    return stopped


def test_a_silent_controller_is_survived_and_clients_are_let_in(watched, monkeypatch, tmp_path, capsys):
    path, asked = tmp_path / "cluster-silent.json", []

    def queues(path):
        clients.hold(path, patience=0)  # fails if the watchdog keeps clients out
        clients.release(path)
        asked.append(path)
        if len(asked) == 1:
            raise TimeoutError("no answer")
        return {0: 0}

    monkeypatch.setattr(hub, "queues", queues)
    watchdog.watch(path)
    assert len(asked) == 2 and watched == [path]
    assert "TimeoutError: no answer" in capsys.readouterr().err


def test_trainings_that_cannot_be_looked_after_keep_no_idle_cluster(watched, monkeypatch, tmp_path, capsys):
    path, asked, told = tmp_path / "cluster-full.json", [], []

    def tend(path, idle, found):
        told.append(path)
        raise OSError(28, "No space left on device")

    def queues(path):
        asked.append(path)
        return {0: 1 if len(asked) < 3 else 0}

    monkeypatch.setattr(unattended, "tend", tend)
    monkeypatch.setattr(hub, "queues", queues)
    watchdog.watch(path)
    assert watched == [path] and len(told) >= 3
    assert capsys.readouterr().err.count("OSError: [Errno 28]") == 1
