"""The engines of a search: which have its code and data, which are free, how to signal them and to replace one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from ipyparallel.error import RemoteError

from calolab.cluster import hub, time_limits
from calolab.cluster.engines import Engines, replace
from calolab.distributed import meeting
from calolab.distributed.meeting import EngineFacts
from calolab.search import worker

_log = logging.getLogger(__name__)


class SearchEngines:
    """Engines on their way from new to ready, and in and out of work.

    Args:
        engines: of the cluster.
        token: of the search.
        folder: of the search.
        shipment: the file with the search's code and data.

    Attributes:
        facts: what each ready engine is, by id.
        shared: whether a ready engine sees the folder, by id.
        unfit: why an engine cannot take part, by id.
    """

    def __init__(self, engines: Engines, token: str, folder: Path, shipment: Path):
        self.engines = engines
        self.facts: dict[int, EngineFacts] = {}
        self.shared: dict[int, bool] = {}
        self.unfit: dict[int, str] = {}
        self._token, self._folder, self._shipment = token, folder.absolute(), shipment
        self._asked: dict[int, tuple] = {}  # what new engines have been asked, and when: facts, and what they hold
        self._shipped: dict[int, object] = {}  # answers to the shipment
        self._working: set[int] = set()
        self._cooling: dict[int, tuple[float, list]] = {}  # signals that engines may still receive
        self._replacing: set[int] = set()
        self._looked_at = 0.0
        self._lent: set[int] = set()  # ready engines that worked for others at the last look

    @property
    def alive(self) -> tuple[int, ...]:
        """Ids of the engines that are there."""
        return tuple(number for number in self.engines.ids if number not in self._replacing)

    @property
    def occupied(self) -> tuple[int, ...]:
        """Ids of the engines that work for others."""
        long_ago = time.monotonic() - time_limits.NEW_ENGINE_ANSWERS_WITHIN
        asked = {number for number, (*_, since) in self._asked.items() if since < long_ago}
        silent = asked - set(self._shipped)  # code and data on their way may take longer
        return tuple(sorted((silent | self._lent) & set(self.alive)))

    def tend(self) -> None:
        """Bring new engines a step further: ask what they are, send code and data to those that lack them."""
        alive = set(self.alive)
        for known in (self.facts, self.shared, self.unfit, self._asked, self._shipped, self._cooling):
            for gone in set(known) - alive:
                del known[gone]
        for number in alive - set(self.facts) - set(self.unfit) - set(self._asked) - self._working:
            view = self.engines.client[number]
            self._asked[number] = (
                view.apply_async(meeting.describe, self.engines.address),
                view.apply_async(worker.holds, self._token, str(self._folder), self._shipment.name),
                time.monotonic(),
            )
        for number, (*answers, _) in list(self._asked.items()):
            try:
                self._go_on(number, *answers)
            except RemoteError as error:
                self.unfit[number] = f"engine {number} cannot take part: {error.ename}: {error.evalue}"
                del self._asked[number]
        for number, (deadline, signals) in list(self._cooling.items()):
            if all(signal.done() for signal in signals) or time.monotonic() > deadline:
                del self._cooling[number]

    def _go_on(self, number: int, facts, holding) -> None:
        if not (facts.ready() and holding.ready()):
            return
        held, sees = holding.get()
        if not held and number not in self._shipped:
            # As a plain array it is sent without a copy.
            shipment = np.fromfile(self._shipment, dtype=np.uint8)
            view = self.engines.client[number]
            self._shipped[number] = view.apply_async(worker.receive, self._token, shipment)
        if held or self._shipped[number].ready():
            if not held:
                answer = self._shipped.pop(number)
                answer.get()
                self.engines.client.purge_hub_results(answer.msg_ids)  # the hub keeps what was sent
            self.facts[number], self.shared[number] = facts.get(), sees
            del self._asked[number]

    def free(self) -> list[int]:
        """The engines that could begin a trial now."""
        idle = [number for number in self.alive if number in self.facts]
        idle = [number for number in idle if number not in self._working and number not in self._cooling]
        if not idle or time.monotonic() < self._looked_at + time_limits.FREE_ENGINES_CHECK_EVERY:
            return []
        self._looked_at = time.monotonic()
        # Others may use the same engines, another search too: their work must neither wait for ours nor get our stop.
        tasks = hub.tasks(self.engines.client, idle)
        self._lent = {number for number in idle if tasks[number]}
        return [number for number in idle if not tasks[number]]

    def take(self, ids: Iterable[int]) -> None:
        """These engines work now."""
        self._working |= set(ids)

    def give_back(self, ids: Sequence[int], signals: Sequence = ()) -> None:
        """These engines have done their work; signals that were sent to them must not reach their next."""
        self._working -= set(ids)
        if signals:
            deadline = time.monotonic() + time_limits.SIGNALS_ARRIVE_WITHIN
            self._cooling |= {number: (deadline, list(signals)) for number in ids}

    def forget(self, ids: Iterable[int]) -> None:
        """These engines are others than we thought: ask them again."""
        for number in ids:
            self.facts.pop(number, None)

    def replace(self, ids: Iterable[int]) -> None:
        """Kill engines, or what is left of them, and start as many anew, meanwhile without holding anybody up."""
        ids = sorted(ids)
        self._replacing |= set(ids)
        self._working -= set(ids)
        threading.Thread(target=self._replace, args=(ids,), daemon=True).start()

    def _replace(self, ids: list[int]) -> None:
        try:
            replace(self.engines, ids)
        except Exception as error:  # whatever it was, the search goes on with the engines left
            _log.warning("Engines %s were not replaced: %s", ids, error)
        finally:
            self._replacing -= set(ids)
            self.forget(ids)  # MPI gives new engines the ids of the old ones
