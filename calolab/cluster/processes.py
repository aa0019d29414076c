"""The processes of a cluster: launched by ipyparallel, described in one file per cluster, ended without a trace.

The file `cluster-<name>.json` lies in the `security` folder of the IPython profile, beside the connection files. What
it says about processes is checked against them before it is believed: a stale file never ends a stranger.
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
from calolab.cluster.description import OWNER, EngineCluster, Unreadable, content_of, files
from calolab.cluster.description import path_of as path_of
from calolab.cluster.launchers import LAUNCHERS, REMOTE, cores_per_engine, launcher_options
from calolab.cluster.machine import own_address
from calolab.interrupts import postponed

# Before anything that is sent to an engine loads TensorFlow; it leaves no name on the engine.
ENGINE = ["--IPEngine.startup_command=__import__('calolab')"]
# The hub greets an engine at a heartbeat: ipyparallel's 3 s make every start wait. 30 misses keep its 30 s of patience.
HEARTBEAT = ("--HeartMonitor.period=1000", "--HeartMonitor.max_heartmonitor_misses=30")

_log = logging.getLogger(__name__)
_launching = threading.RLock()
_log.addHandler(logging.NullHandler())
_log.propagate = False  # ipyparallel reports every step; what matters reaches the user as a value or an error


def paths(owner: str | None = None) -> list[Path]:
    """The files of all clusters that calolab has started in this profile; those that hold something else are left out.

    Args:
        owner: only clusters whose starting process had this value in its environment, as `OWNER`.
    """
    found = []
    for path in files():
        with contextlib.suppress(Unreadable):
            content = read(path)
            if content is not None and owner in (None, content["cluster"].get("owner")):
                found.append(path)
    return found


def read(path: Path) -> dict | None:
    """What a cluster's file says, without the processes that have died; None if there is no such cluster.

    Raises:
        Unreadable: if it does not describe a cluster that calolab has started.
    """
    content = content_of(path)
    if content is None or content["cluster"]["host"] != socket.gethostname():
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
    """Start a cluster's controller and the watchdog, engines not yet."""
    if address is None:
        address = own_address() if launcher in REMOTE else "127.0.0.1"
    # Messages are signed in any case; what leaves this machine is encrypted instead.
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
        # Elsewhere each engine makes a folder of its own (`engine_scratch`).
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
    # Its own session: the interrupt that a terminal sends to the user's Python must not end it.
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
    """Launch a cluster's engines, or `n` more, each with its share of cores.

    Raises:
        RuntimeError: if the controller has ended.
    """
    try:
        # The controller's schedulers and heartbeat are processes of their own, which outlive one that is killed.
        cluster.helpers = [child.pid for child in psutil.Process(cluster.controller.pid).children(recursive=True)]
    except (psutil.NoSuchProcess, AttributeError):
        raise RuntimeError("The cluster was stopped meanwhile, or its controller has died: start it again.") from None
    options = launcher_options(cluster.launcher, cluster.cores, slurm.Request(**cluster.request), cluster.hosts)
    environment = cpu.environment(cluster.cores) | tensorflow_log.environment()
    if cluster.scratch:
        environment["TMPDIR"] = cluster.scratch
    _outside_loops(
        lambda: cluster.start_engines_sync(n or cluster.n, environment=environment, engine_args=ENGINE, **options)
    )


def stop(path: Path) -> None:
    """End every process of a cluster and remove its files; nothing of it may be left, whatever state it was in."""
    content = read(path)
    if content is None:
        clients.release(path)
        if clients.lock_file(path).exists():
            with clients.without_clients(path) as alone:  # else another process is starting a cluster of this name
                if alone:
                    _remove_files(path)
        return
    guard = _find(content["cluster"], content["cluster"].get("watchdog"), f"calolab.cluster.watchdog {path}")
    if guard is not None and guard.pid != os.getpid():
        end([guard])
    try:
        stop_engines(path)  # before the controller: their nannies say goodbye to it
    finally:
        # A batch job that could not be cancelled keeps its file, for another attempt; its engines end by themselves.
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
    unreported = (TimeoutError, ipyparallel.TimeoutError, RuntimeError)  # the hub then learns it by its heartbeat
    with contextlib.suppress(*unreported), hub.observer(path) as client:
        calls.kill(client, client.ids, time_limits.ENGINES_REPORT_END_WITHIN)


def settle_jobs(path: Path) -> None:
    """Cancel the batch jobs of a cluster that have not begun, and forget those that have ended."""
    useless = {job.number for job in slurm.jobs(job_ids(read(path))) if job.ended or job.state == "PENDING"}
    if useless:
        cluster = load(path)
        for number, engines in list(cluster.engines.items()):
            if engines.job_id in useless:
                _outside_loops(partial(cluster.stop_engines_sync, number))


