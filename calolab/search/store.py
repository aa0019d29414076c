"""The trials of a search on disk: one SQLite file that only the notebook writes, next to the files of the engines."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from calolab.files import full_disk
from calolab.search import space
from calolab.search.trials import ENDED, STATUSES, Trial, TrialLog, log_path

FILE = "search.sqlite"
LOCK = "search.lock"
VERSION = 1
COLUMNS = ("number", "status", "parameters", "engines", "attempts", "started", "ended", "error", "plan")


# SQLite's error names for damage; others concern the disk, permissions and other programs.
DAMAGED = ("ERROR", "CORRUPT", "NOTADB", "FORMAT", "MISMATCH", "TOOBIG", "SCHEMA")
# The entries of the table of settings, and their types.
SETTINGS = {
    "token": str,
    "space": dict,
    "trials": int,
    "epochs": int,
    "method": str,
    "pruner": str | None,
    "metric": str,
    "direction": str,
    "ranks": int,
    "retries": int,
    "memory": int | None,
    "seed": int,
    "stopped": bool,
}


@dataclass
class TrialPlan:
    """Instructions for running a trial, which its record does not contain.

    Args:
        epochs: total number of epochs.
        resume: whether the next attempt continues from the checkpoint of the last one.
        losses: how often its engines have died since it was proposed, restarted or promoted.
        messages: ids of the messages of its current attempt, by which another kernel finds the answers.
        first: whether it was promoted and comes before all others in the queue.
        sent: number of epochs of its current attempt.
    """

    epochs: int
    resume: bool = False
    losses: int = 0
    messages: list[str] = field(default_factory=list)
    first: bool = False
    sent: int = 0


# The types of the entries of the tables.
_WHEN = int | float | None
TYPES = {
    Trial: {
        "number": int,
        "status": str,
        "parameters": dict,
        "engines": tuple,
        "attempts": int,
        "started": _WHEN,
        "ended": _WHEN,
        "error": str,
    },
    TrialPlan: {"epochs": int, "resume": bool, "losses": int, "messages": list, "first": bool, "sent": int},
}


class TrialStore:
    """The trials of one search, in memory and on disk.

    Args:
        folder: folder of the search.
        settings: settings of a new search, as JSON types; None to open an existing search.
        writing: whether this process may change the search; it then holds the folder's lock.

    Raises:
        ValueError: if the folder of a new search contains another one, there is none to open, or its file is damaged.
        RuntimeError: if another process uses it, or its file was written by a newer calolab.
        OSError: if the disk is full or the file cannot be read.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping | None = None, writing: bool = True):
        self.folder = Path(folder)
        self.lock = threading.RLock()
        self.version = 0
        self._trials: dict[int, Trial] = {}
        self.plans: dict[int, TrialPlan] = {}
        self.logs: dict[int, TrialLog] = {}
        self._held = None
        path = self.path = self.folder / FILE
        if settings is None and not path.is_file():
            raise ValueError(f"There is no search in {self.folder}: {FILE} is missing.")
        if writing:
            self.hold()
        new = settings is not None and not path.is_file()
        try:
            if settings is not None and path.is_file():
                raise ValueError(
                    f"There is already a search in {self.folder}: continue it (`search.reattach({str(folder)!r}, "
                    "engines)`), or use another folder."
                )
            with self._explained():
                self._open(path, settings, writing)
        except BaseException:
            self.discard() if new else self.close()
            raise

    def hold(self) -> None:
        """Lock this search against other processes.

        Raises:
            RuntimeError: if another one has locked it.
        """
        if self._held is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open(self.folder / LOCK, "a")  # noqa: SIM115 held open while the search runs
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise RuntimeError(
                f"Another notebook runs the search in {self.folder}: use that one, end its kernel, or choose another "
                "folder."
            ) from None
        except OSError:
            pass  # this file system has no locks
        self._held = file

    def release(self) -> None:
        """Unlock this search for other processes."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def close(self) -> None:
        """Close the file; the trials stay in memory."""
        self.release()
        if hasattr(self, "_database"):
            self._database.close()

    def discard(self) -> None:
        """Remove a new search that could not start."""
        self.close()
        for name in (FILE, f"{FILE}-journal", LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.folder / "trials").rmdir()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number."""
        with self.lock:
            return tuple(self._trials.values())

    def get(self, number: int) -> Trial:
        """One trial.

        Raises:
            ValueError: if there is no trial of this number.
        """
        with self.lock:
            if number not in self._trials:
                raise ValueError(f"There is no trial {number!r} yet; the search has {len(self._trials)}, from 0.")
            return self._trials[number]

    def put(self, trial: Trial, plan: TrialPlan | None = None) -> None:
        """Add or replace a trial, in memory and on disk.

        Args:
            trial: the trial.
            plan: its plan; by default the one that is already stored.
        """
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
            with self._explained(), self._database:
                self._database.execute(
                    f"INSERT OR REPLACE INTO trials ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
                    [values[name] for name in COLUMNS],
                )

    def take_in(self, number: int) -> None:
        """Update a trial with the epochs in its log."""
        with self.lock:
            self._show(self._trials[number])

    def remember(self, **settings) -> None:
        """Change settings, such as whether the search was stopped."""
        with self.lock, self._explained(), self._database:
            self.settings |= settings
            self._database.executemany(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in settings.items()],
            )
            self.version += 1

    def _show(self, trial: Trial) -> None:
        log, settings = self.logs[trial.number], self.settings
        trial = trial.with_epochs(log.records(), settings["metric"], settings["direction"])
        self._trials[trial.number] = replace(trial, scores=log.scores(trial.best_epoch))
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
        with self._refused("table 'settings'"):
            entries = self._database.execute("SELECT name, value FROM settings").fetchall()
            self.settings = {name: json.loads(value) for name, value in entries}
            version = self.settings.get("version")
            if type(version) is not int:
                raise ValueError(f"version is {version!r}")
        if version > VERSION:
            raise RuntimeError(f"The search in {self.folder} was written by a newer calolab than this one.")
        with self._refused("table 'settings'"):
            check_settings(self.settings)
        with self._refused("table 'trials'"):
            if (found := self._database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise ValueError(found)
            rows = self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM trials ORDER BY number").fetchall()
        for number, row in enumerate(rows):
            with self._refused(f"trial {number}"):
                if row[0] != number:
                    raise ValueError("it is missing")
                self._read(dict(zip(COLUMNS, row, strict=True)), writing)

    def _read(self, row: dict, writing: bool) -> None:
        number = row["number"]
        plan = TrialPlan(**json.loads(row.pop("plan")))
        parameters, engines = json.loads(row.pop("parameters")), tuple(json.loads(row.pop("engines")))
        check_record(Trial(**row, parameters=parameters, engines=engines))
        check_record(plan)
        if set(parameters) != set(self.settings["space"]):
            raise ValueError(f"its parameters are {', '.join(parameters)}, not {', '.join(self.settings['space'])}")
        self.plans[number] = plan
        log = self.logs[number] = TrialLog(log_path(self.folder, number))
        log.read()
        ended = log.end is not None and log.attempt == row["attempts"] and log.end["status"] in ENDED
        if not writing and row["status"] in ("running", "stopping") and ended:
            # It has ended since; a process that continues the search asks its engine.
            row |= {"status": log.end["status"], "error": log.end["error"]}
        self._show(Trial(**row, parameters=parameters, engines=engines))

    @contextlib.contextmanager
    def _refused(self, part: str) -> Iterator[None]:
        """Add to an error which part of which file is damaged."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError) as error:
            if getattr(error, "sqlite_errorname", "SQLITE_ERROR").split("_")[1] not in DAMAGED:
                raise
            raise ValueError(
                f"{self.path}: damaged, or not the file of a search ({part}: {error}). Restore a copy of it, "
                f"or start a new search in another folder; what the trials have written stays in {self.path.parent}."
            ) from error

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors about the disk and other programs into errors with the file's name."""
        try:
            yield
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if name == "SQLITE_FULL":
                full = OSError(errno.ENOSPC, str(error))
                raise full_disk(full, self.path, None, "the last change is not written. Free some space.") from error
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise RuntimeError(f"{self.path}: another program has locked it ({error}). Close that one.") from error
            raise OSError(
                f"{self.path}: cannot be read or written ({error}). Check its permissions and the disk."
            ) from error


def check_settings(settings: Mapping[str, object]) -> None:
    """Raise ValueError unless these are valid settings of a search."""
    for name, kind in SETTINGS.items():
        value = settings.get(name)
        if name not in settings or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is {value!r:.80}")
    if not re.fullmatch("[0-9a-f]+", settings["token"]):
        raise ValueError(f"token is {settings['token']!r:.80}")
    if settings["direction"] not in ("minimize", "maximize"):
        raise ValueError(f"direction is {settings['direction']!r:.80}")
    space.from_dict(settings["space"])


def check_record(record: Trial | TrialPlan) -> None:
    """Raise ValueError unless the entries of a record have the right types."""
    for name, kind in TYPES[type(record)].items():
        value = getattr(record, name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is {value!r:.80}")
    if isinstance(record, Trial):
        if record.status not in STATUSES:
            raise ValueError(f"status is {record.status!r:.80}")
        if not all(isinstance(engine, int) for engine in record.engines):
            raise ValueError(f"engines are {record.engines!r:.80}")
