"""Trainings whose client has ended: their weights can no longer be collected, so they are stopped.

`TrainingRun` writes a small file per training next to the cluster's file. When its client's process has ended, the
cluster's watchdog stops the training at its next checkpoint, or, without checkpoints, after the cluster's idle time.
Elastic trainings, which have checkpoints, and the trials of a search run to their end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from ipyparallel.error import RemoteError

from calolab.cluster import calls, hub, on_engine, time_limits
from calolab.cluster.description import name_of
from calolab.files import complete, host_id


@dataclass(frozen=True)
class UnattendedTraining:
    """The record of a training, written by its client.

    Args:
        engines: ids of its ranks' engines.
        messages: ids of the messages with the ranks' calls.
        checkpoints: folder of its checkpoints; None without.
        elastic: whether it continues when engines die.
        host: machine of its client, as `files.host_id` names it.
        client, begun: process number of its client, and its start time as the system counts it.
        alone: when its client was first found to have ended [s since 1970]; None before.
    """

    engines: tuple[int, ...]
    messages: tuple[str, ...]
    checkpoints: str | None
    elastic: bool
    host: str
    client: int
    begun: float
    alone: float | None = None

    @property
    def attended(self) -> bool:
        """Whether its client still runs; a client on another machine counts as running."""
        if self.host != host_id():
            return True
        try:
            return psutil.Process(self.client).status() != psutil.STATUS_ZOMBIE and _begun(self.client) == self.begun
        except (psutil.Error, OSError):
            return False

    def outlook(self, idle: float) -> str:
        """Text that says what happens to it without its client; `idle` in seconds."""
        who = f"training without a client on {calls.in_words(self.engines)}"
        if self.elastic:
            return f"elastic {who}, runs to its end; resume=True continues from {self.checkpoints}"
        if self.checkpoints is not None:
            return f"{who}, stops after its epoch; resume=True continues from {self.checkpoints}"
        left = max(0.0, (self.alone or time.time()) + idle - time.time())
        return f"{who}, stops in {left / 60:.0f} min" if left > 90 else f"{who}, stops in {left:.0f} s"


def register(path: Path, engines: Sequence[int], messages: Sequence[str], folder: str | None, elastic: bool) -> Path:
    """Record a training of this process; returns the file, to be removed when the training has ended.

    Args:
        path: file of the cluster.
        engines, messages: engines and messages of its ranks.
        folder: folder of its checkpoints; None without.
        elastic: whether it continues when engines die.
    """
    file = path.with_name(f"calolab-{name_of(path)}-run-{secrets.token_hex(8)}.json")
    client = (host_id(), os.getpid(), _begun(os.getpid()))
    _write(file, UnattendedTraining(tuple(engines), tuple(messages), folder, elastic, *client))
    return file


def files(path: Path) -> list[Path]:
    """The files of a cluster's trainings."""
    pattern = re.compile(rf"calolab-{re.escape(name_of(path))}-run-[0-9a-f]{{16}}\.json")
    return sorted(file for file in path.parent.glob("calolab-*.json") if pattern.fullmatch(file.name))


def trainings(path: Path) -> dict[Path, UnattendedTraining]:
    """The trainings of a cluster whose client has ended, by file."""
    found = {}
    for file in files(path):
        try:
            values = json.loads(file.read_text())
            training = UnattendedTraining(**values | {name: tuple(values[name]) for name in ("engines", "messages")})
        except OSError:  # it has been removed, or cannot be read at the moment
            continue
        except (ValueError, TypeError, KeyError):
            file.unlink(missing_ok=True)  # damaged
            continue
        if not training.attended:
            found[file] = training
    return found


def tend(path: Path, idle: float, found: dict[Path, float]) -> None:
    """Stop the trainings without a client that are due; remove the records of those that have ended.

    Args:
        path: file of the cluster.
        idle: seconds after which one without checkpoints is stopped.
        found: when each was first found without its client, by file; kept here because a record cannot be rewritten on
            a full disk.

    Raises:
        TimeoutError: if the controller does not answer.
    """
    alone = trainings(path)
    if not alone:
        return
    with hub.observer(path) as client:
        sent = []
        for file, training in alone.items():
            since = found.setdefault(file, training.alone or time.time())
            if training.alone is None:
                with contextlib.suppress(OSError):
                    _write(file, replace(training, alone=since))
            waiting = _waiting(client, training)
            if not waiting:
                file.unlink(missing_ok=True)
            elif training.checkpoints is not None and not training.elastic:
                sent += calls.send_signal(client, on_engine.PAUSE, waiting)  # after the epoch
            elif not training.elastic and time.time() > since + idle:
                sent += calls.send_signal(client, on_engine.STOP, waiting)  # after the pass
        deadline = time.monotonic() + time_limits.HUB_ANSWERS_WITHIN
        while not all(answer.done() for answer in sent) and time.monotonic() < deadline:
            time.sleep(0.02)


def _waiting(client, training: UnattendedTraining) -> list[int]:
    """The live engines that still work on a training, not on anything else."""
    waiting = []
    for engine, message in zip(training.engines, training.messages, strict=True):
        with contextlib.suppress(RemoteError):  # for a message that the hub no longer has
            pending = client.result_status([message], status_only=True)["pending"]
            if pending and engine in client.ids:
                waiting.append(engine)
            elif not pending:
                client.purge_hub_results([message])  # otherwise the hub keeps weights that are never fetched
    return waiting


def _begun(pid: int) -> float:
    """Start time of a process; on Linux in ticks since boot, which do not change when the clock is set."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return psutil.Process(pid).create_time()
    return float(stat.read_text().rpartition(")")[2].split()[19])


def _write(file: Path, training: UnattendedTraining) -> None:
    with complete(file) as partial:
        partial.write_text(json.dumps(asdict(training)))
