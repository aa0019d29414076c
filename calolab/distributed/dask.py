"""Dask on the engines: a scheduler in this process, a worker in each engine, and TLS between them.

ipyparallel's own `become_dask` is not used: it starts its scheduler in the controller, writes the private key into the
log, opens a dashboard without authentication, and `stop_dask` leaves the scheduler listening. Here an engine is busy
while it is a worker, so that no training starts on it by accident, and is free again when the client closes or this
process ends. No dashboard is opened, because Dask's has no authentication.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from calolab.cluster import calls, time_limits
from calolab.cluster.engines import Engines
from calolab.cluster.machine import own_address
from calolab.cluster.states import Text
from calolab.distributed.meeting import check_idle

NO_ADDRESS = ("*", "0.0.0.0", "::")  # of a controller that listens on all addresses
INSTALL = "`pip install calolab[dask]`, or conda-forge's dask, distributed and cryptography"


@dataclass(frozen=True, eq=False)
class _Lent:
    """Engines that are Dask workers: what stops their scheduler, its thread, and the engines' pending call."""

    leave: threading.Event
    thread: threading.Thread
    call: calls.Call


_lent: dict[object, _Lent] = {}  # by client


def start_dask(engines: Engines, *, tls: bool = True, threads: int = 1, timeout: float = 30.0):
    """Make engines Dask workers and return a client of them; closing the client releases the engines.

    Any process that reaches a Dask scheduler can run code in its workers. All traffic is therefore protected by TLS
    with a certificate made for this client, which is kept in memory and sent over the controller's connections.
    Without TLS the engines must be on loopback, where every user of this machine can still reach them.

    Args:
        engines: from `cluster.start`, `%ipcluster start` or `cluster.running`; all of them become workers,
            with their ids as names.
        tls: whether Dask's traffic is encrypted and authenticated.
        threads: number of tasks that an engine runs at a time.
        timeout: seconds to wait for the workers.

    Returns:
        `dask.distributed.Client`, on which Dask's collections compute from then on. The end of a `with` block of it, or
            `stop_dask`, releases the engines.

    Raises:
        ValueError: without TLS on addresses other than loopback, or for options that are not above 0.
        RuntimeError: if a package is missing, here or on an engine; if an engine is busy, for instance in a training;
            if the certificate could not be sent encrypted; or if workers do not start.
    """
    for option, value in {"threads": threads, "timeout": timeout}.items():
        if value <= 0:
            raise ValueError(f"{option} expects a number above 0, received {value}.")
    _check_packages(tls)
    ids = engines.ids
    if not ids:
        raise RuntimeError(f"Cluster {engines.name!r} has no engines: start it again with `%ipcluster start`.")
    host = own_address() if engines.address in NO_ADDRESS else engines.address
    _check_traffic(engines, host, tls)
    lent = _lent.get(engines.client)
    if lent is not None and not lent.leave.is_set():
        lent.thread.join(time_limits.HUB_LAGS)  # after its client has left, the scheduler needs a moment to end
    if lent is not None and lent.thread.is_alive() and not lent.leave.is_set():
        raise RuntimeError(f"Engines of cluster {engines.name!r} are Dask workers already: stop_dask(engines) first.")
    check_idle(engines, ids)
    from distributed import Client, Security

    security = Security.temporary() if tls else Security()
    leave, joined, started = threading.Event(), [], Future()
    thread = _in_background(lambda: _scheduler(host, security), started, lambda node: _left(node, leave, joined))
    address, call, client = started.result(), None, None
    try:
        arguments = [(address, security, engine, threads, timeout) for engine in ids]
        answers = calls.send(engines.client, ids, serve, arguments)
        call = calls.Call(engines.client, ids, answers, time_limits.GIVE_UP_AFTER)
        _lent[engines.client] = _Lent(leave, thread, call)
        client = Client(address, security=security, timeout=timeout)
        _wait_for_workers(client, call, timeout)
        joined.append(client.id)
    except BaseException:
        leave.set()
        if call is not None:
            call.withdraw()  # no engine may become a worker later
        if client is not None:
            client.close()
        raise
    return client


def stop_dask(engines: Engines, timeout: float = 30.0) -> Text:
    """Release the engines that `start_dask` has made workers: waiting tasks are dropped, running ones end first.

    Args:
        engines: the engines.
        timeout: time for running tasks to end [s].

    Raises:
        RuntimeError: if engines still run a task after `timeout` seconds.
    """
    lent = _lent.get(engines.client)
    if lent is None:
        return Text(f"No engine of cluster {engines.name!r} is a Dask worker.")
    lent.leave.set()
    deadline = time.monotonic() + timeout
    lent.thread.join(timeout)
    for answer in lent.call.answers:
        answer.wait(max(0.0, deadline - time.monotonic()))
    if busy := [engine for engine in lent.call.busy if engine in engines.ids]:
        raise RuntimeError(
            f"A Dask task still runs on {calls.in_words(busy)} after {timeout:g} s: call stop_dask again later, or "
            "`%ipcluster restart`."
        )
    lent.call.forget()
    _lent.pop(engines.client, None)
    return Text(f"The {len(lent.call.ids)} engines of cluster {engines.name!r} are no longer Dask workers.")


