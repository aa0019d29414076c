"""Hyper-parameter search: trials are proposed one by one, and can be stopped, restarted and promoted."""

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
from calolab.search.table import best_first, make_table
from calolab.search.trials import ENDED, Trial, trial_folder
from calolab.tables import Table

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
    """Search for the best parameters of a training; returns immediately.

    `train(trial)` runs on an engine with a `TrialContext`. It builds networks from `trial.parameters` and calls
    `trial.fit(gan, physics_score=...)`, or reports metrics with `trial.report(epoch, **metrics)`.

    The engine appends every epoch to a file such as `trials/0007.jsonl` in the folder; only the notebook writes
    `search.sqlite`. Engines that do not see the folder send the same lines, and keep checkpoints in a folder of this
    name on their machine. A busy kernel does not delay the search, as long as its other threads can run. When the
    kernel ends, running trials continue to their end, and `search.reattach` continues the search.

    Args:
        engines: from `cluster.start`, `%ipcluster start` or `cluster.running`.
        train: the training function; it is sent to the engines with everything it refers to.
        space: `Real`, `Integer` or `Choice` by name of the parameter.
        folder: folder for all files of the new search. Anyone who can write to it can run code in this process.
        data: value of `trial.data`: a `Sample`, an `EventStream` or a dictionary of them; sent to every engine once.
        trials: total number of trials.
        epochs: epochs of each trial; `Search.promote` increases it for one trial.
        method: "tpe" (tree-structured Parzen estimator), which draws the first ten trials at random and then uses those
            that have ended, or "random", whose parameters depend only on the seed and the trial's number.
        pruner: None, "median" or "halving": how trials are chosen that are ended early because others were better.
        metric: name of the metric to optimise, a score or a loss.
        direction: "minimize" or "maximize".
        ranks: number of engines for each trial.
        retries: how often a trial is retried after the loss of an engine; it continues from its last checkpoint.
        memory: limit of an engine's resident memory [bytes]; a trial that exceeds it fails, and its engine is replaced.
        seed: seed of the proposals, and of `trial.fit`.

    Raises:
        ValueError: for an invalid option, space or number, or a folder with another search.
        TypeError: if the function cannot be sent to the engines, or the space has values of another type.
        RuntimeError: if another notebook uses this folder.
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
    """Continue a search of an earlier kernel, or, without engines, show its history.

    Trials that still run are followed again. Reattach only to folders that you trust: they contain code.

    Args:
        folder: folder of the search.
        engines: engines of the same cluster or of another one; None for the history only.

    Raises:
        ValueError: if there is no search in the folder.
        RuntimeError: if another notebook runs it.
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
    """Run a search on engines."""
    settings = store.settings
    options = {name: settings[name] for name in ("method", "pruner", "metric", "direction", "seed")}
    proposer = Proposer(from_dict(settings["space"]), **options, known=store.trials)
    driver = SearchDriver(store, engines, proposer, _shipment(store))
    driver.start()
    folder = store.folder.absolute()
    _at_work.pop(folder, None)  # so that it becomes the newest
    _at_work[folder] = Search(store, driver)
    return _at_work[folder]


def _shipment(store: TrialStore) -> Path:
    """The file with the code and the data of a search."""
    return store.folder / f"shipment-{store.settings['token']}.pickle"


