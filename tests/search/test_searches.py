"""A search on two real engines: trials run, stop, restart and continue; a killed notebook loses nothing."""

import builtins
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from calolab import cluster, search
from calolab.search import Choice, Integer, Real, space
from tests.helpers import wait_for

SPACE = {"x": Real(-3, 3), "n": Integer(1, 9)}


@pytest.fixture
def parabola():
    """A training function with a checkpoint of its own; functions in functions are sent as they are."""

    def train(trial):
        import time

        done = trial.folder / "done"
        first = int(done.read_text()) if trial.resume and done.exists() else 0
        for epoch in range(first, trial.epochs):
            if trial.should_stop():
                return
            time.sleep(0.02)
            trial.report(epoch, ks_comb=(trial.parameters["x"] - 1) ** 2 + 1 / (epoch + 1), ks_jet_pt=1.0)
            done.write_text(str(epoch + 1))

    return train


@pytest.fixture
def slow():
    """A training function that asks whether to stop, for minutes."""

    def train(trial):
        import time

        for epoch in range(6000):
            trial.report(epoch, ks_comb=1.0)
            time.sleep(0.05)
            if trial.should_stop():
                return

    return train


def until_running(running, count):
    wait_for(lambda: sum(trial.status == "running" and len(trial.epochs) > 0 for trial in running.trials) == count)


def test_random_search_has_the_same_parameters_on_any_number_of_engines(searchers, parabola, tmp_path):
    found = {}
    with cluster.running(1, cores=1) as single:
        for folder, engines in (("both", searchers), ("one", single)):
            running = search.start(
                engines, parabola, SPACE, folder=tmp_path / folder, trials=5, epochs=2, method="random", seed=4
            )
            best = running.wait(60)
            assert running.status == "finished" and running.version > 20
            assert best == running.best == min(running.trials, key=lambda trial: trial.value)
            found[folder] = {trial.number: (trial.parameters, trial.value, trial.epochs) for trial in running.trials}
    assert found["both"] == found["one"]
    assert [found["both"][n][0] for n in range(5)] == [space.draw(SPACE, 4, n) for n in range(5)]
    assert {"trials/0004.jsonl", "search.sqlite"} <= {
        str(file.relative_to(tmp_path / "one")) for file in (tmp_path / "one").rglob("*")
    }


def test_data_go_to_each_engine_once_and_bad_trials_are_pruned(searchers, tmp_path):
    def train(trial):
        import os
        import time

        trial.data.append(trial.number)  # the same list for all trials of an engine
        for epoch in range(100):
            if trial.should_stop():
                return
            time.sleep(0.03 if trial.number > 5 else 0.0)
            value = trial.number if trial.number < 6 else 100.0
            trial.report(epoch, ks_comb=value, pid=os.getpid(), seen=len(trial.data))

    running = search.start(
        searchers, train, SPACE, folder=tmp_path, data=["events"], trials=8, method="random", pruner="median"
    )
    running.wait(60)
    seen = {}
    for trial in sorted(running.trials, key=lambda trial: trial.started):
        seen.setdefault(trial.epochs[0]["pid"], []).append(trial.epochs[0]["seen"])
    assert len(seen) == 2
    assert all(counts == [*range(2, 2 + len(counts))] for counts in seen.values())
    assert {trial.status for trial in running.trials[6:]} == {"pruned"}
    assert all(len(trial.epochs) < 100 for trial in running.trials[6:])
    assert running.trial(0).status == "finished"


def test_a_stopped_trial_makes_room_for_the_next_and_its_engine_stays(searchers, slow, tmp_path):
    ids = searchers.ids
    running = search.start(searchers, slow, SPACE, folder=tmp_path, trials=4)
    until_running(running, 2)
    running.stop(0)
    assert running.trial(0).status in ("stopping", "stopped")
    wait_for(lambda: running.trial(0).status == "stopped", 2)
    wait_for(lambda: len(running.trials) == 3 and running.trials[2].status == "running")
    assert running.trials[2].engines == running.trial(0).engines
    until_running(running, 2)
    running.stop()
    assert running.status in ("stopping", "stopped")
    running.wait(5)
    assert running.status == "stopped" and [trial.status for trial in running.trials] == ["stopped"] * 3
    assert searchers.ids == ids and all(trial.epochs for trial in running.trials)


