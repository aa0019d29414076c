"""A training that survives its engines: it goes on from the last checkpoint on those that are left, and grows again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from calolab.cluster import hub, launchers, states, time_limits
from calolab.cluster.engines import changing, restart
from calolab.distributed.runs import (
    TrainingFailed,
    TrainingRun,
    as_table,
    in_words,
    wait_for,
)
from calolab.training.history import ASKED_TO_PAUSE, FINAL, History, Progress

MOST_LOSSES = 3  # in one epoch: what kills engines so often will do it again


@dataclass(frozen=True)
class Interruption:
    """A break in an elastic training, after which it went on.

    Args:
        time: when it went on [s since 1970].
        lost: ids of the engines that had died, or no longer answered.
        joined: ids of those that came instead, or in addition.
        ranks_before, ranks_after: number of ranks.
        epoch: epochs done in the checkpoint from which it went on, 0 if it began anew.
    """

    time: float
    lost: tuple[int, ...]
    joined: tuple[int, ...]
    ranks_before: int
    ranks_after: int
    epoch: int

    def __str__(self):
        what = [f"lost engine{'s' * (len(self.lost) > 1)} {', '.join(map(str, self.lost))}"] if self.lost else []
        what += [f"engine{'s' * (len(self.joined) > 1)} {', '.join(map(str, self.joined))} joined"] * bool(self.joined)
        what = " and ".join(what) or "ranks lost each other"
        return f"{what}, {self.ranks_before} → {self.ranks_after} ranks after epoch {self.epoch}"


def check_elastic(ranks: int, min_ranks: int, folder: str | None) -> None:
    """Raise ValueError unless a training on so many ranks can go on when engines die."""
    if folder is None:
        raise ValueError(
            "elastic=True needs checkpoints=, a folder from which any of the engines can go on: on a file system that "
            "all share, or anywhere if all are on one machine."
        )
    if not 1 <= min_ranks <= ranks:
        raise ValueError(f"min_ranks expects 1 to {ranks}, the ranks at the start; received {min_ranks}.")


class ElasticRun:
    """A training that goes on when engines die or come; like a `TrainingRun`, with its interruptions.

    Its stretches, each on unchanging ranks, are `TrainingRun`s; a thread looks after them and starts the next one.

    Args:
        start: starts a stretch on engines, given their ids, whether to resume, and the time since the first one began.
        look: what the checkpoint says of itself, as the engine of an id sees it; None if there is none.
        ids: the engines of the first stretch.
        resume: whether that one resumes from a checkpoint.
        min_ranks, most: how few ranks go on, and how many are taken in.

    Attributes:
        interruptions: an `Interruption` for each break so far.
    """

    def __init__(
        self,
        start: Callable[[Sequence[int], bool, float], TrainingRun],
        look: Callable[[int], dict | None],
        ids: Sequence[int],
        resume: bool,
        min_ranks: int,
        most: int,
    ):
        self._start, self._look, self._min_ranks, self._most = start, look, min_ranks, most
        # Losses and epochs before the stretch, and the stretch itself.
        self._told: tuple[list[dict], list[dict], TrainingRun] = ([], [], start(ids, resume, 0.0))
        self.engines, self.gan = self._stretch.engines, self._stretch.gan
        self.interruptions: tuple[Interruption, ...] = ()
        self._begun = resume  # whether a checkpoint in the folder is of this training
        self._began = self._stretch_began = time.monotonic()
        self._stop_asked = self._paused = self._over = False
        self._failure: Exception | None = None
        self._looked_at = 0.0
        self._refused = Counter()  # how often a stretch started only without an engine
        threading.Thread(target=self._drive, name="ElasticRun", daemon=True).start()

    @property
    def _stretch(self) -> TrainingRun:
        return self._told[-1]

    @property
    def ids(self) -> tuple[int, ...]:
        """The engine of each rank, in the present stretch."""
        return self._stretch.ids

    @property
    def note(self) -> str:
        """How the ranks talk to each other, and what has happened to them."""
        return "; ".join([self._stretch.note, "elastic", *map(str, self.interruptions[-3:])])

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of all weights on each rank, once the training has ended."""
        return self._stretch.digests if self._over else ()

    @property
    def progress(self) -> list[Progress]:
        """Where each rank stands, by rank, with the time since the first stretch began; empty between stretches."""
        offset = self._stretch_began - self._began
        # A stretch is given what is left of the time limit.
        return [
            replace(now, time=now.time + offset, time_limit=now.time_limit and now.time_limit + offset)
            for now in self._stretch.progress
        ]

    @property
    def losses(self) -> list[dict]:
        """The losses of every step so far, without those that were lost with engines and done again."""
        earlier, _, stretch = self._told
        return [*earlier, *stretch.losses]

    @property
    def epochs(self) -> list[dict]:
        """What each finished epoch left, as `TrainingRun.epochs`, with the events of earlier stretches."""
        _, earlier, stretch = self._told
        told = {one["epoch"]: one for one in earlier}
        for one in stretch.epochs:
            before = told.get(one["epoch"], {})
            told[one["epoch"]] = one if one["event"] is not None else {**one, "event": before.get("event")}
        return [told[epoch] for epoch in sorted(told)]

    @property
    def example(self) -> dict:
        """The training event whose labels the generated events have, as `TrainingRun.example`."""
        return self._stretch.example

    @property
    def judged_by(self) -> str:
        """Name of the score that decides which epoch is the best; empty without a physics score."""
        return self._stretch.judged_by

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped" or "failed"; "running" also between two stretches."""
        if not self._over and self._stretch.status in FINAL and states.controller_died(self.engines.name):
            # The thread may be asking it, in vain.
            self._failure, self._over = TrainingFailed(self._stretch.words_on_controller()), True
        if self._over:
            return "failed" if self._failure is not None else self._stretch.status
        return "stopping" if self._stop_asked else "running"

    @property
    def failure(self) -> Exception | None:
        """What `wait` raises once `status` is "failed"; it leaves the GAN alone."""
        return (self._failure or self._stretch.failure) if self._over else None

    def stop(self) -> None:
        """Ask all ranks to stop after the pass they are in; `wait` then returns, with what was learnt so far."""
        if not self._over:
            self._stop_asked = True
            self._stretch.stop()

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end, put the trained weights into the GAN and return the history.

        In a notebook Ctrl-C ends the waiting, not the training; in a script it stops the training, too.

        Args:
            timeout: seconds to wait at most; for ever by default.

        Raises:
            TimeoutError: if it still runs then.
            TrainingFailed: if it could not go on, with why, and how to go on.
            TrainingDiverged, ValueError, FileNotFoundError: as `TrainingRun.wait`.
        """
        wait_for(self, timeout, bar=self._stretch.shows_progress)
        if self._failure is not None:
            raise self._failure
        return self._stretch.wait()

    def kept(self) -> str:
        """What is left of a training that was stopped, in words."""
        return self._stretch.kept()

    def _drive(self) -> None:
        """The thread: see each stretch to its end, and start the next one if there is to be one."""
        try:
            while self._see_through():
                self._go_on()
        except Exception as error:  # whoever waits must hear of it
            self._failure = error
        finally:
            self._over = True

    def _see_through(self) -> bool:
        """Follow the present stretch to its end; whether another has to follow it."""
        stretch = self._stretch
        while stretch.status not in FINAL:
            if not self._paused and self._newcomers(stretch.ids):
                self._paused = True
                stretch.pause()
            time.sleep(time_limits.RUN_CHECK_EVERY)
        if stretch.status == "stopped":
            return stretch.reason == ASKED_TO_PAUSE and not self._stop_asked
        return stretch.lost is not None

    def _newcomers(self, ids: Sequence[int]) -> list[int]:
        """Idle engines that are not among these, as many as there is room for; asked now and then."""
        if time.monotonic() < self._looked_at + time_limits.NEW_ENGINES_CHECK_EVERY:
            return []
        self._looked_at = time.monotonic()
        try:
            return self._idle({*self.engines.ids} - {*ids} - self._unfit(), self._most - len(ids))
        except Exception:  # one that has just died: the next look will tell
            return []

    def _unfit(self) -> set[int]:
        return {number for number, times in self._refused.items() if times > 1}

    def _idle(self, ids: set[int], room: int) -> list[int]:
        if not ids or room <= 0:
            return []
        return [number for number, tasks in hub.tasks(self.engines.client, sorted(ids)).items() if not tasks][:room]

    def _go_on(self) -> None:
        """Start the next stretch on the engines that are there.

        Raises:
            TrainingFailed: if it cannot be, with the reason and how to go on.
        """
        before = self._stretch
        lost = before.lost or ()
        self._begun = self._begun or bool(before.progress)
        # Engines that start together are waited for together.
        restarts_all = before.lost is not None and self.engines.launcher in launchers.BY_MPI
        fewest = len(before.ids) if restarts_all else self._min_ranks
        deadline, problem, tried = time.monotonic() + time_limits.TRAINING_RESUMES_WITHIN, "", frozenset()
        while True:
            try:
                if before.lost is not None:
                    self._revive()
                kept = [number for number in before.ids if number in self.engines.ids and number not in lost]
                # Newcomers with which it did not start, of another version perhaps, are not needed if enough are left.
                avoided = tried if len(kept) >= fewest else frozenset()
                joined = self._idle({*self.engines.ids} - {*kept} - self._unfit() - avoided, self._most - len(kept))
                ids, tried = sorted([*kept, *joined]), frozenset(joined)
                if len(ids) >= fewest:
                    self._start_stretch(ids, tuple(lost), tuple(joined))
                    self._refused.update(avoided)
                    return
                problem = (
                    f"at least {fewest} engines are needed, and {len(ids)} {'are' if len(ids) != 1 else 'is'} left"
                )
            except TrainingFailed:
                raise
            except Exception as error:  # an engine that dies meanwhile is one more loss: look again who is there
                problem = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline or states.controller_died(self.engines.name):
                raise TrainingFailed(f"The elastic training did not go on: {problem}.\n{self._reason(before)}")
            time.sleep(1.0)

    def _revive(self) -> None:
        """Start the engines of MPI anew: its launcher ends all of them when one dies."""
        if self.engines.launcher in launchers.BY_MPI and not self.engines.ids:
            with changing:  # someone may be doing it just now
                if not self.engines.ids:
                    restart(self.engines)

    def _start_stretch(self, ids: list[int], lost: tuple[int, ...], joined: tuple[int, ...]) -> None:
        found = self._look(ids[0]) if self._begun else None
        epoch = found["epoch"] if found else 0
        same = [one for one in self.interruptions if one.epoch == epoch and not (one.joined and not one.lost)]
        if self._stretch.lost is not None and len(same) >= MOST_LOSSES - 1:
            raise TrainingFailed(
                f"Engines were lost {MOST_LOSSES} times after epoch {epoch}: `%ipcluster logs` may tell why. "
                f"{self._reason(self._stretch)}"
            )
        before, stretch = self._stretch, self._start(ids, found is not None, time.monotonic() - self._began)
        earlier = ([one for one in told if one["epoch"] < epoch] for told in (self.losses, self.epochs))
        self._told = (*earlier, stretch)
        self._stretch_began, self._paused = time.monotonic(), False
        self.interruptions += (Interruption(time.time(), lost, joined, len(before.ids), len(ids), epoch),)
        if self._stop_asked:
            stretch.stop()

    def _reason(self, stretch: TrainingRun) -> str:
        """What ended a stretch, and how to go on, in words."""
        failure = stretch.failure
        return str(failure) if isinstance(failure, TrainingFailed) else stretch.how_to_go_on()

    def __repr__(self):
        return in_words(self)

    def _repr_html_(self):
        return as_table(self)
