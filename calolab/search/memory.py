"""A limit on the memory of one trial: the trial ends with an error before the machine runs out of memory.

The limit is checked on the engine, where the trial runs: it interrupts the trial, and ends the engine's own process if
that does not help. The client then sees an engine that died, or an outcome that is `exhausted`, and the driver replaces
the engine as it does for any other trial that has to be killed (`cluster.replace`).
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable

import psutil

from calolab.cluster import time_limits

SLACK = 2**30  # bytes that allocators may reserve without using them


class MemoryLimit:
    """In a `with` block, limits the memory of this process.

    A thread checks the resident memory. It interrupts the main thread when there is too much, and kills the process if
    that does not help. A single huge allocation, during which the thread could not run, is refused by the operating
    system instead (`RLIMIT_DATA`), which raises a `MemoryError`.

    Args:
        limit: resident bytes of this process; None sets no limit.
        last_words: called with the reason before the process is killed.

    Attributes:
        exceeded: description of what happened; empty if the limit was not exceeded.
    """

    def __init__(self, limit: int | None, last_words: Callable[[str], None]):
        self.limit, self.exceeded = limit, ""
        self._last_words, self._over = last_words, threading.Event()
        self._process = psutil.Process()

    def __enter__(self):
        if self.limit is None:
            return self
        self._before = resource.getrlimit(resource.RLIMIT_DATA)
        room = max(self.limit - self._process.memory_info().rss, 0) + SLACK
        allowed = self._process.memory_info().data + room
        hard = self._before[1]
        soft = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        if self.limit is None:
            return
        self._over.set()
        resource.setrlimit(resource.RLIMIT_DATA, self._before)
        if isinstance(error, MemoryError) and not self.exceeded:
            self.exceeded = f"requested more memory than remains of its limit of {_gigabytes(self.limit)}"

    def _look(self):
        interrupted = 0.0
        while not self._over.wait(time_limits.MEMORY_CHECK_EVERY):
            taken = self._process.memory_info().rss
            if taken <= self.limit:
                continue
            self.exceeded = f"used {_gigabytes(taken)} of memory, more than its limit of {_gigabytes(self.limit)}"
            if interrupted >= time_limits.MEMORY_EXCEEDED_FOR:
                self._last_words(self.exceeded)
                os.kill(os.getpid(), signal.SIGKILL)
            if interrupted % 1.0 < time_limits.MEMORY_CHECK_EVERY:  # again, if the trial catches it
                os.kill(os.getpid(), signal.SIGINT)
            interrupted += time_limits.MEMORY_CHECK_EVERY


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