def test_restart_starts_from_scratch_and_promotion_continues_first(searchers, parabola, tmp_path):
    running = search.start(searchers, parabola, SPACE, folder=tmp_path, trials=3, epochs=2, method="random")
    running.wait(60)
    parameters = [trial.parameters for trial in running.trials]
    lines = Path(tmp_path, "trials", "0001.jsonl").read_text().splitlines()
    running.promote(1, 5)
    running.restart(2)
    running.wait(60)
    promoted, restarted = running.trial(1), running.trial(2)
    assert [trial.parameters for trial in running.trials] == parameters and running.status == "finished"
    assert [epoch["epoch"] for epoch in promoted.epochs] == [0, 1, 2, 3, 4] and promoted.attempts == 2
    # It went on: its engine has written three epochs more, not five.
    added = Path(tmp_path, "trials", "0001.jsonl").read_text().splitlines()[len(lines) :]
    assert sum('"epoch"' in line for line in added) == 3
    assert len(restarted.epochs) == 2 and restarted.attempts == 2
    assert promoted.value == pytest.approx((parameters[1]["x"] - 1) ** 2 + 1 / 5)
    with pytest.raises(ValueError, match="Trial 1 already has 5 epochs: promote it to more, received 5"):
        running.promote(1, 5)
    with pytest.raises(ValueError, match="no trial 7 yet"):
        running.restart(7)


def test_a_running_trial_is_restarted_with_its_parameters(searchers, slow, tmp_path):
    running = search.start(searchers, slow, SPACE, folder=tmp_path, trials=1)
    until_running(running, 1)
    parameters, started = running.trial(0).parameters, running.trial(0).started
    wait_for(lambda: len(running.trial(0).epochs) > 8)
    running.restart(0)
    wait_for(lambda: running.trial(0).attempts == 2 and 0 < len(running.trial(0).epochs) < 8)
    assert running.trial(0).parameters == parameters and running.trial(0).started > started
    running.stop()
    running.wait(5)


def test_what_a_function_returns_or_raises_is_recorded(searchers, tmp_path):
    def train(trial):
        kind = trial.parameters["kind"]
        trial.report(0, loss=0.5)
        if kind == "raises":
            raise ValueError("no such <layer>")
        if kind == "diverges":
            trial.report(1, score=float("nan"))
        return {"number": 2.5, "dictionary": {"score": 1.5, "ks": 3}}.get(kind)

    kinds = ("raises", "diverges", "number", "dictionary", "nothing")
    found = {}
    for kind in kinds:
        running = search.start(
            searchers,
            train,
            {"kind": Choice(kind)},
            folder=tmp_path / kind,
            trials=1,
            metric="score",
            direction="maximize",
        )
        running.wait(30)
        found[kind] = running.trial(0)
    assert found["raises"].status == "failed" and found["raises"].error.endswith("ValueError: no such <layer>")
    assert "in train" in found["raises"].error and "run_trial" not in found["raises"].error
    assert found["diverges"].status == "failed" and "diverged: score is nan in epoch 2" in found["diverges"].error
    assert found["number"].value == 2.5 and found["number"].epochs == ({"epoch": 0, "loss": 0.5, "score": 2.5},)
    assert found["dictionary"].epochs[0] == {"epoch": 0, "loss": 0.5, "score": 1.5, "ks": 3.0}
    assert found["nothing"].status == "finished" and found["nothing"].value is None


