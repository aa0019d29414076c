"""Ctrl-C: work stops at a safe point, and one line says what was stopped and what was kept.

`Stopped` is a KeyboardInterrupt, so all code that handles Ctrl-C handles it too. A notebook shows its message
instead of a traceback. A script that does not catch it prints the message and exits with status 130, as is usual for
Ctrl-C, or 143 after SIGTERM, which `kill` and batch systems send. SIGTERM handlers of sessions and other programs are
not replaced. Ignored signals, such as SIGINT in a script that a shell runs in the background, remain ignored.
"""

from __future__ import annotations

import builtins
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOTHING = "nothing was kept"


class Stopped(KeyboardInterrupt):
    """Raised when Ctrl-C, or SIGTERM in a script, has stopped some work.

    Args:
        what: what was stopped, e.g. "the simulation of showers".
        kept: what was kept, e.g. "checkpoint in run, resume=True continues from it".
        number: the signal.

    >>> str(Stopped("the training", "checkpoint in run"))
    'Stopped: the training; checkpoint in run.'
    """

    def __init__(self, what: str, kept: str = NOTHING, number: int = signal.SIGINT):
        super().__init__(f"Stopped: {what}; {kept}.")
        self.number = int(number)

    def _render_traceback_(self):
        """The message, which IPython shows instead of a traceback."""
        return [str(self)]


def prepare() -> None:
    """Let Ctrl-C end a script with one line, unless the program has its own `sys.excepthook`."""
    if in_script() and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _end_script


def in_script() -> bool:
    """Whether this process runs a program, which ends with an uncaught error, and not an interactive session."""
    return not (hasattr(sys, "ps1") or sys.flags.interactive or hasattr(builtins, "__IPYTHON__"))


@contextmanager
def stopping(what: str | Callable[[], str], kept: str | Callable[[], str] = NOTHING) -> Iterator[None]:
    """Inside the block, or in the decorated function, Ctrl-C raises `Stopped`.

    Inside `deferred_interrupt` or `postponed` it has no effect: the caller handles the interrupt. A decorated function
    has one additional caller, `contextlib`, which the `stacklevel` of its warnings must include.

    Args:
        what, kept: as for `Stopped`, or functions that return these texts, called after the interrupt.
    """
    if _put_off():
        yield
        return
    try:
        with handled(_stop, *_terminations()):
            yield
    except Stopped:
        raise
    except KeyboardInterrupt as error:
        said = [text() if callable(text) else text for text in (what, kept)]
        raise Stopped(*said, getattr(error, "number", signal.SIGINT)) from None


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], int]]:
    """Inside the block, record the first Ctrl-C; a second one interrupts at once.

    Yields a function that returns the number of the recorded signal, or 0. Outside the main thread, to which Python
    delivers no signals, the block has no effect.
    """
    from tqdm import tqdm

    noted = []

    def note(number, frame):
        if noted:
            _stop(number, frame)
        noted.append(number)
        # A script prints one line, after it has stopped. The progress bar of a terminal overwrites this one.
        if not in_script():
            tqdm.write("Stopping after the current pass; interrupt again to stop at once.")
        elif sys.stderr.isatty():
            line = "\rStopping after the current pass; press Ctrl-C again to stop at once ..."
            print(line, end="", file=sys.stderr, flush=True)

    with handled(note, signal.SIGINT, *_terminations()):
        yield lambda: noted[0] if noted else 0


@contextmanager
def postponed(*others: int) -> Iterator[None]:
    """Postpone SIGINT, SIGTERM and the signals `others` to the end of the block, where the first of them is raised."""
    received = []

    def postpone(number, frame):
        received.append(number)

    try:
        with handled(postpone, signal.SIGINT, *_terminations(), *others):
            yield
    finally:
        if received:
            signal.raise_signal(received[0])


@contextmanager
def handled(handler: Callable, *numbers: int) -> Iterator[None]:
    """Inside the block, call a function for these signals unless they are ignored; in the main thread only.

    Args:
        handler: called with the number of the signal and the current frame.
        *numbers: the signals.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, old in before.items():
            # None if the handler was not set by Python; it cannot be restored then.
            signal.signal(number, old if old is not None else signal.default_int_handler)


def _stop(number, frame):
    """A signal handler: raise KeyboardInterrupt with the number of the signal."""
    error = KeyboardInterrupt()
    error.number = number
    raise error


def _ours(handler: object) -> bool:
    return getattr(handler, "__module__", None) == __name__


def _put_off() -> bool:
    """Whether this is called inside `deferred_interrupt` or `postponed`."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return any(_ours(handler) and handler is not _stop for handler in handlers)


def _terminations() -> tuple[int, ...]:
    """SIGTERM in a script that has no handler of its own for it; handlers of other programs are not replaced."""
    handler = signal.getsignal(signal.SIGTERM)
    return (signal.SIGTERM,) if in_script() and (handler is signal.SIG_DFL or _ours(handler)) else ()


def _end_script(kind, error, trace):
    """An excepthook: one line and the exit status of the signal for Ctrl-C in a script; other exceptions as usual."""
    if not (issubclass(kind, KeyboardInterrupt) and in_script()):
        sys.__excepthook__(kind, error, trace)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ignored until the line is printed
    line = str(error) if isinstance(error, Stopped) else f"Stopped: {_place(trace)}."
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # another Ctrl-C while Python exits ends it at once
    raise SystemExit(128 + getattr(error, "number", signal.SIGINT))


def _place(trace) -> str:
    """The position in a script, as text."""
    first = traceback.extract_tb(trace, limit=1)
    return f"{os.path.basename(first[0].filename)}, line {first[0].lineno}" if first else "the program"
