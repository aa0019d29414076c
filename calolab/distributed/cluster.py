"""Clusters of engines: start, attach, status, logs, restart and stop.

A cluster outlives the kernel that started it; the next kernel finds it by name. A small process of its own (`watchdog`)
stops a cluster that nobody uses any more, and one whose controller has died.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import ipyparallel

from calolab.distributed import launch
from calolab.names import check_name

_attached: dict[Path, Engines] = {}  # the clients of this process, by cluster file


class Text(str):
    """A text that a notebook shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


@dataclass(frozen=True, eq=False)
class Engines:
    """Running engines and the client that talks to them.

    Args:
        name: the cluster's name.
        launcher: "local", "mpi", "srun" or "slurm".
        size: how many engines were asked for.
        cores: processor cores per engine.
        address: where the controller listens.
        client: `ipyparallel.Client`, for `engines.client[:]` and `%px`.
        note: what was done to get them, e.g. "started in 4.1 s".
        controller: the controller's process number, by which a client of an earlier cluster is told.
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
        """Ids of the engines that are alive, in order: an engine's position here is its rank."""
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


@dataclass(frozen=True)
class ClusterStatus:
    """How a cluster is: its engines by id, each "idle" or "busy", and what to do if something is wrong."""

    name: str
    state: str
    launcher: str = ""
    size: int = 0
    engines: Mapping[int, str] | None = None
    note: str = ""

    def __repr__(self):
        if not self.launcher:
            return f"{self.name}: {self.state}. {self.note}".rstrip()
        engines = ", ".join(f"{number} {state}" for number, state in (self.engines or {}).items()) or "none"
        count = f"{len(self.engines or {})} of {self.size} engines ({engines})"
        return f"{self.name}: {self.state}, {self.launcher}, {count}. {self.note}".rstrip()


def start(
    n: int | None = None,
    engines: str | None = None,
    *,
    name: str = "calolab",
    cores: int | None = None,
    idle: float = 30.0,
    address: str | None = None,
    timeout: float = 60.0,
) -> Engines:
    """Start a cluster of engines, or return the one that runs under this name already.

    Args:
        n: number of engines; by default 2, or as many as already run.
        engines: how they are launched: "local" processes, "mpi" (mpiexec), "srun" inside an allocation, "slurm"
            (sbatch); what is set for ipyparallel's launchers in the profile holds. By default local, or mpi where
            Horovod has no Gloo.
        name: the cluster's name; several can run side by side.
        cores: processor cores per engine; by default this machine's, shared out evenly.
        idle: minutes after which engines without a client and without work stop.
        address: where the controller listens; by default loopback, with srun and slurm this machine's own address.
        timeout: seconds to wait for the engines, waiting in a batch queue included.

    Raises:
        ValueError: for an unknown launcher, or if a different cluster runs under this name.
        RuntimeError: if something the launcher needs is missing, or engines did not come: with the end of their log.
    """
    if engines is not None:
        check_name("kind of engines", engines, launch.LAUNCHERS)
    for option, value in {"n": n, "cores": cores, "idle": idle, "timeout": timeout}.items():
        if value is not None and value <= 0:
            raise ValueError(f"{option} expects a number above 0, received {value}.")
    path = launch.path_of(name)
    content, note = launch.read(path), ""
    if content is not None and ("controller" in content or _elsewhere(content)):
        return _already_running(name, content, n, engines)
    if content is not None:
        launch.stop(path)
        note = "; an earlier one had lost its controller, and its remains were removed"
    launcher, reason = (engines, "") if engines else launch.choose_launcher()
    launch.launcher_options(launcher)
    _disconnect(path)  # its cluster has gone
    begun, client = time.monotonic(), None
    try:
        launch.hold(path)
        started = launch.controller(name, launcher, n or 2, cores, idle, address)
        client = launch.connect(started)
        launch.engines(started)
        _wait_for_engines(client, path, started.n, timeout)
    except BaseException as error:
        tails = logs(name)
        if client is not None:
            client.close()
        launch.stop(path)
        if isinstance(error, Exception):
            raise RuntimeError(f"Cluster {name!r} did not start: {error}\n{tails}") from error
        raise
    note = f"started in {time.monotonic() - begun:.1f} s{reason}{note}"
    _attached[path] = Engines(
        name, launcher, started.n, started.cores, started.controller_ip, client, note, started.controller.pid
    )
    return _attached[path]


