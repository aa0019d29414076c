"""The thread of a search in the notebook: it proposes trials, sends them to free engines, and follows them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from calolab.cluster import calls, states, time_limits
from calolab.cluster.answers import HubAnswer, OwnAnswer
from calolab.cluster.engines import Engines
from calolab.distributed.meeting import arrange_meetings
from calolab.search import worker
from calolab.search.attempts import Attempt, Ending
from calolab.search.engines import SearchEngines
from calolab.search.proposals import Proposer
from calolab.search.store import TrialPlan, TrialStore
from calolab.search.trials import ENDED, Trial


class SearchDriver:
    """Proposes, starts, follows and ends the trials of a search.

    Its thread ends with the search's last trial; a restart or promotion starts it again.

    Args:
        store: store of the search, locked by this process.
        engines: engines of the cluster.
        proposer: proposer of parameters.
        shipment: the file with the search's code and data.

    Attributes:
        note: further information, such as that there are not enough engines.
    """

    def __init__(self, store: TrialStore, engines: Engines, proposer: Proposer, shipment: Path):
        self.store, self.engines, self.note = store, engines, ""
        self._proposer = proposer
        self._pool = SearchEngines(engines, store.settings["token"], store.folder, shipment)
        self._attempts: dict[int, Attempt] = {}
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._gate = threading.Lock()  # held while the thread ends or starts
        self._thread: threading.Thread | None = None
        self._looked_at = time.monotonic()
        self._suspended = False  # whether no more trials start, though some are left
        self._cut_off = False  # whether the controller has died, so that running trials cannot be followed

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread  # another thread may set it to None
        return thread is not None and thread.is_alive()

    def start(self) -> None:
        """Start, or continue the trials of an earlier kernel."""
        for trial in self.store.trials:
            if trial.status in ("running", "stopping"):
                plan = self.store.plans[trial.number]
                answers = [HubAnswer(self.engines.client, one) for one in plan.messages]
                self._attempts[trial.number] = self._attempt(trial, plan.sent, answers, shared=True)
                if trial.status == "stopping":
                    self._attempts[trial.number].end("stopped")
                self._pool.take(trial.engines)
        self._do(lambda: None)

    def stop(self, number: int | None) -> None:
        """Stop a trial, or the whole search."""
        if number is None:
            self.store.remember(stopped=True)
            for trial in self.store.trials:
                if trial.status not in ENDED:
                    self.stop(trial.number)
            self._wake.set()
            return
        with self.store.lock:
            trial = self.store.get(number)
            if trial.status == "queued":
                self.store.put(replace(trial, status="stopped", ended=time.time()))
            elif trial.status == "running":
                self.store.put(replace(trial, status="stopping"))
        self._do(lambda: self._end(number, "stopped"))

    def restart(self, number: int) -> None:
        """Run a trial again from scratch."""
        with self.store.lock:
            trial, plan = self.store.get(number), self.store.plans[number]
            plan.losses, plan.resume = 0, False
            is_running = trial.status in ("running", "stopping")
            self.store.put(replace(trial, status="stopping" if is_running else "queued", error=""))
        self._do(lambda: self._end(number, "restart") if is_running else None)

    def promote(self, number: int, epochs: int) -> None:
        """Continue a trial to a larger number of epochs.

        Args:
            number: number of the trial.
            epochs: its new total number of epochs.
        """
        with self.store.lock:
            trial, plan = self.store.get(number), self.store.plans[number]
            if epochs <= len(trial.epochs):
                raise ValueError(
                    f"Trial {number} already has {len(trial.epochs)} epochs: promote it to more, received {epochs}."
                )
            plan.losses, plan.resume, plan.first, plan.epochs = 0, True, True, epochs
            self.store.put(replace(trial, status="queued", error="") if trial.status in ENDED else trial)
        # A trial that is being stopped starts again at its end; one that runs is continued when it ends.
        self._do(lambda: self._end(number, "restart") if trial.status == "stopping" else None)

    def suspend(self) -> None:
        """Stop running trials after their current pass and return them to the queue; start no more."""
        self._suspended = True

        def put_back():
            for attempt in self._attempts.values():
                if not attempt.reason:
                    attempt.end("suspended")

        if self.running:
            self._do(put_back)
        deadline = time.monotonic() + time_limits.SUSPEND_WITHIN
        while self.running and time.monotonic() < deadline:
            time.sleep(0.05)

    def _do(self, command: Callable[[], None]) -> None:
        """Execute a command in the thread; start the thread if it has ended."""
        with self._gate:
            self._commands.put(command)
            if not self.running:
                self.store.hold()
                self._thread = threading.Thread(target=self._run, name="search", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        failing_since, self._cut_off = None, False
        while True:
            self._wake.wait(time_limits.TRIALS_CHECK_EVERY)
            self._wake.clear()
            lost = ""
            try:
                while not self._commands.empty():
                    self._commands.get()()
                self._follow()
                self._pool.tend()
                self._assign()
                lost, failing_since = self._obstacle(), None
            except Exception as error:  # an engine may just have died; an error that persists ends the search
                failing_since = failing_since or time.monotonic()
                if time.monotonic() > failing_since + time_limits.SEARCH_RETRIES_FOR:
                    lost = self._obstacle() or f"it ended with {type(error).__name__}: {error}"
            with self._gate:
                if lost:
                    self._give_up(lost)
                if lost or self._complete():
                    self.store.release()
                    self._thread = None
                    return

    def _complete(self) -> bool:
        settings = self.store.settings
        if self._attempts or not self._commands.empty():
            return False
        if self._suspended:
            return True
        if self._next_queued() is not None:
            return False
        return settings["stopped"] or len(self.store.trials) >= settings["trials"]

    def _obstacle(self) -> str:
        """Why the search cannot continue; empty if it can."""
        now = time.monotonic()
        if now > self._looked_at + time_limits.CONTROLLER_CHECK_EVERY:
            self._looked_at = now
            if states.controller_died(self.engines.name):
                self._cut_off = True
                return (
                    f"the cluster {self.engines.name!r} has stopped, or its controller has died: start engines again, "
                    f"then search.reattach({str(self.store.folder)!r}, engines)"
                )
        unfit = self._pool.unfit
        if unfit and not self._attempts and set(unfit) >= set(self._pool.alive):
            return "; ".join(unfit.values())
        return ""

    def _give_up(self, reason: str) -> None:
        """End the search in a state that can be reattached."""
        self.note = reason
        if self._cut_off:
            for attempt in self._attempts.values():
                self._read(attempt, None)
                with self.store.lock:
                    self.store.plans[attempt.number].resume = True
                    self.store.put(replace(self.store.get(attempt.number), status="queued"))
        self._attempts.clear()

    def _end(self, number: int, reason: str) -> None:
        if number in self._attempts:
            self._attempts[number].end(reason)

    def _follow(self) -> None:
        """Read what the running trials have written, and close those that have ended."""
        for number, attempt in list(self._attempts.items()):
            ending = attempt.ending()  # before its file is read, so that nothing is missed
            self._read(attempt, ending)
            if ending is not None:
                del self._attempts[number]
                self._close(attempt, ending)

    def _read(self, attempt: Attempt, ending: Ending | None) -> None:
        log, metric = self.store.logs[attempt.number], self.store.settings["metric"]
        if not attempt.shared:
            published = attempt.call.answers[0].published
            while f"line {attempt.lines}" in published:
                log.append(published[f"line {attempt.lines}"])
                attempt.lines += 1
        for line in ending.lines[attempt.lines :] if ending else ():
            log.append(line)
        if not log.read():
            return
        self.store.take_in(attempt.number)
        for epoch in log.records():
            if metric in epoch and self._proposer.should_prune(attempt.number, epoch["epoch"], epoch[metric]):
                attempt.end("pruned")

    def _close(self, attempt: Attempt, ending: Ending) -> None:
        """Record how an attempt ended; return the trial to the queue if it should run again."""
        self._pool.give_back([one for one in attempt.call.ids if one not in ending.replace], attempt.call.signals)
        if ending.replace:
            self._pool.replace(ending.replace)
        if ending.status == "new":
            self._pool.forget(attempt.call.ids)
        number, plan = attempt.number, self.store.plans[attempt.number]
        with self.store.lock:
            trial, log = self.store.get(number), self.store.logs[number]
            status, error = ending.status, ending.error
            if status == "lost" and log.end is not None and log.attempt == trial.attempts:
                status, error = log.end["status"], log.end["error"]  # it ended before its engine died
                if log.end["exhausted"]:
                    self._pool.replace(attempt.call.ids)
            if attempt.reason == "restart" or status == "new":
                status, error = "queued", ""
            elif attempt.reason == "suspended" and status in ("lost", "stopped"):
                plan.resume, status, error = True, "queued", ""
            elif attempt.reason and status in ("lost", "stopped"):
                status = attempt.reason
            elif status == "lost":
                plan.losses, plan.resume = plan.losses + 1, True
                status = "queued" if plan.losses <= self.store.settings["retries"] else "failed"
                error = f"Attempt {trial.attempts}: {error}{'' if status == 'queued' else ' No retry is left.'}"
            elif status == "finished":
                error = trial.error  # of an earlier attempt
                if plan.epochs > attempt.epochs:  # promoted while it ran
                    status = "queued"
            plan.messages = []
            ended = None if status == "queued" else time.time()
            self.store.put(replace(trial, status=status, error=error, ended=ended))
            trial = self.store.get(number)
        if trial.status in ENDED:
            self._proposer.add_ended(trial)
        attempt.call.forget()

    def _assign(self) -> None:
        """Start trials on free engines; `note` says why none can start."""
        settings, ranks = self.store.settings, self.store.settings["ranks"]
        self.note = "" if self._attempts else self._shortage(ranks)
        more = not settings["stopped"] and len(self.store.trials) < settings["trials"]
        if self._suspended or (not more and self._next_queued() is None):
            return
        free = self._pool.free()
        while len(free) >= ranks:
            trial = self._next_queued() or self._propose()
            if trial is None:
                return
            self._begin(trial, free[:ranks])
            free = free[ranks:]

    def _shortage(self, ranks: int) -> str:
        """Why there are not enough engines for a trial; empty if there are enough."""
        alive, occupied = set(self._pool.alive) - set(self._pool.unfit), self._pool.occupied
        if len(alive) < ranks:
            return f"a trial needs {ranks} engines, {len(alive)} are available: `%ipcluster scale` or `restart`"
        if len(alive) - len(occupied) < ranks:
            busy = ", ".join(map(str, occupied))
            return (
                f"a trial needs {ranks} engines; busy with other work: {busy}. Wait, stop_dask(engines), or `restart`"
            )
        return ""

    def _next_queued(self) -> Trial | None:
        queued = [trial for trial in self.store.trials if trial.status == "queued"]
        return min(queued, key=lambda trial: (not self.store.plans[trial.number].first, trial.number), default=None)

    def _propose(self) -> Trial | None:
        settings, number = self.store.settings, len(self.store.trials)
        if settings["stopped"] or number >= settings["trials"]:
            return None
        trial = Trial(number, "queued", self._proposer.propose(number))
        self.store.put(trial, TrialPlan(settings["epochs"]))
        return trial

    def _begin(self, trial: Trial, ids: list[int]) -> None:
        """Send a trial to its engines."""
        settings, plan = self.store.settings, self.store.plans[trial.number]
        try:
            facts = [self._pool.facts[one] for one in ids]
            meetings = arrange_meetings(self.engines, ids, facts)[0]
        except calls.CallFailed:  # an engine that has just died: the trial is tried again
            raise
        except RuntimeError as error:
            self.store.put(replace(trial, status="failed", error=str(error), ended=time.time()))
            return
        task = worker.TrialTask(
            token=settings["token"],
            number=trial.number,
            parameters=dict(trial.parameters),
            epochs=plan.epochs,
            attempt=trial.attempts + 1,
            resume=plan.resume,
            folder=str(self.store.folder.absolute()),
            seed=settings["seed"],
            metric=settings["metric"],
            direction=settings["direction"],
            memory=settings["memory"],
            publish=not self._pool.shared[ids[0]],
        )
        arguments = [(replace(task, meeting=meeting),) for meeting in meetings]
        answers = calls.send(self.engines.client, ids, worker.run_trial, arguments, self._wake.set)
        plan.messages, plan.sent, plan.first = [answer.message for answer in answers], plan.epochs, False
        with self.store.lock:
            before = self.store.get(trial.number)
            running = replace(before, status="running", engines=tuple(ids), attempts=before.attempts + 1)
            trial = replace(running, started=time.time(), ended=None)
            self.store.put(trial)
        self._attempts[trial.number] = attempt = self._attempt(trial, plan.epochs, answers, shared=not task.publish)
        self._pool.take(ids)
        if before.status == "stopped":  # meanwhile
            attempt.end("stopped")

    def _attempt(self, trial: Trial, epochs: int, answers: Sequence[OwnAnswer | HubAnswer], shared: bool) -> Attempt:
        """The record of an attempt whose answers are pending."""
        limit = time_limits.REPLACE_AFTER
        call = calls.Call(self.engines.client, trial.engines, answers, limit, end_together=True)
        return Attempt(trial.number, epochs, call, shared)
