"""A trial on its engine: running its training function, and recording its epochs and its end."""

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
from calolab.search.memory import MemoryLimit
from calolab.search.trial import TrialContext
from calolab.search.trials import log_path, make_folder, trial_folder, write_line

SHIPPED = "The training function and its data"
KEPT = 2  # number of searches whose code and data an engine keeps
_shipped: dict[str, tuple[Callable, object]] = {}  # the training function and the data of a search, by its token


class NotShipped(RuntimeError):
    """This engine does not have the code and data of the search, because it is a new process."""


@dataclass(frozen=True)
class TrialTask:
    """The input of an engine for a trial, other than the search's code and data.

    Args:
        token: token of the search.
        number, parameters: number and parameters of the trial.
        epochs: total number of epochs.
        attempt: number of the attempt, from 1.
        resume: whether to continue from the checkpoint in the trial's folder.
        folder: folder of the search, as the engine sees it.
        seed: seed of the search.
        metric, direction: metric and direction by which the best epoch is selected.
        meeting: how to connect to the other ranks; None for a trial on one engine.
        memory: resident bytes that the engine may use; None for no limit.
        publish: whether to send the lines to the client, because it does not see the folder.
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
        """Append a line immediately; only rank 0 does so."""
        if self.rank != 0:
            return
        entry = {"attempt": self._task.attempt, **entry}
        self.written.append(entry)
        with open(self.path, "ab+", buffering=0) as file:
            # A killed engine may have left an incomplete line.
            torn = file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
            write_line(file, self.path, b"\n" * bool(torn) + json.dumps(entry).encode() + b"\n")
        if self._task.publish:
            on_engine.publish({f"line {len(self.written) - 1}": entry})


def holds(token: str, folder: str, mark: str) -> tuple[bool, bool]:
    """Run on an engine: whether it has the search's code and data, and whether it sees the search's folder.

    Args:
        token: identifier of the search.
        folder: folder of the search.
        mark: name of a file that exists in the folder if it is shared.
    """
    path = os.path.join(folder, mark)
    return token in _shipped, os.path.isfile(path)


def receive(token: str, sent: np.ndarray) -> None:
    """Run on an engine: store a search's code and data for all its trials.

    Args:
        token: identifier of the search.
        sent: its code and data, from `shipment.pack`.
    """
    _shipped[token] = shipment.unpack(sent, SHIPPED)
    for old in list(_shipped)[:-KEPT]:
        del _shipped[old]


def run_trial(task: TrialTask) -> dict:
    """Run on an engine: one trial, or one rank of it.

    Returns:
        `status` ("finished", "stopped", "failed"), `error`, `lost` (whether it failed because another rank did),
        `exhausted` (whether it used too much memory, which only a new process releases), and `lines`: those of the
        trial's file, for a client that does not see it.

    Raises:
        NotShipped: if the engine does not have the search's code and data.
    """
    if task.token not in _shipped:
        raise NotShipped(f"this engine does not have the code and data of the search {task.token}")
    train, data = _shipped[task.token]
    lines = TrialLines(task)
    lines.append(begin=time.time(), resume=task.resume)
    context = TrialContext(task, data, lines)
    outcome = {"status": "finished", "error": "", "lost": False, "exhausted": False}
    limit = MemoryLimit(
        task.memory, lambda reason: lines.append(end="failed", error=f"The trial {reason}.", exhausted=True)
    )
    with _stoppable(context):
        try:
            with limit:
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
    if limit.exceeded:
        outcome |= {"status": "failed", "error": f"The trial {limit.exceeded}.", "exhausted": True}
    lines.append(end=outcome["status"], error=outcome["error"])
    return outcome | {"lines": lines.written if task.publish else []}


def _failure(error: Exception, context: TrialContext) -> Mapping:
    """How a trial failed, with the last lines of its error."""
    if on_engine.stop_requested.is_set() and horovod.is_loss(error):
        return {"status": "stopped"}  # another rank stopped first
    if context.divergence:
        return {"status": "failed", "error": context.divergence}
    own = error.__traceback__.tb_next or error.__traceback__  # without the line of this module
    lines = "".join(traceback.format_exception(type(error), error, own)).strip().splitlines()
    return {"status": "failed", "error": "\n".join(lines[-6:])[-2000:], "lost": horovod.is_loss(error)}


@contextmanager
def _stoppable(context: TrialContext):
    """In the block, `on_engine.STOP` requests a stop of the trial."""
    on_engine.stop_requested.clear()

    def request(number, frame):
        on_engine.stop_requested.set()
        if context.interruptible:  # nothing is lost
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals only there
        yield
        return
    before = signal.signal(on_engine.STOP, request)
    try:
        yield
    finally:
        signal.signal(on_engine.STOP, before)
