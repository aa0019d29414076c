"""The processes of a cluster: launched by ipyparallel, described in one file per cluster, and removed completely.

The file `cluster-<name>.json` is in the `security` folder of the IPython profile, next to the connection files. Its
process numbers are checked before they are used, so a stale file never ends an unrelated process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import ipyparallel
import psutil
import zmq

from calolab import cpu, tensorflow_log
from calolab.cluster import calls, clients, hub, slurm, time_limits, unattended
from calolab.cluster.description import OWNER, EngineCluster, Unreadable, content_of, files, is_elsewhere, name_of
from calolab.cluster.description import path_of as path_of
from calolab.cluster.launchers import (
    BY_MPI,
    FIRST_ID,
    LAUNCHERS,
    MPI_CONFIG,
    REMOTE,
    cores_per_engine,
    launcher_options,
)
from calolab.cluster.machine import own_address
from calolab.interrupts import postponed

# Imported before any call loads TensorFlow; this form leaves no name in the engine's namespace.
ENGINE = ["--IPEngine.startup_command=__import__('calolab')"]
# The hub registers an engine at a heartbeat: ipyparallel's 3 s delay every start. 30 misses keep its limit of 30 s.
HEARTBEAT = ("--HeartMonitor.period=1000", "--HeartMonitor.max_heartmonitor_misses=30")

_log = logging.getLogger(__name__)
_launching = threading.RLock()
_log.addHandler(logging.NullHandler())
_log.propagate = False  # ipyparallel logs every step; users get values and errors


def paths(owner: str | None = None) -> list[Path]:
    """The files of all clusters that calolab has started in this profile, without damaged ones.

    Args:
        owner: only clusters whose starting process had this value of `OWNER` in its environment.
    """
    found = []
    for path in files():
        with contextlib.suppress(Unreadable):
            content = read(path)
            if content is not None and owner in (None, content["cluster"].get("owner")):
                found.append(path)
    return found


def read(path: Path) -> dict | None:
    """The content of a cluster's file, without processes that have died; None if there is no such cluster.

    Raises:
        Unreadable: if it does not describe a cluster that calolab has started.
    """
    content = content_of(path)
    if content is None or is_elsewhere(content):
        return content
    find = partial(_find, content["cluster"])
    if not find(content.get("controller", {}).get("state", {}).get("pid"), "ipyparallel.controller"):
        content.pop("controller", None)
    for number, engines in list(content["engines"]["sets"].items()):
        if "engines" in engines:
            alive = {i: e for i, e in engines["engines"].items() if find(e["pid"], "ipyparallel.engine")}
            content["engines"]["sets"][number] = engines | {"engines": alive}
            gone = not alive
        else:
            gone = "pid" in engines and not find(engines["pid"], "ipyparallel.engine")
        if gone:
            del content["engines"]["sets"][number]
    return content


def load(path: Path) -> EngineCluster:
    """The running cluster that a file describes."""
    content = read(path)
    return _outside_loops(lambda: EngineCluster.from_dict(content, cluster_file=str(path), parent=None, log=_log))


def start_controller(
    name: str,
    launcher: str,
    n: int,
    cores: int | None,
    idle: float,
    address: str | None,
    request: slurm.Request,
    hosts: Sequence[str],
) -> EngineCluster:
    """Start a cluster's controller and its watchdog, but no engines.

    Args:
        name: name of the cluster.
        launcher: kind of engines, one of `LAUNCHERS`.
        n: number of engines.
        cores: processor cores of each engine; None for a share of this machine.
        idle: time without client or work after which the cluster stops [minutes].
        address: address at which engines reach the controller; None for the default of the kind.
        request: options for a job in Slurm's queue.
        hosts: machines for engines over ssh.
    """
    if address is None:
        address = own_address() if launcher in REMOTE else "127.0.0.1"
    # Messages are always signed; those that leave this machine are encrypted, too.
    encrypted = not address.startswith("127.") and zmq.has("curve")
    cluster = EngineCluster(
        cluster_id=name,
        engines=LAUNCHERS[launcher],
        launcher=launcher,
        n=n,
        cores=cores or cores_per_engine(launcher, n),
        request=asdict(request),
        hosts=list(hosts),
        owner=os.environ.get(OWNER, ""),
        # On other machines each engine has its own (`engine_scratch`).
        scratch="" if launcher in REMOTE else tempfile.mkdtemp(prefix=scratch_prefix(name)),
        idle=idle,
        host=socket.gethostname(),
        controller_ip=address,
        controller_args=[*HEARTBEAT, f"--IPController.enable_curve={encrypted}"],
        shutdown_atexit=False,
        parent=None,
        log=_log,
    )
    cluster.starting = True
    try:
        _outside_loops(cluster.start_controller_sync)
    except BaseException:
        if cluster.scratch:
            shutil.rmtree(cluster.scratch, ignore_errors=True)
        raise
    # In a new session: Ctrl-C in the terminal of the user's Python must not end it.
    command = [sys.executable, "-m", "calolab.cluster.watchdog", cluster.cluster_file]
    with open(Path(cluster.profile_dir) / "log" / f"watchdog-{name}-{os.getpid()}.log", "w") as log:
        guard = subprocess.Popen(
            command,
            env=os.environ | _mark(name, cluster.profile_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    cluster.watchdog = guard.pid
    cluster.update_cluster_file()
    cluster.starting = False
    return cluster


def connect(cluster: EngineCluster) -> ipyparallel.Client:
    """A client of the cluster."""
    return _outside_loops(cluster.connect_client_sync)


def start_engines(cluster: EngineCluster, n: int | None = None) -> None:
    """Launch the engines of a cluster, or `n` more.

    Args:
        cluster: the cluster, whose controller is running.
        n: number of engines to launch; by default all of the cluster.

    Raises:
        RuntimeError: if the controller has ended.
    """
    try:
        # The controller's schedulers and heartbeat are separate processes, which outlive a killed controller.
        cluster.helpers = [child.pid for child in psutil.Process(cluster.controller.pid).children(recursive=True)]
    except (psutil.NoSuchProcess, AttributeError):
        raise RuntimeError("The cluster has been stopped, or its controller has died: start it again.") from None
    options = launcher_options(cluster.launcher, cluster.cores, slurm.Request(**cluster.request), cluster.hosts)
    environment = cpu.environment(cluster.cores) | tensorflow_log.environment()
    environment[FIRST_ID] = str(cluster.launched)
    if cluster.scratch:
        environment["TMPDIR"] = cluster.scratch
    arguments = [*ENGINE, MPI_CONFIG] if cluster.launcher in BY_MPI else ENGINE
    n = n or cluster.n
    cluster.launched += n
    _outside_loops(lambda: cluster.start_engines_sync(n, environment=environment, engine_args=arguments, **options))


def stop(path: Path) -> None:
    """End every process of a cluster and remove its files, in any state."""
    content = read(path)
    if content is None:
        clients.release(path)
        if clients.lock_file(path).exists():
            with clients.without_clients(path) as alone:  # otherwise another process is starting a cluster of this name
                if alone:
                    _remove_files(path)
        return
    guard = _find(content["cluster"], content["cluster"].get("watchdog"), f"calolab.cluster.watchdog {path}")
    if guard is not None and guard.pid != os.getpid():
        end([guard])
    try:
        stop_engines(path)  # before the controller: their nannies report to it
    finally:
        # If a batch job cannot be cancelled, the file is kept for another attempt; its engines end by themselves.
        end(launched(content, ("controller",)))
        clients.release(path)
    _remove_files(path)


def stop_engines(path: Path) -> EngineCluster:
    """End the engines of a cluster: their processes here, their batch jobs through ipyparallel."""
    content = read(path)
    if content["cluster"]["launcher"] in ("srun", "slurm") and "controller" in content:
        _kill_before_job(path)
    end(launched(content, ("engines",)), time_limits.ENGINES_END_WITHIN)
    cluster = load(path)
    if cluster.engines:
        _outside_loops(cluster.stop_engines_sync)
    return cluster


def _kill_before_job(path: Path) -> None:
    """Kill engines before their job or step ends: Slurm would end their nannies, which report the end to the hub."""
    unreported = (TimeoutError, ipyparallel.TimeoutError, RuntimeError)  # the hub then notices the missing heartbeat
    with contextlib.suppress(*unreported), hub.observer(path) as client:
        calls.kill(client, client.ids, time_limits.ENGINES_REPORT_END_WITHIN)


def settle_jobs(path: Path) -> None:
    """Cancel the batch jobs of a cluster that have not started, and drop those that have ended."""
    useless = {job.number for job in slurm.jobs(job_ids(read(path))) if job.ended or job.state == "PENDING"}
    if useless:
        cluster = load(path)
        for number, engines in list(cluster.engines.items()):
            if engines.job_id in useless:
                _outside_loops(partial(cluster.stop_engines_sync, number))


def resize(path: Path, n: int) -> None:
    """Record that a cluster should have `n` engines.

    Args:
        path: file of the cluster.
        n: number of engines.
    """
    cluster = load(path)
    cluster.n = n
    cluster.update_cluster_file()


@contextlib.contextmanager
def uninterrupted():
    """Only one such block runs at a time, and without Ctrl-C, which would leave processes that no file describes."""
    with _launching, postponed():
        yield


def launched(content: dict, parts: tuple[str, ...]) -> list[psutil.Process]:
    """The local processes that ipyparallel launched for a cluster.

    Args:
        content: content of the file of the cluster.
        parts: which processes, `"controller"` or `"engines"`.
    """
    pids = []
    if "engines" in parts:
        for engines in content["engines"]["sets"].values():
            pids += [e["pid"] for e in engines["engines"].values()] if "engines" in engines else [engines.get("pid")]
    if "controller" in parts and "controller" in content:
        pids.append(content["controller"]["state"]["pid"])
    if "controller" in parts:
        pids += content["cluster"].get("helpers", ())
    return [process for pid in pids if (process := _find(content["cluster"], pid, "ipyparallel")) is not None]


def end(targets: list[psutil.Process], timeout: float | None = None) -> None:
    """Terminate processes; kill them and their children if they still run after `timeout` seconds.

    Children are not terminated: an engine's nanny ends by itself once it has reported the engine's end to the hub. If
    it were killed with its engine, the hub would notice only after 30 s without heartbeat.

    Args:
        targets: the processes.
        timeout: time for them to end by themselves [s].
    """
    timeout = timeout or time_limits.PROCESSES_END_WITHIN
    family = list(targets)
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
    nannies = [process for process in family if _is_nanny(process)]
    for process in targets:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for members in ([process for process in family if process not in nannies], nannies):
        _, left = psutil.wait_procs(members, timeout=timeout)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=timeout)


def _is_nanny(process: psutil.Process) -> bool:
    try:
        return "ipyparallel.engine.nanny" in process.cmdline()
    except psutil.Error:
        return False


def scratch_prefix(name: str) -> str:
    """Beginning of the name of the folder for the engines' temporary files, which is removed with the cluster."""
    return f"calolab-{name}-"