def test_a_thousand_trials_leave_the_notebook_and_the_engines_free(searchers, parabola, tmp_path):
    running = search.start(searchers, parabola, SPACE, folder=tmp_path, trials=1000, epochs=1)
    assert running.status == "running" and len(running.trials) < 1000  # it returns at once
    wait_for(lambda: len(running.trials) > 10)
    # No more than one task per engine is ever with the controller.
    queues = searchers.client.queue_status()
    assert all(queues[one]["queue"] + queues[one]["tasks"] <= 1 for one in searchers.ids)
    assert searchers.client[searchers.ids[0]].apply_async(os.getpid).get(timeout=30) > 0
    assert len(running.table().rows) == 10 and "1000 trials" in repr(running)
    running.stop()
    running.wait(30)
    assert running.status == "stopped" and len(running.trials) < 1000


def test_two_searches_share_the_engines_and_a_stop_finds_the_right_one(searchers, slow, parabola, tmp_path):
    first = search.start(searchers, slow, SPACE, folder=tmp_path / "first", trials=2)
    until_running(first, 2)
    second = search.start(searchers, parabola, SPACE, folder=tmp_path / "second", trials=2, epochs=2)
    time.sleep(0.5)
    assert not any(trial.epochs for trial in second.trials)  # they wait for a free engine
    first.stop(1)
    second.wait(30)
    assert first.trial(0).status == "running" and second.status == "finished"
    first.stop()
    first.wait(5)
    assert search.known()[-2:] == [first, second]
    with pytest.raises(ValueError, match="There is already a search in"):
        search.start(searchers, parabola, SPACE, folder=tmp_path / "first")


def test_a_busy_notebook_does_not_hold_the_trials_up(searchers, parabola, tmp_path):
    running = search.start(searchers, parabola, SPACE, folder=tmp_path, trials=500, epochs=2)
    wait_for(lambda: len(running.trials) > 2)
    before, deadline = len(running.trials), time.monotonic() + 3
    while time.monotonic() < deadline:
        sum(range(1000))
    assert len(running.trials) > before + 2  # proposed and finished meanwhile
    running.stop()
    running.wait(10)


def test_ctrl_c_in_a_notebook_ends_the_waiting_only(searchers, slow, tmp_path, monkeypatch):
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    running = search.start(searchers, slow, SPACE, folder=tmp_path, trials=2)
    until_running(running, 2)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt, match="Stopped: the waiting; the search continues"):
        running.wait(20)
    epochs = len(running.trial(0).epochs)
    wait_for(lambda: len(running.trial(0).epochs) > epochs + 3)
    with pytest.raises(TimeoutError, match="The search still runs after 0.1 s"):
        running.wait(0.1)
    running.stop()
    running.wait(5)


@pytest.fixture
def elsewhere(searchers, tmp_path_factory):
    """The folder in which the engines are, for the length of a test."""
    folder, before = tmp_path_factory.mktemp("elsewhere"), searchers.client[:].apply_sync(os.getcwd)
    searchers.client[:].apply_sync(os.chdir, str(folder))
    yield folder
    searchers.client[:].apply_sync(os.chdir, before[0])


