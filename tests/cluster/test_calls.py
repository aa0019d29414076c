"""Calls on several engines: survivors are interrupted, stops repeated, failures explained; engines are killed."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from ipyparallel.error import RemoteError

from calolab import cluster
from calolab.cluster import calls, on_engine, time_limits
from tests.helpers import wait_for


class Client:
    """Engines 3, 4 and 5, which record the signals that they receive."""

    def __init__(self):
        self.ids, self.received, self.purged = [3, 4, 5], [], []

    def send_signal(self, number, targets, block):
        assert not block
        self.received.append((number, tuple(targets)))

    def purge_hub_results(self, messages):
        self.purged += messages


def answer(message, value=None, error=None):
    """The answer of one engine: a value, the name of an error, or none yet."""

    def get():
        if error is not None:
            raise RemoteError(error, "why", "", {})
        return value

    return SimpleNamespace(message=message, own=True, ready=lambda: (value or error) is not None, get=get)


@pytest.fixture
def quick(monkeypatch):
    """Limits of hundredths of a second."""
    limits = {"STOP_EVERY": 0.02, "INTERRUPT_STOPPED_AFTER": 0.05, "INTERRUPT_SURVIVORS_AFTER": 0.05}
    for name, seconds in {**limits, "INTERRUPT_EVERY": 0.05}.items():
        monkeypatch.setattr(time_limits, name, seconds)


def follow_for(call, seconds):
    deadline = time.monotonic() + seconds
    while not call.follow() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_engines_that_outlive_a_failed_one_are_interrupted_and_then_given_up(quick):
    client = Client()
    call = calls.Call(client, (3, 4, 5), [answer("a", 1), answer("b", error="ValueError"), answer("c")], 0.2)
    began = time.monotonic()
    follow_for(call, 5)
    assert time.monotonic() - began > 0.2 and call.follow()  # not before
    assert set(client.received) == {(signal.SIGINT, (5,))} and 2 <= len(client.received) <= 5
    failure = call.failure()
    assert (failure.died, failure.busy, failure.engine, failure.kind) == (
        (),
        (5,),
        4,
        "ValueError",
    ) and failure.original
    assert call.results == {3: 1} and list(call.errors) == [4]


def test_engines_that_work_or_have_answered_are_left_alone(quick):
    client = Client()
    working = calls.Call(client, (3, 4), [answer("a", 1), answer("b")], 0.1)
    follow_for(working, 0.3)
    assert not working.follow() and client.received == []
    done = calls.Call(client, (3, 4), [answer("a", 1), answer("b", 2)], 0.1)
    assert done.follow() and done.failure() is None and done.results == {3: 1, 4: 2}
    done.forget()
    assert client.purged == ["a", "b"]


def test_where_all_should_end_together_the_first_answer_counts(quick):
    client = Client()
    call = calls.Call(client, (3, 4), [answer("a", 1), answer("b")], 0.2, end_together=True)
    follow_for(call, 5)
    assert set(client.received) == {(signal.SIGINT, (4,))} and call.failure().busy == (4,)


def test_a_stop_is_repeated_and_an_engine_that_ignores_it_is_interrupted(quick):
    client = Client()
    call = calls.Call(client, (3,), [answer("a")], 0.2)
    call.stop()
    call.follow()
    assert client.received == [(signal.SIGUSR1, (3,))]
    follow_for(call, 5)
    numbers = [number for number, _ in client.received]
    assert numbers.count(signal.SIGUSR1) > 3 and 2 <= numbers.count(signal.SIGINT) <= 5


@pytest.mark.parametrize(
    ("errors", "engine", "original"),
    [
        (("RanksLost", "OSError", None), 4, True),
        (("RanksLost", "KeyboardInterrupt", "Stopped"), 3, False),
        (("OSError", "EngineError", "RanksLost"), 4, False),
    ],
)
def test_the_error_that_explains_a_failure_is_chosen(errors, engine, original):
    answers = [answer(str(n), 1, error) for n, error in enumerate(errors)]
    failure = calls.Call(Client(), (3, 4, 5), answers, 1.0).failure(consequences=("RanksLost",))
    assert (failure.engine, failure.original) == (engine, original)
    assert failure.died == ((4,) if "EngineError" in errors else ())


def test_an_engine_that_has_gone_without_an_answer_has_died(quick):
    client = Client()
    call = calls.Call(client, (3, 9), [answer("a", 1), answer("b")], 0.1)
    follow_for(call, 5)
    assert call.failure() == calls.Failure(died=(9,), engine=9) and client.received == []


def test_what_was_sent_is_stopped_where_the_rest_cannot_be(monkeypatch):
    class View:
        def apply_async(self, function, given):
            if given == "bad":
                raise TypeError("cannot be sent")
            return SimpleNamespace(msg_ids=["a"])

    class Sending(Client):
        def __getitem__(self, engine):
            return View()

    client = Sending()
    with pytest.raises(TypeError, match="cannot be sent"):
        calls.send(client, (3, 4, 5), abs, [("good",), ("good",), ("bad",)], revoke=signal.SIGUSR1)
    assert client.received == [(signal.SIGUSR1, (3, 4))]


def fail_on(victim):
    """Raise on one engine; the others sleep."""
    import os
    import time

    if os.getpid() == victim:
        raise ValueError("no such layer")
    time.sleep(600)


def test_a_failure_on_real_engines_frees_the_others_and_explains(searchers, monkeypatch):
    monkeypatch.setattr(time_limits, "INTERRUPT_SURVIVORS_AFTER", 0.5)
    first, second = searchers.ids
    pids = calls.gather(searchers.client, searchers.ids, os.getpid, timeout=10)
    with pytest.raises(calls.CallFailed, match="no such layer") as raised:
        calls.gather(searchers.client, searchers.ids, fail_on, [(pids[1],)] * 2, timeout=20)
    assert raised.value.failure.engine == second and raised.value.failure.original
    assert calls.gather(searchers.client, searchers.ids, abs, [(-1,), (-2,)], timeout=10) == [1, 2]
    with pytest.raises(calls.CallFailed) as raised:
        calls.gather(searchers.client, (first, 999), os.getpid, timeout=10)
    assert raised.value.failure.died == (999,)


def test_ctrl_c_interrupts_the_engines_and_this_process_has_its_calls_at_once(searchers):
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        calls.gather(searchers.client, searchers.ids, time.sleep, [(600,)] * 2, timeout=30)
    wait_for(lambda: not calls.engines_in_use(searchers.client))
    calls.gather(searchers.client, searchers.ids[:1], on_engine.listen, timeout=10)
    answers = calls.send(searchers.client, searchers.ids[:1], time.sleep, [(600,)])
    call = calls.Call(searchers.client, searchers.ids[:1], answers, 30.0)
    assert calls.engines_in_use(searchers.client) == set(searchers.ids[:1])
    call.stop()
    wait_for(call.follow, 10)
    assert call.failure().kind in calls.INTERRUPTED


def test_engines_are_killed_whatever_they_do(searchers):
    victim, other = searchers.ids
    answers = calls.send(searchers.client, (victim,), time.sleep, [(600,)])
    calls.kill(searchers.client, (victim,), 10.0)
    assert searchers.ids == (other,)
    call = calls.Call(searchers.client, (victim,), answers, 30.0)
    wait_for(call.follow, 10)
    assert call.failure().died == (victim,)
    calls.kill(searchers.client, (victim,), 1.0)  # it has gone already
    cluster.restart(searchers)
