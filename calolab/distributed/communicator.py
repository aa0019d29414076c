"""The only door to Horovod: what it was built with, ranks that find each other, averages and broadcasts."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import mmap
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from calolab import cpu
from calolab.distributed.rendezvous import Rendezvous, meet

# A rank that no longer answers must not keep the others for ever. Ranks may well wait for one that writes a checkpoint.
PATIENCE = {
    "HOROVOD_GLOO_TIMEOUT_SECONDS": "20",
    "HOROVOD_STALL_CHECK_TIME_SECONDS": "60",
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "300",
}

NEEDED = "HOROVOD_GPU_OPERATIONS=NCCL"  # what Horovod must be built with for gradients to stay on the GPUs

# Seconds in which all ranks must come to each attempt at a meeting; a failed one holds some for Gloo's timeout.
MEETING_PATIENCE = (120.0, 90.0)

stop_asked = threading.Event()  # set by SIGUSR1 on an engine, read between the passes of a training step
pause_asked = threading.Event()  # set by SIGUSR2, read after every epoch
_met_over_mpi = threading.Event()  # set once this process has met others over MPI
_rendezvous: list[Rendezvous] = []  # on rank 0's engine, between `open_rendezvous` and the meeting's end


@dataclass(frozen=True)
class EngineFacts:
    """What an engine says about itself before it joins a training.

    Args:
        host: name of its machine.
        address: its machine's address, as the other engines reach it.
        versions: of Python and the packages on which all must agree.
        controllers: "gloo", "mpi": what its Horovod was built with.
        mpi_rank: its rank in MPI's world, None if mpiexec or srun did not launch it.
        mpi_size: size of that world.
        gpus: GPUs that it may use.
        nccl: whether its Horovod averages on GPUs.
    """

    host: str
    address: str
    versions: dict[str, str]
    controllers: frozenset[str]
    mpi_rank: int | None = None
    mpi_size: int | None = None
    gpus: int = 0
    nccl: bool = False


@dataclass(frozen=True)
class Meeting:
    """All that a rank needs to know to meet the others.

    Args:
        controller: "gloo" or "mpi".
        rank, size: this rank and the number of ranks.
        hosts: the machine of every rank, by rank.
        address, ports: of the rendezvous servers, one for each attempt (Gloo).
        mpi_ranks: every rank's rank in MPI's world (MPI).
    """

    controller: str
    rank: int
    size: int
    hosts: tuple[str, ...]
    address: str = ""
    ports: tuple[int, ...] = ()
    mpi_ranks: tuple[int, ...] = ()

    @property
    def local_rank(self) -> int:
        """This rank's number among those on its machine."""
        return self.hosts[: self.rank].count(self.hosts[self.rank])


def built() -> frozenset[str]:
    """The controllers, "gloo" and "mpi", that the installed Horovod has for TensorFlow; empty without Horovod."""
    return _built_with({"gloo": b"HOROVOD_GLOO_RENDEZVOUS_ADDR", "mpi": b"MPI_Init_thread"})


def has_nccl() -> bool:
    """Whether the installed Horovod averages on GPUs by NCCL."""
    return bool(_built_with({"nccl": b"ncclCommInitRank"}))


def _built_with(marks: Mapping[str, bytes]) -> frozenset[str]:
    """The names of the marks that stand in Horovod's library for TensorFlow.

    The library itself is not asked, because importing it takes TensorFlow's seconds and memory.
    """
    found = set()
    spec = importlib.util.find_spec("horovod")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in Path(folder).glob("tensorflow/mpi_lib*.so"):
            with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                found |= {name for name, mark in marks.items() if text.find(mark) >= 0}
    return frozenset(found)


def count_gpus(visible: str | None, there: int) -> int:
    """GPUs that a process may use.

    Args:
        visible: its `CUDA_VISIBLE_DEVICES`, None if that is not set.
        there: GPUs of its machine.
    """
    if visible is None:
        return there
    # As CUDA reads it: what follows the first number that is none of a GPU counts no more.
    names = [name.strip() for name in visible.split(",")]
    valid = [bool(name) and (int(name) in range(there) if name.lstrip("-").isdigit() else there > 0) for name in names]
    return (valid + [False]).index(False)