def test_engines_that_do_not_see_the_folder_send_their_epochs(searchers, parabola, tmp_path, elsewhere, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Every process has a /proc/self/cwd of its own.
    there = Path("/proc/self/cwd/search")
    running = search.start(searchers, parabola, SPACE, folder=there, trials=3, epochs=4, method="random")
    running.wait(60)
    assert [len(trial.epochs) for trial in running.trials] == [4, 4, 4]
    assert (elsewhere / "search" / "trials" / "0002" / "done").is_file()
    assert not (tmp_path / "search" / "trials" / "0002").exists()
    again = search.reattach(tmp_path / "search")
    assert [trial.epochs for trial in again.trials] == [trial.epochs for trial in running.trials]


NOTEBOOK = """
import sys, time
from calolab import cluster, search

def distance(x):
    return (x - 1) ** 2

def train(trial):
    for epoch in range(trial.epochs):
        time.sleep(0.25)
        trial.report(epoch, ks_comb=distance(trial.parameters["x"]) + 1 / (epoch + 1))

engines = cluster.attach(sys.argv[1])
space = {"x": search.Real(-3, 3)}
search.start(engines, train, space, folder=sys.argv[2], trials=6, epochs=4, method=sys.argv[3], seed=4)
time.sleep(600)
"""


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_killed_notebook_loses_nothing(searchers, tmp_path, method):
    folder = tmp_path / "search"
    kernel = subprocess.Popen([sys.executable, "-c", NOTEBOOK, searchers.name, str(folder), method])
    try:
        wait_for((folder / "trials" / "0002.jsonl").exists, 60)
        wait_for(lambda: '"epoch": 1' in (folder / "trials" / "0002.jsonl").read_text())
        with pytest.raises(RuntimeError, match="Another notebook runs the search in"):
            search.reattach(folder, searchers)
    finally:
        kernel.kill()
        kernel.wait()
    left = search.reattach(folder)
    assert left.status == "interrupted" and len(left.trials) == 4
    assert [trial.status for trial in left.trials].count("running") == 2
    ids = {trial.number: trial.engines for trial in left.trials}
    time.sleep(2)  # the running trials finish, and none is proposed
    alone = search.reattach(folder)
    assert [trial.status for trial in alone.trials] == ["finished"] * 4
    with pytest.raises(RuntimeError, match="history of a search"):
        alone.stop()
    running = search.reattach(folder, searchers)
    assert search.reattach(folder, searchers) is running
    running.wait(60)
    assert running.status == "finished" and len(running.trials) == 6
    for trial in running.trials:
        assert trial.status == "finished" and trial.attempts == 1, trial
        assert [epoch["epoch"] for epoch in trial.epochs] == [0, 1, 2, 3]
        assert trial.value == pytest.approx((trial.parameters["x"] - 1) ** 2 + 1 / 4)
        assert trial.engines == ids.get(trial.number, trial.engines)
    if method == "random":
        assert [trial.parameters for trial in running.trials] == [space.draw(running.space, 4, n) for n in range(6)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "grid"}, "Unknown method 'grid'"),
        ({"pruner": "none"}, "pruner expects one of None, 'median', 'halving'"),
        ({"direction": "down"}, "Unknown direction 'down'"),
        ({"trials": 0}, "trials expects a number above 0, received 0"),
        ({"ranks": 3}, "ranks expects 1 to 2"),
        ({"memory": -1}, "received 1 and -1"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(
    searchers, parabola, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        search.start(searchers, parabola, SPACE, folder=tmp_path / "search", **options)
    assert not (tmp_path / "search").exists()


def test_what_cannot_be_sent_is_refused(searchers, tmp_path):
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be sent to the engines"):
        search.start(searchers, lambda trial: lock.locked(), SPACE, folder=tmp_path / "search")
    with pytest.raises(TypeError, match="a function of a trial, received dict"):
        search.start(searchers, {}, SPACE, folder=tmp_path / "search")


def test_a_module_beside_the_notebook_is_sent_and_an_installed_one_that_engines_lack_is_named(
    searchers, tmp_path, monkeypatch
):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    for folder, name in ((tmp_path, "beside_it"), (installed, "only_here")):
        monkeypatch.syspath_prepend(folder)
        Path(folder, f"{name}.py").write_text("VALUE = 3.0\ndef train(trial): return VALUE")
    import beside_it
    import only_here

    running = search.start(searchers, beside_it.train, SPACE, folder=tmp_path / "sent", trials=1)
    assert running.wait(60).value == 3
    running = search.start(searchers, only_here.train, SPACE, folder=tmp_path / "search")
    with pytest.raises(RuntimeError, match=r"engine \d+ cannot take part: .*ModuleNotFoundError.*only_here.*Install"):
        running.wait(30)
    assert running.status == "interrupted"
