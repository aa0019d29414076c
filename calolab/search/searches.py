"""Hyper-parameter search: trials proposed one by one, run on engines, stopped, restarted and promoted at will."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from calolab.cluster.engines import Engines
from calolab.distributed import shipment
from calolab.files import complete
from calolab.interrupts import Stopped, in_script, stopping
from calolab.names import check_name
from calolab.search import worker
from calolab.search.driver import SearchDriver
from calolab.search.proposals import METHODS, PRUNERS, Proposer
from calolab.search.space import check_space, from_dict, to_dict
from calolab.search.store import TrialStore
from calolab.search.table import SearchTable, best_first, make_table
from calolab.search.trials import ENDED, Trial, trial_folder

REMEDY = "Free some space, or search in a folder= on another disk."

_at_work: dict[Path, Search] = {}  # the searches of this process, by their folders


def start(
    engines: Engines,
    train: Callable,
    space: Mapping,
    *,
    folder: str | os.PathLike,
    data=None,
    trials: int = 20,
    epochs: int = 10,
    method: str = "tpe",
    pruner: str | None = None,
    metric: str = "ks_comb",
    direction: str = "minimize",
    ranks: int = 1,
    retries: int = 1,
    memory: int | None = None,
    seed: int = 0,
) -> Search:
    """Search for the best parameters of a training; returns at once.

    `train(trial)` runs on an engine with a `TrialContext`: it builds its networks out of `trial.parameters` and calls
    `trial.fit(gan, physics_score=...)`, or reports by itself with `trial.report(epoch, **metrics)`.

    Every epoch is appended by the engine to `trials/0007.jsonl` in the folder; the notebook alone writes
    `search.sqlite`. Where engines do not see the folder, they send the same lines, and keep their checkpoints there.
    While the notebook's kernel is busy, running trials go on and the next ones are proposed, as long as other threads
    get their turn. When the kernel ends, running trials go on to their end, and
    `reattach_search` goes on from there.

    Args:
        engines: from `cluster.start`, `%ipcluster start` or `cluster.running`.
        train: the function, which may be one of the notebook; it is sent to the engines with all that it refers to.
        space: `Real`, `Integer` or `Choice` by the name of the parameter.
        folder: where everything is kept; of a new search. Whoever may write there can run code here.
        data: what `trial.data` shall be: a `Sample`, an `EventStream`, a dictionary of them; sent to every engine once.
        trials: how many in all.
        epochs: of each trial; `Search.promote` gives one more.
        method: "tpe" (tree-structured Parzen estimator), which draws the first ten at random and then learns from the
            trials that have ended, or "random", whose parameters depend on the seed and the trial's number alone.
        pruner: None, "median" or "halving": which trials end early because others were better by then.
        metric: the number that decides, a score or a loss.
        direction: "minimize" or "maximize".
        ranks: engines that train one trial together.
        retries: how often a trial is tried again whose engine has died; it goes on from its last checkpoint.
        memory: bytes that an engine may take for a trial; one that takes more fails, and its engine is replaced.
        seed: of the proposals, and of `trial.fit`.

    Raises:
        ValueError: for an unknown option, a space or a number that makes no sense, or a folder with another search.
        TypeError: if the function cannot be sent to the engines, or the space holds something else.
        RuntimeError: if another notebook works in this folder.
    """
    space = check_space(space)
    check_name("method", method, METHODS)
    check_name("direction", direction, ("minimize", "maximize"))
    if pruner not in PRUNERS:
        raise ValueError(f"pruner expects one of {', '.join(map(repr, PRUNERS))}, received {pruner!r}.")
    for name, number in {"trials": trials, "epochs": epochs, "ranks": ranks}.items():
        if number < 1:
            raise ValueError(f"{name} expects a number above 0, received {number}.")
    if retries < 0 or (memory is not None and memory <= 0):
        raise ValueError(f"retries expects 0 or more and memory bytes, received {retries} and {memory}.")
    if ranks > len(engines):
        raise ValueError(f"ranks expects 1 to {len(engines)}, the engines that are alive; received {ranks}.")
    if not callable(train):
        raise TypeError(f"A search expects a function of a trial, received {type(train).__name__}.")
    sent = shipment.pack((train, data), worker.SHIPPED)
    settings = {
        "token": secrets.token_hex(8),
        "space": to_dict(space),
        "trials": trials,
        "epochs": epochs,
        "method": method,
        "pruner": pruner,
        "metric": metric,
        "direction": direction,
        "ranks": ranks,
        "retries": retries,
        "memory": memory,
        "seed": seed,
        "stopped": False,
    }
    store = TrialStore(folder, settings)
    path = _shipment(store)
    try:
        with complete(path, sent.nbytes, remedy=REMEDY) as partial:
            partial.write_bytes(sent.tobytes())
    except BaseException:
        store.discard()
        raise
    return _begin(store, engines)


def reattach(folder: str | os.PathLike, engines: Engines | None = None) -> Search:
    """A search that an earlier notebook has begun: its whole history, and with engines the rest of it.

    Trials that ran meanwhile are followed again. Reattach only to folders that you trust: code is kept there.

    Args:
        folder: of the search.
        engines: of the same cluster, or of another one; None only to look.

    Raises:
        ValueError: if there is no search in the folder.
        RuntimeError: if another notebook works on it.
    """
    if engines is None:
        return Search(TrialStore(folder, writing=False))
    known = _at_work.get(Path(folder).absolute())
    if known is not None and known.status in ("running", "stopping"):
        return known
    return _begin(TrialStore(folder), engines)


def known() -> list[Search]:
    """The searches of this process, the newest last."""
    return list(_at_work.values())


def _begin(store: TrialStore, engines: Engines) -> Search:
    """Let a search run on engines."""
    settings = store.settings
    options = {name: settings[name] for name in ("method", "pruner", "metric", "direction", "seed")}
    proposer = Proposer(from_dict(settings["space"]), **options, known=store.trials)
    driver = SearchDriver(store, engines, proposer, _shipment(store))
    driver.start()
    folder = store.folder.absolute()
    _at_work.pop(folder, None)  # so that this is the newest
    _at_work[folder] = Search(store, driver)
    return _at_work[folder]


def _shipment(store: TrialStore) -> Path:
    """The file with the code and the data of a search."""
    return store.folder / f"shipment-{store.settings['token']}.pickle"


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
        if self._store.settings["stopped"] and all(trial.status == "stopping" for trial in left):
            return "stopping" if at_work and left else "stopped"
        if at_work:
            return "running"
        complete = len(self.trials) >= self.asked and not left
        return "finished" if complete else "interrupted"

    @property
    def note(self) -> str:
        """What there is to know besides, such as that there are no engines to go on with."""
        return self._driver.note if self._driver is not None else "history only: it has no engines"

    @property
    def asked(self) -> int:
        """Number of trials asked for; they are proposed one by one."""
        return self._store.settings["trials"]

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
        return from_dict(self._store.settings["space"])

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
        """Wait for the end and return the best trial.

        In a notebook Ctrl-C ends the waiting, not the search; in a script running trials stop after their pass and go
        back into the queue, and `reattach_search` goes on with them.

        Raises:
            TimeoutError: if it still runs after so many seconds.
            RuntimeError: if it cannot go on, with the reason.
        """
        try:
            with stopping("the waiting", "the search goes on: search.wait() waits again, search.stop() stops it"):
                self._until_ended(timeout)
        except Stopped as stopped:
            if not in_script():
                raise
            ended = sum(trial.status in ENDED for trial in self.trials)
            kept = f"all trials in {self.folder}: reattach_search continues"
            with stopping("the search", kept):
                self._working().suspend()
            done = f"the search after {ended} of {self._store.settings['trials']} trials"
            raise Stopped(done, kept, stopped.number) from None
        if self.status == "interrupted":
            raise RuntimeError(f"The search has not come to its end: {self.note}.")
        return self.best

    def _until_ended(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status in ("running", "stopping"):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The search still runs after {timeout:g} s: {self!r}. It goes on; wait again.")
            time.sleep(0.05)

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
        return f"Search({self.status}, {self.asked} trials: {told}{found}{note})"

    def _repr_html_(self):
        return f"<code>{escape(repr(self))}</code>{self.table()._repr_html_() if self.best else ''}"
