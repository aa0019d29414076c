"""Trials of a search: the record of a trial, and the file to which its engine appends every epoch."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

from calolab.files import DISK_FULL_REASONS, full_disk
from calolab.scores import Score

STATUSES = ("queued", "running", "stopping", "finished", "stopped", "pruned", "failed")
# Entries of an epoch in the file that are not metrics.
RESERVED = ("epoch", "attempt", "scored")
ENDED = ("finished", "stopped", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One set of parameters and its results.

    Args:
        number: its number, from 0, in the order in which the parameters were proposed.
        status: "queued", "running", "stopping", "finished", "stopped", "pruned" or "failed".
        parameters: values by name.
        epochs: one dictionary per epoch: `epoch` (from 0), then losses and scores by name.
        value: the best value of the search's metric so far; None without one.
        best_epoch: the epoch with this value.
        scores: the scores of that epoch by name, with their floors; empty where only numbers were reported.
        engines: ids of its current or last engines, rank 0 first.
        attempts: how often it was started.
        started, ended: start and end of its last attempt [s since 1970].
        error: why it failed, or what happened to an attempt that was stopped or replaced.
    """

    number: int
    status: str
    parameters: Mapping[str, object]
    epochs: tuple[dict, ...] = ()
    value: float | None = None
    best_epoch: int | None = None
    engines: tuple[int, ...] = ()
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    error: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)

    def with_epochs(self, epochs: Iterable[Mapping], metric: str, direction: str) -> Trial:
        """The same trial with these epochs, and the best of them by a metric.

        Args:
            epochs: scores of each epoch.
            metric: name of the metric to optimise.
            direction: `"minimize"` or `"maximize"`.
        """
        epochs = tuple(epochs)
        sign = 1 if direction == "minimize" else -1
        judged = [(sign * epoch[metric], epoch["epoch"]) for epoch in epochs if math.isfinite(_number(epoch, metric))]
        value, best = min(judged, default=(None, None))
        return replace(self, epochs=epochs, value=None if value is None else sign * value, best_epoch=best)

    def __repr__(self):
        parameters = ", ".join(f"{name}={short(value)}" for name, value in self.parameters.items())
        best = "" if self.value is None else f", best {short(self.value)} in epoch {self.best_epoch + 1}"
        error = f": {self.error.splitlines()[-1]}" if self.error else ""
        return f"Trial({self.number}, {self.status}, {parameters}; {len(self.epochs)} epochs{best}{error})"

    def _repr_html_(self):
        return f"<code>{escape(repr(self))}</code>"


@dataclass
class TrialLog:
    """The lines that engines have appended to a trial's file, read as they arrive.

    Args:
        path: the file, e.g. `trials/0007.jsonl`.
        epochs: by number; a later attempt replaces those of an earlier one from its first epoch on.
        attempt: the attempt that wrote last.
        end: how it ended, from its engine: `status`, `error`, and whether it had `exhausted` the engine's memory; None
            while it runs.
    """

    path: Path
    epochs: dict[int, dict] = field(default_factory=dict)
    attempt: int = 0
    end: dict | None = None
    _offset: int = 0

    def read(self) -> bool:
        """Read new complete lines, and return whether there were any; the last line may be incomplete."""
        try:
            if os.path.getsize(self.path) <= self._offset:
                return False
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return False
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                self.take(json.loads(line))
            except (ValueError, TypeError, KeyError):
                continue  # incomplete, because its engine was killed; the next attempt starts a new line
        return bool(whole)

    def append(self, entry: Mapping) -> None:
        """Append a line from an engine that does not see this file; `read` then reads it."""
        with open(self.path, "ab", buffering=0) as file:
            write_line(file, self.path, json.dumps(entry).encode() + b"\n")

    def take(self, entry: Mapping) -> None:
        """Use one line: the beginning of an attempt, an epoch, or the end."""
        entry = dict(entry)
        attempt = entry.pop("attempt")
        if not isinstance(attempt, int) or not isinstance(entry.get("epoch", 0), int):
            raise TypeError(f"attempt and epoch are numbers, received {attempt!r} and {entry.get('epoch')!r}")
        if "begin" in entry:
            resumed = entry["resume"]
            self.attempt, self.end = attempt, None
            if not resumed:
                self.epochs.clear()
        elif "end" in entry:
            self.end = {"status": entry["end"], "error": entry["error"], "exhausted": entry.get("exhausted", False)}
            self.attempt = attempt
        else:
            number = entry["epoch"]
            before = self.epochs.get(number)
            if before is not None and before["attempt"] == attempt:
                scored = {**before.get("scored", {}), **entry.get("scored", {})}
                before.update(entry, **({"scored": scored} if scored else {}))
                return
            for later in [one for one, kept in self.epochs.items() if one >= number and kept["attempt"] < attempt]:
                del self.epochs[later]
            self.epochs[number] = {**entry, "attempt": attempt}

    def records(self) -> tuple[dict, ...]:
        """The epochs in order, as in `Trial.epochs`."""
        return tuple(
            {"epoch": number, **{name: value for name, value in entry.items() if name not in RESERVED}}
            for number, entry in sorted(self.epochs.items())
        )

    def scores(self, epoch: int | None) -> dict[str, Score]:
        """The metrics of an epoch that were reported as a `Score`, by name; empty for None."""
        entry = self.epochs.get(epoch, {})
        scored = entry.get("scored", {})
        return {name: Score.from_dict(name, {**content, "value": entry[name]}) for name, content in scored.items()}


def log_path(folder: str | os.PathLike, number: int) -> Path:
    """The file to which the engine of a trial appends every epoch.

    Args:
        folder: folder of the search.
        number: number of the trial.
    """
    return Path(folder, "trials", f"{number:04d}.jsonl")


def trial_folder(folder: str | os.PathLike, number: int) -> Path:
    """The folder with a trial's checkpoints and its best GAN.

    Args:
        folder: folder of the search.
        number: number of the trial.
    """
    return Path(folder, "trials", f"{number:04d}")


def make_folder(folder: Path) -> None:
    """Create the folder of a trial, unless it exists.

    Raises:
        OSError: if the disk is full or the folder cannot be written, with what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in DISK_FULL_REASONS:
            existing = next(parent for parent in folder.absolute().parents if parent.is_dir())
            remedy = "the trial did not start. Free some space, then restart it."
            raise full_disk(error, existing / folder.name, None, remedy) from error
        raise OSError(
            error.errno,
            f"{folder}: this folder cannot be created on the engine's machine ({error.strerror}). Start the search in "
            f"a "
            "folder= that the engines can write to.",
        ) from error


def short(value: object) -> str:
    """A value as shown in tables."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(epoch: Mapping, name: str) -> float:
    value = epoch.get(name)
    return value if isinstance(value, (int, float)) else math.nan


def write_line(file: io.FileIO, path: str | os.PathLike, line: bytes) -> None:
    """Append a line to the file of a trial, completely or not at all.

    Args:
        file: the file, open for appending without a buffer.
        path: its path.
        line: the line, including its end.

    Raises:
        OSError: if the disk is full.
    """
    before, written = file.seek(0, os.SEEK_END), 0
    try:
        while written < len(line):  # a disk that is nearly full accepts a part first
            written += file.write(line[written:])
    except OSError as error:
        os.ftruncate(file.fileno(), before)
        if error.errno not in DISK_FULL_REASONS:
            raise
        raise full_disk(error, Path(path), len(line), "what was written before is kept. Free some space.") from error
