"""Clusters of engines: start, attach, scale, replace, restart and stop; `states` reports their state.

A cluster outlives the kernel that started it; the next kernel finds it by name. A separate small process (`watchdog`)
stops a cluster that is no longer used, or whose controller has died.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from time import monotonic

import ipyparallel

from calolab.cluster import calls, clients, hub, launchers, processes, slurm, time_limits, waiting
from calolab.cluster.description import EngineCluster, is_elsewhere
from calolab.cluster.states import Text, known, logs, names
from calolab.interrupts import stopping
from calolab.names import check_name

_attached: dict[Path, Engines] = {}  # the clients of this process, by cluster file
changing = threading.RLock()  # held while engines are replaced: code that finds some missing waits for it first


def _one_at_a_time(change):
    @functools.wraps(change)
    def changed(*args, **options):
        with changing:
            return change(*args, **options)

    return changed


@dataclass(frozen=True, eq=False)
class Engines:
    """Running engines and a client connected to them.

    Args:
        name: the cluster's name.
        launcher: "local", "mpi", "srun", "slurm" or "ssh".
        size: number of engines requested.
        cores: processor cores per engine.
        address: address on which the controller listens.
        client: `ipyparallel.Client`, for `engines.client[:]` and `%px`.
        note: how they were obtained, e.g. "started in 4.1 s".
        controller: its process number, which differs from that of an earlier cluster of the same name.
    """

    name: str
    launcher: str
    size: int
    cores: int
    address: str
    client: ipyparallel.Client
    note: str = ""
    controller: int = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the live engines in ascending order: the position of an engine here is its rank."""
        return tuple(sorted(self.client.ids))

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        alive = ", ".join(map(str, self.ids)) or "none"
        cores = f"{self.cores} core{'s' * (self.cores > 1)} each"
        count = f"{len(self)} of {self.size} engines ({alive})"
        return f"{count}, {self.launcher}, {cores}, cluster {self.name!r}: {self.note}"

    def _repr_html_(self):
        count, _, rest = repr(self).partition("), ")
        return f"<b>{escape(count)})</b>, {escape(rest)}"


@stopping("the start of a cluster", "everything was removed")
def start(
    n: int | None = None,
    engines: str | None = None,
    *,
    name: str = "calolab",
    cores: int | None = None,
    nodes: int | None = None,
    queue: str | None = None,
    account: str | None = None,
    time: str | None = None,
    constraint: str | None = None,
    options: Sequence[str] = (),
    modules: Sequence[str] = (),
    conda: str | None = None,
    hosts: Sequence[str] = (),
    idle: float = 30.0,
    address: str | None = None,
    timeout: float | None = None,
) -> Engines:
    """Start a cluster of engines, or return the one that is already running under this name.

    Args:
        n: number of engines; by default 2, or as many as already run.
        engines: how they are launched: "local" processes, "mpi" (mpiexec), "srun" inside an allocation, "slurm"
            (sbatch), "ssh"; settings of ipyparallel's launchers in the profile apply. By default local, or mpi where
            Horovod has no Gloo.
        name: the cluster's name; several can run at the same time.
        cores: processor cores per engine; by default those of this machine or allocation, divided evenly, and one with
            slurm and ssh.
        nodes, queue, account, time, constraint, options, modules, conda: options of the batch job, see `slurm.Request`;
            `nodes` applies to srun, too.
        hosts: machines for engines by ssh, used in turn: "node1" or "user@node1".
        idle: minutes after which engines without a client and without work are stopped.
        address: address on which the controller listens; by default loopback, and this machine's own address with srun,
            slurm and ssh. Traffic beyond loopback is encrypted.
        timeout: seconds to wait for the engines; by default 60, and 600 with slurm, including the time in the queue.

    Raises:
        ValueError: for an unknown launcher, for values that do not fit it, or if a different cluster runs under this
            name.
        RuntimeError: if something that the launcher needs is missing, or engines do not start; includes the end of
            their log.
    """
    if engines is not None:
        check_name("kind of engines", engines, launchers.LAUNCHERS)
    for option, value in {"n": n, "cores": cores, "idle": idle, "timeout": timeout}.items():
        if value is not None and value <= 0:
            raise ValueError(f"{option} expects a number above 0, received {value}.")
    if address is not None and not launchers.ADDRESS.fullmatch(address):
        raise ValueError(f"address expects an IP address or a host name, received {address!r}.")
    request = slurm.Request(nodes, queue, account, time, constraint, options, modules, conda)
    hosts = (hosts,) if isinstance(hosts, str) else tuple(hosts)
    path = processes.path_of(name)
    content, note = processes.read(path), ""
    if content is not None and ("controller" in content or is_elsewhere(content)):
        return _already_running(name, content, n, engines)
    launcher, reason = (engines, "") if engines else launchers.choose_launcher()
    launchers.check_request(launcher, request, hosts)
    if content is not None:
        processes.stop(path)
        note = "; an earlier one had lost its controller and was removed"
    launchers.launcher_options(launcher)
    _disconnect(path)  # from an earlier cluster of this name
    begun, client = monotonic(), None
    try:
        clients.hold(path)
        with processes.uninterrupted():
            started = processes.start_controller(name, launcher, n or 2, cores, idle, address, request, hosts)
        client = processes.connect(started)
        with processes.uninterrupted():
            processes.start_engines(started)
        waiting.wait_for(client, path, started.n, timeout or _start_limit(launcher))
    except BaseException as error:
        with processes.uninterrupted():
            tails = logs(name)
            if client is not None:
                client.close(linger=int(1000 * time_limits.LINGER))
            processes.stop(path)
        if isinstance(error, Exception):
            raise RuntimeError(f"Cluster {name!r} did not start: {error}\n{tails}") from error
        raise
    note = f"started in {monotonic() - begun:.1f} s{reason}{note}"
    _attached[path] = _record(started, client, note)
    return _attached[path]


