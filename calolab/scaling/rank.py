"""A rank of a scaling measurement, on its engine: compiled once, it executes steps with and without the others."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calolab.cluster import time_limits
from calolab.distributed import horovod, rank, shipment
from calolab.distributed.meeting import Meeting
from calolab.samples import Sample
from calolab.spaces import Space
from calolab.training.request import TrainingRequest


@dataclass(frozen=True)
class MeasurementTask:
    """The task of a rank in a measurement.

    Args:
        meeting: how it connects to the other ranks.
        request: batch size, precision, seed and recipe of the steps.
        space: space of the events, which are sent separately.
    """

    meeting: Meeting
    request: TrainingRequest
    space: Space


@dataclass(frozen=True)
class Session:
    """The state of a rank between two calls: steps without and with the other ranks, and the connection to them."""

    local: object
    data_parallel: object
    parallel: horovod.Communicator


_session: Session | None = None  # of this engine, between `begin` and `end`


def begin(task: MeasurementTask, networks: np.ndarray, values, labels) -> None:
    """Connect to the other ranks and prepare steps.

    Args:
        task: what to measure.
        networks: the GAN, from `shipment.pack_gan`.
        values, labels: values and labels of the events that this rank trains on.
    """
    global _session
    from calolab.training.timing import StepTimer

    end()
    rank.choose_device(task.meeting)
    data = Sample(np.asarray(values), labels, task.space)
    local = StepTimer(shipment.unpack_gan(networks), data, task.request)
    parallel = horovod.Communicator(task.meeting)
    try:
        data_parallel = StepTimer(shipment.unpack_gan(networks), data, task.request, parallel)
    except BaseException:
        parallel.shutdown()
        raise
    _session = Session(local, data_parallel, parallel)


def take(kind: str, steps: int, batch_size: int, synchronise: bool) -> dict:
    """Execute steps.

    Args:
        kind: "local" or "data_parallel".
        steps: number of steps.
        batch_size: events per pass.
        synchronise: whether all ranks begin at the same time.

    Returns:
        `stamps` of `StepTimer.take`, `bytes` that each pass averages, and `memory`: peak memory of this process during
        the steps [bytes].
    """
    reset = _reset_peak()
    timer = getattr(_session, kind)
    if synchronise:
        _session.parallel.average([np.zeros(1, np.float32)])
    stamps = timer.take(steps, batch_size)
    return {"stamps": stamps, "bytes": timer.averaged_bytes, "memory": _peak(reset)}


def averages(sizes: Sequence[int], repeats: int) -> np.ndarray:
    """Times of averages of vectors of these sizes in bytes, shape `(size, repeat)` [s].

    Args:
        sizes: sizes of the vectors [bytes].
        repeats: number of averages of each size.
    """
    from calolab.training.timing import timed_averages

    return timed_averages(_session.parallel, sizes, repeats)


def end() -> None:
    """Disconnect from the other ranks and release the networks."""
    global _session
    session, _session = _session, None
    if session is not None:
        session.parallel.shutdown()


def machine() -> tuple[float, int]:
    """The load of this engine's machine over the last minute, and its number of cores."""
    return os.getloadavg()[0], os.cpu_count() or 1


def answer_pings(address: str) -> int:
    """Send back every byte of the next connection to this address; returns the port immediately."""
    listener = socket.create_server((address, 0))
    listener.settimeout(time_limits.PING_ANSWERS_WITHIN)

    def answer():
        with listener, contextlib.suppress(OSError):
            line, _ = listener.accept()
            with line:
                line.settimeout(time_limits.PING_ANSWERS_WITHIN)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while byte := line.recv(1):
                    line.sendall(byte)

    threading.Thread(target=answer, daemon=True).start()
    return listener.getsockname()[1]


def ping(address: str, port: int, repeats: int = 200) -> float:
    """Half the round-trip time of a byte to another engine [s], median of `repeats`.

    Args:
        address, port: address of the other engine.
        repeats: number of measurements.
    """
    taken = []
    with socket.create_connection((address, port), timeout=time_limits.PING_ANSWERS_WITHIN) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(repeats):
            started = time.perf_counter()
            line.sendall(b".")
            line.recv(1)
            taken.append(time.perf_counter() - started)
    return float(np.median(taken)) / 2


def _reset_peak() -> bool:
    """Reset the peak memory of this process; returns whether the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _peak(reset: bool) -> int:
    """The peak memory of this process, since the reset or its start [bytes]."""
    import resource

    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if reset and status.exists() else None
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
