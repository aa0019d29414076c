"""Following something from a widget: a thread that refreshes the widget until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watcher:
    """A daemon thread that calls `widget.refresh()` periodically, also while the kernel is busy.

    It ends when the widget is closed or `is_finished()` is true. If `refresh` raises an exception, the thread reports
    it in the trait `message` and tries again; the next success clears this message, and no other one.

    Args:
        widget: a widget with a method `refresh` and a trait `message`.
        subject: what is read, for the message, e.g. `"cluster"`.
        interval: time between two calls [s].
        is_finished: whether there will be no further changes.
        on_end: called when the thread ends.

    Raises:
        ValueError: if the interval is not positive.
    """

    def __init__(
        self,
        widget,
        subject: str,
        interval: float,
        *,
        is_finished: Callable[[], bool] = lambda: False,
        on_end: Callable[[], None] = lambda: None,
    ):
        if not interval > 0:
            raise ValueError(f"interval must be positive [s], received {interval}.")
        self._widget, self._subject, self._interval = widget, subject, interval
        self._is_finished, self._on_end = is_finished, on_end
        self._due = threading.Event()
        # Held while the widget's traits change: traits that one thread sets while another one leaves `hold_sync` would
        # not be sent.
        self.lock = threading.RLock()

    def start(self) -> None:
        """Start the thread; it is named after the widget's class."""
        threading.Thread(target=self._run, name=type(self._widget).__name__, daemon=True).start()

    def refresh_soon(self) -> None:
        """Call `widget.refresh()` in the thread without waiting for the end of the interval."""
        self._due.set()

    def _run(self):
        failure = ""
        while not self._is_finished():
            self._due.wait(self._interval)
            self._due.clear()
            if self._widget.comm is None:
                break
            previous, failure = failure, self._refresh()
            with self.lock:
                if failure or (previous and self._widget.message == previous):
                    self._widget.message = failure
        self._on_end()

    def _refresh(self) -> str:
        """Refresh the widget and return the error message, or an empty string."""
        try:
            self._widget.refresh()
        except Exception as error:  # No caller can handle it in this thread.
            return f"The {self._subject} cannot be read: {type(error).__name__}: {error}"
        return ""
