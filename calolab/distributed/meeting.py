"""Preparation of a training: checks that engines are idle and compatible, and how their ranks connect."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from calolab import cpu
from calolab.cluster import calls, hub, on_engine, time_limits
from calolab.cluster.engines import Engines
from calolab.cluster.machine import built, count_gpus, has_nccl, own_address
from calolab.distributed import rendezvous

NEEDED = "HOROVOD_GPU_OPERATIONS=NCCL"  # what Horovod must be built with for gradients to stay on the GPUs


@dataclass(frozen=True)
class EngineFacts:
    """Properties of an engine that matter for a training.

    Args:
        host: name of its machine.
        address: its machine's address, as the other engines reach it.
        versions: versions of Python and the packages, which must be the same everywhere.
        controllers: "gloo", "mpi": those with which its Horovod was built.
        mpi_rank: its rank in MPI's world; None if it was not launched by MPI.
        mpi_size: size of that world.
        gpus: number of GPUs that it may use.
        nccl: whether its Horovod averages on GPUs.
    """

    host: str
    address: str
    versions: dict[str, str]
    controllers: frozenset[str]
    mpi_rank: int | None = None
    mpi_size: int | None = None
    gpus: int = 0
    nccl: bool = False


@dataclass(frozen=True)
class Meeting:
    """The information that a rank needs to connect to the others.

    Args:
        controller: "gloo" or "mpi".
        rank, size: this rank and the number of ranks.
        hosts: the machine of each rank, by rank.
        address, ports: address and ports of the rendezvous servers, one for each attempt (Gloo).
        mpi_ranks: each rank's rank in MPI's world (MPI).
    """

    controller: str
    rank: int
    size: int
    hosts: tuple[str, ...]
    address: str = ""
    ports: tuple[int, ...] = ()
    mpi_ranks: tuple[int, ...] = ()

    @property
    def local_rank(self) -> int:
        """This rank's number among those on its machine."""
        return self.hosts[: self.rank].count(self.hosts[self.rank])


