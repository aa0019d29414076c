"""A training that runs on engines: how far it is, stop it, wait for it."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from html import escape

from ipyparallel.error import EngineError, RemoteError

from calolab import progress
from calolab.cluster import processes, states, unattended
from calolab.cluster.engines import Engines
from calolab.interrupts import NOTHING, Stopped, in_script, stopping
from calolab.training.history import FINAL, History, Progress

FREE_AFTER = (
    5.0  # seconds after which ranks that outlive a failed one are interrupted; Horovod frees most of them at once
)
CONTROLLER_EVERY = 3.0  # seconds between two looks at whether the controller lives
GIVE_UP_AFTER = 25.0  # seconds after which the failure is reported whatever the others do
STOPS_WITHIN = 60.0  # seconds in which an interrupted script waits for the ranks to finish their pass
_runs: weakref.WeakSet[TrainingRun] = weakref.WeakSet()  # those of this process


class TrainingFailed(RuntimeError):
    """A rank of a training has died or failed; says which, why and how to go on."""


class TrainingRun:
    """A training on several engines; `calolab.distributed.fit` makes it and returns at once.

    Args:
        engines: where it runs.
        ids: the engine of each rank.
        gan: receives the trained weights in `wait`.
        results: the pending result of each rank (`ipyparallel.AsyncResult`).
        settings: `checkpoints`, `progress` and `elastic` as given to `fit`, and the range of each label.
        note: how the ranks talk to each other.

    Attributes:
        digests: the SHA-256 of all weights on each rank, once the training has ended.
        lost: if it failed because engines died, or because ranks lost each other: the engines that died or no longer
            answer; else None.
    """

    def __init__(self, engines: Engines, ids: Sequence[int], gan, results: Sequence, settings: Mapping, note: str):
        self.engines, self.ids, self.gan, self.note = engines, tuple(ids), gan, note
        self._results, self._settings = tuple(results), dict(settings)
        self.digests: tuple[str, ...] = ()
        self.lost: tuple[int, ...] | None = None
        self._lock = threading.RLock()
        self._stop_asked = False
        self._history: History | None = None
        self._trained: dict | None = None
        self._failure: Exception | None = None
        self._failed_at: float | None = None
        self._freed_at = 0.0
        self._looked_at = time.monotonic()
        path, messages = processes.path_of(engines.name), [message for result in results for message in result.msg_ids]
        self._record = unattended.register(
            path, self.ids, messages, settings["checkpoints"], settings.get("elastic", False)
        )
        _runs.add(self)

    @property
    def progress(self) -> list[Progress]:
        """Where each rank stands, by rank; a rank reports after its first step."""
        reports = [self._published(result).get("progress") for result in self._results]
        return [Progress.from_dict(report) for report in reports if report is not None]

    @property
    def losses(self) -> list[dict]:
        """The losses of every step so far, averaged over the ranks: `epoch`, `step`, then each loss by name."""
        published = self._published(self._results[0])
        return [entry for k in range(published.get("chunks", 0)) for entry in published.get(f"losses {k}", ())]

    @property
    def epochs(self) -> list[dict]:
        """What each finished epoch left: `epoch`, its physics `scores` by name, and `event`.

        `event` is the image of one event, generated after every epoch from the same latent vector and labels (see
        `training.snapshots`); None for epochs before a resumption.
        """
        published = self._published(self._results[0])
        return [{**one, "event": published.get(f"event {one['epoch']}")} for one in published.get("epochs", ())]

    @property
    def example(self) -> dict:
        """The training event whose labels the generated `event` of each epoch has: `labels` and `event`; or empty."""
        return dict(self._published(self._results[0]).get("example", {}))

    @property
    def judged_by(self) -> str:
        """Name of the score that decides which epoch is the best; empty without a physics score."""
        return self._settings["judged_by"]

    @property
    def shows_progress(self) -> bool:
        """Whether `wait` shows a progress bar."""
        return self._settings["progress"]

    @property
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped" or "failed"."""
        with self._lock:
            self._settle()
            if self._failure is not None:
                return "failed"
            if self._history is not None:
                return "stopped" if self._history.stopped else "finished"
            return "stopping" if self._stop_asked else "running"

    @property
    def reason(self) -> str:
        """Why it stopped, as in `History.reason`; empty while it runs, and if it was not stopped."""
        return self._history.reason if self._history is not None else ""

    @property
    def failure(self) -> Exception | None:
        """What `wait` raises once `status` is "failed"; it leaves the GAN alone."""
        return self._failure

    def stop(self) -> None:
        """Ask all ranks to stop after the pass they are in; `wait` then returns, with what was learnt so far."""
        with self._lock:
            self._settle()
            if self._history is None and self._failure is None:
                self._stop_asked = True
                self._signal(signal.SIGUSR1)

    def pause(self) -> None:
        """Ask all ranks to stop after the epoch they are in."""
        with self._lock:
            self._settle()
            if self._history is None and self._failure is None:
                self._signal(signal.SIGUSR2)

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end, put the trained weights into the GAN and return the history.

        In a notebook Ctrl-C ends the waiting, not the training; in a script it stops the training, too.

        Args:
            timeout: seconds to wait at most; for ever by default.

        Raises:
            TimeoutError: if it still runs then.
            TrainingFailed: if an engine died or failed, within 30 s, and how to go on.
            TrainingDiverged: as `training.fit`; the GAN then has its last good weights.
            ValueError, FileNotFoundError: as `training.fit`.
        """
        wait_for(self, timeout, bar=self.shows_progress)
        self._hand_over()
        if self._failure is not None:
            raise self._failure
        return self._history

    def _hand_over(self) -> None:
        """Put the trained weights into the GAN, once; `status`, which a monitor asks for, must not touch it."""
        with self._lock:
            trained, self._trained = self._trained, None
            if trained is None:
                return
            for network, arrays in trained["weights"].items():
                getattr(self.gan, network).set_weights(arrays)
            self.gan.provenance.clear()
            self.gan.provenance.update(trained["provenance"])
            if self._history is not None:
                # A rank knows the labels of its own shard only. A diverged training leaves no note.
                self.gan.provenance["trainings"][-1]["labels"] = self._settings["labels"]

    def _settle(self) -> None:
        """Take in the ranks' results once all have ended; free the others if one has failed."""
        if self._history is not None or self._failure is not None:
            return
        self._take_in()
        if self._history is not None or self._failure is not None:
            self._record.unlink(missing_ok=True)

    def _take_in(self) -> None:
        ended = [result.ready() for result in self._results]
        failures = {rank: error for rank in range(len(ended)) if ended[rank] and (error := self._error(rank))}
        if failures:
            now = time.monotonic()
            self._failed_at = self._failed_at or now
            if not all(ended) and now - self._failed_at < GIVE_UP_AFTER:
                if now - self._failed_at > FREE_AFTER and now - self._freed_at > FREE_AFTER:
                    self._freed_at = now
                    self._signal(signal.SIGINT)
                return
            self._failure = self._explain(failures, [rank for rank, end in enumerate(ended) if not end])
        elif not all(ended):
            self._check_controller()
        else:
            self._conclude([result.get() for result in self._results])

    def _check_controller(self) -> None:
        """Fail if the cluster's controller has died: then nobody would ever report the ranks' end."""
        now = time.monotonic()
        if now < self._looked_at + CONTROLLER_EVERY:
            return
        self._looked_at = now
        if states.controller_died(self.engines.name):
            self._failure = TrainingFailed(self.words_on_controller())

    def words_on_controller(self) -> str:
        """That the cluster has gone, and what to do."""
        return (
            f"The cluster {self.engines.name!r} has stopped, or its controller has died, and the training with it. "
            f"Start engines again (`%ipcluster start`); {self.how_to_go_on()}"
        )

    def _conclude(self, outcomes: Sequence[Mapping]) -> None:
        """Note how the training ended, and rank 0's weights if all ranks hold the same."""
        self.digests = tuple(outcome["digest"] for outcome in outcomes)
        if len(set(self.digests)) > 1:
            self._failure = TrainingFailed(
                f"The ranks ended with different weights ({', '.join(one[:8] for one in self.digests)}), and the GAN "
                "keeps those it had. This must not happen: please report it."
            )
            return
        first = outcomes[0]
        self._trained = {"weights": first["weights"], "provenance": first["provenance"]}
        self.engines.client.purge_hub_results([msg for result in self._results for msg in result.msg_ids])
        if first["diverged"]:
            from calolab.training import TrainingDiverged

            self._failure = TrainingDiverged(first["diverged"])
        else:
            self._history = History.from_dict(first["history"])

    def _explain(self, failures: Mapping[int, Exception], busy: Sequence[int]) -> Exception:
        """The one error that says what happened, out of what each rank says."""
        died = [rank for rank, error in failures.items() if _name(error) == EngineError.__name__]
        # A rank that lost the others, or was freed from waiting for them, tells nothing; the one that left first does.
        silent = ("RanksLost", "RefusedElsewhere", "KeyboardInterrupt", "Stopped")
        told = [rank for rank, error in failures.items() if rank not in died and _name(error) not in silent]
        if died or busy or (not told and any(_name(error) == "RanksLost" for error in failures.values())):
            self.lost = tuple(self.ids[rank] for rank in (*died, *busy))
        rank = (died or told or list(failures))[0]
        error = failures[rank]
        if rank in told and _name(error) in ("ValueError", "FileNotFoundError"):
            return {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}[_name(error)](error.evalue)
        ranks = " and ".join(f"engine {self.ids[rank]} (rank {rank})" for rank in died or [rank])
        lines = [f"The training failed: {ranks} {'died' if died else f'ended with {_name(error)}: {error.evalue}'}"]
        lines[0] += f", after {now}." if (now := where(self)) else " before the first step."
        if busy:
            stuck = ", ".join(str(self.ids[rank]) for rank in busy)
            lines.append(f"Engines {stuck} do not answer yet: `%ipcluster restart` frees them.")
        else:
            lines.append("The other engines are free again." if len(self.ids) > len(died) else "")
        again = "`%ipcluster restart` brings all engines back" if died else "Mend the cause"
        lines.append(f"{again}; {self.how_to_go_on()}")
        if died:
            lines += self._last_words(died)
        return TrainingFailed("\n".join(filter(None, lines)))

    def kept(self) -> str:
        """What is left of a training that was stopped, in words."""
        folder = self._settings["checkpoints"]
        return NOTHING if folder is None else f"checkpoint in {folder}, resume=True continues from it"

    def how_to_go_on(self) -> str:
        """What to do after a failure, in words."""
        folder = self._settings["checkpoints"]
        if folder is None:
            return "then fit again (with checkpoints=, a training can go on where it was)."
        return f"then the same fit with resume=True goes on from the checkpoint in {folder}."

    def _last_words(self, died: Sequence[int]) -> list[str]:
        """The end of the logs of the engines that died, where they are on this machine."""
        lines = []
        for file in processes.log_files(processes.path_of(self.engines.name)):
            text = file.read_text(errors="replace")
            if any(f"[IPEngine.{self.ids[rank]}]" in text for rank in died):
                lines += [f"--- {file}", *text.splitlines()[-8:]]
        return lines

    def _signal(self, number: signal.Signals) -> None:
        alive = set(self.engines.client.ids)
        targets = [
            engine
            for engine, result in zip(self.ids, self._results, strict=True)
            if engine in alive and not result.ready()
        ]
        if targets:
            self.engines.client.send_signal(int(number), targets=targets, block=False)

    def _error(self, rank: int) -> Exception | None:
        error = self._results[rank].exception()
        return error if isinstance(error, RemoteError) else None

    def _published(self, result) -> dict:
        return dict(result.metadata["data"])

    def __repr__(self):
        return in_words(self)

    def _repr_html_(self):
        return as_table(self)


