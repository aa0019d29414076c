"""The watchdog of one cluster, a separate process: `python -m calolab.cluster.watchdog cluster-file`.

It stops the cluster when there has been no client for the cluster's idle time and no engine works, and immediately when
the controller has died. It stops trainings whose client has ended (`unattended`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from calolab.cluster import clients, hub, processes, time_limits, unattended


def watch(path: Path) -> None:
    """Watch a cluster until it has stopped; a client is a process that holds the cluster's lock."""
    content = processes.read(path)
    while content is not None and content["cluster"]["watchdog"] == 0:  # the file does not name this process yet
        time.sleep(0.05)
        content = processes.read(path)
    if content is None:
        return
    idle = 60 * content["cluster"]["idle"]
    used = time.monotonic()
    found: dict[Path, float] = {}
    reported: set[str] = set()
    while True:
        time.sleep(min(time_limits.WATCHDOG_CHECKS_EVERY, idle / 4))
        try:
            content = processes.read(path)
            if not _watched(content):
                return
            if "controller" not in content:
                print("The controller has died: its engines are stopped.", flush=True)
                processes.stop(path)
                return
            try:
                unattended.tend(path, idle, found)
            except Exception as error:  # it must not keep an unused cluster running
                _report(error, reported)
            with clients.without_clients(path) as alone:
                pass
            if not alone:
                used = time.monotonic()
            elif time.monotonic() - used > idle:
                # Without the lock: a controller that does not answer must not make new clients wait.
                if any(hub.queues(path).values()):
                    used = time.monotonic()
                    continue
                with clients.without_clients(path) as alone:  # a client may have connected meanwhile
                    if alone and _watched(processes.read(path)):
                        processes.stop(path)
                        return
        except Exception as error:  # engines must not be left without a watchdog
            _report(error, reported)


def _report(error: Exception, reported: set[str]) -> None:
    """Print an error, unless the same one has been printed before."""
    line = f"{type(error).__name__}: {error}"
    if line not in reported:
        reported.add(line)
        with contextlib.suppress(OSError):  # the disk of the log may be full
            traceback.print_exception(error)


def _watched(content: dict | None) -> bool:
    """Whether a cluster exists and this process is its watchdog."""
    return content is not None and content["cluster"]["watchdog"] == os.getpid()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(Path(sys.argv[1]))
