"""The time that a training may take: checked when it is given, and asked for after every step."""

from __future__ import annotations

import math
import numbers
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TimeLimit:
    """A limit on the time of a training, which runs from the moment this record is made.

    Args:
        seconds: the limit [s]; None for no limit.

    Raises:
        ValueError: if the limit is not a positive number.
    """

    seconds: float | None = None
    began: float = field(default_factory=time.perf_counter, init=False)

    def __post_init__(self):
        check_time_limit(self.seconds)

    @property
    def elapsed(self) -> float:
        """Time since the training began [s]."""
        return time.perf_counter() - self.began

    @property
    def passed(self) -> bool:
        """Whether the limit has passed; False without one."""
        return self.seconds is not None and self.elapsed >= self.seconds


def check_time_limit(seconds: float | None) -> None:
    """Raise ValueError unless `seconds` is None or a positive, finite number."""
    number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
    if seconds is not None and not (number and 0 < seconds < math.inf):
        raise ValueError(
            f"time_limit expects a positive number of seconds, or None for no limit; received {seconds!r}."
        )
