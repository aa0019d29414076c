"""A model of data-parallel steps on many ranks: measured compute and jitter, and ring allreduce (alpha-beta model)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Network:
    """The time to average a vector over ranks: `overhead + 2 (p - 1) latency + 2 (p - 1) / p * size / bandwidth`.

    In a ring of p ranks, each sends p - 1 messages to sum the vector and p - 1 to distribute the sums; each message has
    1/p of the vector's size.

    Args:
        name: label in figures.
        latency: alpha, the latency of one message [s].
        bandwidth: 1 / beta, from one rank to the next, including the sums [bytes/s].
        overhead: overhead of Horovod per average, independent of the network: its cycle and negotiation [s].

    Raises:
        ValueError: if a number is negative, or the bandwidth zero.
    """

    name: str
    latency: float
    bandwidth: float
    overhead: float = 0.0

    def __post_init__(self):
        if self.latency < 0 or self.overhead < 0 or not self.bandwidth > 0:
            raise ValueError(
                "A network has a latency and an overhead of 0 s or more and a bandwidth above 0 bytes/s, received "
                f"{self.latency}, {self.overhead} and {self.bandwidth}."
            )

    def average_seconds(self, size, ranks):
        """Time of one average [s]; 0 for a single rank.

        Args:
            size: size of the vector [bytes].
            ranks: number of ranks; arrays are broadcast.

        >>> Network("10 Gb/s", latency=1e-5, bandwidth=1.25e9).average_seconds(1.25e9, [1, 2]).round(3)
        array([0., 1.])
        """
        size, ranks = np.asarray(size, dtype=float), np.asarray(ranks, dtype=float)
        taken = self.overhead + 2 * (ranks - 1) * self.latency + moved_bytes(size, ranks) / self.bandwidth
        return np.where(ranks > 1, taken, 0.0)


@dataclass(frozen=True)
class Prediction:
    """Time per step by number of ranks in the model, at the same batch per rank (weak scaling).

    Args:
        network: network assumed for the averages.
        ranks: shape `(point,)`.
        compute: compute time per step, the same for every number of ranks [s].
        waiting: time waiting for the slowest rank, shape `(point,)` [s].
        average: time of the averages over the ranks, shape `(point,)` [s].
        alone: step of a single rank [s].
    """

    network: Network
    ranks: np.ndarray
    compute: float
    waiting: np.ndarray
    average: np.ndarray
    alone: float

    @property
    def step(self) -> np.ndarray:
        """Time per step [s], shape `(point,)`."""
        return np.where(self.ranks > 1, self.compute + self.waiting + self.average, self.alone)

    @property
    def efficiency(self) -> np.ndarray:
        """Speed per rank relative to that of a single rank, shape `(point,)`."""
        return self.alone / self.step


# Typical of supercomputers: an assumption, not a measurement.
FABRIC = Network("assumed fabric: 2 us, 12.5 GB/s", latency=2e-6, bandwidth=12.5e9)


def moved_bytes(size, ranks):
    """Bytes that a rank of a ring sends, and receives, to average `size` bytes over `ranks` ranks.

    Args:
        size: size of the vector [bytes].
        ranks: number of ranks.
    """
    return 2 * (np.asarray(ranks, dtype=float) - 1) / ranks * size


def fit_network(name: str, ranks: int, latency: float, sizes: Sequence[int], seconds: Sequence[float]) -> Network:
    """The network that fits the measured times of averages of several sizes.

    Latency and overhead cannot be distinguished with one number of ranks: the latency is measured separately, and the
    rest of the constant term is overhead.

    Args:
        name: name of the network.
        ranks: number of ranks that averaged.
        latency: latency of one message between ranks [s].
        sizes: sizes of the vectors [bytes], at least two different ones.
        seconds: times of the averages.

    Raises:
        ValueError: if no bandwidth can be determined.
    """
    sizes, seconds = np.asarray(sizes, dtype=float), np.asarray(seconds, dtype=float)
    if len(sizes) != len(seconds) or len(np.unique(sizes)) < 2 or ranks < 2 or not np.all(seconds > 0):
        raise ValueError(
            f"A network is fitted to the times (above 0 s) of averages of two sizes or more on two ranks or more; "
            f"received {len(sizes)} sizes and {len(seconds)} times on {ranks} ranks."
        )
    # The relative errors of small and large vectors are similar.
    design = np.column_stack([np.ones_like(sizes), moved_bytes(sizes, ranks)]) / seconds[:, None]
    (constant, slope), *_ = np.linalg.lstsq(design, np.ones_like(seconds), rcond=None)
    if slope <= 0:
        raise ValueError("Averaging larger vectors did not take longer: use larger sizes or more repeats.")
    return Network(name, latency, 1 / slope, max(0.0, constant - 2 * (ranks - 1) * latency))


def expected_maximum(ranks: int) -> float:
    """The expected maximum of `ranks` independent standard normal variables."""
    if ranks < 2:
        return 0.0
    x = np.linspace(-9.0, 9.0, 36_001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    below = np.cumsum(density) * (x[1] - x[0])
    return float(np.sum(x * ranks * below ** (ranks - 1) * density) * (x[1] - x[0]))


def predict(
    ranks: Sequence[int],
    network: Network,
    *,
    alone: float,
    compute: float,
    jitter: Sequence[float],
    sizes: Sequence[int],
) -> Prediction:
    """Time per step at the same work per rank (weak scaling).

    The ranks synchronise after every pass and wait for the slowest: the expected maximum of p normal variables with the
    jitter of that pass, which is assumed to be independent between ranks.

    Args:
        ranks: numbers of ranks.
        network: network between the ranks.
        alone: step of a single rank [s].
        compute: compute time of a rank per step, with others on its machine [s].
        jitter: standard deviation of the compute of each pass [s].
        sizes: size of the gradients that each pass averages [bytes].

    Raises:
        ValueError: if a number of ranks is below 1, or `jitter` and `sizes` differ in length.
    """
    ranks = np.asarray(ranks)
    if np.any(ranks < 1):
        raise ValueError(f"predict expects numbers of ranks of 1 or more, received {ranks.min()}.")
    if len(jitter) != len(sizes):
        raise ValueError(
            f"predict expects jitter and size of the same passes, received {len(jitter)} and {len(sizes)}."
        )
    slowest = np.array([expected_maximum(int(number)) for number in ranks])
    average = sum(network.average_seconds(size, ranks) for size in sizes)
    return Prediction(network, ranks, compute, slowest * float(np.sum(jitter)), average, alone)
