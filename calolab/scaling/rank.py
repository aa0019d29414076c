"""A rank of a scaling measurement, on its engine: compiled once, it takes steps alone and with the others in turns."""

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


@dataclass(frozen=True)
class MeasurementTask:
    """What a rank measures.

    Args:
        meeting: how it finds the other ranks.
        options: keywords of `training.timing.StepTimer`.
        space, origin: of the events that travel beside.
    """

    meeting: Meeting
    options: dict
    space: object
    origin: object


@dataclass(frozen=True)
class Session:
    """What a rank keeps between two calls: its steps alone, those with the others, and the way to these."""

    alone: object
    together: object
    parallel: horovod.Communicator


_session: Session | None = None  # of this engine, between `begin` and `end`


def begin(task: MeasurementTask, networks: np.ndarray, values, labels) -> None:
    """Meet the other ranks and be ready to take steps.

    Args:
        task: what to measure.
        networks: the GAN, as `shipment.pack_gan` gives it.
        values, labels: of the events that this rank trains on.
    """
    global _session
    from calolab.training.timing import StepTimer

    end()
    rank.choose_device(task.meeting)
    data = Sample(np.asarray(values), labels, task.space, task.origin)
    alone = StepTimer(shipment.unpack_gan(networks), data, **task.options)
    parallel = horovod.Communicator(task.meeting)
    try:
        together = StepTimer(shipment.unpack_gan(networks), data, **task.options, parallel=parallel)
    except BaseException:
        parallel.shutdown()
        raise
    _session = Session(alone, together, parallel)


def take(kind: str, steps: int, batch_size: int, meet: bool) -> dict:
    """Take steps.

    Args:
        kind: "alone" or "together".
        steps: how many.
        batch_size: events per pass.
        meet: whether all ranks take steps now, and begin at the same moment.

    Returns:
        `stamps` as `StepTimer.take` gives them, `bytes` that each pass averages, `memory`: the most that this process
        held meanwhile [bytes].
    """
    forgotten = _forget_peak()
    timer = getattr(_session, kind)
    if meet:
        _session.parallel.average([np.zeros(1, np.float32)])
    stamps = timer.take(steps, batch_size)
    return {"stamps": stamps, "bytes": timer.averaged_bytes, "memory": _peak(forgotten)}


def averages(sizes: Sequence[int], repeats: int) -> np.ndarray:
    """Seconds that averages of vectors of so many bytes take, shape `(size, repeat)`."""
    from calolab.training.timing import timed_averages

    return timed_averages(_session.parallel, sizes, repeats)


def end() -> None:
    """Leave the other ranks and forget the networks."""
    global _session
    session, _session = _session, None
    if session is not None:
        session.parallel.shutdown()


def machine() -> tuple[float, int]:
    """The load of this engine's machine in the last minute, and its cores."""
    return os.getloadavg()[0], os.cpu_count() or 1


def answer_pings(address: str) -> int:
    """Send every byte of the next connection to this address back; gives the port at once."""
    door = socket.create_server((address, 0))
    door.settimeout(time_limits.PING_ANSWERS_WITHIN)

    def answer():
        with door, contextlib.suppress(OSError):
            line, _ = door.accept()
            with line:
                line.settimeout(time_limits.PING_ANSWERS_WITHIN)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while byte := line.recv(1):
                    line.sendall(byte)

    threading.Thread(target=answer, daemon=True).start()
    return door.getsockname()[1]


def ping(address: str, port: int, repeats: int = 200) -> float:
    """Half the time that a byte takes to another engine and back [s]: the median of `repeats`."""
    taken = []
    with socket.create_connection((address, port), timeout=time_limits.PING_ANSWERS_WITHIN) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(repeats):
            started = time.perf_counter()
            line.sendall(b".")
            line.recv(1)
            taken.append(time.perf_counter() - started)
    return float(np.median(taken)) / 2


def _forget_peak() -> bool:
    """Let the kernel forget the most memory that this process has held; whether it could."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False


def _peak(forgotten: bool) -> int:
    """The most memory that this process has held, since it was forgotten or ever [bytes]."""
    import resource

    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if forgotten and status.exists() else None
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