def attach(name: str = "calolab") -> Engines:
    """The engines of a running cluster, for instance after a kernel restart.

    Raises:
        RuntimeError: if no such cluster runs here, naming those that do.
    """
    path = launch.path_of(name)
    _running(name)
    launch.hold(path)
    try:
        content = _running(name)  # again: it may have been stopped, or replaced, before it was held
        controller = content["controller"]["state"]["pid"]
        if path not in _attached or _attached[path].controller != controller:
            _disconnect(path)
            about, client = content["cluster"], launch.connect(launch.load(path))
            _attached[path] = Engines(
                name,
                about["launcher"],
                about["n"],
                about["cores"],
                about["controller_ip"],
                client,
                "attached",
                controller,
            )
    except BaseException:
        launch.release(path)
        raise
    return _attached[path]


def status(name: str = "calolab") -> ClusterStatus:
    """How the named cluster is, without disturbing its engines."""
    path = launch.path_of(name)
    content = launch.read(path)
    if content is None:
        return ClusterStatus(name, "not running", note=_known())
    about = content["cluster"]
    found = ClusterStatus(name, f"on {about['host']}", about["launcher"], about["n"], note="Ask there.")
    if _elsewhere(content):
        return found
    if "controller" not in content:
        return replace(found, state="broken", note="Its controller has died: stop it, then start it again.")
    engines = {number: "busy" if tasks else "idle" for number, tasks in launch.queues(path).items()}
    if len(engines) < about["n"]:
        return replace(found, state="damaged", engines=engines, note="`restart` brings all engines back.")
    return replace(found, state="running", engines=engines, note="")


def clusters() -> list[ClusterStatus]:
    """All clusters of this IPython profile."""
    return [status(name) for name in _names()]


def logs(name: str = "calolab", lines: int = 20) -> Text:
    """The last lines that the controller and each engine have printed."""
    parts = []
    for file in launch.log_files(launch.path_of(name)):
        tail = file.read_text(errors="replace").splitlines()[-lines:]
        parts.append("\n".join([f"--- {file}", *tail]))
    return Text("\n".join(parts) or f"Cluster {name!r} has no logs. {_known()}".rstrip())


def restart(name: str | Engines = "calolab", timeout: float = 60.0) -> Engines:
    """Stop all engines and start as many anew, with empty memories; the controller and the clients stay.

    Raises:
        RuntimeError: if no such cluster runs, or its engines do not come back: with the end of their log.
    """
    engines = attach(name.name if isinstance(name, Engines) else name)
    path, begun = launch.path_of(engines.name), time.monotonic()
    cluster = launch.stop_engines(path)
    try:
        while engines.ids:  # MPI gives new engines the ids of the old ones, so those must have gone first
            if time.monotonic() - begun > timeout:
                raise RuntimeError(f"engines {engines.ids} did not stop within {timeout:g} s: `%ipcluster stop`.")
            time.sleep(0.05)
        launch.engines(cluster)
        _wait_for_engines(engines.client, path, engines.size, timeout)
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{logs(engines.name)}") from error
    _attached[path] = replace(engines, note=f"restarted in {time.monotonic() - begun:.1f} s")
    return _attached[path]


