"""Requests to the work on an engine, which reach it as signals: stop, or pause after the epoch."""

from __future__ import annotations

import signal
import threading

STOP, PAUSE = signal.SIGUSR1, signal.SIGUSR2
stop_requested = threading.Event()  # set by STOP, read between the passes of a training step
pause_requested = threading.Event()  # set by PAUSE, read after every epoch


def listen() -> None:
    """Run on an engine: forget earlier requests, and note those that come from now on."""
    for number, event in ((STOP, stop_requested), (PAUSE, pause_requested)):
        event.clear()
        signal.signal(number, lambda *_, event=event: event.set())
