"""Communication of a function on an engine with its client: requests arrive as signals, reports are published."""

from __future__ import annotations

import signal
import threading

STOP, PAUSE = signal.SIGUSR1, signal.SIGUSR2
stop_requested = threading.Event()  # set by STOP, read between the passes of a training step
pause_requested = threading.Event()  # set by PAUSE, read after every epoch


def listen() -> None:
    """Clear earlier requests; those that arrive from now on set the events above."""
    for number, event in ((STOP, stop_requested), (PAUSE, pause_requested)):
        event.clear()
        signal.signal(number, lambda *_, event=event: event.set())


def publish(content: dict) -> None:
    """Send values to the client during the work; it merges messages by key, so values to be kept need their own keys.

    `answers.OwnAnswer.published` reads them.
    """
    from ipyparallel.engine.datapub import publish_data  # works on engines only

    publish_data(content)
