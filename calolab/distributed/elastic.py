"""Elastic training: it continues from the last checkpoint on the remaining engines, and adds new ones."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from calolab.cluster import calls, hub, launchers, states, time_limits
from calolab.cluster.engines import changing, restart
from calolab.distributed.runs import (
    TrainingFailed,
    TrainingRun,
    as_table,
    in_words,
    wait_for,
)
from calolab.training.history import ASKED_TO_PAUSE, FINAL, History, Progress

MOST_LOSSES = 3  # in one epoch: the cause would very likely kill engines again


@dataclass(frozen=True)
class Interruption:
    """An interruption of an elastic training, after which it continued.

    Args:
        time: when it continued [s since 1970].
        lost: ids of the engines that died or no longer answered.
        joined: ids of engines that were added.
        ranks_before, ranks_after: number of ranks.
        epoch: epochs completed in the checkpoint from which it continued, 0 if it restarted from scratch.
    """

    time: float
    lost: tuple[int, ...]
    joined: tuple[int, ...]
    ranks_before: int
    ranks_after: int
    epoch: int

    def __str__(self):
        what = [f"lost {calls.in_words(self.lost)}"] if self.lost else []
        what += [f"{calls.in_words(self.joined)} joined"] * bool(self.joined)
        what = " and ".join(what) or "ranks lost their connection"
        return f"{what}, {self.ranks_before} → {self.ranks_after} ranks after epoch {self.epoch}"


def check_elastic(ranks: int, min_ranks: int, folder: str | None) -> None:
    """Raise ValueError unless a training on this number of ranks can continue when engines die.

    Args:
        ranks: number of ranks of the training.
        min_ranks: minimum number of ranks with which it continues.
        folder: folder for checkpoints, or None.
    """
    if folder is None:
        raise ValueError(
            "elastic=True needs checkpoints=, a folder that all engines can write to: on a shared file system, or "
            "anywhere if all are on one machine."
        )
    if not 1 <= min_ranks <= ranks:
        raise ValueError(f"min_ranks expects 1 to {ranks}, the ranks at the start; received {min_ranks}.")


class ElasticRun:
    """A training that continues when engines die or are added; like a `TrainingRun`, with its interruptions.

    It consists of sections, `TrainingRun`s on a fixed set of ranks. A thread follows them and starts the next one.

    Args:
        start: starts a section on engines, given their ids, whether to resume, and the time since the first one began.
        read_header: reads the header of the checkpoint on the engine of an id; None if there is no checkpoint.
        ids: the engines of the first section.
        resume: whether the first section resumes from a checkpoint.
        min_ranks, max_ranks: minimum number of ranks with which it continues, and maximum number that it uses.

    Attributes:
        interruptions: an `Interruption` for each one so far.
    """

    def __init__(
        self,
        start: Callable[[Sequence[int], bool, float], TrainingRun],
        read_header: Callable[[int], dict | None],
        ids: Sequence[int],
        resume: bool,
        min_ranks: int,
        max_ranks: int,
    ):
        self._start, self._read_header, self._min_ranks, self._max_ranks = start, read_header, min_ranks, max_ranks
        # Losses and epochs before the current section, and the section itself.
        self._record: tuple[list[dict], list[dict], TrainingRun] = ([], [], start(ids, resume, 0.0))
        self.engines, self.gan = self._section.engines, self._section.gan
        self.interruptions: tuple[Interruption, ...] = ()
        self._begun = resume  # whether a checkpoint in the folder is of this training
        self._began = self._section_began = time.monotonic()
        self._stop_requested = self._paused = self._over = False
        self._failure: Exception | None = None
        self._looked_at = 0.0
        self._refused = Counter()  # how often a section started only without an engine
        threading.Thread(target=self._drive, name="ElasticRun", daemon=True).start()

    @property
    def _section(self) -> TrainingRun:
        return self._record[-1]

    @property
    def ids(self) -> tuple[int, ...]:
        """The engine of each rank in the current section."""
        return self._section.ids

    @property
    def note(self) -> str:
        """How the ranks communicate, and the latest interruptions."""
        return "; ".join([self._section.note, "elastic", *map(str, self.interruptions[-3:])])

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of all weights on each rank, once the training has ended."""
        return self._section.digests if self._over else ()

    @property
    def progress(self) -> list[Progress]:
        """The progress of each rank, by rank, with the time since the first section began; empty between sections."""
        offset = self._section_began - self._began
        # A section receives the remaining time as its limit.
        return [
            replace(now, time=now.time + offset, time_limit=now.time_limit and now.time_limit + offset)
            for now in self._section.progress
        ]

    @property
    def losses(self) -> list[dict]:
        """The losses of every step so far; steps that were repeated after a loss of engines count once."""
        earlier, _, section = self._record
        return [*earlier, *section.losses]

    @property
    def epochs(self) -> list[dict]:
        """The results of each finished epoch, as `TrainingRun.epochs`, with the events of earlier sections."""
        _, earlier, section = self._record
        known = {one["epoch"]: one for one in earlier}
        for one in section.epochs:
            before = known.get(one["epoch"], {})
            known[one["epoch"]] = one if one["event"] is not None else {**one, "event": before.get("event")}
        return [known[epoch] for epoch in sorted(known)]

    @property
    def example(self) -> dict:
        """The training event with the labels of the generated events, as `TrainingRun.example`."""
        return self._section.example

    @property
    def judged_by(self) -> str:
        """Name of the score by which the best epoch is chosen; empty without a physics score."""
        return self._section.judged_by

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped" or "failed"; "running" also between two sections."""
        if not self._over and self._section.status in FINAL and states.controller_died(self.engines.name):
            # The thread may be waiting for its answer.
            self._failure, self._over = TrainingFailed(self._section.controller_message()), True
        if self._over:
            return "failed" if self._failure is not None else self._section.status
        return "stopping" if self._stop_requested else "running"

    @property
    def failure(self) -> Exception | None:
        """The error that `wait` raises once `status` is "failed"; reading it does not change the GAN."""
        return (self._failure or self._section.failure) if self._over else None

    def stop(self) -> None:
        """Request a stop of all ranks after their current pass; `wait` then returns with the weights trained so far."""
        if not self._over:
            self._stop_requested = True
            self._section.stop()

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end, put the trained weights into the GAN and return the history.

        In a notebook Ctrl-C ends the waiting, not the training; in a script it stops the training, too.

        Args:
            timeout: seconds to wait at most; by default without limit.

        Raises:
            TimeoutError: if it still runs after that time.
            TrainingFailed: if it could not continue, with the reason and how to resume.
            TrainingDiverged, ValueError, FileNotFoundError: as `TrainingRun.wait`.
        """
        wait_for(self, timeout, bar=self._section.shows_progress)
        if self._failure is not None:
            raise self._failure
        return self._section.wait()

    def kept(self) -> str:
        """Text that says what is kept of a stopped training."""
        return self._section.kept()

    def _drive(self) -> None:
        """The thread: follow each section to its end, and start the next one if one is needed."""
        try:
            while self._follow():
                self._continue()
        except Exception as error:  # `wait` raises it
            self._failure = error
        finally:
            self._over = True

    def _follow(self) -> bool:
        """Follow the current section to its end; returns whether another one is needed."""
        section = self._section
        while section.status not in FINAL:
            if not self._paused and self._new_engines(section.ids):
                self._paused = True
                section.pause()
            time.sleep(time_limits.RUN_CHECK_EVERY)
        if section.status == "stopped":
            return section.reason == ASKED_TO_PAUSE and not self._stop_requested
        return section.lost is not None

    def _new_engines(self, ids: Sequence[int]) -> list[int]:
        """Idle engines that are not among these, as many as can be used; checked at intervals."""
        if time.monotonic() < self._looked_at + time_limits.NEW_ENGINES_CHECK_EVERY:
            return []
        self._looked_at = time.monotonic()
        try:
            return self._idle({*self.engines.ids} - {*ids} - self._unfit(), self._max_ranks - len(ids))
        except Exception:  # one has just died: the next check will find it
            return []

    def _unfit(self) -> set[int]:
        return {number for number, times in self._refused.items() if times > 1}

    def _idle(self, ids: set[int], room: int) -> list[int]:
        if not ids or room <= 0:
            return []
        return [number for number, tasks in hub.tasks(self.engines.client, sorted(ids)).items() if not tasks][:room]

    def _continue(self) -> None:
        """Start the next section on the available engines.

        Raises:
            TrainingFailed: if that is impossible, with the reason and how to resume.
        """
        before = self._section
        lost = before.lost or ()
        self._begun = self._begun or bool(before.progress)
        # Engines started over MPI restart together: wait for all of them.
        restarts_all = before.lost is not None and self.engines.launcher in launchers.BY_MPI
        fewest = len(before.ids) if restarts_all else self._min_ranks
        deadline, problem, tried = time.monotonic() + time_limits.TRAINING_RESUMES_WITHIN, "", frozenset()
        while True:
            try:
                if before.lost is not None:
                    self._revive()
                kept = [number for number in before.ids if number in self.engines.ids and number not in lost]
                # New engines with which it did not start are avoided if enough others are left.
                avoided = tried if len(kept) >= fewest else frozenset()
                new = {*self.engines.ids} - {*kept} - self._unfit() - avoided
                joined = self._idle(new, self._max_ranks - len(kept))
                ids, tried = sorted([*kept, *joined]), frozenset(joined)
                if len(ids) >= fewest:
                    self._start_section(ids, tuple(lost), tuple(joined))
                    self._refused.update(avoided)
                    return
                problem = (
                    f"at least {fewest} engines are needed, and {len(ids)} {'are' if len(ids) != 1 else 'is'} left"
                )
            except TrainingFailed:
                raise
            except Exception as error:  # another engine may have died: check again which are there
                problem = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline or states.controller_died(self.engines.name):
                raise TrainingFailed(f"The elastic training could not continue: {problem}.\n{self._reason(before)}")
            time.sleep(1.0)

    def _revive(self) -> None:
        """Restart engines started over MPI: its launcher ends all of them when one dies."""
        if self.engines.launcher in launchers.BY_MPI and not self.engines.ids:
            with changing:  # another thread may be doing it
                if not self.engines.ids:
                    restart(self.engines)

    def _start_section(self, ids: list[int], lost: tuple[int, ...], joined: tuple[int, ...]) -> None:
        found = self._read_header(ids[0]) if self._begun else None
        epoch = found["epoch"] if found else 0
        same = [one for one in self.interruptions if one.epoch == epoch and not (one.joined and not one.lost)]
        if self._section.lost is not None and len(same) >= MOST_LOSSES - 1:
            raise TrainingFailed(
                f"Engines were lost {MOST_LOSSES} times after epoch {epoch}: `%ipcluster logs` may show why. "
                f"{self._reason(self._section)}"
            )
        before, section = self._section, self._start(ids, found is not None, time.monotonic() - self._began)
        earlier = ([one for one in kind if one["epoch"] < epoch] for kind in (self.losses, self.epochs))
        self._record = (*earlier, section)
        self._section_began, self._paused = time.monotonic(), False
        self.interruptions += (Interruption(time.time(), lost, joined, len(before.ids), len(ids), epoch),)
        if self._stop_requested:
            section.stop()

    def _reason(self, section: TrainingRun) -> str:
        """Text that says why a section ended and how to resume."""
        failure = section.failure
        return str(failure) if isinstance(failure, TrainingFailed) else section.how_to_continue()

    def __repr__(self):
        return in_words(self)

    def _repr_html_(self):
        return as_table(self)
