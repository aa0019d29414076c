"""Questions to a cluster's controller, whose hub knows the engines and their work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import ipyparallel
import zmq

ANSWERS_WITHIN = 5.0  # seconds


@contextlib.contextmanager
def observer(path: Path) -> Iterator[ipyparallel.Client]:
    """A client to ask questions with, beside those of the users."""
    connection = path.with_name(path.name.replace("cluster-", "ipcontroller-").replace(".json", "-client.json"))
    # In a context of its own: no socket may be left that knocks for ever at the ports of a controller that has died.
    context, clients = zmq.Context(), []

    def leave():
        for client in clients:
            client.close(linger=0)
        context.destroy(linger=0)

    try:
        clients.append(ipyparallel.Client(str(connection), timeout=10, context=context))
        yield clients[0]
    finally:
        # Beside: where the controller has just died, the end of a client may wait for ever.
        threading.Thread(target=leave, name="observer leaves", daemon=True).start()


def queues(path: Path) -> dict[int, int]:
    """What `tasks` says, asked by a client of its own."""
    with observer(path) as client:
        return tasks(client)


def tasks(client: ipyparallel.Client, ids: Sequence[int] | None = None) -> dict[int, int]:
    """Tasks waiting or running on engines, by their ids, as the controller knows them; by default on all live ones.

    Raises:
        IndexError: if one of the given engines has gone.
        TimeoutError: if the controller does not answer.
    """
    if gone := sorted(set(ids or ()) - set(client.ids)):
        raise IndexError(f"Engines {', '.join(map(str, gone))} have gone.")
    # As `client.queue_status` asks, which would wait for ever if the controller has just died.
    content = {"targets": None if ids is None else list(ids), "verbose": False}
    asked = client._send(client._query_stream, "queue_request", content=content)
    asked.wait(ANSWERS_WITHIN)
    if not asked.done():
        raise TimeoutError("The controller of the engines does not answer: see `%ipcluster logs`.")
    answer = asked.result()["content"]
    if answer.pop("status") != "ok":
        raise client._unwrap_exception(answer)
    answer = ipyparallel.util.int_keys(answer)
    if ids is None:
        ids = sorted(set(client.ids) & set(answer))  # engines may come and go meanwhile
    return {number: answer[number]["queue"] + answer[number]["tasks"] for number in ids}
