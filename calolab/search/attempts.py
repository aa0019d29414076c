"""One attempt at a trial, as the notebook sees it: a call on its engines, why it should end, and how it ended.

`cluster.calls.Call` stops and interrupts its engines. Those that do not answer are listed in `Ending.replace`, and the
driver lets `cluster.replace` kill them.
"""

from __future__ import annotations

from dataclasses import dataclass

from calolab.cluster import calls, time_limits


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Args:
        status: "finished", "stopped", "failed"; "lost" if an engine died or its answer is lost, "new" if an engine did
            not have the search's code.
        error: description of the error.
        replace: engines that must be replaced.
        lines: lines of the trial's file, if the client cannot see it.
    """

    status: str
    error: str = ""
    replace: tuple[int, ...] = ()
    lines: tuple[dict, ...] = ()


class Attempt:
    """A trial that runs.

    Args:
        number: number of the trial.
        epochs: number of epochs requested from the engines.
        call: the call on its engines, rank 0 first.
        shared: whether the client sees the trial's file.

    Attributes:
        reason: why it should end: "stopped", "pruned", "restart" or "suspended" (until a reattachment); empty while it
            should not.
        lines: number of published lines that were read.
    """

    def __init__(self, number: int, epochs: int, call: calls.Call, shared: bool):
        self.number, self.epochs, self.call, self.shared = number, epochs, call, shared
        self.reason = ""
        self.lines = 0

    def end(self, reason: str) -> None:
        """Stop it; a stop or restart that the user requests takes precedence over pruning."""
        if not self.reason or reason != "pruned":
            self.reason = reason
        self.call.stop()

    def ending(self) -> Ending | None:
        """How it ended; None while it runs. Sends the signals that are due."""
        if not self.call.follow():
            return None
        failure, outcomes = self.call.failure(), self.call.results
        if failure is not None and failure.busy:
            who, limit = calls.in_words(failure.busy), time_limits.REPLACE_AFTER
            error = f"{who} did not answer within {limit:g} s and is replaced."
            return Ending("stopped" if self.reason else "lost", error, replace=failure.busy)
        lines = tuple(line for outcome in outcomes.values() for line in outcome["lines"])
        exhausted = tuple(engine for engine, outcome in outcomes.items() if outcome["exhausted"])
        if exhausted:
            return Ending("failed", outcomes[exhausted[0]]["error"], exhausted, lines)
        if failure is not None:
            return _explain(failure, lines)
        own = [one for one in outcomes.values() if one["status"] == "failed" and not one["lost"]]
        if own:
            return Ending("failed", own[0]["error"], lines=lines)
        statuses = {outcome["status"] for outcome in outcomes.values()}
        if "stopped" in statuses:
            return Ending("stopped", lines=lines)
        if "failed" in statuses:
            return Ending("lost", "its ranks lost their connection.", lines=lines)
        return Ending("finished", lines=lines)


def _explain(failure: calls.Failure, lines: tuple[dict, ...]) -> Ending:
    """The ending of an attempt on whose engines the call itself failed."""
    if failure.died:
        return Ending("lost", f"{failure}.", lines=lines)
    if failure.kind == "NotShipped":
        return Ending("new", lines=lines)
    if failure.kind == "KeyError":  # from the hub of another cluster
        return Ending("lost", "its cluster no longer exists.", lines=lines)
    if failure.kind in calls.INTERRUPTED:  # between the trial's end and its answer
        return Ending("stopped", lines=lines)
    return Ending("failed", f"engine {failure.engine}: {failure.kind}: {failure.error.evalue}", lines=lines)
