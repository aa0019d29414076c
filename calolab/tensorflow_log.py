"""TensorFlow's own lines go to a log: what its C++ libraries say of a machine is neither an output nor an error.

`import calolab` sets TensorFlow's log level to 3, at which it prints only what ends the process: its other remarks are
of no consequence ("failed call to cuInit" without a GPU, "remapper failed") or repeat the exception that follows them
("Local rendezvous is aborting"). Some lines, printed while its libraries load, are printed whatever the level. They go
to the file `path()` in the cache folder `logs`, which keeps those of the last 20 processes and of the last hour;
afterwards the standard error stream is itself again. Should the process die while TensorFlow loads, its last lines are
shown.

If `TF_CPP_MIN_LOG_LEVEL` is set to another value, all messages of that level appear (0: everything).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from calolab.cache import cache_dir

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FATAL = "3"
KEPT = 20
YOUNG = 3600  # seconds for which a log is kept in any case: its process may be loading still
# Prints nothing if it reads a line; end of input without one means that the parent process has died.
WATCHER = """
read -r line && exit
echo "This process ended while TensorFlow was loading; its last lines ($0):" >&2
tail -n 20 "$0" >&2
"""


def prepare() -> None:
    """Let TensorFlow print fatal errors only, and its first lines into the log, unless the user set its log level."""
    os.environ.update(environment())
    if os.environ[LEVEL] == FATAL and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def environment() -> dict[str, str]:
    """The variables that an engine is to start with."""
    return {LEVEL: os.environ.get(LEVEL, FATAL)}


def path() -> Path:
    """The log of this process; it exists if TensorFlow had something to say."""
    return cache_dir("logs") / f"tensorflow-{socket.gethostname()}-{os.getpid()}.log"


class _Finder:
    """Finds TensorFlow as the other finders do, and has it load with its lines in the log."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def load(module):
                with stderr_in_log():
                    execute(module)

            spec.loader.exec_module = load
        return spec


@contextlib.contextmanager
def stderr_in_log() -> Iterator[None]:
    """Inside the `with`, what is written to the standard error stream of this process goes to the log.

    Should the process die inside, a watcher prints the end of the log. An exception gets a note that names the log.
    Where no log can be written, everything stays as it is.
    """
    try:
        log = path()
        _forget_old(log.parent)
        usual = os.dup(2)  # first: without a standard error stream the log would get its number
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
    """A process that shows the end of the log if this one dies before it says that it is alive."""
    try:
        # In a session of its own: Ctrl-C is for this process.
        return subprocess.Popen(["sh", "-c", WATCHER, log], stdin=subprocess.PIPE, start_new_session=True)
    except OSError:
        return None


def _forget_old(folder: Path) -> None:
    """Remove all logs but the newest and those that are younger than an hour."""
    ages = []
    for log in folder.glob("tensorflow-*.log"):
        with contextlib.suppress(FileNotFoundError):  # another process removes them too
            ages.append((log.stat().st_mtime, log))
    for changed, log in sorted(ages, reverse=True)[KEPT - 1 :]:
        if changed < time.time() - YOUNG:
            log.unlink(missing_ok=True)