def engines_in_use(client) -> set[int]:
    """The engines on which trainings that this process started still run."""
    mine = [run for run in _runs if run.engines.client is client and run.status in ("running", "stopping")]
    return {engine for run in mine for engine in run.ids}


def wait_for(run, timeout: float | None, bar: bool) -> None:
    """Wait until a run has ended, with a progress bar if asked for.

    Raises:
        TimeoutError: if it still runs after `timeout` seconds.
        Stopped: after Ctrl-C; where that ends this process, the training is stopped first, as nobody could collect it.
    """
    try:
        with stopping("the waiting", "the training goes on: run.wait() waits again, run.stop() stops it"):
            _until_ended(run, timeout, bar)
    except Stopped as stopped:
        if not in_script():
            raise
        now = where(run)
        run.stop()
        kept = run.kept()
        try:
            with stopping("the training", kept):
                _until_ended(run, STOPS_WITHIN, bar=False)
        except TimeoutError:
            kept += f"; its engines did not stop within {STOPS_WITHIN:g} s: `%ipcluster stop`"
        raise Stopped(f"the training on {len(run.ids)} ranks{now and ', '}{now}", kept, stopped.number) from None


def _until_ended(run, timeout: float | None, bar: bool) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    with progress.bar(unit="step", show=bar and run.status not in FINAL) as shown:
        while run.status not in FINAL:
            _show(shown, run)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The training still runs after {timeout:g} s: {run!r}. It goes on; wait again.")
            time.sleep(0.1)
        _show(shown, run)


