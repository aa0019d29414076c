"""Hyper-parameter search: trials proposed one by one, run on engines, stopped, restarted and promoted at will."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from calolab.distributed import search_space
from calolab.distributed.cluster import Engines
from calolab.distributed.search_table import SearchTable, best_first, make_table
from calolab.distributed.trial_store import TrialStore
from calolab.distributed.trials import ENDED, Trial, trial_folder


class Search:
    """A search that runs on engines, or the history of one; `search` and `reattach_search` make it.

    Args:
        store: its trials.
        driver: what proposes and runs them (`SearchDriver`); None for a history.
    """

    def __init__(self, store: TrialStore, driver=None):
        self._store, self._driver = store, driver

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far, by number."""
        return self._store.trials

    def trial(self, number: int) -> Trial:
        """One trial.

        Raises:
            ValueError: if there is none of this number yet.
        """
        return self._store.get(number)

    @property
    def best(self) -> Trial | None:
        """The trial with the best value of the metric, running ones included; None before there is one."""
        return next(iter(best_first(self.trials, self.direction)), None)

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped"; "interrupted" if nobody runs what is left of it."""
        at_work = self._driver is not None and self._driver.running
        left = [trial for trial in self.trials if trial.status not in ENDED]
        if self._store.settings["stopped"]:
            return "stopping" if at_work and left else "stopped"
        if at_work:
            return "running"
        complete = len(self.trials) >= self._store.settings["trials"] and not left
        return "finished" if complete else "interrupted"

    @property
    def note(self) -> str:
        """What there is to know besides, such as that there are no engines to go on with."""
        return self._driver.note if self._driver is not None else "history only: it has no engines"

    @property
    def metric(self) -> str:
        """Name of the number that decides."""
        return self._store.settings["metric"]

    @property
    def direction(self) -> str:
        """ "minimize" or "maximize"."""
        return self._store.settings["direction"]

    @property
    def space(self) -> dict:
        """What is varied, by name."""
        return search_space.from_dict(self._store.settings["space"])

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        return self._store.folder

    @property
    def engines(self) -> Engines | None:
        """Where it runs; None for a history."""
        return None if self._driver is None else self._driver.engines

    @property
    def version(self) -> int:
        """A number that grows with every change: cheap to ask for."""
        return self._store.version

    def stop(self, number: int | None = None) -> None:
        """Stop one trial; without a number the whole search: running trials stop, and no more are proposed.

        A running trial stops after the pass of its networks that it is in; its engines stay.

        Raises:
            ValueError: if there is no such trial.
            RuntimeError: if this is a history without engines.
        """
        self._working().stop(number)

    def restart(self, number: int) -> None:
        """Run a trial again from its beginning, with the same parameters; one that runs is stopped first.

        Raises:
            ValueError: if there is no such trial.
            RuntimeError: if this is a history without engines.
        """
        self._working().restart(number)

    def promote(self, number: int, epochs: int) -> None:
        """Let a trial go on from its last checkpoint up to so many epochs in all, before all others in the queue.

        Raises:
            ValueError: if there is no such trial, or it has had as many epochs.
            RuntimeError: if this is a history without engines.
        """
        self._working().promote(number, epochs)

    def gan(self, number: int):
        """The GAN of a trial with the weights of its best epoch so far.

        Raises:
            ValueError: if there is no such trial.
            FileNotFoundError: if it has kept no GAN, or keeps it where this process cannot see it.
        """
        self.trial(number)
        path = trial_folder(self.folder, number) / "best.gan"
        if not path.is_file():
            raise FileNotFoundError(
                f"Trial {number} has no {path}: `trial.fit` writes it after the first epoch, on the engine's side."
            )
        from calolab import models  # TensorFlow loads when a GAN is asked for

        return models.load(path)

    def table(self, top: int = 10) -> SearchTable:
        """The best trials with their parameters and all that was measured in their best epoch."""
        return make_table(self.trials, self.metric, self.direction, top)

    def wait(self, timeout: float | None = None) -> Trial | None:
        """Wait for the end and return the best trial. Ctrl-C ends the waiting, not the search.

        Raises:
            TimeoutError: if it still runs after so many seconds.
            RuntimeError: if it cannot go on, with the reason.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status in ("running", "stopping"):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The search still runs after {timeout:g} s: {self!r}. It goes on; wait again.")
            time.sleep(0.05)
        if self.status == "interrupted":
            raise RuntimeError(f"The search has not come to its end: {self.note}.")
        return self.best

    def _working(self):
        if self._driver is None:
            raise RuntimeError(
                f"This is the history of a search: `reattach_search({str(self.folder)!r}, engines)` goes on with it."
            )
        return self._driver

    def __repr__(self):
        counts = {}
        for trial in self.trials:
            counts[trial.status] = counts.get(trial.status, 0) + 1
        told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none yet"
        best = self.best
        found = "" if best is None else f"; best {self.metric} {best.value:.4g} in trial {best.number}"
        note = f"; {self.note}" if self.note else ""
        return f"Search({self.status}, {self._store.settings['trials']} trials: {told}{found}{note})"

    def _repr_html_(self):
        return f"<code>{escape(repr(self))}</code>{self.table()._repr_html_() if self.best else ''}"