def versions() -> dict[str, str]:
    """Versions on which the client and all engines must agree to train together."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in ("calolab", "tensorflow", "keras", "horovod"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def own_address(towards: str = "192.0.2.1") -> str:
    """This machine's address on its way to another; a documentation address stands for the world outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting UDP sends nothing
        try:
            probe.connect((towards, 9))
        except OSError:  # no way out: the address that goes by this machine's name
            return socket.gethostbyname(socket.gethostname())
        return probe.getsockname()[0]


def describe(towards: str) -> EngineFacts:
    """Run on an engine: what it is, seen from the controller's address; it can be told to stop or pause from now on."""
    for number, event in ((signal.SIGUSR1, stop_asked), (signal.SIGUSR2, pause_asked)):
        event.clear()
        signal.signal(number, lambda *_, event=event: event.set())
    facts = {
        "host": socket.gethostname(),
        "address": own_address(towards),
        "versions": versions(),
        "controllers": built(),
        "gpus": count_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), len(list(cpu.GPUS.glob("*")))),
        "nccl": has_nccl(),
    }
    if "mpi4py.MPI" in sys.modules:
        world = sys.modules["mpi4py.MPI"].COMM_WORLD
        facts |= {"mpi_rank": world.Get_rank(), "mpi_size": world.Get_size()}
    return EngineFacts(**facts)


def choose_controller(engines: Sequence[EngineFacts]) -> str:
    """Gloo inside plain engines where Horovod has it, MPI over MPI engines.

    Raises:
        RuntimeError: if these engines and this Horovod do not fit together, with the way out.
    """
    common = frozenset.intersection(*(engine.controllers for engine in engines))
    by_mpi = all(engine.mpi_size == len(engines) for engine in engines)
    if by_mpi and "mpi" in common:
        return "mpi"
    if "gloo" in common:
        return "gloo"
    if common and all(engine.mpi_size and engine.mpi_size > len(engines) for engine in engines):
        raise RuntimeError(
            f"This Horovod has MPI but no Gloo: of {engines[0].mpi_size} engines that MPI launched it trains on all "
            f"or on one, not on {len(engines)}. Leave out ranks= to train on all."
        )
    if common:
        raise RuntimeError(
            "This Horovod has no Gloo, it needs engines that MPI launched, and all of them: "
            "`%ipcluster stop`, then `%ipcluster start --engines mpi`."
        )
    raise RuntimeError(
        "Training on several engines needs Horovod with TensorFlow, which these engines do not have: `make -B setup` "
        "builds it (with pip), conda-forge has it (horovod). Training on one engine works without."
    )


def gradient_route(engines: Sequence[EngineFacts]) -> str:
    """In words, how gradients pass between ranks that compute on GPUs; empty where no rank has one.

    Raises:
        RuntimeError: if ranks would share a GPU and Horovod was built with NCCL, which refuses that.
    """
    if not any(engine.gpus for engine in engines):
        return ""
    if not all(engine.nccl for engine in engines):
        return f"gradients pass through the CPU, because this Horovod has no NCCL (it is built with {NEEDED})"
    hosts = [engine.host for engine in engines]
    for engine in engines:
        if engine.gpus < hosts.count(engine.host):
            raise RuntimeError(
                f"NCCL wants a GPU for each rank, and {engine.host} has {engine.gpus} for {hosts.count(engine.host)}: "
                "take fewer engines there (ranks=)."
            )
    return "gradients pass from GPU to GPU by NCCL"


def open_rendezvous(hosts: Sequence[str], addresses: Sequence[str]) -> tuple[int, ...]:
    """Run on rank 0's engine: open a rendezvous for each attempt, give their ports; `Communicator` closes them."""
    close_rendezvous()
    local_sizes = {host: hosts.count(host) for host in hosts}
    scopes = ["global", *(f"local_{host}" for host in hosts), *(f"cross_{i}" for i in range(max(local_sizes.values())))]
    _rendezvous.extend(Rendezvous(addresses[0], addresses, scopes) for _ in MEETING_PATIENCE)
    return tuple(server.port for server in _rendezvous)


def close_rendezvous() -> None:
    """Close what this engine has opened for ranks to meet."""
    while _rendezvous:
        _rendezvous.pop().close()


def is_loss(error: Exception) -> bool:
    """Whether an error of a training step only says that other ranks have gone."""
    # What training itself raises may name anything, such as a folder.
    return not isinstance(error, ValueError | OSError) and "horovod" in f"{type(error).__module__} {error}".lower()


