"""Messages of TensorFlow's C++ libraries go to a log file: they are neither results nor errors.

`import calolab` sets TensorFlow's log level to 3, at which only fatal errors are printed. The other messages are
irrelevant ("failed call to cuInit" without a GPU, "remapper failed") or repeat the exception that follows ("Local
rendezvous is aborting"). Some lines are printed at any level while the libraries load. They are redirected to the file
`path()` in the cache folder `logs`, which keeps the logs of the last 20 processes and of the last hour. Afterwards the
standard error stream is restored. If the process crashes while TensorFlow loads, the last lines of the log are printed.

If `TF_CPP_MIN_LOG_LEVEL` is set to another value, all messages of that level are shown (0: everything).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from calolab import loading
from calolab.cache import cache_dir

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FATAL = "3"
KEPT = 20
YOUNG = 3600  # time [s] for which a log is kept in any case, because its process may still be loading TensorFlow
# Prints nothing if it reads a line; end of input without one means that the parent process has died.
WATCHER = """
read -r line && exit
echo "This process ended while TensorFlow was loading; its last lines ($0):" >&2
tail -n 20 "$0" >&2
"""


def prepare() -> None:
    """Let TensorFlow print fatal errors only and redirect its first lines, unless the user has set its log level."""
    os.environ.update(environment())
    if os.environ[LEVEL] == FATAL:
        loading.around("tensorflow", _logged)


def environment() -> dict[str, str]:
    """Environment variables for starting an engine."""
    return {LEVEL: os.environ.get(LEVEL, FATAL)}


def path() -> Path:
    """The log of this process; it exists only if TensorFlow printed something."""
    return cache_dir("logs") / f"tensorflow-{socket.gethostname()}-{os.getpid()}.log"


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Redirect what TensorFlow prints while it loads, and its warnings later."""
    handled = _has_handlers()
    with stderr_in_log():
        yield
        if not handled:
            _log_python_warnings(sys.modules["tensorflow"].get_logger())


def _has_handlers() -> bool:
    """Whether the user has decided what happens to messages of the logger `tensorflow`, or of all loggers."""
    return logging.getLogger("tensorflow").hasHandlers()


def _log_python_warnings(logger: logging.Logger) -> None:
    """Write the warnings of TensorFlow's Python code to the log too, for instance that a function is retraced."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    with contextlib.suppress(OSError):  # the cache folder cannot be created
        logger.addHandler(logging.FileHandler(path(), delay=True))
    logger.propagate = False


@contextlib.contextmanager
def stderr_in_log() -> Iterator[None]:
    """Redirect the standard error stream of this process to the log inside the `with` block.

    If the process crashes inside the block, a second process prints the end of the log. Exceptions get a note that
    names the log. If the log cannot be written, nothing is redirected.
    """
    try:
        log = path()
        _forget_old(log.parent)
        usual = os.dup(2)  # first: without a standard error stream the log would get descriptor 2
        try:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        except OSError:
            os.close(usual)
            raise
    except OSError:  # a full or read-only disk, or no standard error stream
        yield
        return
    watcher = _watch(log)
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(file, 2)
    os.close(file)
    try:
        yield
    except Exception as error:
        error.add_note(f"What was printed before this error is in {log}.")
        raise
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(usual, 2)
        os.close(usual)
        if watcher is not None:
            with contextlib.suppress(OSError):
                watcher.communicate(b"alive\n")
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size == 0:
                log.unlink()


def _watch(log: Path) -> subprocess.Popen | None:
    """Start a process that prints the end of the log if this process ends without reporting that it is alive."""
    try:
        # In a separate session, so that Ctrl-C does not reach it.
        return subprocess.Popen(["sh", "-c", WATCHER, log], stdin=subprocess.PIPE, start_new_session=True)
    except OSError:
        return None


def _forget_old(folder: Path) -> None:
    """Remove all logs except the newest and those of the last hour."""
    ages = []
    for log in folder.glob("tensorflow-*.log"):
        with contextlib.suppress(FileNotFoundError):  # another process removes them too
            ages.append((log.stat().st_mtime, log))
    for changed, log in sorted(ages, reverse=True)[KEPT - 1 :]:
        if changed < time.time() - YOUNG:
            log.unlink(missing_ok=True)
