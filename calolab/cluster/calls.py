"""Calls of a function on several engines: send, follow, stop, interrupt and kill, with one explanation of a failure.

Trainings, trials and measurements of scaling are such calls. `Call.follow` interrupts engines that outlive a failed
one, and those that ignore a stop request; `kill` ends engines that do not react to that either
(`cluster.replace` kills engines and starts new ones in their place).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import ipyparallel
from ipyparallel.error import EngineError, RemoteError

from calolab.cluster import time_limits
from calolab.cluster.answers import HubAnswer, OwnAnswer
from calolab.cluster.on_engine import STOP

INTERRUPTED = ("KeyboardInterrupt", "Stopped")  # names of the errors of an engine that was interrupted

_calls: weakref.WeakSet[Call] = weakref.WeakSet()  # those of this process
_registering = threading.Lock()


@dataclass(frozen=True)
class Failure:
    """Why a call failed.

    Args:
        died: engines that died, in the order of the ranks.
        busy: engines that have not answered and still run.
        engine: the engine whose error explains the failure; the first that died, if any did; None without an error.
        error: its error.
        original: whether that error occurred on this engine itself, rather than because another engine had ended.
    """

    died: tuple[int, ...] = ()
    busy: tuple[int, ...] = ()
    engine: int | None = None
    error: RemoteError | None = None
    original: bool = False

    def __str__(self):
        if self.died:
            return f"{in_words(self.died)} died"
        return f"{in_words(self.busy)} did not answer" if self.error is None else str(self.error)

    @property
    def kind(self) -> str:
        """Name of the error's class on the engine."""
        return "" if self.error is None else self.error.ename


class CallFailed(RuntimeError):
    """A call has failed.

    Args:
        failure: why.
    """

    def __init__(self, failure: Failure):
        super().__init__(str(failure))
        self.failure = failure


class Call:
    """A function that runs on several engines, one of which may fail or die while the others wait for it.

    Args:
        client: client of the cluster.
        ids: the engines; an engine's position is its rank.
        answers: pending answers, by rank.
        give_up_after: seconds after which engines that should have ended are not waited for any longer.
        end_together: whether all engines should end soon after the first one, not only after one that failed.

    Attributes:
        signals: pending answers to the signals that were sent to its engines.
    """

    def __init__(
        self,
        client: ipyparallel.Client,
        ids: Sequence[int],
        answers: Iterable[OwnAnswer | HubAnswer],
        give_up_after: float,
        end_together: bool = False,
    ):
        self.client, self.ids, self.answers = client, tuple(ids), tuple(answers)
        self.signals: list = []
        self._give_up_after, self._end_together = give_up_after, end_together
        self._results: dict[int, object] = {}
        self._errors: dict[int, RemoteError] = {}
        self._stop_requested = False
        self._should_end_since: float | None = None
        self._stopped_at = self._interrupted_at = float("-inf")
        with _registering:
            _calls.add(self)

    @property
    def busy(self) -> tuple[int, ...]:
        """Engines that have not answered yet."""
        return tuple(engine for engine, answer in zip(self.ids, self.answers) if not answer.ready())

    @property
    def results(self) -> dict[int, object]:
        """The results of the function, by engine."""
        self._take_in()
        return {engine: self._results[engine] for engine in self.ids if engine in self._results}

    @property
    def errors(self) -> dict[int, RemoteError]:
        """The errors of engines on which the function failed, or which died, by engine."""
        self._take_in()
        return {engine: self._errors[engine] for engine in self.ids if engine in self._errors}

    def signal(self, number: int) -> None:
        """Send a signal to the engines that have not answered."""
        self.signals += send_signal(self.client, number, self.busy)

    def stop(self) -> None:
        """Request a stop; `follow` repeats it, and interrupts engines that ignore it.

        The engines must have called `on_engine.listen`: without it, `on_engine.STOP` ends their processes.
        """
        self._stop_requested = True
        self._should_end_since = self._should_end_since or time.monotonic()

    def follow(self) -> bool:
        """Send the signals that are due; call it often.

        Returns:
            Whether the call is over: all engines have answered, or those that have not are given up (`busy`).
        """
        busy = self.busy
        if not busy:
            return True
        now = time.monotonic()
        if self._should_end_since is None:
            if not self._has_ended_somewhere(busy):
                return False
            self._should_end_since = now
        waited = now - self._should_end_since
        if waited > self._give_up_after:
            return True
        if self._stop_requested and now > self._stopped_at + time_limits.STOP_EVERY:
            self._stopped_at = now
            self.signal(STOP)
        limit = time_limits.INTERRUPT_SURVIVORS_AFTER
        if self._stop_requested:
            limit = time_limits.INTERRUPT_STOPPED_AFTER
        if waited > limit and now > self._interrupted_at + time_limits.INTERRUPT_EVERY:
            self._interrupted_at = now
            self.signal(signal.SIGINT)
        return False

    def failure(self, consequences: Collection[str] = ()) -> Failure | None:
        """Why the call failed; None if no engine failed, died or was given up.

        Args:
            consequences: names of errors which only say that another engine has ended.
        """
        errors, alive = self.errors, set(self.client.ids)
        reported = [engine for engine, error in errors.items() if error.ename == EngineError.__name__]
        waiting = [e for e, _ in zip(self.ids, self.answers) if e not in errors and e not in self._results]
        died = tuple(e for e in self.ids if e in reported or (e in waiting and e not in alive))
        busy = tuple(e for e in waiting if e in alive)
        if not errors and not died and not busy:
            return None
        follow_from = {*consequences, *INTERRUPTED}
        original = [e for e, error in errors.items() if e not in died and error.ename not in follow_from]
        engine = next(iter([*died, *original, *errors]), None)
        return Failure(died, busy, engine, errors.get(engine), engine in original)

    def withdraw(self) -> None:
        """Withdraw this call from engines on which it is still queued; engines that have started it continue."""
        if waiting := [answer.message for answer in self.answers if answer.own and not answer.ready()]:
            self.client.abort(waiting, block=False)

    def forget(self) -> None:
        """Delete the answers that have arrived here from the hub."""
        forget(self.client, self.answers)

    def _has_ended_somewhere(self, busy: Sequence[int]) -> bool:
        if self._end_together and len(busy) < len(self.ids):
            return True
        return bool(self.errors) or not set(self.client.ids).issuperset(busy)

    def _take_in(self) -> None:
        for engine, answer in zip(self.ids, self.answers):
            if engine not in self._results and engine not in self._errors and answer.ready():
                try:
                    self._results[engine] = answer.get()
                except RemoteError as error:
                    self._errors[engine] = error