class Communicator:
    """This process as one of Horovod's ranks; what `training.fit` takes as `parallel`.

    Args:
        meeting: how the ranks find each other.

    Raises:
        RuntimeError: if they do not, within four minutes.
    """

    def __init__(self, meeting: Meeting):
        import horovod.tensorflow as horovod  # loads TensorFlow, which only a rank in training needs

        if meeting.controller == "gloo" and _met_over_mpi.is_set():
            raise RuntimeError(
                f"Rank {meeting.rank} has trained over MPI, and Horovod cannot change to Gloo in the same process: "
                "`%ipcluster restart`, or train on all engines."
            )
        self.rank, self.size = meeting.rank, meeting.size
        self._horovod = horovod
        variables = {
            **PATIENCE,
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
                self.broadcast([np.zeros(1)])  # that all are there
        except Exception as error:
            self.shutdown()
            raise RuntimeError(f"Rank {self.rank} of {self.size} did not meet the others: {error}") from error
        except BaseException:  # an interrupt, which the engine survives: it keeps nothing of a dead rendezvous
            self.shutdown()
            raise
        finally:
            close_rendezvous()

    def _meet(self, meeting: Meeting) -> None:
        """Meet the others over Gloo, in a second attempt if the first fails.

        Gloo takes the first caller at a port for the rank it expects, and sockets of ZeroMQ whose controller has died
        knock for ever at the ports it had, which the system gives to others.
        """
        for port, patience in zip(meeting.ports, MEETING_PATIENCE, strict=False):
            os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"] = str(port)
            meet(meeting.address, port, meeting.rank, meeting.size, patience)
            try:
                self._horovod.init()
                self.broadcast([np.zeros(1)])  # all are through their rendezvous once they have all answered
                return
            except Exception:
                self._horovod.shutdown()
                if port == meeting.ports[-1]:
                    raise

    def average(self, tensors: Sequence) -> list:
        """The mean of each tensor over all ranks, also inside a `tf.function`.

        Args:
            tensors: of any shapes and floating types, the same on all ranks.
        """
        kinds = {}
        for position, tensor in enumerate(tensors):
            kinds.setdefault(_type_name(tensor), []).append(position)
        means = [None] * len(tensors)
        for kind, positions in kinds.items():
            members = [tensors[position] for position in positions]
            # Ranks match their calls by name. TensorFlow's own names count a process's earlier work, and a rank may
            # trace a function anew when another does not: so the name says what is averaged, nothing else.
            shapes = ";".join(str(member.shape) for member in members)
            name = f"average.{kind}.{hashlib.sha256(shapes.encode()).hexdigest()[:16]}"
            averaged = self._horovod.grouped_allreduce(members, op=self._horovod.Average, name=name)
            for position, mean in zip(positions, averaged, strict=True):
                means[position] = mean
        return means

    def broadcast(self, arrays: Sequence) -> list[np.ndarray]:
        """The arrays of rank 0, on every rank, bit by bit.

        Args:
            arrays: of any shapes and types, the same on all ranks.
        """
        arrays = [np.asarray(array) for array in arrays]
        # As bytes, in one go: Horovod lacks some types (the uint32 of a seed generator).
        mine = np.frombuffer(b"".join(array.tobytes() for array in arrays), dtype=np.uint8)
        received = self._horovod.broadcast(mine, root_rank=0, name=f"broadcast.{len(mine)}").numpy().tobytes()
        result, start = [], 0
        for array in arrays:
            part = received[start : start + array.nbytes]
            result.append(np.frombuffer(part, dtype=array.dtype).reshape(array.shape).copy())
            start += array.nbytes
        return result

    def shutdown(self) -> None:
        """Leave the ranks; those that still wait for this one get an error. The process can join others afterwards."""
        self._horovod.shutdown()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _gloo_variables(meeting: Meeting) -> dict[str, str]:
    """Horovod's environment for a rank that meets the others over Gloo."""
    host, rank = meeting.hosts[meeting.rank], meeting.rank
    machines = list(dict.fromkeys(meeting.hosts))
    # Only machines with so many ranks have one with this local rank.
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
    """MPI's communicator with our order of ranks, whatever order the engines registered in."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    return world.Create_group(world.group.Incl(list(meeting.mpi_ranks)))


def _type_name(tensor) -> str:
    dtype = tensor.dtype
    return getattr(dtype, "name", str(dtype))