def where(run) -> str:
    """The place of a run's first rank, in words; empty before its first step."""
    now = run.progress
    return f"epoch {now[0].epoch + 1}, step {now[0].step + 1} of {now[0].steps}" if now else ""


def in_words(run) -> str:
    """A run in one line."""
    now = where(run)
    return f"{type(run).__name__}({run.status} on {len(run.ids)} ranks{', ' + now if now else ''}; {run.note})"


def as_table(run) -> str:
    """A run as HTML, a row per rank."""
    rows = "".join(
        f"<tr><td>{now.rank}</td><td>{now.epoch + 1} of {now.epochs}</td><td>{now.step + 1} of {now.steps}</td>"
        + "".join(f"<td>{now.losses.get(name, float('nan')):.4g}</td>" for name in ("discriminator", "generator"))
        + f"<td>{now.samples_per_second:.3g}</td></tr>"
        for now in run.progress
    )
    head = "".join(f"<th>{n}</th>" for n in ("rank", "epoch", "step", "discriminator", "generator", "events/s"))
    title = f"<b>Training {run.status}</b> on {len(run.ids)} ranks; {escape(run.note)}"
    return f"{title}<table><tr>{head}</tr>{rows}</table>" if rows else title


def _show(bar, run) -> None:
    now = run.progress
    if not now or bar.n == (done := now[0].epoch * now[0].steps + now[0].step + 1):
        return
    first = now[0]
    bar.total = first.epochs * first.steps
    bar.set_description(f"{first.place} on {len(run.ids)} ranks", refresh=False)
    shown = {name: f"{first.losses[name]:.3g}" for name in ("discriminator", "generator") if name in first.losses}
    speed = sum(rank.samples_per_second for rank in now)
    bar.set_postfix({**shown, "events/s": f"{speed:.3g}"}, refresh=False)
    bar.update(done - bar.n)  # so that the time left follows the latest steps; the first one compiles


def _name(error: Exception) -> str:
    """The name of the error on the engine."""
    return error.ename if isinstance(error, RemoteError) else type(error).__name__
