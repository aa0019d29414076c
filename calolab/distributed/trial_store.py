"""Where a search keeps its trials: one SQLite file that only the notebook writes, beside the files of the engines."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from calolab.distributed.trials import Trial, TrialLog, log_path

FILE = "search.sqlite"
LOCK = "search.lock"
VERSION = 1
COLUMNS = ("number", "status", "parameters", "engines", "attempts", "started", "ended", "error", "plan")


@dataclass
class Plan:
    """What the notebook wants of a trial, beyond its record.

    Args:
        epochs: how many in all.
        resume: whether the next attempt goes on from the checkpoint of the last one.
        losses: how often its engines have died since it was proposed, restarted or promoted.
        messages: ids of the messages that carry its attempt, by which another notebook finds the answers.
        first: whether it was promoted and goes before all others in the queue.
        sent: epochs that its attempt was sent off with.
    """

    epochs: int
    resume: bool = False
    losses: int = 0
    messages: list[str] = field(default_factory=list)
    first: bool = False
    sent: int = 0


class TrialStore:
    """The trials of one search, in memory and on disk.

    Args:
        folder: of the search.
        settings: of a new search, as JSON can hold them; None to open the one that is there.
        writing: whether this process may change anything: it then holds the folder's lock.

    Raises:
        ValueError: if a new search finds another one in the folder, or there is none to open.
        RuntimeError: if another process works on it, or its file comes from a newer calolab.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping | None = None, writing: bool = True):
        self.folder = Path(folder)
        self.lock = threading.RLock()
        self.version = 0
        self._trials: dict[int, Trial] = {}
        self.plans: dict[int, Plan] = {}
        self.logs: dict[int, TrialLog] = {}
        self._held = None
        path = self.folder / FILE
        if settings is None and not path.is_file():
            raise ValueError(f"There is no search in {self.folder}: {FILE} is missing.")
        if writing:
            self.hold()
        try:
            if settings is not None and path.is_file():
                raise ValueError(
                    f"There is a search in {self.folder} already: go on with it (`reattach_search({str(folder)!r}, "
                    "engines)`), or take another folder."
                )
            self._open(path, settings, writing)
        except BaseException:
            self.close()
            raise

    def hold(self) -> None:
        """Keep every other process from working on this search.

        Raises:
            RuntimeError: if one does.
        """
        if self._held is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open(self.folder / LOCK, "a")  # noqa: SIM115 held open as long as the search is at work
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise RuntimeError(
                f"A notebook works on the search in {self.folder} already: use that one, end its kernel, or take "
                "another folder."
            ) from None
        except OSError:
            pass  # this file system has no locks
        self._held = file

    def release(self) -> None:
        """Let another process work on this search."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def close(self) -> None:
        """Close the file; what is in memory stays."""
        self.release()
        if hasattr(self, "_database"):
            self._database.close()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number."""
        with self.lock:
            return tuple(self._trials.values())

    def get(self, number: int) -> Trial:
        """One trial.

        Raises:
            ValueError: if there is none of this number.
        """
        with self.lock:
            if number not in self._trials:
                raise ValueError(f"There is no trial {number!r} yet; the search has {len(self._trials)}, from 0.")
            return self._trials[number]

    def put(self, trial: Trial, plan: Plan | None = None) -> None:
        """Add a trial or write it anew, in memory and on disk."""
        with self.lock:
            self.plans[trial.number] = plan or self.plans[trial.number]
            self.logs.setdefault(trial.number, TrialLog(log_path(self.folder, trial.number)))
            self._show(trial)
            values = {
                **{name: getattr(trial, name) for name in COLUMNS if name != "plan"},
                "parameters": json.dumps(dict(trial.parameters)),
                "engines": json.dumps(trial.engines),
                "plan": json.dumps(vars(self.plans[trial.number])),
            }
            with self._database:
                self._database.execute(
                    f"INSERT OR REPLACE INTO trials ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
                    [values[name] for name in COLUMNS],
                )

    def take_in(self, number: int) -> None:
        """Show a trial with the epochs that its log has by now."""
        with self.lock:
            self._show(self._trials[number])

    def remember(self, **settings) -> None:
        """Write settings that change, such as whether the search was stopped."""
        with self.lock, self._database:
            self.settings |= settings
            self._database.executemany(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in settings.items()],
            )
            self.version += 1

    def _show(self, trial: Trial) -> None:
        epochs = self.logs[trial.number].records()
        self._trials[trial.number] = trial.with_epochs(epochs, self.settings["metric"], self.settings["direction"])
        self.version += 1

    def _open(self, path: Path, settings: Mapping | None, writing: bool) -> None:
        mode = "rwc" if writing else "ro"
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False)
        if settings is not None:
            with contextlib.suppress(FileExistsError):
                (self.folder / "trials").mkdir()
            with self._database:
                self._database.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT)")
                columns = ["number INTEGER PRIMARY KEY", *COLUMNS[1:]]
                self._database.execute(f"CREATE TABLE trials ({', '.join(columns)})")
            self.settings = {}
            self.remember(version=VERSION, **settings)
            return
        self.settings = {name: json.loads(value) for name, value in self._database.execute("SELECT * FROM settings")}
        if self.settings.get("version", VERSION + 1) > VERSION:
            raise RuntimeError(f"The search in {self.folder} was written by a newer calolab than this one.")
        for row in self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM trials ORDER BY number"):
            self._read(dict(zip(COLUMNS, row, strict=True)), writing)

    def _read(self, row: dict, writing: bool) -> None:
        number = row["number"]
        self.plans[number] = Plan(**json.loads(row.pop("plan")))
        self.logs[number] = TrialLog(log_path(self.folder, number))
        self.logs[number].read()
        parameters, engines = json.loads(row.pop("parameters")), tuple(json.loads(row.pop("engines")))
        log = self.logs[number]
        if not writing and row["status"] in ("running", "stopping") and log.end and log.attempt == row["attempts"]:
            # It has ended since; who goes on with the search asks its engine.
            row |= {"status": log.end["status"], "error": log.end["error"]}
        self._show(replace(Trial(number, "queued", {}), **row, parameters=parameters, engines=engines))
