"""A trial on its engine: what its training function is given, and how its epochs and its end are written down."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from calolab.cluster import on_engine
from calolab.distributed import horovod, shipment
from calolab.distributed.meeting import Meeting
from calolab.search.memory import MemoryBound
from calolab.search.trial import TrialContext
from calolab.search.trials import log_path, make_folder, trial_folder, write_line

SHIPPED = "The training function and its data"
KEPT = 2  # searches whose code and data an engine keeps
_shipped: dict[str, tuple[Callable, object]] = {}  # the training function and the data of a search, by its token


class NotShipped(RuntimeError):
    """This engine has not got the code and the data of the search: it is a new one."""


@dataclass(frozen=True)
class TrialTask:
    """All that an engine must know of a trial besides the search's code and data.

    Args:
        token: the search's.
        number, parameters: of the trial.
        epochs: how many in all.
        attempt: from 1.
        resume: whether to go on from the checkpoint in the trial's folder.
        folder: of the search, as the engine sees it.
        seed: of the search.
        metric, direction: what decides about the best epoch.
        meeting: how to find the other ranks; None for a trial on one engine.
        memory: resident bytes that the engine may take; None for no bound.
        publish: whether the client cannot see the folder, so that the lines are sent to it.
    """

    token: str
    number: int
    parameters: dict
    epochs: int
    attempt: int
    resume: bool
    folder: str
    seed: int
    metric: str
    direction: str
    meeting: Meeting | None = None
    memory: int | None = None
    publish: bool = False


class TrialLines:
    """The file of a trial, to which its engine appends.

    Args:
        task: the trial.
    """

    def __init__(self, task: TrialTask):
        self._task = task
        self.written: list[dict] = []  # of this attempt
        self.rank = 0 if task.meeting is None else task.meeting.rank
        self.path = log_path(task.folder, task.number)
        if self.rank == 0:
            make_folder(trial_folder(task.folder, task.number))

    def append(self, **entry) -> None:
        """Append a line at once; one rank alone does it."""
        if self.rank != 0:
            return
        entry = {"attempt": self._task.attempt, **entry}
        self.written.append(entry)
        with open(self.path, "ab+", buffering=0) as file:
            # An engine that was killed may have left half a line.
            torn = file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            write_line(file, self.path, b"\n" * bool(torn) + json.dumps(entry).encode() + b"\n")
        if self._task.publish:
            on_engine.publish({f"line {len(self.written) - 1}": entry})


def holds(token: str, folder: str, mark: str) -> tuple[bool, bool]:
    """Run on an engine: whether it has the search's code and data, and whether it sees the client's folder."""
    path = os.path.join(folder, mark)
    return token in _shipped, os.path.isfile(path)


def receive(token: str, sent: np.ndarray) -> None:
    """Run on an engine: take in a search's code and data, once for all its trials."""
    _shipped[token] = shipment.unpack(sent, SHIPPED)
    for old in list(_shipped)[:-KEPT]:
        del _shipped[old]


def run_trial(task: TrialTask) -> dict:
    """Run on an engine: one trial, or one rank of it, from its beginning to its end.

    Returns:
        `status` ("finished", "stopped", "failed"), `error`, and `lost` (whether it failed because another rank did);
        `exhausted` tells that it took too much memory, which only a new process gives back; `lines` are those of the
        trial's file, for a client that cannot see it.

    Raises:
        NotShipped: if the engine has not got the search's code and data.
    """
    if task.token not in _shipped:
        raise NotShipped(f"this engine has not got the code and data of the search {task.token}")
    train, data = _shipped[task.token]
    lines = TrialLines(task)
    lines.append(begin=time.time(), resume=task.resume)
    context = TrialContext(task, data, lines)
    outcome = {"status": "finished", "error": "", "lost": False, "exhausted": False}
    bound = MemoryBound(
        task.memory, lambda reason: lines.append(end="failed", error=f"The trial {reason}.", exhausted=True)
    )
    with _stoppable(context):
        try:
            with bound:
                context.join()
                context.conclude(train(context))
            if on_engine.stop_requested.is_set():
                outcome["status"] = "stopped"
        except KeyboardInterrupt:
            outcome["status"] = "stopped"
        except Exception as error:
            outcome |= _failure(error, context)
        finally:
            context.leave()
    if bound.exceeded:
        outcome |= {"status": "failed", "error": f"The trial {bound.exceeded}.", "exhausted": True}
    lines.append(end=outcome["status"], error=outcome["error"])
    return outcome | {"lines": lines.written if task.publish else []}


def _failure(error: Exception, context: TrialContext) -> Mapping:
    """How a trial failed, in its error's last lines."""
    if on_engine.stop_requested.is_set() and horovod.is_loss(error):
        return {"status": "stopped"}  # another rank was the first to stop
    if context.divergence:
        return {"status": "failed", "error": context.divergence}
    own = error.__traceback__.tb_next or error.__traceback__  # without this module's own line
    lines = "".join(traceback.format_exception(type(error), error, own)).strip().splitlines()
    return {"status": "failed", "error": "\n".join(lines[-6:])[-2000:], "lost": horovod.is_loss(error)}


@contextmanager
def _stoppable(context: TrialContext):
    """Inside the block, `on_engine.STOP` asks the trial to stop."""
    on_engine.stop_requested.clear()

    def ask(number, frame):
        on_engine.stop_requested.set()
        if context.breakable:  # nothing is lost by breaking here
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where Python delivers no signals
        yield
        return
    before = signal.signal(on_engine.STOP, ask)
    try:
        yield
    finally:
        signal.signal(on_engine.STOP, before)
