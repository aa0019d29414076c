"""A training that runs on engines: how far it is, stop it, wait for it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from html import escape

from ipyparallel.error import EngineError, RemoteError
from tqdm import tqdm

from calolab.distributed import launch
from calolab.distributed.cluster import Engines
from calolab.training.history import History, Progress

FREE_AFTER = (
    5.0  # seconds after which ranks that outlive a failed one are interrupted; Horovod frees most of them at once
)
CONTROLLER_EVERY = 3.0  # seconds between two looks at whether the controller lives
GIVE_UP_AFTER = 25.0  # seconds after which the failure is reported whatever the others do


class TrainingFailed(RuntimeError):
    """A rank of a training has died or failed; says which, why and how to go on."""


class TrainingRun:
    """A training on several engines; `calolab.distributed.fit` makes it and returns at once.

    Args:
        engines: where it runs.
        ids: the engine of each rank.
        gan: receives the trained weights in `wait`.
        results: the pending result of each rank (`ipyparallel.AsyncResult`).
        settings: `checkpoints` and `progress` as given to `fit`, and the range of each label.
        note: how the ranks talk to each other.

    Attributes:
        digests: the SHA-256 of all weights on each rank, once the training has ended.
    """

    def __init__(self, engines: Engines, ids: Sequence[int], gan, results: Sequence, settings: Mapping, note: str):
        self.engines, self.ids, self.gan, self.note = engines, tuple(ids), gan, note
        self._results, self._settings = tuple(results), dict(settings)
        self.digests: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self._stop_asked = False
        self._history: History | None = None
        self._trained: dict | None = None
        self._failure: Exception | None = None
        self._failed_at: float | None = None
        self._freed_at = 0.0
        self._looked_at = time.monotonic()

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
    def status(self) -> str:
        """ "running", "stopping", "finished", "stopped" or "failed"."""
        with self._lock:
            self._settle()
            if self._failure is not None:
                return "failed"
            if self._history is not None:
                return "stopped" if self._history.stopped else "finished"
            return "stopping" if self._stop_asked else "running"

    def stop(self) -> None:
        """Ask all ranks to stop after the pass they are in; `wait` then returns, with what was learnt so far."""
        with self._lock:
            self._settle()
            if self._history is None and self._failure is None:
                self._stop_asked = True
                self._signal(signal.SIGUSR1)

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end, put the trained weights into the GAN and return the history.

        Ctrl-C ends the waiting, not the training.

        Args:
            timeout: seconds to wait at most; for ever by default.

        Raises:
            TimeoutError: if it still runs then.
            TrainingFailed: if an engine died or failed, within 30 s, and how to go on.
            TrainingDiverged: as `training.fit`; the GAN then has its last good weights.
            ValueError, FileNotFoundError: as `training.fit`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with tqdm(unit="step", disable=not self._settings["progress"] or self._done(), dynamic_ncols=True) as bar:
            while not self._done():
                self._show(bar)
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(
                        f"The training still runs after {timeout:g} s: {self!r}. It goes on; wait again."
                    )
                time.sleep(0.1)
            self._show(bar)
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

    def _done(self) -> bool:
        with self._lock:
            self._settle()
            return self._history is not None or self._failure is not None

    def _settle(self) -> None:
        """Take in the ranks' results once all have ended; free the others if one has failed."""
        if self._history is not None or self._failure is not None:
            return
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
        content = launch.read(launch.path_of(self.engines.name))
        if content is None or (content["cluster"]["host"] == socket.gethostname() and "controller" not in content):
            self._failure = TrainingFailed(
                f"The cluster {self.engines.name!r} has stopped, or its controller has died, and the training with it. "
                f"Start engines again (`%ipcluster start`); {self._how_to_go_on()}"
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
        silent = ("RanksLost", "RefusedElsewhere", "KeyboardInterrupt")
        told = [rank for rank, error in failures.items() if rank not in died and _name(error) not in silent]
        rank = (died or told or list(failures))[0]
        error = failures[rank]
        if rank in told and _name(error) in ("ValueError", "FileNotFoundError"):
            return {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}[_name(error)](error.evalue)
        ranks = " and ".join(f"engine {self.ids[rank]} (rank {rank})" for rank in died or [rank])
        lines = [f"The training failed: {ranks} {'died' if died else f'ended with {_name(error)}: {error.evalue}'}"]
        lines[0] += f", after {self._where()}." if self._where() else " before the first step."
        if busy:
            stuck = ", ".join(str(self.ids[rank]) for rank in busy)
            lines.append(f"Engines {stuck} do not answer yet: `%ipcluster restart` frees them.")
        else:
            lines.append("The other engines are free again." if len(self.ids) > len(died) else "")
        again = "`%ipcluster restart` brings all engines back" if died else "Mend the cause"
        lines.append(f"{again}; {self._how_to_go_on()}")
        if died:
            lines += self._last_words(died)
        return TrainingFailed("\n".join(filter(None, lines)))

    def _how_to_go_on(self) -> str:
        folder = self._settings["checkpoints"]
        if folder is None:
            return "then fit again (with checkpoints=, a training can go on where it was)."
        return f"then the same fit with resume=True goes on from the checkpoint in {folder}."

    def _last_words(self, died: Sequence[int]) -> list[str]:
        """The end of the logs of the engines that died, where they are on this machine."""
        lines = []
        for file in launch.log_files(launch.path_of(self.engines.name)):
            text = file.read_text(errors="replace")
            if any(f"[IPEngine.{self.ids[rank]}]" in text for rank in died):
                lines += [f"--- {file}", *text.splitlines()[-8:]]
        return lines

    def _where(self) -> str:
        now = self.progress
        return f"epoch {now[0].epoch + 1}, step {now[0].step + 1} of {now[0].steps}" if now else ""

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

    def _show(self, bar) -> None:
        now = self.progress
        if not now or bar.n == (done := now[0].epoch * now[0].steps + now[0].step + 1):
            return
        first = now[0]
        bar.total, bar.n = first.epochs * first.steps, done
        bar.set_description(f"epoch {first.epoch + 1}/{first.epochs} on {len(self.ids)} ranks", refresh=False)
        shown = {name: f"{first.losses[name]:.3g}" for name in ("discriminator", "generator") if name in first.losses}
        speed = sum(rank.samples_per_second for rank in now)
        bar.set_postfix({**shown, "events/s": f"{speed:.3g}"}, refresh=True)

    def __repr__(self):
        where = self._where()
        return f"TrainingRun({self.status} on {len(self.ids)} ranks{', ' + where if where else ''}; {self.note})"

    def _repr_html_(self):
        rows = "".join(
            f"<tr><td>{now.rank}</td><td>{now.epoch + 1} of {now.epochs}</td><td>{now.step + 1} of {now.steps}</td>"
            + "".join(f"<td>{now.losses.get(name, float('nan')):.4g}</td>" for name in ("discriminator", "generator"))
            + f"<td>{now.samples_per_second:.3g}</td></tr>"
            for now in self.progress
        )
        head = "".join(f"<th>{n}</th>" for n in ("rank", "epoch", "step", "discriminator", "generator", "events/s"))
        title = f"<b>Training {self.status}</b> on {len(self.ids)} ranks; {escape(self.note)}"
        return f"{title}<table><tr>{head}</tr>{rows}</table>" if rows else title


def _name(error: Exception) -> str:
    """The name of the error on the engine."""
    return error.ename if isinstance(error, RemoteError) else type(error).__name__