def attach(name: str = "calolab") -> Engines:
    """The engines of a running cluster, for instance after a kernel restart.

    Raises:
        RuntimeError: if no such cluster runs here, naming those that do.
    """
    path = processes.path_of(name)
    _running(name)
    clients.hold(path)
    try:
        content = _running(name)  # again: it may have been stopped or replaced before it was locked
        controller = content["controller"]["state"]["pid"]
        if path not in _attached or _attached[path].controller != controller:
            _disconnect(path)
            loaded = processes.load(path)
            _attached[path] = _record(loaded, processes.connect(loaded), "attached")
    except BaseException:
        clients.release(path)
        raise
    return _attached[path]


@stopping("the restart of engines", "their controller still runs: `%ipcluster status`")
@_one_at_a_time
def restart(name: str | Engines = "calolab", timeout: float | None = None) -> Engines:
    """Stop all engines and start the same number of fresh processes; the controller and the clients stay.

    Args:
        name, timeout: the cluster, and the maximum time for engines to end and to start [s].

    Raises:
        RuntimeError: if no such cluster runs, or its engines do not start; includes the end of their log.
    """
    engines = attach(_name(name))
    path, begun, timeout = processes.path_of(engines.name), monotonic(), timeout or _start_limit(engines.launcher)
    with _with_logs(engines.name):
        with processes.uninterrupted():
            cluster = processes.stop_engines(path)
        calls.wait_until_gone(engines.client, engines.ids, timeout)  # they would count as new ones
        _start_more(engines, cluster.n, cluster.n, timeout)
    return _changed(engines, cluster.n, f"restarted in {monotonic() - begun:.1f} s")


@stopping("the change of the number of engines", "the cluster still runs: `%ipcluster status`")
@_one_at_a_time
def scale(n: int, name: str | Engines = "calolab", timeout: float | None = None) -> Engines:
    """Start more engines, or stop the idle ones with the highest ids, until there are `n`; with MPI, all restart.

    Args:
        n, name, timeout: number of engines, the cluster, and the maximum time for engines to end and to start [s].

    Raises:
        ValueError: if `n` is below 1.
        RuntimeError: if engines that would have to stop still work, no such cluster runs, or engines do not start.
    """
    if n < 1:
        raise ValueError(f"n expects a number above 0, received {n}; to stop all engines: `%ipcluster stop`.")
    engines = attach(_name(name))
    path, begun, timeout = processes.path_of(engines.name), monotonic(), timeout or _start_limit(engines.launcher)
    processes.settle_jobs(path)
    alive, working = engines.ids, hub.queues(path)
    by_mpi = engines.launcher in launchers.BY_MPI
    idle = [number for number in reversed(alive) if not working.get(number)]
    surplus = len(alive) if by_mpi and n != len(alive) else max(0, len(alive) - n)
    if surplus > len(idle):
        raise RuntimeError(
            f"{surplus} of {len(alive)} engines would have to stop, and engines "
            f"{', '.join(str(number) for number in alive if working.get(number))} still work: wait for them, stop what "
            "runs there, or `%ipcluster restart`."
        )
    processes.resize(path, n)
    if by_mpi and surplus:
        note = f"all engines by {engines.launcher} restart as fresh processes when their number changes"
        return _changed(restart(engines, timeout), n, f"scaled in {monotonic() - begun:.1f} s; {note}")
    with _with_logs(engines.name):
        calls.kill(engines.client, idle[:surplus], timeout)
        if n > len(alive):
            _start_more(engines, n - len(alive), n, timeout)
    return _changed(engines, n, f"scaled from {len(alive)} in {monotonic() - begun:.1f} s")


@_one_at_a_time
def replace(engines: str | Engines, ids: Sequence[int], timeout: float | None = None) -> Engines:
    """Kill engines, whatever they are doing, and start the same number of new ones; with MPI, all restart.

    Args:
        engines: the cluster.
        ids: which of its engines; those that have already died count, too.
        timeout: seconds for the old engines to end, and for the new ones to start; by default 30.

    Raises:
        RuntimeError: if no such cluster runs, or the new engines do not start; includes the end of their log.
    """
    engines, timeout = attach(_name(engines)), timeout or time_limits.ENGINES_REPLACED_WITHIN
    path, begun = processes.path_of(engines.name), monotonic()
    killed = ", ".join(map(str, sorted(ids)))
    if engines.launcher in launchers.BY_MPI:
        fresh = restart(engines, timeout)
        return _changed(fresh, fresh.size, f"all engines by {engines.launcher} restarted to replace {killed}")
    with _with_logs(engines.name):
        calls.kill(engines.client, ids, timeout)
        _start_more(engines, len(set(ids)), len(engines) + len(set(ids)), timeout)
        processes.settle_jobs(path)
    return _changed(engines, engines.size, f"replaced {killed} in {monotonic() - begun:.1f} s")


