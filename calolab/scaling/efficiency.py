"""What a scaling measurement found: where the time of a step goes on one and on several engines, and what to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from calolab.scaling.network import FABRIC, Network, Prediction, predict

KINDS = {
    "alone": "one engine by itself",
    "independent": "engines at the same time, each by itself",
    "weak": "together, same batch per engine",
    "strong": "together, same batch in all",
}


@dataclass(frozen=True)
class ScalingPoint:
    """The mean step of one kind on one number of engines.

    Args:
        kind: `"alone"`; `"independent"`: several engines train at the same time and exchange nothing, which shows what
            they cost each other by sharing a machine; `"weak"`: all together, with the batch of one for each;
            `"strong"`: all together, with the batch of one shared by all.
        ranks: number of engines.
        batch_size: events per engine and pass.
        step: from its beginning to the next one's, mean over the engines [s].
        reference: a step of one engine by itself, measured in turns with this [s].
        compute: of the step all but the next two [s].
        waiting: from the moment an engine had its gradients until the slowest engine had them, mean over engines [s].
        allreduce: from then until an engine had the average, mean over the engines [s].
        samples_per_second: of all engines together [1/s].
        efficiency: speed per engine over that of one engine by itself.
        error: its standard error, from the scatter over the rounds.
        bytes: that an engine sends for the averages of a step, and receives as well.
        memory: the most that an engine held [bytes], the largest of all.
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
    """Where the time goes, measured; `predict` and `plot` extrapolate with a stated model.

    Args:
        title: what was trained, and on what.
        points: measured, in order.
        network: fitted to measured averages over all engines.
        averages: the measured ones: size [bytes] and time [s].
        passes: of one step, by the names of their kinds.
        sizes: what each pass averages [bytes].
        jitter: standard deviation of each pass's compute within a round, of engines together (weak) [s].
        notes: what a reader must know.
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
        """What a weakly scaled step on so many engines (by default all) takes more than one engine's [s], by cause.

        `sharing the machine` is what engines lose that exchange nothing; `beside Horovod` is what else the compute
        takes longer when they do; negative numbers are scatter.
        """
        ranks = ranks or self.largest
        apart, together = self.point("independent", ranks), self.point("weak", ranks)
        return {
            "sharing the machine": apart.step - together.reference,
            "beside Horovod": together.compute - apart.step,
            "waiting for the slower engine": together.waiting,
            "allreduce": together.allreduce,
        }

    def predict(self, ranks: Sequence[int], network: Network | None = None) -> Prediction:
        """Steps on other numbers of ranks with the same batch each, by the model of `network_model`: an extrapolation.

        Args:
            ranks: numbers of ranks.
            network: between them; by default the measured one. One without an overhead gets Horovod's measured one.
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
        """Where the time goes, and the efficiency up to 1,024 ranks by the model beside published points: a figure.

        Args:
            network: a stated one, drawn beside the measured.
            ranks: for which the model is drawn.
        """
        from calolab.plots import scaling  # matplotlib loads when something is drawn

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
        rows = [f"{'':>42}  ms/step  compute  waiting  allreduce  samples/s  efficiency  MB sent  MB held"]
        for row in self._rows():
            rows.append("{:>42}  {:>7}  {:>7}  {:>7}  {:>9}  {:>9}  {:>10}  {:>7}  {:>7}".format(*row))
        return "\n".join([self.title, *rows, *self._remarks()])

    def _repr_html_(self):
        from html import escape

        names = ("", "ms/step", "compute", "waiting", "allreduce", "samples/s", "efficiency", "MB sent", "MB held")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows())
        remarks = "<br>".join(map(escape, self._remarks()))
        return f"<b>{escape(self.title)}</b><table><tr>{head}</tr>{rows}</table>{remarks}"

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
        network, together = self.network, self.point("weak", self.largest)
        parts = ", ".join(f"{name} {1e3 * seconds:+.1f} ms" for name, seconds in self.losses().items())
        return [
            f"{self.largest} engines, weak scaling: {1e3 * (together.step - together.reference):+.1f} ms per step, "
            f"from {parts}.",
            f"Averages as measured: {1e3 * network.overhead:.2f} ms by Horovod, {1e6 * network.latency:.0f} us a "
            f"message, {network.bandwidth / 1e9:.2f} GB/s; {len(self.sizes)} per step.",
            *self.notes,
        ]
