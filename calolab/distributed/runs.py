"""A training that runs on engines: its progress, stopping it, waiting for it, and why it failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from calolab import progress
from calolab.cluster import calls, on_engine, processes, states, time_limits, unattended
from calolab.cluster.answers import OwnAnswer
from calolab.cluster.engines import Engines
from calolab.interrupts import NOTHING, Stopped, in_script, stopping
from calolab.tables import Table
from calolab.training.history import FINAL, History, Progress

CONSEQUENCES = ("RanksLost", "RefusedElsewhere")  # errors of a rank which only say that another one has ended


@dataclass(frozen=True)
class RunOptions:
    """The arguments of `fit` that the client of a training keeps.

    Args:
        checkpoints: folder for checkpoints, as the engines see it; None without.
        judged_by: name of the score by which the best epoch is chosen; empty without a physics score.
        labels: lowest and highest value of each label in all events, by name.
        elastic: whether the training continues when engines die.
        shows_progress: whether `wait` shows a progress bar.
    """

    checkpoints: str | None
    judged_by: str
    labels: Mapping[str, tuple[float, float]]
    elastic: bool
    shows_progress: bool


class TrainingFailed(RuntimeError):
    """A rank of a training has died or failed; the message says which, why and how to continue."""


class TrainingRun:
    """A training on several engines; `calolab.distributed.fit` makes it and returns at once.

    Args:
        engines: where it runs.
        ids: the engine of each rank.
        gan: receives the trained weights in `wait`.
        answers: pending answers, by rank.
        options: the arguments of `fit` that this process needs.
        note: how the ranks communicate.

    Attributes:
        digests: SHA-256 of all weights on each rank, once the training has ended.
        lost: engines that died or no longer answer, if the training failed for that reason or because ranks lost their
            connection; otherwise None.
    """

    def __init__(
        self, engines: Engines, ids: Sequence[int], gan, answers: Sequence[OwnAnswer], options: RunOptions, note: str
    ):
        self.engines, self.ids, self.gan, self.note = engines, tuple(ids), gan, note
        self._call = calls.Call(engines.client, ids, answers, time_limits.GIVE_UP_AFTER)
        self._options = options
        self.digests: tuple[str, ...] = ()
        self.lost: tuple[int, ...] | None = None
        self._lock = threading.RLock()
        self._stop_requested = False
        self._history: History | None = None
        self._trained: dict | None = None
        self._failure: Exception | None = None
        self._looked_at = time.monotonic()
        path, messages = processes.path_of(engines.name), [answer.message for answer in answers]
        self._record = unattended.register(path, self.ids, messages, options.checkpoints, options.elastic)

    @property
    def progress(self) -> list[Progress]:
        """The progress of each rank, by rank; a rank reports after its first step."""
        reports = [answer.published.get("progress") for answer in self._call.answers]
        return [Progress.from_dict(report) for report in reports if report is not None]

    @property
    def losses(self) -> list[dict]:
        """The losses of every step so far, averaged over the ranks: `epoch`, `step`, then each loss by name."""
        published = self._call.answers[0].published
        return [entry for k in range(published.get("chunks", 0)) for entry in published.get(f"losses {k}", ())]

    @property
    def epochs(self) -> list[dict]:
        """The results of each finished epoch: `epoch`, `scores` by name as returned by `Score.to_dict`, and `event`.

        `event` is the image of one event, generated after every epoch from the same latent vector and labels (see
        `training.snapshots`); None for epochs before a resumption.
        """
        published = self._call.answers[0].published
        return [{**one, "event": published.get(f"event {one['epoch']}")} for one in published.get("epochs", ())]

    @property
    def example(self) -> dict:
        """The training event with the labels of the generated events: `labels` and `event`; empty before the first."""
        return dict(self._call.answers[0].published.get("example", {}))

    @property
    def judged_by(self) -> str:
        """Name of the score by which the best epoch is chosen; empty without a physics score."""
        return self._options.judged_by

    @property
    def shows_progress(self) -> bool:
        """Whether `wait` shows a progress bar."""
        return self._options.shows_progress

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped" or "failed"."""
        with self._lock:
            self._settle()
            if self._failure is not None:
                return "failed"
            if self._history is not None:
                return "stopped" if self._history.stopped else "finished"
            return "stopping" if self._stop_requested else "running"

    @property
    def reason(self) -> str:
        """Why it stopped, as in `History.reason`; empty while it runs and if it was not stopped."""
        return self._history.reason if self._history is not None else ""

    @property
    def failure(self) -> Exception | None:
        """The error that `wait` raises once `status` is "failed"; reading it does not change the GAN."""
        return self._failure

    def stop(self) -> None:
        """Request a stop of all ranks after their current pass; `wait` then returns with the weights trained so far."""
        with self._lock:
            self._settle()
            if self._history is None and self._failure is None:
                self._stop_requested = True
                self._call.signal(on_engine.STOP)

    def pause(self) -> None:
        """Request a stop of all ranks after their current epoch."""
        with self._lock:
            self._settle()
            if self._history is None and self._failure is None:
                self._call.signal(on_engine.PAUSE)

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end, put the trained weights into the GAN and return the history.

        In a notebook Ctrl-C ends the waiting, not the training; in a script it stops the training, too.

        Args:
            timeout: seconds to wait at most; by default without limit.

        Raises:
            TimeoutError: if it still runs after that time.
            TrainingFailed: within 30 s after an engine died or failed, with how to continue.
            TrainingDiverged: as `training.fit`; the GAN then has its last good weights.
            ValueError, FileNotFoundError: as `training.fit`.
        """
        wait_for(self, timeout, bar=self.shows_progress)
        self._hand_over()
        if self._failure is not None:
            raise self._failure
        return self._history

    def _hand_over(self) -> None:
        """Put the trained weights into the GAN, once; `status`, which monitors read, must not change it."""
        with self._lock:
            trained, self._trained = self._trained, None
            if trained is None:
                return
            for network, arrays in trained["weights"].items():
                self.gan.networks[network].set_weights(arrays)
            self.gan.provenance.clear()
            self.gan.provenance.update(trained["provenance"])
            if self._history is not None:
                # A rank has only the labels of its own shard. A diverged training adds no entry.
                labels = {name: list(limits) for name, limits in self._options.labels.items()}
                self.gan.provenance["trainings"][-1]["labels"] = labels

    def _settle(self) -> None:
        """Follow the call on the ranks; conclude the training once it is over."""
        if self._history is not None or self._failure is not None:
            return
        self._take_in()
        if self._history is not None or self._failure is not None:
            self._record.unlink(missing_ok=True)

    def _take_in(self) -> None:
        if not self._call.follow():
            if not self._call.errors:
                self._check_controller()
        elif failure := self._call.failure(CONSEQUENCES):
            self._failure = self._explain(failure)
        else:
            self._conclude(list(self._call.results.values()))

    def _check_controller(self) -> None:
        """Fail if the cluster's controller has died: the ranks' results would never arrive."""
        now = time.monotonic()
        if now < self._looked_at + time_limits.CONTROLLER_CHECK_EVERY:
            return
        self._looked_at = now
        if states.controller_died(self.engines.name):
            self._failure = TrainingFailed(self.controller_message())

    def controller_message(self) -> str:
        """A message that the cluster has gone, and what to do."""
        return (
            f"The cluster {self.engines.name!r} has stopped, or its controller has died, and the training with it. "
            f"Start engines again (`%ipcluster start`); {self.how_to_continue()}"
        )

    def _conclude(self, outcomes: Sequence[Mapping]) -> None:
        """Record how the training ended, and rank 0's weights if those of all ranks are equal."""
        self.digests = tuple(outcome["digest"] for outcome in outcomes)
        if len(set(self.digests)) > 1:
            self._failure = TrainingFailed(
                f"The ranks ended with different weights ({', '.join(one[:8] for one in self.digests)}), and the GAN "
                "keeps its previous ones. This is a bug: please report it."
            )
            return
        first = outcomes[0]
        self._trained = {"weights": first["weights"], "provenance": first["provenance"]}
        self._call.forget()
        if first["diverged"]:
            from calolab.training import TrainingDiverged

            self._failure = TrainingDiverged(first["diverged"])
        else:
            self._history = History.from_dict(first["history"])

    def _explain(self, failure: calls.Failure) -> Exception:
        """The one error that says what happened, and how to continue."""
        ranks_lost = any(error.ename == "RanksLost" for error in self._call.errors.values())
        if failure.died or failure.busy or (ranks_lost and not failure.original):
            self.lost = (*failure.died, *failure.busy)
        if failure.original and failure.kind in ("ValueError", "FileNotFoundError"):
            kinds = {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}
            return kinds[failure.kind](failure.error.evalue)
        named = failure.died or (failure.engine,)
        ranks = " and ".join(f"engine {engine} (rank {self.ids.index(engine)})" for engine in named)
        ended = "died" if failure.died else f"ended with {failure.kind}: {failure.error.evalue}"
        lines = [f"The training failed: {ranks} {ended}"]
        lines[0] += f", after {now}." if (now := where(self)) else " before the first step."
        if failure.busy:
            stuck = ", ".join(map(str, failure.busy))
            lines.append(f"Engines {stuck} do not answer: `%ipcluster restart` replaces them.")
        else:
            lines.append("The other engines are free again." if len(self.ids) > len(failure.died) else "")
        again = "`%ipcluster restart` restarts all engines" if failure.died else "Remove the cause"
        lines.append(f"{again}; {self.how_to_continue()}")
        if failure.died:
            lines += self._last_words(failure.died)
        return TrainingFailed("\n".join(filter(None, lines)))

    def kept(self) -> str:
        """Text that says what is kept of a stopped training."""
        folder = self._options.checkpoints
        return NOTHING if folder is None else f"checkpoint in {folder}, resume=True continues from it"

    def how_to_continue(self) -> str:
        """Text that says what to do after a failure."""
        folder = self._options.checkpoints
        if folder is None:
            return "then fit again (with checkpoints=, a training can be resumed)."
        return f"then the same fit with resume=True continues from the checkpoint in {folder}."

    def _last_words(self, died: Sequence[int]) -> list[str]:
        """The end of the logs of the engines that died, if they are on this machine."""
        lines = []
        for file in processes.log_files(processes.path_of(self.engines.name)):
            text = file.read_text(errors="replace")
            if any(f"[IPEngine.{engine}]" in text for engine in died):
                lines += [f"--- {file}", *text.splitlines()[-8:]]
        return lines

    def __repr__(self):
        return in_words(self)

    def _repr_html_(self):
        return as_table(self)


