"""Horovod: connects ranks, averages and broadcasts. No other module imports it."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Sequence

import numpy as np
import psutil

from calolab.cluster import time_limits
from calolab.cluster.machine import own_address
from calolab.distributed import rendezvous
from calolab.distributed.meeting import Meeting

_met_over_mpi = threading.Event()  # set once this process has met others over MPI


def is_loss(error: Exception) -> bool:
    """Whether an error of a training step only means that other ranks have ended."""
    # Errors of the training itself may contain any name, such as that of a folder.
    return not isinstance(error, ValueError | OSError) and "horovod" in f"{type(error).__module__} {error}".lower()


class Communicator:
    """This process as one of Horovod's ranks; `training.fit` takes it as `parallel`.

    Args:
        meeting: how the ranks connect.

    Raises:
        RuntimeError: if they do not connect within four minutes.
    """

    def __init__(self, meeting: Meeting):
        import horovod.tensorflow as horovod  # loads TensorFlow, which only ranks need

        if meeting.controller == "gloo" and _met_over_mpi.is_set():
            raise RuntimeError(
                f"Rank {meeting.rank} has trained over MPI, and Horovod cannot change to Gloo in the same process: "
                "`%ipcluster restart`, or train on all engines."
            )
        self.rank, self.size = meeting.rank, meeting.size
        self._horovod = horovod
        variables = {
            "HOROVOD_GLOO_TIMEOUT_SECONDS": str(time_limits.GLOO_ANSWERS_WITHIN),
            "HOROVOD_STALL_CHECK_TIME_SECONDS": str(time_limits.HOROVOD_WARNS_AFTER),
            "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": str(time_limits.HOROVOD_ENDS_AFTER),
            "HOROVOD_CONTROLLER": meeting.controller,
            "HOROVOD_CPU_OPERATIONS": meeting.controller,
            **(_gloo_variables(meeting) if meeting.controller == "gloo" else {}),
        }
        self._before = {name: os.environ.get(name) for name in variables}
        try:
            os.environ.update(variables)
            if meeting.controller == "gloo":
                self._meet(meeting)
            else:
                _met_over_mpi.set()
                horovod.init(_mpi_communicator(meeting))
                self.broadcast([np.zeros(1)])  # returns once all ranks are there
        except Exception as error:
            self.shutdown()
            raise RuntimeError(f"Rank {self.rank} of {self.size} did not connect to the others: {error}") from error
        except BaseException:  # an interrupt, which the engine survives
            self.shutdown()
            raise
        finally:
            rendezvous.close_all()

    def _meet(self, meeting: Meeting) -> None:
        """Connect to the others over Gloo, in a second attempt if the first fails.

        Gloo takes any first connection to a port for that of the expected rank; ZeroMQ sockets whose controller has
        died keep trying to connect to its ports, which the system gives to other processes.
        """
        for port, limit in zip(meeting.ports, time_limits.RANKS_ARRIVE_WITHIN, strict=False):
            os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"] = str(port)
            rendezvous.meet(meeting.address, port, meeting.rank, meeting.size, limit)
            try:
                self._horovod.init()
                self.broadcast([np.zeros(1)])  # returns once all ranks have finished their rendezvous
                return
            except Exception:
                self._horovod.shutdown()
                if port == meeting.ports[-1]:
                    raise

    def average(self, tensors: Sequence) -> list:
        """The mean of each tensor over all ranks, also inside a `tf.function`.

        Args:
            tensors: tensors of any shapes and floating types, the same on all ranks.
        """
        kinds = {}
        for position, tensor in enumerate(tensors):
            kinds.setdefault(_type_name(tensor), []).append(position)
        means = [None] * len(tensors)
        for kind, positions in kinds.items():
            members = [tensors[position] for position in positions]
            # Ranks match their calls by name. TensorFlow's default names depend on a process's earlier work, and one
            # rank may retrace a function when another does not, so the name depends only on what is averaged.
            shapes = ";".join(str(member.shape) for member in members)
            name = f"average.{kind}.{hashlib.sha256(shapes.encode()).hexdigest()[:16]}"
            averaged = self._horovod.grouped_allreduce(members, op=self._horovod.Average, name=name)
            for position, mean in zip(positions, averaged, strict=True):
                means[position] = mean
        return means

    def broadcast(self, arrays: Sequence) -> list[np.ndarray]:
        """The arrays of rank 0 on every rank, bit-identical.

        Args:
            arrays: arrays of any shapes and types, the same on all ranks.
        """
        arrays = [np.asarray(array) for array in arrays]
        # As bytes in one message: Horovod lacks some types (the uint32 of a seed generator).
        mine = np.frombuffer(b"".join(array.tobytes() for array in arrays), dtype=np.uint8)
        received = self._horovod.broadcast(mine, root_rank=0, name=f"broadcast.{len(mine)}").numpy().tobytes()
        result, start = [], 0
        for array in arrays:
            part = received[start : start + array.nbytes]
            result.append(np.frombuffer(part, dtype=array.dtype).reshape(array.shape).copy())
            start += array.nbytes
        return result

    def shutdown(self) -> None:
        """Disconnect from the other ranks, until the next connection; those that wait for this one receive an error."""
        self._horovod.shutdown()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _gloo_variables(meeting: Meeting) -> dict[str, str]:
    """Horovod's environment variables for a rank that connects over Gloo."""
    host, rank = meeting.hosts[meeting.rank], meeting.rank
    machines = list(dict.fromkeys(meeting.hosts))
    # The machines that have a rank with this local rank.
    across = [name for name in machines if meeting.hosts.count(name) > meeting.local_rank]
    values = {
        "HOSTNAME": host,
        "RANK": rank,
        "SIZE": meeting.size,
        "LOCAL_RANK": meeting.local_rank,
        "LOCAL_SIZE": meeting.hosts.count(host),
        "CROSS_RANK": across.index(host),
        "CROSS_SIZE": len(across),
        "GLOO_RENDEZVOUS_ADDR": meeting.address,
        "GLOO_RENDEZVOUS_PORT": meeting.ports[0],
        "GLOO_IFACE": _interface(meeting.address),
    }
    return {f"HOROVOD_{name}": str(value) for name, value in values.items()}


def _interface(towards: str) -> str:
    """Name of the network interface through which this machine reaches an address."""
    mine = own_address(towards)
    for name, addresses in psutil.net_if_addrs().items():
        if mine in (address.address for address in addresses):
            return name
    raise RuntimeError(f"No network interface of {socket.gethostname()} has the address {mine}.")


def _mpi_communicator(meeting: Meeting):
    """An MPI communicator in the order of these ranks, independent of the order in which the engines registered."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    return world.Create_group(world.group.Incl(list(meeting.mpi_ranks)))


def _type_name(tensor) -> str:
    dtype = tensor.dtype
    return getattr(dtype, "name", str(dtype))