def stop(name: str | Engines = "calolab") -> Text:
    """Stop the named cluster: its engines, their helpers and the controller; says so if there was none."""
    name = name.name if isinstance(name, Engines) else name
    path = launch.path_of(name)
    content = launch.read(path)
    if content is None:
        return Text(f"No cluster {name!r} is running. {_known()}".rstrip())
    if _elsewhere(content):
        return Text(f"Cluster {name!r} runs on {content['cluster']['host']}: stop it there.")
    _disconnect(path)
    launch.stop(path)
    return Text(f"Stopped cluster {name!r}: {content['cluster']['n']} engines and their controller.")


def stop_all() -> Text:
    """Stop every cluster of this IPython profile on this machine."""
    return Text("\n".join(map(stop, _names())) or "No cluster is running.")


@contextlib.contextmanager
def cluster(n: int = 2, engines: str | None = None, **options) -> Iterator[Engines]:
    """Engines for the length of a `with` block, in a cluster of their own that the end of the block stops.

    Args:
        n, engines, options: as for `start`; the name is made up unless given.

    Raises:
        ValueError: if a cluster of the given name runs already.
    """
    name = options.pop("name", None) or f"with-{os.getpid()}-{secrets.token_hex(3)}"
    if launch.read(launch.path_of(name)) is not None:
        raise ValueError(f"Cluster {name!r} runs already, and a `with` block needs one of its own: leave out the name.")
    try:
        yield start(n, engines, name=name, **options)
    finally:
        stop(name)


def _already_running(name: str, content: dict, n: int | None, launcher: str | None) -> Engines:
    """What `start` gives when the cluster is there already."""
    about = content["cluster"]
    if n not in (None, about["n"]) or launcher not in (None, about["launcher"]):
        raise ValueError(
            f"Cluster {name!r} already runs with {about['n']} engines ({about['launcher']}); to have {n or about['n']} "
            f"({launcher or about['launcher']}), stop it first (`%ipcluster stop`), or start another under a new name."
        )
    path = launch.path_of(name)
    before, engines = _attached.get(path), attach(name)
    known = before is not None and before.client is engines.client
    note = "was already running" if known else "was already running, attached to it"
    if len(engines) < engines.size:
        note += f"; {engines.size - len(engines)} of its engines have died: `%ipcluster restart` brings them back"
    _attached[path] = replace(engines, note=note)
    return _attached[path]


def _running(name: str) -> dict:
    """What the file of a cluster that runs here says.

    Raises:
        RuntimeError: if no such cluster runs here, naming those that do.
    """
    content = launch.read(launch.path_of(name))
    if content is None or "controller" not in content:
        raise RuntimeError(f"No cluster {name!r} is running. {_known()}".rstrip())
    if _elsewhere(content):
        raise RuntimeError(
            f"Cluster {name!r} runs on {content['cluster']['host']}: use it there, or take another name."
        )
    return content


def _disconnect(path: Path) -> None:
    """Close this process's client of a cluster, if it has one."""
    if known := _attached.pop(path, None):
        known.client.close()


def _wait_for_engines(client: ipyparallel.Client, path: Path, n: int, timeout: float) -> None:
    """Wait until `n` engines have registered.

    Raises:
        RuntimeError: if they do not within `timeout` seconds, or their processes have ended.
    """
    deadline = time.monotonic() + timeout
    while len(client.ids) < n:
        content = launch.read(path)
        if content is None or "controller" not in content:
            raise RuntimeError("the controller has ended.")
        if not content["engines"]["sets"]:
            raise RuntimeError("the engines have ended before they registered.")
        about = content["cluster"]
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{len(client.ids)} of {n} engines registered within {timeout:g} s. If they wait in a queue, give a "
                f"longer timeout=; if they run elsewhere, they must reach address={about['controller_ip']!r}."
            )
        time.sleep(0.05)


def _elsewhere(content: dict) -> bool:
    return content["cluster"]["host"] != socket.gethostname()


def _names() -> list[str]:
    return [path.stem.removeprefix("cluster-") for path in launch.paths()]


def _known() -> str:
    return f"Running: {', '.join(names)}." if (names := _names()) else ""
