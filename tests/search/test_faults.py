"""What a search survives: engines killed, trials that hang or eat memory, a controller that dies."""

import contextlib
import os
import signal
import time

import pytest

from calolab import cluster, search
from calolab.cluster import calls, hub, processes, time_limits
from calolab.distributed import meeting
from calolab.search import Choice, driver
from tests.helpers import wait_for

GIBIBYTE = 2**30


@pytest.fixture
def faulty():
    """A training function that does what its parameter says, with a checkpoint of its own after every epoch."""

    def train(trial):
        import os
        import signal

        import numpy as np

        kind = trial.parameters["kind"]
        done, kept = trial.folder / "done", []
        first = int(done.read_text()) if trial.resume and done.exists() else 0
        for epoch in range(first, trial.epochs):
            if kind == "loops" and epoch == 1:
                while True:
                    time.sleep(0.01)
            if kind == "hangs" and epoch == 1:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                time.sleep(600)
            if kind == "dies" or (kind == "dies once" and epoch == 2 and trial.attempt == 1):
                os.kill(os.getpid(), signal.SIGKILL)
            while kind == "eats":
                kept.append(np.ones(2**22))
                time.sleep(0.02)
            if kind == "gulps":
                kept.append(np.ones(2**34))
            while kind == "eats on":
                try:
                    while True:
                        kept.append(np.ones(2**22))
                        time.sleep(0.02)
                except KeyboardInterrupt:
                    continue
            trial.report(epoch, ks_comb=1 / (epoch + 1))
            done.write_text(str(epoch + 1))
            time.sleep(0.02)

    return train


@pytest.fixture
def run(searchers, faulty, tmp_path):
    """One trial of a kind, its end."""

    def start(kind, wait=True, **options):
        running = search.start(
            searchers, faulty, {"kind": Choice(kind)}, folder=tmp_path / kind, trials=1, epochs=4, **options
        )
        if wait:
            running.wait(60)
        return running

    return start


def test_a_trial_whose_engine_dies_continues_from_its_checkpoint(run, searchers):
    trial = run("dies once").trial(0)
    assert trial.status == "finished" and trial.attempts == 2
    assert trial.error.startswith("Attempt 1: engine ") and trial.error.endswith(" died.")
    assert [epoch["epoch"] for epoch in trial.epochs] == [0, 1, 2, 3]
    assert len(searchers) == 1 and searchers.ids == trial.engines


def test_a_trial_waits_where_an_engine_dies_just_before_it_begins(run, searchers, monkeypatch):
    failures = [calls.CallFailed(calls.Failure(died=(searchers.ids[0],)))]

    def arrange(*arguments):
        if failures:
            raise failures.pop()
        return meeting.arrange_meetings(*arguments)

    monkeypatch.setattr(driver, "arrange_meetings", arrange)
    trial = run("usual").trial(0)
    assert not failures and (trial.status, trial.attempts) == ("finished", 1)


def test_a_search_says_that_its_engines_are_at_other_work_and_waits(run, searchers, monkeypatch):
    monkeypatch.setattr(time_limits, "NEW_ENGINE_ANSWERS_WITHIN", 0.5)
    expected = f"a trial needs 1 engines; busy with other work: {', '.join(map(str, searchers.ids))}."

    @contextlib.contextmanager
    def busy():
        work = [searchers.client[number].apply_async(time.sleep, 600) for number in searchers.ids]
        try:
            yield
        finally:
            searchers.client.send_signal(int(signal.SIGINT), targets=list(searchers.ids), block=False)
        assert all("KeyboardInterrupt" in str(one.exception(timeout=10)) for one in work)

    with busy():  # before the engines have received the search
        running = run("good", wait=False)
        wait_for(lambda: running.note.startswith(expected))
    assert running.wait(60).status == "finished" and running.note == ""
    with busy():
        wait_for(lambda: all(hub.tasks(searchers.client).values()))
        running.restart(0)
        wait_for(lambda: running.note.startswith(expected))
    running.wait(60)
    assert running.trial(0).attempts == 2 and running.note == ""


