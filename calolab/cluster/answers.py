"""Pending answers of single engines: to calls that this process has sent, or that another process has sent."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipyparallel
from ipyparallel.error import RemoteError

from calolab.cluster import time_limits


class OwnAnswer:
    """The answer to a call that this process has sent.

    Args:
        result: result of `apply_async` on one engine.
        wake: called when the answer arrives, in a thread of the client.
    """

    own = True

    def __init__(self, result: ipyparallel.AsyncResult, wake: Callable[[], None] | None = None):
        self._result, self.message = result, result.msg_ids[0]
        if wake is not None:
            result.add_done_callback(lambda _: wake())

    def ready(self) -> bool:
        """Whether the answer has arrived."""
        return self._result.ready()

    def wait(self, seconds: float) -> None:
        """Wait at most this number of seconds for the answer."""
        self._result.wait(seconds)

    def get(self) -> object:
        """The result of the function, once `ready`; raises `RemoteError` if it failed or its engine died."""
        return self._result.get(timeout=0)

    @property
    def published(self) -> dict:
        """The values that the engine has published during the call so far, by key."""
        return dict(self._result.metadata["data"])


class HubAnswer:
    """The answer to a call that another process has sent; the hub keeps it.

    Args:
        client: client of the cluster.
        message: id of the call's message.
    """

    own = False
    published: dict = {}  # it was sent to the other process

    def __init__(self, client: ipyparallel.Client, message: str):
        self._client, self.message, self._asked_at, self._result = client, message, 0.0, None

    def ready(self) -> bool:
        """Whether the answer has arrived, or never will."""
        if self._result is None and time.monotonic() > self._asked_at + time_limits.ASK_HUB_EVERY:
            self._asked_at = time.monotonic()
            try:
                if not self._client.result_status([self.message], status_only=True)["pending"]:
                    self._result = self._client.get_result(self.message, block=False)
                    self._result.wait(0)
            except RemoteError as error:  # the call's own error, or that of a hub that does not have this message
                self._result = error
        return self._result is not None

    def get(self) -> object:
        """The result of the function, once `ready`; raises `RemoteError` like `OwnAnswer.get`."""
        if isinstance(self._result, Exception):
            raise self._result
        return self._result.get(timeout=0)
