"""The result of a scaling measurement: the parts of a step's time on one and on several engines, and a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from calolab.scaling.network import FABRIC, Network, Prediction, predict
from calolab.tables import Table

KINDS = {
    "alone": "a single engine",
    "independent": "engines at the same time, without exchange",
    "weak": "engines, same batch per engine",
    "strong": "engines, same total batch",
}


@dataclass(frozen=True)
class ScalingPoint:
    """The mean step of one kind on one number of engines.

    Args:
        kind: `"alone"`: a single engine; `"independent"`: several engines train at the same time without exchange,
            which shows the cost of sharing a machine; `"weak"`: data-parallel, with the single engine's batch on each;
            `"strong"`: data-parallel, with the single engine's batch divided among all.
        ranks: number of engines.
        batch_size: events per engine and pass.
        step: time from the beginning of a step to that of the next, mean over the engines [s].
        reference: step of a single engine, measured alternately with this one [s].
        compute: the step without the next two parts [s].
        waiting: time between an engine having its gradients and the slowest engine having them, mean over the engines
            [s].
        allreduce: time from then until an engine has the average, mean over the engines [s].
        samples_per_second: events per second of all engines together [1/s].
        efficiency: speed per engine, relative to that of a single engine.
        error: its standard error, from the variation between rounds.
        bytes: number of bytes that an engine sends, and receives, for the averages of a step.
        memory: peak memory of an engine [bytes], maximum over the engines.
    """

    kind: str
    ranks: int
    batch_size: int
    step: float
    reference: float
    compute: float
    waiting: float
    allreduce: float
    samples_per_second: float
    efficiency: float
    error: float
    bytes: float
    memory: int


@dataclass(frozen=True)
class ScalingReport:
    """The measured parts of a step's time; `predict` and `plot` extrapolate with the model of `network`.

    Args:
        title: what was trained on which engines.
        points: the measured points, in order of measurement.
        network: the network model fitted to measured averages over all engines.
        averages: the measured averages: size [bytes] and time [s].
        passes: names of the passes of one step.
        sizes: size of the gradients that each pass averages [bytes].
        jitter: standard deviation of each pass's compute within a round, in weak scaling [s].
        notes: conditions of the measurement.
    """

    title: str
    points: tuple[ScalingPoint, ...]
    network: Network
    averages: tuple[tuple[int, float], ...]
    passes: tuple[str, ...]
    sizes: tuple[int, ...]
    jitter: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def point(self, kind: str, ranks: int) -> ScalingPoint:
        """The measured point of this kind and number of engines.

        Args:
            kind: `"alone"`, `"independent"`, `"weak"` or `"strong"`.
            ranks: number of engines.

        Raises:
            ValueError: if that was not measured.
        """
        for point in self.points:
            if (point.kind, point.ranks) == (kind, ranks):
                return point
        known = ", ".join(f"{point.kind} on {point.ranks}" for point in self.points)
        raise ValueError(f"No point {kind!r} on {ranks} engines; measured were {known}.")

    @property
    def largest(self) -> int:
        """The largest number of engines that was measured."""
        return max(point.ranks for point in self.points)

    def losses(self, ranks: int | None = None) -> dict[str, float]:
        """Additional time of a step in weak scaling, relative to a single engine's [s], by cause.

        `sharing the machine` is the additional time of engines without exchange; `beside Horovod` is the further
        increase of compute with exchange. Negative values are within the measurement's uncertainty.

        Args:
            ranks: number of engines; by default the largest measured.
        """
        ranks = ranks or self.largest
        independent, weak = self.point("independent", ranks), self.point("weak", ranks)
        return {
            "sharing the machine": independent.step - weak.reference,
            "beside Horovod": weak.compute - independent.step,
            "waiting for the slower engine": weak.waiting,
            "allreduce": weak.allreduce,
        }

    def predict(self, ranks: Sequence[int], network: Network | None = None) -> Prediction:
        """Steps on other numbers of ranks with the same batch per rank, extrapolated by the model of `network`.

        Args:
            ranks: numbers of ranks.
            network: network between the ranks; by default the measured one. If it has no overhead, the measured
                overhead of Horovod is used.
        """
        network = network or self.network
        if not network.overhead:
            network = Network(network.name, network.latency, network.bandwidth, self.network.overhead)
        measured = self.point("weak", self.largest)
        return predict(
            ranks,
            network,
            alone=measured.reference,
            compute=measured.compute,
            jitter=self.jitter,
            sizes=self.sizes,
        )

    def plot(self, network: Network = FABRIC, ranks: Sequence[int] = tuple(2**k for k in range(11))):
        """A figure of the parts of a step, and of the model's efficiency up to 1,024 ranks with published points.

        Args:
            network: an assumed network, shown in addition to the measured one.
            ranks: numbers of ranks at which the model is shown.
        """
        from calolab.plots import scaling  # loads matplotlib

        return scaling.show(self, [self.predict(ranks), self.predict(ranks, network)])

    def to_dict(self) -> dict:
        """The report as plain numbers and strings that JSON can hold; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict) -> ScalingReport:
        """Rebuild a report from `to_dict`."""
        points = tuple(ScalingPoint(**point) for point in content["points"])
        lists = {name: tuple(content[name]) for name in ("passes", "sizes", "jitter", "notes")}
        averages = tuple((size, seconds) for size, seconds in content["averages"])
        return cls(content["title"], points, Network(**content["network"]), averages, **lists)

    def __repr__(self):
        return repr(self._table())

    def _repr_html_(self):
        return self._table()._repr_html_()

    def _table(self) -> Table:
        names = ("", "ms/step", "compute", "waiting", "allreduce", "samples/s", "efficiency", "MB sent", "MB held")
        return Table(self._rows(), names, range(1, len(names)), self.title, self._remarks())

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for point in self.points:
            name = KINDS[point.kind] if point.kind == "alone" else f"{point.ranks} {KINDS[point.kind]}"
            parts = (point.step, point.compute, point.waiting, point.allreduce)
            efficiency = "1" if point.kind == "alone" else f"{point.efficiency:.1%} +- {point.error:.1%}"
            sizes = (f"{point.bytes / 1e6:.2f}", f"{point.memory / 1e6:.0f}")
            rows.append((name, *(f"{1e3 * part:.1f}" for part in parts), f"{point.samples_per_second:.1f}", efficiency))
            rows[-1] += sizes
        return rows

    def _remarks(self) -> list[str]:
        network, weak = self.network, self.point("weak", self.largest)
        parts = ", ".join(f"{name} {1e3 * seconds:+.1f} ms" for name, seconds in self.losses().items())
        return [
            f"{self.largest} engines, weak scaling: {1e3 * (weak.step - weak.reference):+.1f} ms per step, "
            f"from {parts}.",
            f"Averages as measured: {1e3 * network.overhead:.2f} ms by Horovod, {1e6 * network.latency:.0f} us a "
            f"message, {network.bandwidth / 1e9:.2f} GB/s; {len(self.sizes)} per step.",
            *self.notes,
        ]
