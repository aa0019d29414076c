"""Queries to a cluster's controller, whose hub lists the engines and their tasks, and to busy engines.

The two functions `_ask_hub` and `_ask_engine` contain all that calolab uses of ipyparallel's private interface:
`Client.queue_status` would wait forever for a controller that has just died, and no public method asks an engine's
control thread. `tests/cluster/test_hub.py` fails when that interface changes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import ipyparallel
import zmq

from calolab.cluster import time_limits
from calolab.cluster.description import name_of


@contextlib.contextmanager
def observer(path: Path) -> Iterator[ipyparallel.Client]:
    """A separate client for queries.

    Args:
        path: path of the cluster's file.
    """
    connection = path.with_name(f"ipcontroller-{name_of(path)}-client.json")
    # In a context of its own: no socket may be left that tries to reach a dead controller forever.
    context, clients = zmq.Context(), []

    def leave():
        for client in clients:
            client.close(linger=0)
        context.destroy(linger=0)

    try:
        timeout = time_limits.HUB_CONNECTS_WITHIN
        clients.append(ipyparallel.Client(str(connection), timeout=timeout, context=context))
        yield clients[0]
    finally:
        # In a thread: if the controller has just died, closing a client may take forever.
        threading.Thread(target=leave, name="observer leaves", daemon=True).start()


def queues(path: Path) -> dict[int, int]:
    """The result of `tasks`, from a new client."""
    with observer(path) as client:
        return tasks(client)


def tasks(client: ipyparallel.Client, ids: Sequence[int] | None = None) -> dict[int, int]:
    """Number of tasks that wait or run on each engine, as recorded by the controller.

    Args:
        client: client of the cluster.
        ids: ids of the engines; by default all live ones.

    Raises:
        IndexError: if one of the given engines does not exist any more.
        TimeoutError: if the controller does not answer.
    """
    if gone := sorted(set(ids or ()) - set(client.ids)):
        raise IndexError(f"Engines {', '.join(map(str, gone))} have gone.")
    asked = _ask_hub(client, "queue_request", {"targets": None if ids is None else list(ids), "verbose": False})
    asked.wait(time_limits.HUB_ANSWERS_WITHIN)
    if not asked.done():
        raise TimeoutError("The controller of the engines does not answer: see `%ipcluster logs`.")
    answer = asked.result()["content"]
    if answer.pop("status") != "ok":
        raise ipyparallel.error.unwrap_exception(answer)
    answer = ipyparallel.util.int_keys(answer)
    if ids is None:
        ids = sorted(set(client.ids) & set(answer))  # engines may come and go meanwhile
    return {number: answer[number]["queue"] + answer[number]["tasks"] for number in ids}


def usage(client: ipyparallel.Client, ids: Sequence[int]) -> dict[int, dict]:
    """Host, process, memory and processor load of engines, by engine; those that do not answer are left out.

    The engines' control threads answer, also while the engines work.

    Args:
        client: client of the cluster.
        ids: ids of the engines.
    """
    answers = {}
    for look in range(2):  # the load is averaged over the time since the last answer
        asked = {engine: _ask_engine(client, engine, "usage_request") for engine in ids}
        deadline = time.monotonic() + time_limits.ENGINE_STATUS_WITHIN
        for engine, future in asked.items():
            future.wait(max(0.0, deadline - time.monotonic()))
            if future.done():
                with contextlib.suppress(Exception):  # an engine that has died meanwhile
                    answers[engine] = future.result()["content"]
            else:
                answers.pop(engine, None)
        ids = list(answers)
        if look == 0:
            time.sleep(time_limits.LOAD_MEASURED_OVER)
    return answers


def _ask_hub(client: ipyparallel.Client, kind: str, content: dict) -> Future:
    """Send a query to the hub; the future's result is its reply."""
    return client._send(client._query_stream, kind, content=content)


def _ask_engine(client: ipyparallel.Client, engine: int, kind: str) -> Future:
    """Send a query to an engine's control thread; the future's result is its reply."""
    return client._send(client._control_stream, kind, ident=client._engines[engine].encode())
