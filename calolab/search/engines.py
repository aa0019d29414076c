"""The engines of a search: which have its code and data, which are free, and replacing those that do not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from ipyparallel.error import RemoteError

from calolab.cluster import calls, hub, time_limits
from calolab.cluster.answers import OwnAnswer
from calolab.cluster.engines import Engines, replace
from calolab.distributed import meeting
from calolab.distributed.meeting import EngineFacts
from calolab.search import worker

_log = logging.getLogger(__name__)


class SearchEngines:
    """Prepares new engines for a search, and keeps track of which ones are free.

    Args:
        engines: engines of the cluster.
        token: token of the search.
        folder: folder of the search.
        shipment: the file with the search's code and data.

    Attributes:
        facts: properties of each ready engine, by id.
        shared: whether a ready engine sees the folder, by id.
        unfit: why an engine cannot take part, by id.
    """

    def __init__(self, engines: Engines, token: str, folder: Path, shipment: Path):
        self.engines = engines
        self.facts: dict[int, EngineFacts] = {}
        self.shared: dict[int, bool] = {}
        self.unfit: dict[int, str] = {}
        self._token, self._folder, self._shipment = token, folder.absolute(), shipment
        self._asked: dict[int, tuple] = {}  # of new engines: pending facts, pending contents, time
        self._shipped: dict[int, OwnAnswer] = {}  # pending answers of engines that receive code and data
        self._working: set[int] = set()
        self._signalled: dict[int, tuple[float, list]] = {}  # signals that may still arrive, and until when
        self._replacing: set[int] = set()
        self._checked_at = 0.0
        self._elsewhere: set[int] = set()  # ready engines with other work at the last check

    @property
    def alive(self) -> tuple[int, ...]:
        """Ids of the live engines that are not being replaced."""
        return tuple(number for number in self.engines.ids if number not in self._replacing)

    @property
    def occupied(self) -> tuple[int, ...]:
        """Ids of the engines that execute other work."""
        long_ago = time.monotonic() - time_limits.NEW_ENGINE_ANSWERS_WITHIN
        asked = {number for number, (*_, since) in self._asked.items() if since < long_ago}
        silent = asked - set(self._shipped)  # receiving code and data may take longer
        return tuple(sorted((silent | self._elsewhere) & set(self.alive)))

    def tend(self) -> None:
        """Take the next step with new engines: ask for their properties, send code and data to those without."""
        alive = set(self.alive)
        for known in (self.facts, self.shared, self.unfit, self._asked, self._shipped, self._signalled):
            for gone in set(known) - alive:
                del known[gone]
        for number in alive - set(self.facts) - set(self.unfit) - set(self._asked) - self._working:
            facts = self._send(number, meeting.describe, self.engines.address)
            holding = self._send(number, worker.holds, self._token, str(self._folder), self._shipment.name)
            self._asked[number] = (facts, holding, time.monotonic())
        for number, (*answers, _) in list(self._asked.items()):
            try:
                self._prepare(number, *answers)
            except RemoteError as error:
                self.unfit[number] = f"engine {number} cannot take part: {error.ename}: {error.evalue}"
                del self._asked[number]
        for number, (deadline, signals) in list(self._signalled.items()):
            if all(signal.done() for signal in signals) or time.monotonic() > deadline:
                del self._signalled[number]

    def _send(self, number: int, function: Callable, *arguments: object) -> OwnAnswer:
        """Call a function on one engine; returns the pending answer."""
        (answer,) = calls.send(self.engines.client, [number], function, [arguments])
        return answer

    def _prepare(self, number: int, facts: OwnAnswer, holding: OwnAnswer) -> None:
        if not (facts.ready() and holding.ready()):
            return
        held, sees = holding.get()
        if not held and number not in self._shipped:
            # As a plain array it is sent without a copy.
            shipment = np.fromfile(self._shipment, dtype=np.uint8)
            self._shipped[number] = self._send(number, worker.receive, self._token, shipment)
        if held or self._shipped[number].ready():
            if not held:
                answer = self._shipped.pop(number)
                answer.get()
                calls.forget(self.engines.client, [answer])
            self.facts[number], self.shared[number] = facts.get(), sees
            del self._asked[number]

    def free(self) -> list[int]:
        """The engines that could start a trial now."""
        idle = [number for number in self.alive if number in self.facts]
        idle = [number for number in idle if number not in self._working and number not in self._signalled]
        if not idle or time.monotonic() < self._checked_at + time_limits.FREE_ENGINES_CHECK_EVERY:
            return []
        self._checked_at = time.monotonic()
        # Others may use the same engines: their work must neither wait for a trial nor receive its stop request.
        tasks = hub.tasks(self.engines.client, idle)
        self._elsewhere = {number for number in idle if tasks[number]}
        return [number for number in idle if not tasks[number]]

    def take(self, ids: Iterable[int]) -> None:
        """Mark engines as working."""
        self._working |= set(ids)

    def give_back(self, ids: Sequence[int], signals: Sequence = ()) -> None:
        """Mark engines as free, once pending signals have arrived: they must not reach the next trial.

        Args:
            ids: ids of the engines.
            signals: pending signals to these engines.
        """
        self._working -= set(ids)
        if signals:
            deadline = time.monotonic() + time_limits.SIGNALS_ARRIVE_WITHIN
            self._signalled |= {number: (deadline, list(signals)) for number in ids}

    def forget(self, ids: Iterable[int]) -> None:
        """Ask these engines again for their properties, and send the search's code and data where they are missing."""
        for number in ids:
            self.facts.pop(number, None)

    def replace(self, ids: Iterable[int]) -> None:
        """Kill engines and start as many new ones (`cluster.replace`), in a thread."""
        ids = sorted(ids)
        self._replacing |= set(ids)
        self._working -= set(ids)
        threading.Thread(target=self._replace, args=(ids,), daemon=True).start()

    def _replace(self, ids: list[int]) -> None:
        try:
            replace(self.engines, ids)
        except Exception as error:  # the search continues with the remaining engines
            _log.warning("Engines %s were not replaced: %s", ids, error)
        finally:
            self._replacing -= set(ids)
