"""Records of a training: its progress and its history. They need no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape

import numpy as np

from calolab.tables import Table

# Why a training stopped before the end of its last epoch.
ASKED_TO_STOP, ASKED_TO_PAUSE, OUT_OF_TIME = "stop requested", "pause requested", "time limit"
NO_BETTER_SCORE = "no better {by} for {epochs} epoch{s}"
FIRST_ROWS, LAST_ROWS = 5, 15  # of a longer table
FINAL = ("finished", "stopped", "failed")  # states of a training that has ended


@dataclass(frozen=True)
class Progress:
    """Progress of one rank after a step.

    Args:
        rank: number of the rank.
        epoch: epoch in progress, from 0.
        epochs: epochs in total.
        step: step just done, from 0.
        steps: steps per epoch.
        losses: the step's losses by name, means over the events of all ranks: `discriminator` and `generator`, or the
            names of other networks that learn, the weighted sums that are minimised; the loss of each head, e.g.
            `real_auxiliary`, the mean absolute percentage error of the discriminator's energy estimate on the training
            sample; `generator_empty`, the fraction of generated events without any energy; further quantities of an
            objective of its own as `<network>_<name>`.
        samples_per_second: events that this rank processes per second [1/s].
        time: time since the training (or its resumption) began [s].
        time_limit: time after which it stops [s]; None without a limit.
    """

    rank: int
    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float]
    samples_per_second: float
    time: float
    time_limit: float | None = None

    @property
    def place(self) -> str:
        """The epoch in progress and, with a time limit, the elapsed time, as text."""
        clock = "" if self.time_limit is None else f", {self.time:.0f} of {self.time_limit:g} s"
        return f"epoch {self.epoch + 1}/{self.epochs}{clock}"

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of the losses that are minimised, one for each network that learns."""
        return minimised(self.losses)

    def to_dict(self) -> dict:
        """The record as plain numbers and strings that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping) -> Progress:
        """Rebuild a record from `to_dict`."""
        return cls(**content)


@dataclass(frozen=True)
class History:
    """Losses, scores and speed of a training, epoch by epoch.

    Args:
        epochs: one dictionary per finished epoch: `epoch` (from 0), `steps`, `losses` (as in `Progress`, means over the
            epoch), `events` (of all ranks), `seconds`, and `samples_per_second` (of all ranks, without the first step,
            in which the passes are compiled). With a physics score also `scores` by name, each as returned by
            `Score.to_dict`.
        ranks: number of ranks.
        settings: arguments of the training: batch size per rank, precision, seed, recipe, ...
        stopped: whether it was stopped before the end of the last epoch.
        reason: why: "time limit", "stop requested", "pause requested", or with `patience` e.g. "no better ks_comb for 5
            epochs"; empty if it was not stopped.
        unfinished: the epoch that was in progress when training stopped, as a dictionary like those of `epochs`, over
            the steps done of it; None where it stopped between two epochs.
        steps: steps done in total, including those before a resumption.
    """

    epochs: tuple[Mapping, ...] = ()
    ranks: int = 1
    settings: Mapping[str, object] | None = None
    stopped: bool = False
    reason: str = ""
    unfinished: Mapping | None = None
    steps: int = 0

    def __post_init__(self):
        object.__setattr__(self, "epochs", tuple(self.epochs))
        object.__setattr__(self, "settings", dict(self.settings or {}))

    @property
    def rows(self) -> tuple[Mapping, ...]:
        """The finished epochs, then the unfinished one if there is one."""
        return self.epochs if self.unfinished is None else (*self.epochs, self.unfinished)

    @property
    def samples_per_second(self) -> float:
        """Events of all ranks per second over all steps [1/s], as in `epochs`; 0 before the first step."""
        rows = [row for row in self.rows if row["samples_per_second"] > 0]
        seconds = sum(row["events"] / row["samples_per_second"] for row in rows)
        return sum(row["events"] for row in rows) / seconds if seconds > 0 else 0.0

    def losses(self, name: str) -> list[float]:
        """One loss by epoch, including an unfinished epoch at the end; NaN for epochs without it.

        Raises:
            ValueError: if no epoch holds it.
        """
        known = sorted(self._names())
        if name not in known:
            raise ValueError(f"No loss {name!r} in this history; it holds {', '.join(known) or 'no epoch'}.")
        return [row["losses"].get(name, float("nan")) for row in self.rows]

    def scores(self, name: str) -> list[float]:
        """One physics score by epoch; NaN for epochs without it, such as an unfinished one.

        Raises:
            ValueError: if no epoch holds it.
        """
        known = self._scored()
        if name not in known:
            raise ValueError(f"No score {name!r} in this history; it holds {', '.join(known) or 'no scores'}.")
        return [row.get("scores", {}).get(name, {}).get("value", float("nan")) for row in self.rows]

    def floor(self, name: str) -> tuple[float, float]:
        """Mean and standard deviation of the floor of a physics score, from the last epoch that has one.

        Raises:
            ValueError: if no epoch has the score, or it has no floor.
        """
        self.scores(name)  # says which scores there are
        for score in reversed(self._records(name)):
            if "floor" in score:
                return score["floor"], score.get("floor_spread", 0.0)
        raise ValueError(f"The score {name!r} has no floor in this history.")

    def _records(self, name: str) -> list[Mapping]:
        return [epoch["scores"][name] for epoch in self.epochs if name in epoch.get("scores", ())]

    def _scored(self) -> list[str]:
        return sorted({name for epoch in self.epochs for name in epoch.get("scores", ())})

    def _names(self) -> list[str]:
        """Names of the losses of all epochs, in the order in which they appear first."""
        return list(dict.fromkeys(name for row in self.rows for name in row["losses"]))

    @property
    def divergence(self) -> str:
        """Text that says which losses diverge, as that of a WGAN's critic may; empty if none does.

        A loss counts as divergent if its absolute value is ever more than 20 times the largest one of the first three
        epochs (but at least 1): with all objectives, losses normally stay of the order of their first values.
        """
        found = []
        for name in minimised(self._names()):
            rows = [row for row in self.rows if name in row["losses"]]  # in stages, not all networks learn in each
            sizes = np.abs([row["losses"][name] for row in rows])
            usual = max(float(sizes[:3].max(initial=0)), 1.0)
            if sizes[3:].max(initial=0) > 20 * usual:
                found.append(
                    f"the absolute value of the {name}'s loss is up to {usual:.3g} in its first epochs, and "
                    f"{sizes.max():.3g} in epoch {rows[sizes.argmax()]['epoch'] + 1}"
                )
        return f"The training diverges: {'; '.join(found)}." if found else ""

    def plot(self, names: Sequence[str] | None = None):
        """Plot losses by epoch; an unfinished epoch is shown at the fraction that was done.

        Args:
            names: names of the losses; by default those that are minimised.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: if no epoch holds a loss of that name.
        """
        from calolab.plots import training  # matplotlib loads with the first plot

        names = (minimised(self._names()) or ("discriminator", "generator")) if names is None else names
        columns = [self._ends(), *(self.losses(name) for name in names)]
        stopped = self.reason or "stopped" if self.stopped else ""
        remark = ", ".join(filter(None, [stopped, "diverging" if self.divergence else ""]))
        return training.show(np.column_stack(columns), names, names, remark, step="epoch")

    def plot_beginning(self, names: Sequence[str] = ("discriminator",), first: int = 10):
        """Plot losses of the first epochs next to those of all epochs, for the critic of a WGAN.

        Args:
            names: names of the losses.
            first: number of the first epochs.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: if no epoch holds a loss of that name.
        """
        from calolab.plots import training

        columns = [self._ends(), *(self.losses(name) for name in names)]
        return training.beginning(np.column_stack(columns), names, first, "diverging" if self.divergence else "")

    def _ends(self) -> list[float]:
        """End of each row, in epochs."""
        ends = [float(epoch["epoch"] + 1) for epoch in self.epochs]
        if self.unfinished is not None:
            events = self.unfinished["events"]
            ends.append(self.unfinished["epoch"] + events / max(self.settings.get("events", events), events))
        return ends

    def to_dict(self) -> dict:
        """The history as plain numbers and strings that JSON can hold; `from_dict` reads it back."""
        return {**asdict(self), "epochs": [dict(epoch) for epoch in self.epochs]}

    @classmethod
    def from_dict(cls, content: Mapping) -> History:
        """Rebuild a history from `to_dict`."""
        return cls(**content)

    def __repr__(self):
        return f"History({self._done()}{', stopped' if self.stopped else ''}{self.reason and f': {self.reason}'})"

    def _done(self) -> str:
        """Epochs and steps done, as text."""
        done = f"{len(self.epochs)} epoch{'s' * (len(self.epochs) != 1)}"
        if self.unfinished is not None:
            done += f" and {self.unfinished['steps']} step{'s' * (self.unfinished['steps'] != 1)}"
        return f"{done} on {self.ranks} rank{'s' * (self.ranks > 1)}"

    def _repr_html_(self):
        title = f"<b>{self._done()}</b>"
        title += f", stopped early{self.reason and f': {self.reason}'}" if self.stopped else ""
        title += f"<br>{self.divergence}" if self.divergence else ""
        if not self.rows:
            return title
        names = self._names()
        known = self._scored()
        floors = {name: self.floor(name) for name in known if any("floor" in one for one in self._records(name))}
        scores = [*floors, *(name for name in known if name not in floors)]  # scores with a floor come first
        written = ", ".join(f"floor {name} {mean:.3g} ± {spread:.2g}" for name, (mean, spread) in floors.items())
        title += f"<br><small>{escape(written.replace('_', ' '))}</small>" if written else ""
        # In stages, not all networks learn in each epoch, and not each one has a score.
        columns = [[row["losses"].get(name) for row in self.rows] for name in names]
        columns += [[row.get("scores", {}).get(name, {}).get("value") for row in self.rows] for name in scores]
        rows = [
            [
                f"{epoch['epoch'] + 1}{' (unfinished)' * (epoch is self.unfinished)}",
                *("" if column[place] is None else f"{column[place]:.4g}" for column in columns),
                f"{epoch['samples_per_second']:.0f}",
                f"{epoch['seconds']:.1f}",
            ]
            for place, epoch in enumerate(self.rows)
        ]
        if len(rows) > FIRST_ROWS + LAST_ROWS + 1:
            rows[FIRST_ROWS:-LAST_ROWS] = [["…", *[""] * (len(rows[0]) - 1)]]
        header = ["epoch", *(name.replace("_", " ") for name in [*names, *scores]), "events/s", "s"]
        return title + Table(rows, header, range(len(header))).to_html()


def minimised(names: Iterable[str]) -> tuple[str, ...]:
    """The losses that are minimised: those that are not part of another one, as `<network>_<name>`, nor of a head.

    Args:
        names: names of the losses of a training.
    """
    names = tuple(names)
    starts = ("real_", "fake_", *(f"{name}_" for name in names))
    found = tuple(name for name in names if not name.startswith(starts) and name not in ("penalty", "divergence"))
    return found or names
