"""Estimates of a training's remaining and elapsed time."""

from __future__ import annotations

import time
from collections import deque


class RemainingTime:
    """Estimates the remaining time from the latest steps, without the first, which traces and compiles the networks."""

    def __init__(self):
        self._recent, self._ranks = deque(), 0  # (steps done, time) of the latest steps

    def estimate(self, progress, ranks: int) -> float | None:
        """Time that the remaining steps take, ends of epochs included [s]; None while it cannot be estimated.

        A time limit that ends the training earlier is taken into account from the first step on.

        Args:
            progress: rank 0's latest `Progress`.
            ranks: number of ranks; if it has changed, the ranks have restarted and compile the networks again.
        """
        done = progress.epoch * progress.steps + progress.step + 1
        if ranks != self._ranks or (self._recent and done < self._recent[-1][0]):
            self._recent.clear()
        self._ranks = ranks
        if not self._recent or done > self._recent[-1][0]:
            self._recent.append((done, progress.time))
        # Two epochs, so that the work at the end of an epoch is included in proportion.
        while len(self._recent) > 2 and self._recent[1][0] <= done - max(2 * progress.steps, 20):
            self._recent.popleft()
        (first, start), (last, end) = self._recent[0], self._recent[-1]
        limit = None if progress.time_limit is None else max(progress.time_limit - progress.time, 0.0)
        if last - first < 2:
            return limit
        remaining = (progress.epochs * progress.steps - last) * (end - start) / (last - first)
        return remaining if limit is None else min(remaining, limit)


class ElapsedTime:
    """Time since the training began; it also advances between steps."""

    def __init__(self):
        self._start, self._elapsed, self._ended = time.monotonic(), 0.0, False

    def measure(self, reported: float | None, ended: bool) -> float:
        """Time since the training began, or since this object was created if no step has been reported [s].

        Args:
            reported: time of the latest step since the training began, as reported by the run [s].
            ended: whether the run has ended; the time then no longer advances.
        """
        now = time.monotonic()
        # The run may have begun before this object was created.
        self._start = min(self._start, now - (reported or 0.0))
        if not self._ended:
            # If the run had already ended at the first call, its last step is the best estimate of the end.
            self._elapsed = (reported or 0.0) if ended and not self._elapsed else now - self._start
        self._ended = ended
        return self._elapsed
