"""Ctrl-C as a wish to stop at the next safe place rather than a break anywhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside the `with`, the first Ctrl-C is only noted and a second one breaks at once; yields "was there one?".

    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    noted = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number, frame):
        if noted:
            raise KeyboardInterrupt
        noted.append(number)
        tqdm.write("Stopping after the pass in progress; interrupt once more to break at once.")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        # `before` is None where something other than Python had set the handler; it cannot be put back then.
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