def serve(scheduler: str, security, name: int, threads: int, timeout: float) -> None:
    """Run on an engine: serve as a Dask worker until the scheduler ends; the engine is busy meanwhile.

    Args:
        scheduler: address of the scheduler.
        security: `distributed.Security`.
        name: name of the worker.
        threads: number of tasks that it runs at a time.
        timeout: seconds to look for the scheduler.
    """
    import dask
    from distributed import Worker
    from distributed.comm import get_address_host

    host = own_address(towards=get_address_host(scheduler))
    leave, started = threading.Event(), Future()

    def worker():
        return Worker(
            scheduler,
            name=name,
            nthreads=threads,
            host=host,
            security=security,
            death_timeout=timeout,
            dashboard_address="127.0.0.1:0",
        )

    with dask.config.set({"distributed.worker.http.routes": []}):
        # In a new thread, because this one runs the kernel's event loop.
        thread = _in_background(worker, started, lambda _: leave.is_set())
        try:
            started.result()
            thread.join()
        finally:  # an interrupt ends the worker, too
            leave.set()
            thread.join()
            # Dask does not wait for a task that is still running; this engine is busy until it ends.
            for task in threading.enumerate():
                if task.name.startswith("Dask-Default-Threads"):
                    task.join()


def _scheduler(host: str, security):
    """A Dask scheduler whose web server, which has no authentication, has no pages and listens on loopback only."""
    import dask
    from distributed import Scheduler

    logging.getLogger("distributed").setLevel(logging.WARNING)  # it logs every step; errors reach the user anyway
    with dask.config.set({"distributed.scheduler.http.routes": []}):
        return Scheduler(
            host=host,
            port=0,
            protocol="tls" if security.require_encryption else "tcp",
            security=security,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )


def _in_background(make: Callable, started: Future, left: Callable) -> threading.Thread:
    """Run a Dask node in a new thread until it closes or `left(node)`; `started` receives its address."""

    async def serve():
        try:
            async with make() as node:
                started.set_result(node.address)
                while node.status.name not in ("closed", "failed") and not left(node):
                    await asyncio.sleep(0.1)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="calolab-dask", daemon=True)
    thread.start()
    return thread


def _left(scheduler, leave: threading.Event, joined: list[str]) -> bool:
    """Whether the engines should be released, or the client or all workers have left after joining."""
    return leave.is_set() or any(client not in scheduler.clients or not scheduler.workers for client in joined)


def _wait_for_workers(client, call: calls.Call, timeout: float) -> None:
    """Wait until every engine has become a worker.

    Raises:
        RuntimeError: if one does not within `timeout` seconds, with its error.
    """
    deadline = time.monotonic() + timeout
    while len(workers := client.scheduler_info(n_workers=-1)["workers"]) < len(call.ids):
        for engine, reason in (call.errors | dict.fromkeys(call.results, "it ended immediately")).items():
            raise RuntimeError(f"Engine {engine} did not become a Dask worker ({reason}): it needs {INSTALL}.")
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{len(workers)} of {len(call.ids)} engines became Dask workers within {timeout:g} s: they must reach "
                f"{client.scheduler.address}. `%ipcluster logs` may say more."
            )
        time.sleep(0.05)


def _check_packages(tls: bool) -> None:
    wanted = ("dask", "distributed", "cryptography") if tls else ("dask", "distributed")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing == ["cryptography"]:
        raise RuntimeError(f"TLS needs the package cryptography: {INSTALL}; on loopback, tls=False works without.")
    if missing:
        raise RuntimeError(f"Dask needs {' and '.join(missing)}: {INSTALL}.")


def _check_traffic(engines: Engines, host: str, tls: bool) -> None:
    """Raise an error if others on the network could read the traffic or control the workers."""
    if ipaddress.ip_address(socket.gethostbyname(host)).is_loopback:
        return
    if not tls:
        raise ValueError(
            f"Dask without TLS expects engines on loopback, but those of cluster {engines.name!r} are at {host}: "
            "any process that reaches a Dask scheduler can run code on its workers. Leave out tls=False."
        )
    if not engines.client.curve_serverkey:
        raise RuntimeError(
            f"The connections of cluster {engines.name!r} are not encrypted, and Dask's private key must not be "
            "sent over them: start the cluster again with a pyzmq that has CurveZMQ, or on loopback."
        )