def wait_for(run, timeout: float | None, bar: bool) -> None:
    """Wait until a run has ended, with an optional progress bar.

    Args:
        run: the run.
        timeout: maximum time [s]; None for no limit.
        bar: whether to show a progress bar.

    Raises:
        TimeoutError: if it still runs after `timeout` seconds.
        Stopped: after Ctrl-C; in a script, which it ends, the training is stopped first.
    """
    try:
        with stopping("the waiting", "the training continues: run.wait() waits again, run.stop() stops it"):
            _until_ended(run, timeout, bar)
    except Stopped as stopped:
        if not in_script():
            raise
        now = where(run)
        run.stop()
        kept, limit = run.kept(), time_limits.INTERRUPTED_RUN_STOPS_WITHIN
        try:
            with stopping("the training", kept):
                _until_ended(run, limit, bar=False)
        except TimeoutError:
            kept += f"; its engines did not stop within {limit:g} s: `%ipcluster stop`"
        raise Stopped(f"the training on {len(run.ids)} ranks{now and ', '}{now}", kept, stopped.number) from None


def _until_ended(run, timeout: float | None, bar: bool) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    with progress.bar(unit="step", show=bar and run.status not in FINAL) as shown:
        while run.status not in FINAL:
            _show(shown, run)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The training still runs after {timeout:g} s: {run!r}. It continues; wait again.")
            time.sleep(0.1)
        _show(shown, run)