def in_words(ids: Sequence[int]) -> str:
    """Engines by their ids: "engine 1", "engines 1, 2"."""
    return f"engine{'s' * (len(ids) > 1)} {', '.join(map(str, ids))}"


def send(
    client: ipyparallel.Client,
    ids: Sequence[int],
    function: Callable,
    arguments: Iterable[Sequence] | None = None,
    wake: Callable[[], None] | None = None,
    revoke: int = signal.SIGINT,
) -> list[OwnAnswer]:
    """Send a function to engines, each with its own arguments; returns the pending answers, by rank.

    Args:
        client: client of the cluster.
        ids: the engines.
        function: the function to call there.
        arguments: the arguments on each engine, by rank; none by default.
        wake: called when an answer arrives, in a thread of the client.
        revoke: signal to engines that have received the function when it cannot be sent to all.

    Raises:
        IndexError: if one of the engines does not exist any more.
    """
    views, answers = [client[engine] for engine in ids], []
    arguments = [()] * len(views) if arguments is None else arguments
    try:
        for view, given in zip(views, arguments, strict=True):
            answers.append(OwnAnswer(view.apply_async(function, *given), wake))
    except BaseException:
        send_signal(client, revoke, ids[: len(answers)])
        raise
    return answers


def forget(client: ipyparallel.Client, answers: Iterable[OwnAnswer | HubAnswer]) -> None:
    """Delete answered calls of this process from the hub, which would otherwise keep their messages until it ends.

    Args:
        client: client of the cluster.
        answers: answers of engines; those that are pending, or belong to calls of other processes, are kept.
    """
    # The hub may still wait for the answer of an engine which has just died.
    if messages := [answer.message for answer in answers if answer.own and answer.ready()]:
        with contextlib.suppress(RemoteError):
            client.purge_hub_results(messages)


def gather(
    client: ipyparallel.Client,
    ids: Sequence[int],
    function: Callable,
    arguments: Iterable[Sequence] | None = None,
    *,
    timeout: float,
) -> list:
    """Call a function on engines and wait for its results, by rank; Ctrl-C interrupts the engines.

    Args:
        client, ids, function, arguments: as for `send`.
        timeout: seconds to wait for all answers.

    Raises:
        CallFailed: if an engine failed, died or did not answer in time.
    """
    try:
        answers = send(client, ids, function, arguments)
    except IndexError as error:
        raise CallFailed(Failure(died=tuple(sorted({*ids} - {*client.ids})))) from error
    call, deadline = Call(client, ids, answers, time_limits.GIVE_UP_AFTER), time.monotonic() + timeout
    try:
        while not call.follow() and time.monotonic() < deadline:
            next((answer for answer in answers if not answer.ready()), answers[0]).wait(0.25)
    except KeyboardInterrupt:
        call.signal(signal.SIGINT)
        raise
    if failure := call.failure():
        raise CallFailed(failure)
    return list(call.results.values())


def engines_in_use(client: ipyparallel.Client) -> set[int]:
    """Engines that work on calls of this process; the hub reports them with some delay."""
    with _registering:
        mine = [call for call in _calls if call.client is client]
    return {e for call in mine for e, answer in zip(call.ids, call.answers) if answer.own and not answer.ready()}


def send_signal(client: ipyparallel.Client, number: int, ids: Iterable[int]) -> list:
    """Send a signal to those of these engines that are alive, wherever they run; returns its pending results.

    Args:
        client: client of the cluster.
        number: the signal.
        ids: ids of the engines.
    """
    targets = sorted(set(ids) & set(client.ids))
    # Their nannies are separate processes and deliver it even while the engines are working.
    return [client.send_signal(int(number), targets=targets, block=False)] if targets else []


def kill(client: ipyparallel.Client, ids: Iterable[int], timeout: float) -> None:
    """Kill engines, whatever they are doing and wherever they run: the only place where single engines are killed.

    Args:
        client: client of the cluster.
        ids: ids of the engines.
        timeout: maximum time until the engines are gone [s].

    Raises:
        RuntimeError: if they are still there after `timeout` seconds.
    """
    alive = sorted(set(ids) & set(client.ids))
    send_signal(client, signal.SIGKILL, alive)
    wait_until_gone(client, alive, timeout)


def wait_until_gone(client: ipyparallel.Client, ids: Iterable[int], timeout: float) -> None:
    """Wait until the controller has removed engines from its list.

    Args:
        client: client of the cluster.
        ids: ids of the engines.
        timeout: maximum time [s].

    Raises:
        RuntimeError: if they are still there after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while left := sorted(set(ids) & set(client.ids)):
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"engines {', '.join(map(str, left))} did not stop within {timeout:g} s: `%ipcluster stop`."
            )
        time.sleep(0.05)
