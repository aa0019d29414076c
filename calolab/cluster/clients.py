"""Which processes use a cluster: each client holds a shared lock on its lock file, which the watchdog checks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TextIO

from calolab.cluster import time_limits
from calolab.cluster.description import name_of

_held: dict[Path, TextIO] = {}  # locked files, by cluster file


def hold(path: Path) -> None:
    """Count this process as a client of a cluster until it ends or releases it.

    Raises:
        RuntimeError: if the watchdog is stopping the cluster.
    """
    if path in _held and _in_place(_held[path], path):
        return
    release(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + time_limits.CLUSTER_STOPS_WITHIN
    while True:
        file = open(lock_file(path), "w")  # noqa: SIM115 held open as long as this process is a client
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() > deadline:
                raise RuntimeError("The cluster is being stopped because it was idle: start it again.") from None
            time.sleep(0.1)
            continue
        except OSError:
            pass  # this file system has no locks: the watchdog then always counts a client
        if _in_place(file, path):
            break
        file.close()  # it was removed with the cluster before it was locked
    _held[path] = file


def release(path: Path) -> None:
    """Stop counting this process as a client of the cluster."""
    if file := _held.pop(path, None):
        file.close()


@contextlib.contextmanager
def without_clients(path: Path):
    """Keep new clients out during the block; yields False if there is a client already."""
    with open(lock_file(path), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def lock_file(path: Path) -> Path:
    """The file on which the clients of a cluster hold a lock."""
    return path.with_name(f"calolab-{name_of(path)}.lock")


def _in_place(file: TextIO, path: Path) -> bool:
    """Whether an open lock file is still the one at its path: stopping the cluster removes it."""
    try:
        return os.fstat(file.fileno()).st_ino == os.stat(lock_file(path)).st_ino
    except FileNotFoundError:
        return False