def log_files(path: Path) -> list[Path]:
    """The logs of a cluster's controller, engines and watchdog; for a cluster `a`, not those of `a-1`."""
    others = [_is_log(other) for other in path.parent.glob(f"{path.stem}-*.json")]
    found = [file for file in (path.parents[1] / "log").glob("*.log") if _is_log(path).fullmatch(file.name)]
    return sorted(file for file in found if not any(other.fullmatch(file.name) for other in others))


def _is_log(path: Path) -> re.Pattern:
    """A pattern for the names of a cluster's logs."""
    name = re.escape(name_of(path))
    return re.compile(rf"(ipcontroller|ipengine|watchdog)-{name}-\d+(-\d+)*\.log")


def job_ids(content: dict) -> list[str]:
    """The batch jobs of a cluster."""
    return [engines["job_id"] for engines in content["engines"]["sets"].values() if engines.get("job_id")]


def _remove_files(path: Path) -> None:
    """Remove all files of a cluster; the one that describes it is the last."""
    name = name_of(path)
    connections = [path.with_name(f"ipcontroller-{name}-{side}.json") for side in ("client", "engine")]
    engines = path.parents[1] / "log" / f"engines{name}.json"
    with contextlib.suppress(Unreadable):
        scratch = Path((content_of(path) or {"cluster": {}})["cluster"].get("scratch") or "/")
        if scratch.name.startswith(scratch_prefix(name)):  # a damaged file must not make it remove anything else
            shutil.rmtree(scratch, ignore_errors=True)
    for file in [*log_files(path), engines, *connections, *unattended.files(path), clients.lock_file(path), path]:
        file.unlink(missing_ok=True)


def _find(cluster: dict, pid: int | None, what: str) -> psutil.Process | None:
    """The live process of this number, if it belongs to the cluster: numbers are reused."""
    if not pid or pid < 0:
        return None
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            if command := process.cmdline():
                return process if what in " ".join(command) and _belongs(process, cluster) else None
            time.sleep(0.01)  # it is just starting and has no command line yet
    except psutil.Error:
        pass  # it has ended
    return None


def _belongs(process: psutil.Process, cluster: dict) -> bool:
    """Whether a process was launched for this cluster, not for another of the same user."""
    try:
        environment = process.environ()
    except psutil.AccessDenied:
        environment = {}
    # Some systems hide the environment of some programs; their command line has been checked.
    return not environment or _mark(cluster["cluster_id"], cluster["profile_dir"]).items() <= environment.items()


def _mark(name: str, profile: str) -> dict[str, str]:
    """Environment variables by which ipyparallel marks the processes of a cluster."""
    return {"IPP_CLUSTER_ID": name, "IPP_PROFILE_DIR": profile}


def _outside_loops(call: Callable):
    """Call ipyparallel's cluster in a thread without event loop.

    In a notebook's loop it would delete the log of an engine that dies, which contains the reason.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
