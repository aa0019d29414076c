"""One attempt at a trial, as the notebook sees it: pending answers of its engines, and the way to end it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import ipyparallel
from ipyparallel.error import EngineError, RemoteError

STOP_EVERY = 0.5  # seconds between two wishes to stop: the first may come before the trial listens
INTERRUPT_AFTER = 2.0  # seconds after which a trial that ignores the wish is interrupted
INTERRUPT_EVERY = 5.0
FREE_AFTER = 5.0  # seconds after which ranks that outlive a failed one are interrupted
REPLACE_AFTER = 30.0  # seconds after which engines that do not answer are replaced
ASK_HUB_EVERY = 0.5


class HubAnswer:
    """The answer to a message that another process has sent: the hub keeps it.

    Args:
        client: of the cluster.
        message: id of the message.
    """

    own = False

    def __init__(self, client: ipyparallel.Client, message: str):
        self._client, self.message, self._asked_at, self._result = client, message, 0.0, None

    def ready(self) -> bool:
        """Whether the answer is there, or never will be."""
        if self._result is None and time.monotonic() > self._asked_at + ASK_HUB_EVERY:
            self._asked_at = time.monotonic()
            try:
                if not self._client.result_status([self.message], status_only=True)["pending"]:
                    self._result = self._client.get_result(self.message, block=False)
                    self._result.wait(0)
            except RemoteError as error:  # the trial's own error, or a hub that knows of no such message
                self._result = error
        return self._result is not None

    def get(self, timeout: float | None = None) -> Mapping:
        """The answer, or its error."""
        if isinstance(self._result, Exception):
            raise self._result
        return self._result.get(timeout)

    @property
    def published(self) -> dict:
        """What was published meanwhile went to the other process."""
        return {}


class OwnAnswer:
    """The answer to a message of this process.

    Args:
        result: `ipyparallel.AsyncResult`.
        wake: called when it comes.
    """

    own = True

    def __init__(self, result: ipyparallel.AsyncResult, wake: Callable[[], None]):
        self._result, self.message = result, result.msg_ids[0]
        result.add_done_callback(lambda _: wake())

    def ready(self) -> bool:
        """Whether the answer is there."""
        return self._result.ready()

    def get(self, timeout: float | None = None) -> Mapping:
        """The answer, or its error."""
        return self._result.get(timeout)

    @property
    def published(self) -> dict:
        """What the engine has published so far."""
        return dict(self._result.metadata["data"])


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Args:
        status: "finished", "stopped", "failed"; "lost" if an engine died or forgot it, "new" if an engine had not got
            the search's code.
        error: in words.
        replace: engines that must be replaced.
        lines: of the trial's file, where the client cannot see it.
    """

    status: str
    error: str = ""
    replace: tuple[int, ...] = ()
    lines: tuple[dict, ...] = ()


class Attempt:
    """A trial that runs.

    Args:
        number: of the trial.
        epochs: that it was sent off with.
        ids: its engines, rank 0 first.
        answers: pending, by rank.
        shared: whether the client sees the trial's file.

    Attributes:
        wish: "stopped", "pruned", "restart" or "suspended" (until a reattachment) once it shall end.
        signals: sent to its engines, pending or not.
        lines: how many published lines were taken in.
    """

    def __init__(self, number: int, epochs: int, ids: Sequence[int], answers: Iterable, shared: bool):
        self.number, self.epochs, self.ids, self.shared = number, epochs, tuple(ids), shared
        self.answers = tuple(answers)
        self.wish = ""
        self.signals: list = []
        self.lines = 0
        self._since: float | None = None  # since when it should have ended
        self._asked_at = self._interrupted_at = 0.0

    def end(self, wish: str) -> None:
        """Let it end; a stop or a restart that the user asks for goes before what the search wishes."""
        if not self.wish or wish != "pruned":
            self.wish = wish
        self._since = self._since or time.monotonic()

    def press(self, send: Callable[[int, Iterable[int]], list]) -> None:
        """Send the signals that are due to engines that should have ended."""
        waiting = [number for number, answer in zip(self.ids, self.answers) if not answer.ready()]
        if not waiting:
            return
        now = time.monotonic()
        if self._since is None:
            if len(waiting) == len(self.ids):
                return
            self._since = now  # some have ended: the others should soon
        interrupt_after = INTERRUPT_AFTER if self.wish else FREE_AFTER
        if self.wish and now > self._asked_at + STOP_EVERY:
            self._asked_at = now
            self.signals += send(signal.SIGUSR1, waiting)
        if now > self._since + interrupt_after and now > self._interrupted_at + INTERRUPT_EVERY:
            self._interrupted_at = now
            self.signals += send(signal.SIGINT, waiting)

    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""
        waiting = tuple(number for number, answer in zip(self.ids, self.answers) if not answer.ready())
        if waiting:
            if self._since is None or time.monotonic() < self._since + REPLACE_AFTER:
                return None
            who = f"engine{'s' * (len(waiting) > 1)} {', '.join(map(str, waiting))}"
            error = f"{who} did not answer within {REPLACE_AFTER:g} s and is replaced."
            return Ending("stopped" if self.wish else "lost", error, replace=waiting)
        outcomes, errors = {}, {}
        for number, answer in zip(self.ids, self.answers):
            try:
                outcomes[number] = answer.get(timeout=0)
            except RemoteError as error:
                errors[number] = error
        lines = tuple(line for outcome in outcomes.values() for line in outcome["lines"])
        exhausted = tuple(number for number, outcome in outcomes.items() if outcome["exhausted"])
        if exhausted:
            return Ending("failed", outcomes[exhausted[0]]["error"], exhausted, lines)
        if errors:
            return self._explain(errors, lines)
        own = [one for one in outcomes.values() if one["status"] == "failed" and not one["lost"]]
        if own:
            return Ending("failed", own[0]["error"], lines=lines)
        statuses = {outcome["status"] for outcome in outcomes.values()}
        if "stopped" in statuses:
            return Ending("stopped", lines=lines)
        if "failed" in statuses:
            return Ending("lost", "its ranks lost each other.", lines=lines)
        return Ending("finished", lines=lines)

    def _explain(self, errors: Mapping[int, RemoteError], lines: tuple) -> Ending:
        died = [number for number, error in errors.items() if error.ename == EngineError.__name__]
        if died:
            return Ending("lost", f"engine{'s' * (len(died) > 1)} {', '.join(map(str, died))} died.", lines=lines)
        number, error = next(iter(errors.items()))
        if error.ename == "NotShipped":
            return Ending("new", lines=lines)
        if error.ename == "KeyError":  # the hub of another cluster
            return Ending("lost", "its cluster has gone.", lines=lines)
        if error.ename in ("KeyboardInterrupt", "Stopped"):  # between the trial's end and its answer
            return Ending("stopped", lines=lines)
        return Ending("failed", f"engine {number}: {error.ename}: {error.evalue}", lines=lines)
