"""A bound on what one trial may take of an engine's memory: the trial ends with an error, not the machine."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable

import psutil

from calolab.cluster import time_limits

SLACK = 2**30  # bytes that an allocator may reserve without using them


class MemoryExceeded(RuntimeError):
    """A trial has taken more memory than it may."""


class MemoryBound:
    """Inside a `with` block, this process may not take more than so much memory.

    Its resident memory is looked at by a thread, which interrupts the main thread when there is too much, and kills the
    process if that does not help. What asks for far too much at once, and would hold the thread up while its pages
    come, is refused by the operating system instead (`RLIMIT_DATA`), which raises a `MemoryError`.

    Args:
        limit: resident bytes of this process; None sets no bound.
        last_words: called with the reason before the process is killed.

    Attributes:
        exceeded: what happened, in words; empty while all is well.
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
            self.exceeded = f"asked for more memory than is left of the {_gigabytes(self.limit)} that it may take"

    def _look(self):
        interrupted = 0.0
        while not self._over.wait(time_limits.MEMORY_CHECK_EVERY):
            taken = self._process.memory_info().rss
            if taken <= self.limit:
                continue
            self.exceeded = f"took {_gigabytes(taken)} of memory, more than the {_gigabytes(self.limit)} that it may"
            if interrupted >= time_limits.MEMORY_EXCEEDED_FOR:
                self._last_words(self.exceeded)
                os.kill(os.getpid(), signal.SIGKILL)
            if interrupted % 1.0 < time_limits.MEMORY_CHECK_EVERY:  # one that catches an interrupt gets another
                os.kill(os.getpid(), signal.SIGINT)
            interrupted += time_limits.MEMORY_CHECK_EVERY


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
