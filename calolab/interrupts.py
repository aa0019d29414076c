"""Ctrl-C: work stops at a safe place and says in one line what was stopped and what was kept.

`Stopped` is a KeyboardInterrupt, so whatever handles Ctrl-C handles it too. A notebook shows its line in place of a
traceback. A script that does not catch it prints the line and exits with 130, as shells report Ctrl-C, or with 143
after SIGTERM, which `kill` and batch systems send; sessions and programs with a SIGTERM handler of their own keep it.
"""

from __future__ import annotations

import builtins
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

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
        if in_script() and sys.excepthook is sys.__excepthook__:
            sys.excepthook = _end_script

    def _render_traceback_(self):
        """What IPython shows: the line alone."""
        return [str(self)]


def in_script() -> bool:
    """Whether this process runs a program, which an uncaught error ends, rather than a session that goes on."""
    return not (hasattr(sys, "ps1") or sys.flags.interactive or hasattr(builtins, "__IPYTHON__"))


@contextmanager
def stopping(what: str | Callable[[], str], kept: str | Callable[[], str] = NOTHING) -> Iterator[None]:
    """Inside the block, or in the function that it decorates, Ctrl-C ends the work with `Stopped`.

    Args:
        what, kept: as for `Stopped`, or functions that say so when it has happened.
    """
    received = []

    def stop(number, frame):
        received.append(number)
        raise KeyboardInterrupt

    try:
        with _handled(stop, *_terminations()):
            yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        said = [text() if callable(text) else text for text in (what, kept)]
        raise Stopped(*said, *received[-1:]) from None


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], int]]:
    """Inside the block, the first Ctrl-C is only noted and a second one breaks at once; yields "which signal came?".

    The answer is 0 before one came. Outside the main thread, where Python delivers no signals, nothing changes.
    """
    noted = []

    def note(number, frame):
        if noted:
            raise KeyboardInterrupt
        noted.append(number)
        # A script says what was stopped when it has stopped: one line. The bar of a terminal overwrites this one.
        if not in_script():
            tqdm.write("Stopping after the pass in progress; interrupt once more to break at once.")
        elif sys.stderr.isatty():
            print(
                "\rStopping after the pass in progress; Ctrl-C breaks at once ...", end="", file=sys.stderr, flush=True
            )

    with _handled(note, signal.SIGINT, *_terminations()):
        yield lambda: noted[0] if noted else 0


@contextmanager
def postponed() -> Iterator[None]:
    """Signals wait for the end of the block, which then receives the first of them."""
    received = []

    def postpone(number, frame):
        received.append(number)

    try:
        with _handled(postpone, signal.SIGINT, *_terminations()):
            yield
    finally:
        if received:
            signal.raise_signal(received[0])


@contextmanager
def _handled(handler: Callable, *numbers: int) -> Iterator[None]:
    """Inside the block, these signals call a function; only in the main thread, where Python delivers them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            # None where something other than Python had set the handler; it cannot be put back then.
            signal.signal(number, old if old is not None else signal.default_int_handler)


def _terminations() -> tuple[int, ...]:
    """SIGTERM where it would end a script without a word; nobody else's handler is replaced."""
    handler = signal.getsignal(signal.SIGTERM)
    ours = handler is signal.SIG_DFL or getattr(handler, "__module__", None) == __name__
    return (signal.SIGTERM,) if in_script() and ours else ()


def _end_script(kind, error, trace):
    """An excepthook: one line and the signal's exit status for `Stopped`, everything else as ever."""
    if not issubclass(kind, Stopped):
        sys.__excepthook__(kind, error, trace)
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more while Python ends: at once
    print(f"\r\x1b[K{error}" if sys.stderr.isatty() else str(error), file=sys.stderr)
    raise SystemExit(128 + error.number)