def versions() -> dict[str, str]:
    """Versions that must be the same on the client and all engines."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in ("calolab", "tensorflow", "keras", "horovod"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def describe(towards: str) -> EngineFacts:
    """Run on an engine: its properties, with its address as seen from the controller; it then listens for requests."""
    on_engine.listen()
    facts = {
        "host": socket.gethostname(),
        "address": own_address(towards),
        "versions": versions(),
        "controllers": built(),
        "gpus": count_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), len(list(cpu.GPUS.glob("*")))),
        "nccl": has_nccl(),
    }
    if "mpi4py.MPI" in sys.modules:
        world = sys.modules["mpi4py.MPI"].COMM_WORLD
        facts |= {"mpi_rank": world.Get_rank(), "mpi_size": world.Get_size()}
    return EngineFacts(**facts)


def choose_controller(engines: Sequence[EngineFacts]) -> str:
    """MPI if MPI launched the engines and Horovod has it, otherwise Gloo.

    Raises:
        RuntimeError: if these engines and their Horovod are incompatible, with what to do.
    """
    common = frozenset.intersection(*(engine.controllers for engine in engines))
    by_mpi = all(engine.mpi_size == len(engines) for engine in engines)
    if by_mpi and "mpi" in common:
        return "mpi"
    if "gloo" in common:
        return "gloo"
    if common and all(engine.mpi_size and engine.mpi_size > len(engines) for engine in engines):
        raise RuntimeError(
            f"This Horovod has MPI but no Gloo: of {engines[0].mpi_size} engines that MPI launched, it trains on all "
            f"or on one, not on {len(engines)}. Leave out ranks= to train on all."
        )
    if common:
        raise RuntimeError(
            "This Horovod has no Gloo and needs all engines of a cluster that MPI launched: "
            "`%ipcluster stop`, then `%ipcluster start --engines mpi`."
        )
    raise RuntimeError(
        "Training on several engines needs Horovod with TensorFlow, which these engines do not have: `make -B setup` "
        "builds it (with pip), conda-forge has it (horovod). Training on one engine works without."
    )


def gradient_route(engines: Sequence[EngineFacts]) -> str:
    """Description of how gradients are sent between ranks on GPUs; empty if no rank has a GPU.

    Raises:
        RuntimeError: if ranks would share a GPU and Horovod was built with NCCL, which refuses that.
    """
    if not any(engine.gpus for engine in engines):
        return ""
    if not all(engine.nccl for engine in engines):
        return f"gradients are sent through the CPU, because this Horovod has no NCCL (it is built with {NEEDED})"
    hosts = [engine.host for engine in engines]
    for engine in engines:
        if engine.gpus < hosts.count(engine.host):
            raise RuntimeError(
                f"NCCL needs a GPU for each rank, but {engine.host} has {engine.gpus} for {hosts.count(engine.host)}: "
                "use fewer engines there (ranks=)."
            )
    return "gradients are sent from GPU to GPU by NCCL"


def check_idle(engines: Engines, ids: Sequence[int]) -> None:
    """Raise an error if engines still work.

    Args:
        engines: the engines.
        ids: ids of those to check.

    Raises:
        RuntimeError: if one of these engines is busy.
    """
    # The hub learns of the end of work a little later than the engines, and Dask workers need a moment to end.
    deadline = time.monotonic() + time_limits.HUB_LAGS
    while True:
        busy = sorted(calls.engines_in_use(engines.client) & set(ids))
        busy = busy or [engine for engine, tasks in hub.tasks(engines.client, ids).items() if tasks]
        if not busy:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    raise RuntimeError(
        f"Engines of cluster {engines.name!r} still work ({', '.join(map(str, busy))}): wait for the run that uses "
        "them (run.wait()), stop it (run.stop(), stop_dask(engines)), or `%ipcluster restart`."
    )


def engine_facts(engines: Engines, ids: Sequence[int]) -> list[EngineFacts]:
    """The properties of each engine, by rank; the engines then listen for stop requests.

    Args:
        engines: the engines.
        ids: ids of the engines, in the order of their ranks.
    """
    arguments, limit = [(engines.address,)] * len(ids), time_limits.ENGINES_ANSWER_WITHIN
    try:
        return calls.gather(engines.client, ids, describe, arguments, timeout=limit)
    except calls.CallFailed as error:
        if error.failure.original:
            raise RuntimeError(
                f"calolab does not work on the engines ({error}): they need the same environment as this notebook."
            ) from error
        silent = (*error.failure.died, *error.failure.busy) or ids
        raise RuntimeError(f"Engines {', '.join(map(str, silent))} do not answer: see `%ipcluster logs`.") from error


def check_versions(ids: Sequence[int], facts: Sequence[EngineFacts]) -> None:
    """Raise an error if an engine's Python or packages differ from those of this process or of other engines.

    Args:
        ids: ids of the engines.
        facts: their properties, in the same order.

    Raises:
        RuntimeError: with the engine, what it has and what is expected.
    """
    here = versions()
    for engine, found in zip(ids, facts, strict=True):
        missing = [name for name in ("calolab", "tensorflow", "keras") if found.versions[name] == "missing"]
        if missing:
            raise RuntimeError(f"Engine {engine} on {found.host} has no {', '.join(missing)}: install it there.")
        # Only the engines need Horovod, all of them the same version.
        wanted = here | {"horovod": facts[0].versions["horovod"]}
        differing = [
            f"{n} {found.versions[n]} instead of {wanted[n]}" for n in wanted if found.versions[n] != wanted[n]
        ]
        if differing:
            raise RuntimeError(
                f"Engine {engine} on {found.host} has {', '.join(differing)}: start the engines from this environment."
            )


def arrange_meetings(
    engines: Engines, ids: Sequence[int], facts: Sequence[EngineFacts]
) -> tuple[list[Meeting | None], str]:
    """How each rank connects to the others, and a description of it; for Gloo, opens the rendezvous on rank 0's engine.

    Args:
        engines: their cluster.
        ids, facts: the engine of each rank, and its properties.

    Raises:
        RuntimeError: if these engines cannot train together.
    """
    if len(ids) == 1:
        return [None], "a single engine"
    controller = choose_controller(facts)
    route = gradient_route(facts)
    hosts = tuple(engine.host for engine in facts)
    common = {"controller": controller, "size": len(ids), "hosts": hosts}
    if controller == "gloo":
        addresses = [engine.address for engine in facts]
        arguments, limit = [(hosts, addresses)], time_limits.ENGINES_ANSWER_WITHIN
        (ports,) = calls.gather(engines.client, ids[:1], rendezvous.open_all, arguments, timeout=limit)
        common |= {"address": addresses[0], "ports": ports}
        note = "Horovod over Gloo"
    else:
        common["mpi_ranks"] = tuple(engine.mpi_rank for engine in facts)
        note = "Horovod over MPI"
    return [Meeting(rank=rank, **common) for rank in range(len(ids))], "; ".join(filter(None, [note, route]))