def where(run) -> str:
    """Epoch and step of a run's first rank, as text; empty before its first step."""
    now = run.progress
    return f"epoch {now[0].epoch + 1}, step {now[0].step + 1} of {now[0].steps}" if now else ""


def in_words(run) -> str:
    """A run as one line of text."""
    now = where(run)
    return f"{type(run).__name__}({run.status} on {len(run.ids)} ranks{', ' + now if now else ''}; {run.note})"


def as_table(run) -> str:
    """A run as HTML, with one row per rank."""
    losses = tuple(dict.fromkeys(name for now in run.progress for name in now.sums))
    rows = [
        (
            now.rank,
            f"{now.epoch + 1} of {now.epochs}",
            f"{now.step + 1} of {now.steps}",
            *(f"{now.losses.get(name, float('nan')):.4g}" for name in losses),
            f"{now.samples_per_second:.3g}",
        )
        for now in run.progress
    ]
    title = f"<b>Training {run.status}</b> on {len(run.ids)} ranks; {escape(run.note)}"
    return title + Table(rows, ("rank", "epoch", "step", *losses, "events/s"), range(4 + len(losses))).to_html()


def _show(bar, run) -> None:
    now = run.progress
    if not now or bar.n == (done := now[0].epoch * now[0].steps + now[0].step + 1):
        return
    first = now[0]
    bar.total = first.epochs * first.steps
    bar.set_description(f"{first.place} on {len(run.ids)} ranks", refresh=False)
    shown = {name: f"{first.losses[name]:.3g}" for name in first.sums}
    speed = sum(rank.samples_per_second for rank in now)
    bar.set_postfix({**shown, "events/s": f"{speed:.3g}"}, refresh=False)
    bar.update(done - bar.n)  # the remaining time then follows the latest steps; the first one includes compilation