def resize(path: Path, n: int) -> None:
    """Write down that a cluster is to have `n` engines."""
    cluster = load(path)
    cluster.n = n
    cluster.update_cluster_file()


@contextlib.contextmanager
def uninterrupted():
    """One such block at a time; Ctrl-C waits for its end: half done, it would leave processes that nobody knows of."""
    with _launching, postponed():
        yield


def launched(content: dict, parts: tuple[str, ...]) -> list[psutil.Process]:
    """The local processes that ipyparallel launched for a cluster."""
    pids = []
    if "engines" in parts:
        for engines in content["engines"]["sets"].values():
            pids += [e["pid"] for e in engines["engines"].values()] if "engines" in engines else [engines.get("pid")]
    if "controller" in parts and "controller" in content:
        pids.append(content["controller"]["state"]["pid"])
    if "controller" in parts:
        pids += content["cluster"].get("helpers", ())
    return [process for pid in pids if (process := _find(content["cluster"], pid, "ipyparallel")) is not None]


def end(targets: list[psutil.Process], timeout: float = time_limits.PROCESSES_END_WITHIN) -> None:
    """Ask processes to end; kill them, and children that outlive them, after `timeout` seconds.

    The children are not asked: an engine's nanny ends by itself, once it has told the hub that the engine is gone. One
    that is killed with its engine says nothing, and the hub misses the engine only after its heartbeat's 30 s.
    """
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
    """How the folder for temporary files of a cluster's engines is called: it goes with the cluster."""
    return f"calolab-{name}-"


def log_files(path: Path) -> list[Path]:
    """What a cluster's controller, engines and watchdog print into; for a cluster `a`, not what `a-1` prints into."""
    others = [_is_log(other) for other in path.parent.glob(f"{path.stem}-*.json")]
    found = [file for file in (path.parents[1] / "log").glob("*.log") if _is_log(path).fullmatch(file.name)]
    return sorted(file for file in found if not any(other.fullmatch(file.name) for other in others))


def _is_log(path: Path) -> re.Pattern:
    """The names of a cluster's logs."""
    name = re.escape(path.stem.removeprefix("cluster-"))
    return re.compile(rf"(ipcontroller|ipengine|watchdog)-{name}-\d+(-\d+)*\.log")


def job_ids(content: dict) -> list[str]:
    """The batch jobs of a cluster."""
    return [engines["job_id"] for engines in content["engines"]["sets"].values() if engines.get("job_id")]


def _remove_files(path: Path) -> None:
    """Remove all files of a cluster, last the one by which others know of it."""
    name = path.stem.removeprefix("cluster-")
    connections = [path.with_name(f"ipcontroller-{name}-{side}.json") for side in ("client", "engine")]
    engines = path.parents[1] / "log" / f"engines{name}.json"
    with contextlib.suppress(Unreadable):
        scratch = Path((content_of(path) or {"cluster": {}})["cluster"].get("scratch") or "/")
        if scratch.name.startswith(scratch_prefix(name)):  # whatever a damaged file says, nothing else is removed
            shutil.rmtree(scratch, ignore_errors=True)
    for file in [*log_files(path), engines, *connections, *unattended.files(path), clients.lock_file(path), path]:
        file.unlink(missing_ok=True)


def _find(cluster: dict, pid: int | None, what: str) -> psutil.Process | None:
    """A cluster's live process of this number, if it is what we think it is: numbers are used again after a crash."""
    if not pid or pid < 0:
        return None
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            if command := process.cmdline():
                return process if what in " ".join(command) and _belongs(process, cluster) else None
            time.sleep(0.01)  # it is just being started, and has no command line yet
    except psutil.Error:
        pass  # it has gone
    return None


def _belongs(process: psutil.Process, cluster: dict) -> bool:
    """Whether a process was launched for a cluster, and not for another of the same user."""
    try:
        environment = process.environ()
    except psutil.AccessDenied:
        environment = {}
    # Some systems do not show it of some programs: what is known then is the command line.
    return not environment or _mark(cluster["cluster_id"], cluster["profile_dir"]).items() <= environment.items()


def _mark(name: str, profile: str) -> dict[str, str]:
    """What ipyparallel puts into the environment of a cluster's processes, by which they are told."""
    return {"IPP_CLUSTER_ID": name, "IPP_PROFILE_DIR": profile}


def _outside_loops(call: Callable):
    """Call ipyparallel's cluster away from a notebook's event loop.

    In the loop, it would delete an engine's log as soon as the engine dies, and that log says why it died.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
