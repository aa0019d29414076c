"""The roll call before a training: which engines are idle, what they are, and how their ranks will meet."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ipyparallel

from calolab.distributed import communicator, hub, training_run
from calolab.distributed.cluster import Engines
from calolab.distributed.communicator import EngineFacts, Meeting

HUB_LAGS = 2.0  # seconds after which what the hub says of the engines is taken for true


def check_idle(engines: Engines, ids: Sequence[int]) -> None:
    """Refuse engines that still work.

    Raises:
        RuntimeError: if one of these engines is busy.
    """
    # The hub hears of work and of its end a little later than the engines; its own runs this process knows at once.
    busy = sorted(training_run.engines_in_use(engines.client) & set(ids))
    deadline = time.monotonic() + HUB_LAGS
    while not busy:
        at_work = [engine for engine, tasks in hub.tasks(engines.client, ids).items() if tasks]
        if not at_work:
            return
        if time.monotonic() > deadline:
            busy = at_work
        time.sleep(0.1)
    raise RuntimeError(
        f"Engines of cluster {engines.name!r} still work ({', '.join(map(str, busy))}): wait for the run that uses "
        "them (run.wait()), stop it (run.stop(), stop_dask(engines)), or `%ipcluster restart`."
    )


def engine_facts(engines: Engines, ids: Sequence[int]) -> list[EngineFacts]:
    """What each engine is, by rank; the engines are ready to be stopped afterwards."""
    try:
        return engines.client[list(ids)].apply_async(communicator.describe, engines.address).get(timeout=30)
    except (TimeoutError, ipyparallel.TimeoutError) as error:
        raise RuntimeError(f"Engines {', '.join(map(str, ids))} do not answer: see `%ipcluster logs`.") from error
    except (ipyparallel.RemoteError, ipyparallel.CompositeError) as error:
        raise RuntimeError(
            f"calolab does not work on the engines ({error}): they need the same environment as this notebook."
        ) from error


def check_versions(ids: Sequence[int], facts: Sequence[EngineFacts]) -> None:
    """Refuse engines whose Python or packages differ from this process's, or from each other's.

    Raises:
        RuntimeError: naming the engine, what it has and what it should have.
    """
    here = communicator.versions()
    for engine, found in zip(ids, facts, strict=True):
        missing = [name for name in ("calolab", "tensorflow", "keras") if found.versions[name] == "missing"]
        if missing:
            raise RuntimeError(f"Engine {engine} on {found.host} has no {', '.join(missing)}: install it there.")
        # Only the engines need Horovod, but all the same one.
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
    """How each rank finds the others, and that in words; opens the rendezvous on rank 0's engine for Gloo.

    Args:
        engines: their cluster.
        ids, facts: the engine of each rank, and what it says of itself.

    Raises:
        RuntimeError: if these engines cannot train together.
    """
    if len(ids) == 1:
        return [None], "one engine by itself"
    controller = communicator.choose_controller(facts)
    route = communicator.gradient_route(facts)
    hosts = tuple(engine.host for engine in facts)
    common = {"controller": controller, "size": len(ids), "hosts": hosts}
    if controller == "gloo":
        addresses = [engine.address for engine in facts]
        opened = engines.client[ids[0]].apply_async(communicator.open_rendezvous, hosts, addresses)
        common |= {"address": addresses[0], "ports": opened.get(timeout=30)}
        note = "Horovod over Gloo"
    else:
        common["mpi_ranks"] = tuple(engine.mpi_rank for engine in facts)
        note = "Horovod over MPI"
    return [Meeting(rank=rank, **common) for rank in range(len(ids))], "; ".join(filter(None, [note, route]))