def test_a_trial_that_kills_its_engines_fails_and_the_search_waits_for_new_ones(run, searchers):
    running = run("dies", wait=False, retries=3)
    wait_for(lambda: not searchers.ids and "0 are available" in running.note)
    assert running.status == "running" and running.trial(0).status == "queued"
    try:
        cluster.restart(searchers)
    except RuntimeError as error:  # the next attempt may kill an engine before the other one has registered
        assert "ended before they registered" in str(error)
    running.wait(60)
    trial = running.trial(0)
    assert trial.status == "failed" and trial.attempts == 4
    assert trial.error.endswith("No retry is left.") and trial.error.startswith("Attempt 4")


def test_a_trial_that_ignores_the_stop_is_interrupted_and_its_engine_stays(run, searchers):
    ids = searchers.ids
    running = run("loops", wait=False)
    wait_for(lambda: running.trials and running.trial(0).epochs)
    running.stop(0)
    running.wait(10)
    assert running.trial(0).status == "stopped" and len(running.trial(0).epochs) == 1
    assert searchers.ids == ids


def test_an_engine_that_does_not_answer_is_replaced(run, searchers, monkeypatch):
    monkeypatch.setattr(time_limits, "REPLACE_AFTER", 4.0)
    running = run("hangs", wait=False)
    wait_for(lambda: running.trials and running.trial(0).epochs)
    (hung,) = running.trial(0).engines
    before = searchers.ids
    running.stop(0)
    running.wait(10)
    trial = running.trial(0)
    assert trial.status == "stopped" and "did not answer within 4 s and is replaced" in trial.error
    wait_for(lambda: len(searchers) == 2 and hung not in searchers.ids)
    (other,) = set(before) - {hung}
    assert other in searchers.ids


@pytest.mark.parametrize("kind, message", [("eats", "more than its limit of 0.6"), ("gulps", "requested more memory")])
def test_a_trial_that_eats_memory_fails_and_its_engine_is_replaced(run, searchers, kind, message):
    before = searchers.ids
    running = run(kind, memory=int(0.6 * GIBIBYTE))
    trial = running.trial(0)
    assert trial.status == "failed" and message in trial.error and trial.attempts == 1
    wait_for(lambda: len(searchers) == 2 and trial.engines[0] not in searchers.ids)
    assert set(before) - set(trial.engines) <= set(searchers.ids)


def test_one_that_keeps_eating_is_killed_with_its_engine_and_not_retried(run, searchers):
    trial = run("eats on", memory=int(0.6 * GIBIBYTE)).trial(0)
    assert trial.status == "failed" and "more than its limit of 0.6" in trial.error and trial.attempts == 1
    wait_for(lambda: len(searchers) == 2 and trial.engines[0] not in searchers.ids)


def test_a_dead_controller_interrupts_the_search_and_a_new_cluster_continues_it(faulty, tmp_path):
    def slow(trial):
        for epoch in range(trial.epochs):
            time.sleep(0.1)
            trial.report(epoch, ks_comb=1.0)

    space = {"kind": Choice("none")}
    with cluster.running(1, name="dies", cores=1) as engines:
        running = search.start(engines, slow, space, folder=tmp_path, trials=2, epochs=30, method="random")
        wait_for(lambda: running.trials and running.trial(0).epochs)
        for process in processes.launched(processes.read(processes.path_of("dies")), ("controller",)):
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="'dies' has stopped, or its controller has died: start engines again"):
            running.wait(30)
    assert running.status == "interrupted" and running.trial(0).status == "queued"
    with cluster.running(1, name="lives", cores=1) as engines:
        running = search.reattach(tmp_path, engines)
        running.wait(60)
    assert [(trial.status, len(trial.epochs)) for trial in running.trials] == [("finished", 30)] * 2
    assert running.trial(0).attempts == 2
