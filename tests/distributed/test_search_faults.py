"""What a search survives: engines killed, trials that hang or eat memory, a controller that dies."""

import contextlib
import os
import signal
import time

import pytest

from calolab import distributed
from calolab.distributed import Choice, hub, launch, search_attempts, search_engines
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
        search = distributed.search(
            searchers, faulty, {"kind": Choice(kind)}, folder=tmp_path / kind, trials=1, epochs=4, **options
        )
        if wait:
            search.wait(60)
        return search

    return start


def test_a_trial_whose_engine_dies_goes_on_from_its_checkpoint(run, searchers):
    trial = run("dies once").trial(0)
    assert trial.status == "finished" and trial.attempts == 2
    assert trial.error.startswith("Attempt 1: engine ") and trial.error.endswith(" died.")
    assert [epoch["epoch"] for epoch in trial.epochs] == [0, 1, 2, 3]
    assert len(searchers) == 1 and searchers.ids == trial.engines


def test_a_search_says_that_its_engines_are_at_other_work_and_waits(run, searchers, monkeypatch):
    monkeypatch.setattr(search_engines, "ANSWERS_WITHIN", 0.5)
    told = f"a trial needs 1 engines; at other work: {', '.join(map(str, searchers.ids))}."

    @contextlib.contextmanager
    def at_work():
        work = [searchers.client[number].apply_async(time.sleep, 600) for number in searchers.ids]
        try:
            yield
        finally:
            searchers.client.send_signal(int(signal.SIGINT), targets=list(searchers.ids), block=False)
        assert all("KeyboardInterrupt" in str(one.exception(timeout=10)) for one in work)

    with at_work():  # before the engines have heard of the search
        search = run("good", wait=False)
        wait_for(lambda: search.note.startswith(told))
    assert search.wait(60).status == "finished" and search.note == ""
    with at_work():
        wait_for(lambda: all(hub.tasks(searchers.client).values()))
        search.restart(0)
        wait_for(lambda: search.note.startswith(told))
    search.wait(60)
    assert search.trial(0).attempts == 2 and search.note == ""


def test_a_trial_that_kills_its_engines_fails_and_the_search_waits_for_new_ones(run, searchers):
    search = run("dies", wait=False, retries=3)
    wait_for(lambda: not searchers.ids and "0 are there" in search.note)
    assert search.status == "running" and search.trial(0).status == "queued"
    distributed.restart(searchers)
    search.wait(60)
    trial = search.trial(0)
    assert trial.status == "failed" and trial.attempts == 4
    assert trial.error.endswith("No retry is left.") and trial.error.startswith("Attempt 4")


def test_a_trial_that_ignores_the_stop_is_interrupted_and_its_engine_stays(run, searchers):
    ids = searchers.ids
    search = run("loops", wait=False)
    wait_for(lambda: search.trials and search.trial(0).epochs)
    search.stop(0)
    search.wait(10)
    assert search.trial(0).status == "stopped" and len(search.trial(0).epochs) == 1
    assert searchers.ids == ids


def test_an_engine_that_does_not_answer_is_replaced(run, searchers, monkeypatch):
    monkeypatch.setattr(search_attempts, "REPLACE_AFTER", 4.0)
    search = run("hangs", wait=False)
    wait_for(lambda: search.trials and search.trial(0).epochs)
    (hung,) = search.trial(0).engines
    before = searchers.ids
    search.stop(0)
    search.wait(10)
    assert search.trial(0).status == "stopped" and "did not answer within 4 s and is replaced" in search.trial(0).error
    wait_for(lambda: len(searchers) == 2 and hung not in searchers.ids)
    (other,) = set(before) - {hung}
    assert other in searchers.ids


@pytest.mark.parametrize("kind, said", [("eats", "more than the 0.6"), ("gulps", "asked for more memory")])
def test_a_trial_that_eats_memory_fails_and_its_engine_is_replaced(run, searchers, kind, said):
    before = searchers.ids
    search = run(kind, memory=int(0.6 * GIBIBYTE))
    trial = search.trial(0)
    assert trial.status == "failed" and said in trial.error and trial.attempts == 1
    wait_for(lambda: len(searchers) == 2 and trial.engines[0] not in searchers.ids)
    assert set(before) - set(trial.engines) <= set(searchers.ids)


def test_one_that_goes_on_eating_is_killed_with_its_engine_and_not_tried_again(run, searchers):
    trial = run("eats on", memory=int(0.6 * GIBIBYTE)).trial(0)
    assert trial.status == "failed" and "more than the 0.6" in trial.error and trial.attempts == 1
    wait_for(lambda: len(searchers) == 2 and trial.engines[0] not in searchers.ids)


def test_a_dead_controller_interrupts_the_search_and_a_new_cluster_goes_on(faulty, tmp_path):
    def slow(trial):
        for epoch in range(trial.epochs):
            time.sleep(0.1)
            trial.report(epoch, ks_comb=1.0)

    space = {"kind": Choice("none")}
    with distributed.cluster(1, name="dies", cores=1) as engines:
        search = distributed.search(engines, slow, space, folder=tmp_path, trials=2, epochs=30, method="random")
        wait_for(lambda: search.trials and search.trial(0).epochs)
        for process in launch.processes(launch.read(launch.path_of("dies")), ("controller",)):
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="'dies' has stopped, or its controller has died: start engines again"):
            search.wait(30)
    assert search.status == "interrupted" and search.trial(0).status == "queued"
    with distributed.cluster(1, name="lives", cores=1) as engines:
        search = distributed.reattach_search(tmp_path, engines)
        search.wait(60)
    assert [(trial.status, len(trial.epochs)) for trial in search.trials] == [("finished", 30)] * 2
    assert search.trial(0).attempts == 2
