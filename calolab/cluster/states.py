"""The state of clusters: their engines with host, memory and load, their batch jobs, and their logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from types import MappingProxyType

import ipyparallel

from calolab.cluster import calls, hub, processes, slurm, unattended
from calolab.cluster.description import NAME, Unreadable, files, is_elsewhere, is_foreign, name_of
from calolab.tables import Table


class Text(str):
    """A string that a notebook shows without quotes."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


@dataclass(frozen=True)
class EngineStatus:
    """The state of one engine.

    Args:
        state: "idle", "busy", or "silent" if it did not answer within seconds.
        rank: its position among the engines.
        host: its machine.
        memory: resident memory of it and its children [bytes].
        load: processor cores that they use.
        pid: its process number on that machine.
    """

    state: str
    rank: int
    host: str = ""
    memory: int | None = None
    load: float | None = None
    pid: int | None = None

    def __str__(self):
        used = [f"on {self.host}"] if self.host else []
        used += [f"{self.memory / 1e9:.2f} GB"] if self.memory is not None else []
        used += [f"{self.load:.1f} cores"] if self.load is not None else []
        return f"{self.state} ({', '.join(used)})" if used else self.state


@dataclass(frozen=True)
class Status:
    """The state of a cluster.

    Args:
        name: name of the cluster.
        state: "running", "damaged" if engines are missing, "broken" if its controller has died, "silent" if the
            controller or an engine does not answer, "waiting" in a queue, "unreadable" if its file is damaged,
            "not running", or "on <host>".
        launcher: "local", "mpi", "srun", "slurm" or "ssh".
        size: number of engines it should have.
        engines: its engines by id.
        queue: its batch jobs (Slurm).
        note: what is wrong and what to do.
    """

    name: str
    state: str
    launcher: str = ""
    size: int = 0
    engines: Mapping[int, EngineStatus] = field(default_factory=lambda: MappingProxyType({}))
    queue: tuple[slurm.Job, ...] = ()
    note: str = ""

    def __repr__(self):
        if not self.launcher:
            return f"{self.name}: {self.state}. {self.note}".rstrip()
        engines = ", ".join(f"{number} {status}" for number, status in self.engines.items()) or "none"
        count = f"{len(self.engines)} of {self.size} engines ({engines})"
        said = "; ".join([*map(str, self.queue), self.note]) if self.queue else self.note
        return f"{self.name}: {self.state}, {self.launcher}, {count}. {said}".rstrip("; ")

    def _repr_html_(self):
        if not self.engines:
            return f"<p>{escape(repr(self))}</p>"
        count = f"{self.name}: {self.state}, {self.launcher}, {len(self.engines)} of {self.size} engines"
        said = "; ".join([*map(str, self.queue), *([self.note] if self.note else [])])
        rows = []
        for number, engine in self.engines.items():
            memory = "" if engine.memory is None else f"{engine.memory / 1e9:.2f} GB"
            load = "" if engine.load is None else f"{engine.load:.1f}"
            rows.append((number, engine.rank, engine.state, engine.host, memory, load))
        table = Table(rows, ("engine", "rank", "state", "host", "memory", "cores used"), (0, 1, 4, 5))
        return f"<p><b>{escape(count)}.</b> {escape(said)}</p>{table.to_html()}"


def status(name: str = "calolab") -> Status:
    """The state of the named cluster; busy engines answer, too."""
    path = processes.path_of(name)
    try:
        content = processes.read(path)
    except Unreadable as error:
        return Status(name, "unreadable", note=str(error))
    if content is None:
        return Status(name, "not running", note=known())
    about = content["cluster"]
    found = Status(name, f"on {about['host']}", about["launcher"], about["n"], note="Use it there.")
    if is_elsewhere(content):
        return found
    if "controller" not in content:
        return replace(found, state="broken", note="Its controller has died: stop it, then start it again.")
    queue, note = (), ""
    try:
        queue = slurm.jobs(processes.job_ids(content))
    except RuntimeError as error:
        note = str(error)
    try:
        engines = _engines(path)
    except (TimeoutError, ipyparallel.TimeoutError):
        note = "Its controller does not answer: see its `logs`, or stop it."
        return replace(found, state="silent", queue=queue, note=note)
    found = replace(found, engines=MappingProxyType(engines), queue=queue)
    over = [job for job in queue if job.ended]
    silent = [number for number, engine in engines.items() if engine.state == "silent"]
    alone = [training.outlook(60 * about["idle"]) for training in unattended.trainings(path).values()]

    def found_in(state, advice, queue=queue):
        return replace(found, state=state, queue=queue, note="; ".join(filter(None, [note or advice, *alone])))

    if len(engines) >= about["n"] and not (over and silent):
        advice = f"{_names_of(silent)} not answer; if that lasts, `restart` restarts all engines." if silent else ""
        return found_in("silent" if silent else "running", advice, tuple(job for job in queue if not job.ended))
    if any(job.state == "PENDING" for job in queue):
        return found_in("waiting", "Its engines wait in the queue.")
    if over:
        return found_in("damaged", "The engines of an ended job are gone: `restart` submits it again.")
    return found_in("damaged", "`restart` brings all engines back.")


def clusters() -> list[Status]:
    """The states of all clusters of this IPython profile, including those whose file is damaged."""
    found = [name_of(path) for path in files() if not is_foreign(path)]
    return [status(name) for name in found if NAME.fullmatch(name)]


def logs(name: str = "calolab", lines: int = 20) -> Text:
    """The last lines of the logs of the controller, each engine or batch job, and the watchdog.

    Args:
        name: name of the cluster.
        lines: number of lines of each log.
    """
    parts = []
    for file in processes.log_files(processes.path_of(name)):
        tail = file.read_text(errors="replace").splitlines()[-lines:]
        parts.append("\n".join([f"--- {file}", *tail]))
    return Text("\n".join(parts) or f"Cluster {name!r} has no logs. {known()}".rstrip())


def controller_died(name: str) -> bool:
    """Whether a cluster has stopped, or its controller on this machine has died."""
    content = processes.read(processes.path_of(name))
    return content is None or ("controller" not in content and not is_elsewhere(content))


def names(owner: str | None = None) -> list[str]:
    """Names of the clusters of this profile, or of those of one owner, as for `processes.paths`."""
    return [name_of(path) for path in processes.paths(owner)]


def _names_of(ids: list[int]) -> str:
    return f"{calls.in_words(ids).capitalize()} do{'es' * (len(ids) == 1)}"


def known() -> str:
    """A sentence with the running clusters; empty if there are none."""
    return f"Running: {', '.join(found)}." if (found := names()) else ""


def _engines(path: Path) -> dict[int, EngineStatus]:
    """The states of the live engines of a cluster."""
    with hub.observer(path) as client:
        tasks = hub.tasks(client)
        usage = hub.usage(client, list(tasks))
        found = {}
        for rank, (number, count) in enumerate(tasks.items()):
            state = "busy" if count else "idle"
            if answer := usage.get(number):
                host, pid = answer["hostname"], answer["pid"]
                memory, load = int(answer.get("kernel_memory", 0)), answer.get("kernel_cpu", 0.0) / 100
                found[number] = EngineStatus(state, rank, host, memory, load, pid)
            else:
                found[number] = EngineStatus("silent", rank)
        return found
