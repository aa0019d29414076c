"""A wrapper around an engine that may run on another machine: it gives the engine a folder for temporary files.

`python engine_scratch.py command...` runs the command with `TMPDIR` set to a new folder, forwards SIGTERM and SIGHUP
to it, removes the folder however the command ends, and exits with the command's status (128 + number after a signal,
as shells do). If this program itself is killed, the next one on that machine removes the folder: the file `.owners`
in it has the two processes that must have ended. Standard library only, because one such program runs for each engine.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Run as `python -c RUN command...`, as the file may have another path on that machine; nothing of calolab is imported.
RUN = (
    "import importlib.util, os, runpy; "
    "folder = importlib.util.find_spec('calolab').submodule_search_locations[0]; "
    "runpy.run_path(os.path.join(folder, 'cluster', 'engine_scratch.py'), run_name='__main__')"
)
PREFIX = "calolab-"
OWNERS = ".owners"
REPORT_TAKES = 1.0  # seconds for the nanny of a killed engine to report; Slurm would end it with this program


def run(command: list[str]) -> int:
    """Run a command in a new folder for temporary files; returns its exit status."""
    received: list[int] = []
    engine: subprocess.Popen | None = None

    def forward(number, frame):
        received.append(number)
        if engine is not None:
            engine.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine's nanny delivers interrupts, no terminal does
    remove_abandoned(Path(tempfile.gettempdir()))
    folder = _make_folder()
    try:
        environment = os.environ | ({"TMPDIR": str(folder)} if folder else {})
        engine = subprocess.Popen(command, env=environment)
        if folder is not None:
            (folder / OWNERS).write_text(f"{_place()} {os.getpid()} {engine.pid}\n")
        for number in received[:1]:  # it arrived before the engine had started
            engine.send_signal(number)
        status = engine.wait()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    if status < 0:
        time.sleep(REPORT_TAKES)
        return 128 - status
    return status


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of this machine whose two owners have both ended."""
    for owners in parent.glob(f"{PREFIX}{'?' * 8}/{OWNERS}"):
        try:
            place, *pids = owners.read_text().split()
            if place == _place() and len(pids) == 2 and not any(map(_runs, map(int, pids))):
                shutil.rmtree(owners.parent, ignore_errors=True)
        except (OSError, ValueError):  # belongs to another user, or is not written yet
            continue


def _make_folder() -> Path | None:
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError:  # a full disk: the engine runs without a folder of its own
        return None


def _place() -> str:
    """This machine and its process numbers, which containers do not share."""
    try:
        return os.uname().nodename + os.readlink("/proc/self/ns/pid")
    except OSError:
        return os.uname().nodename


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