def stop(name: str | Engines = "calolab") -> Text:
    """Stop the named cluster: its engines, its controller and their child processes; reports if there was none."""
    name = _name(name)
    path = processes.path_of(name)
    content = processes.read(path)
    if content is None:
        return Text(f"No cluster {name!r} is running. {known()}".rstrip())
    if is_elsewhere(content):
        return Text(f"Cluster {name!r} runs on {content['cluster']['host']}: stop it there.")
    _disconnect(path)
    with processes.uninterrupted():
        processes.stop(path)
    return Text(f"Stopped cluster {name!r}: {content['cluster']['n']} engines and their controller.")


def stop_all(owner: str | None = None) -> Text:
    """Stop every cluster of this IPython profile on this machine.

    Args:
        owner: stop only clusters whose starting process had this value of `OWNER` in its environment.
    """
    return Text("\n".join(map(stop, names(owner))) or "No cluster is running.")


@contextlib.contextmanager
def running(n: int = 2, engines: str | None = None, **options) -> Iterator[Engines]:
    """Engines during a `with` block, in a cluster of their own that is stopped when the block ends.

    Args:
        n, engines, options: as for `start`; without a name, the cluster gets a unique one.

    Raises:
        ValueError: if a cluster of the given name runs already.
    """
    name = options.pop("name", None) or f"with-{os.getpid()}-{secrets.token_hex(3)}"
    if processes.read(processes.path_of(name)) is not None:
        raise ValueError(f"Cluster {name!r} already runs; a `with` block needs a new one: leave out the name.")
    with stopping("the work on a cluster", "its engines were stopped"):
        try:
            yield start(n, engines, name=name, **options)
        finally:
            stop(name)


def _already_running(name: str, content: dict, n: int | None, launcher: str | None) -> Engines:
    """The result of `start` for a cluster that is already running."""
    about = content["cluster"]
    if n not in (None, about["n"]) or launcher not in (None, about["launcher"]):
        raise ValueError(
            f"Cluster {name!r} already runs with {about['n']} engines ({about['launcher']}); to have {n or about['n']} "
            f"({launcher or about['launcher']}), stop it first (`%ipcluster stop`), or start another under a new name."
        )
    path = processes.path_of(name)
    before, engines = _attached.get(path), attach(name)
    same = before is not None and before.client is engines.client
    note = "was already running" if same else "was already running, attached to it"
    if len(engines) < engines.size:
        note += f"; {engines.size - len(engines)} of engines have died: `%ipcluster restart` restarts all of them"
    _attached[path] = dataclasses.replace(engines, note=note)
    return _attached[path]


def _running(name: str) -> dict:
    """The content of the file of a cluster that runs here.

    Raises:
        RuntimeError: if no such cluster runs here, naming those that do.
    """
    content = processes.read(processes.path_of(name))
    if content is None or "controller" not in content:
        raise RuntimeError(f"No cluster {name!r} is running. {known()}".rstrip())
    if is_elsewhere(content):
        raise RuntimeError(
            f"Cluster {name!r} runs on {content['cluster']['host']}: use it there, or choose another name."
        )
    return content


@contextlib.contextmanager
def _with_logs(name: str) -> Iterator[None]:
    """In the block, add the end of the cluster's logs to a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{logs(name)}") from error


def _start_more(engines: Engines, more: int, total: int, timeout: float) -> None:
    """Start more engines and wait until there are `total`."""
    path = processes.path_of(engines.name)
    with processes.uninterrupted():
        processes.start_engines(processes.load(path), more)
    waiting.wait_for(engines.client, path, total, timeout)


def _disconnect(path: Path) -> None:
    """Close this process's client of a cluster, if it has one."""
    if attached := _attached.pop(path, None):
        attached.client.close(linger=int(1000 * time_limits.LINGER))


def _record(cluster: EngineCluster, client: ipyparallel.Client, note: str) -> Engines:
    about = (cluster.cluster_id, cluster.launcher, cluster.n, cluster.cores, cluster.controller_ip)
    return Engines(*about, client, note, cluster.controller.pid)


def _changed(engines: Engines, size: int, note: str) -> Engines:
    """The record of a cluster after its engines have changed."""
    path = processes.path_of(engines.name)
    _attached[path] = dataclasses.replace(engines, size=size, note=note)
    return _attached[path]


def _name(engines: str | Engines) -> str:
    return engines.name if isinstance(engines, Engines) else engines


def _start_limit(launcher: str) -> float:
    """Seconds to wait for engines."""
    return time_limits.ENGINES_QUEUE_WITHIN if launcher == "slurm" else time_limits.ENGINES_START_WITHIN