class Search:
    """A search that runs on engines, or the history of one, from `search.start` or `search.reattach`.

    Args:
        store: its trials.
        driver: proposes and runs them (`SearchDriver`); None for a history.
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
            ValueError: if there is no trial of this number yet.
        """
        return self._store.get(number)

    @property
    def best(self) -> Trial | None:
        """The trial with the best value of the metric, including running ones; None before the first value."""
        return next(iter(best_first(self.trials, self.direction)), None)

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped"; "interrupted" if trials are left but nothing runs them."""
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
        """Further information, for instance that there are not enough engines."""
        return self._driver.note if self._driver is not None else "history only, without engines"

    @property
    def asked(self) -> int:
        """Total number of trials; they are proposed one by one."""
        return self._store.settings["trials"]

    @property
    def metric(self) -> str:
        """Name of the metric to optimise."""
        return self._store.settings["metric"]

    @property
    def direction(self) -> str:
        """ "minimize" or "maximize"."""
        return self._store.settings["direction"]

    @property
    def space(self) -> dict:
        """The search space, by name of the parameter."""
        return from_dict(self._store.settings["space"])

    @property
    def folder(self) -> Path:
        """The folder of the search."""
        return self._store.folder

    @property
    def engines(self) -> Engines | None:
        """The engines; None for a history."""
        return None if self._driver is None else self._driver.engines

    @property
    def version(self) -> int:
        """A number that increases with every change."""
        return self._store.version

    def stop(self, number: int | None = None) -> None:
        """Stop one trial, or, without a number, the whole search: running trials stop and no more are proposed.

        A running trial stops after its current pass; its engines keep running.

        Raises:
            ValueError: if there is no such trial.
            RuntimeError: if this is a history without engines.
        """
        self._working().stop(number)

    def restart(self, number: int) -> None:
        """Run a trial again from scratch, with the same parameters; a running trial is stopped first.

        Raises:
            ValueError: if there is no such trial.
            RuntimeError: if this is a history without engines.
        """
        self._working().restart(number)

    def promote(self, number: int, epochs: int) -> None:
        """Continue a trial from its last checkpoint to a larger total number of epochs, before all others in the queue.

        Args:
            number: number of the trial.
            epochs: its new total number of epochs.

        Raises:
            ValueError: if there is no such trial, or it already has this number of epochs.
            RuntimeError: if this is a history without engines.
        """
        self._working().promote(number, epochs)

    def gan(self, number: int):
        """The GAN of a trial with the weights of its best epoch so far.

        Raises:
            ValueError: if there is no such trial.
            FileNotFoundError: if it has not saved a GAN, or saved it where this process does not see it.
        """
        self.trial(number)
        path = trial_folder(self.folder, number) / "best.gan"
        if not path.is_file():
            raise FileNotFoundError(
                f"Trial {number} has no {path}: `trial.fit` writes it after the first epoch, on the engine's machine."
            )
        from calolab import models  # loads TensorFlow

        return models.load(path)

    def table(self, top: int = 10) -> Table:
        """The best trials with their parameters and the metrics of their best epoch."""
        return make_table(self.trials, self.metric, self.direction, top)

    def wait(self, timeout: float | None = None) -> Trial | None:
        """Wait for the end and return the best trial.

        In a notebook Ctrl-C ends the waiting, not the search. In a script running trials stop after their current pass
        and return to the queue, and `search.reattach` continues them.

        Raises:
            TimeoutError: if it still runs after `timeout` seconds.
            RuntimeError: if it cannot continue, with the reason.
        """
        try:
            with stopping("the waiting", "the search continues: search.wait() waits again, search.stop() stops it"):
                self._until_ended(timeout)
        except Stopped as stopped:
            if not in_script():
                raise
            ended = sum(trial.status in ENDED for trial in self.trials)
            kept = f"all trials in {self.folder}: search.reattach continues"
            with stopping("the search", kept):
                self._working().suspend()
            done = f"the search after {ended} of {self._store.settings['trials']} trials"
            raise Stopped(done, kept, stopped.number) from None
        if self.status == "interrupted":
            raise RuntimeError(f"The search cannot continue: {self.note}.")
        return self.best

    def _until_ended(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status in ("running", "stopping"):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The search still runs after {timeout:g} s: {self!r}. It continues; wait again.")
            time.sleep(0.05)

    def _working(self):
        if self._driver is None:
            raise RuntimeError(
                f"This is the history of a search: `search.reattach({str(self.folder)!r}, engines)` continues it."
            )
        return self._driver

    def __repr__(self):
        counts = {}
        for trial in self.trials:
            counts[trial.status] = counts.get(trial.status, 0) + 1
        listed = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none yet"
        best = self.best
        found = "" if best is None else f"; best {self.metric} {best.value:.4g} in trial {best.number}"
        note = f"; {self.note}" if self.note else ""
        return f"Search({self.status}, {self.asked} trials: {listed}{found}{note})"

    def _repr_html_(self):
        return f"<code>{escape(repr(self))}</code>{self.table()._repr_html_() if self.best else ''}"
