"""Ctrl-C: work stops at a safe place and says in one line what was stopped and what was kept.

`Stopped` is a KeyboardInterrupt, so whatever handles Ctrl-C handles it too. A notebook shows its line in place of a
traceback. A script that does not catch it prints the line and exits with 130, as shells report Ctrl-C, or with 143
after SIGTERM, which `kill` and batch systems send; sessions and programs with a SIGTERM handler of their own keep it.
A signal that is ignored, as SIGINT is in a script that a shell runs in the background, stays ignored.
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
    """Work that Ctrl-C, or SIGTERM in a script, has stopped.

    Args:
        what: what was stopped, e.g. "the simulation of showers".
        kept: what is left of it, e.g. "checkpoint in run, resume=True continues from it".
        number: the signal.
    """

    def __init__(self, what: str, kept: str = NOTHING, number: int = signal.SIGINT):
        super().__init__(f"Stopped: {what}; {kept}.")
        self.number = int(number)

    def _render_traceback_(self):
        """What IPython shows: the line alone."""
        return [str(self)]


def prepare() -> None:
    """Let Ctrl-C anywhere in a script end it with one line, unless the program shows its errors in its own way."""
    if in_script() and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _end_script


def in_script() -> bool:
    """Whether this process runs a program, which an uncaught error ends, rather than a session that goes on."""
    return not (hasattr(sys, "ps1") or sys.flags.interactive or hasattr(builtins, "__IPYTHON__"))


@contextmanager
def stopping(what: str | Callable[[], str], kept: str | Callable[[], str] = NOTHING) -> Iterator[None]:
    """Inside the block, or in the function that it decorates, Ctrl-C ends the work with `Stopped`.

    Within `deferred_interrupt` or `postponed` it changes nothing: what called the work decides. A decorated function
    has one more caller, Python's `contextlib`, which the `stacklevel` of its warnings counts.

    Args:
        what, kept: as for `Stopped`, or functions that say so when it has happened.
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
    """Inside the block, the first Ctrl-C is only noted and a second one breaks at once; yields "which signal came?".

    The answer is 0 before one came. Outside the main thread, where Python delivers no signals, nothing changes.
    """
    from tqdm import tqdm

    noted = []

    def note(number, frame):
        if noted:
            _stop(number, frame)
        noted.append(number)
        # A script says what was stopped when it has stopped: one line. The bar of a terminal overwrites this one.
        if not in_script():
            tqdm.write("Stopping after the pass in progress; interrupt once more to break at once.")
        elif sys.stderr.isatty():
            print(
                "\rStopping after the pass in progress; Ctrl-C breaks at once ...", end="", file=sys.stderr, flush=True
            )

    with handled(note, signal.SIGINT, *_terminations()):
        yield lambda: noted[0] if noted else 0


@contextmanager
def postponed(*others: int) -> Iterator[None]:
    """Signals, `others` too, wait for the end of the block, which then receives the first of them."""
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
    """Inside the block, these signals call a function unless they are ignored; only in the main thread."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, old in before.items():
            # None where something other than Python had set the handler; it cannot be put back then.
            signal.signal(number, old if old is not None else signal.default_int_handler)


def _stop(number, frame):
    """A handler: Ctrl-C, or what counts as one."""
    error = KeyboardInterrupt()
    error.number = number
    raise error


def _ours(handler: object) -> bool:
    return getattr(handler, "__module__", None) == __name__


def _put_off() -> bool:
    """Whether this is within `deferred_interrupt` or `postponed`."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return any(_ours(handler) and handler is not _stop for handler in handlers)


def _terminations() -> tuple[int, ...]:
    """SIGTERM where it would end a script without a word; nobody else's handler is replaced."""
    handler = signal.getsignal(signal.SIGTERM)
    return (signal.SIGTERM,) if in_script() and (handler is signal.SIG_DFL or _ours(handler)) else ()


def _end_script(kind, error, trace):
    """An excepthook: one line and the signal's exit status for Ctrl-C in a script, everything else as ever."""
    if not (issubclass(kind, KeyboardInterrupt) and in_script()):
        sys.__excepthook__(kind, error, trace)
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the line comes first
    line = str(error) if isinstance(error, Stopped) else f"Stopped: {_place(trace)}."
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more while Python ends: at once
    raise SystemExit(128 + getattr(error, "number", signal.SIGINT))


def _place(trace) -> str:
    """Where a script was, in words."""
    first = traceback.extract_tb(trace, limit=1)
    return f"{os.path.basename(first[0].filename)}, line {first[0].lineno}" if first else "the program"
