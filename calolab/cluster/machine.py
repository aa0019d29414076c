"""Properties of a machine that engines need: its address, its GPUs, and the features of its Horovod."""

from __future__ import annotations

import importlib.util
import mmap
import socket
from collections.abc import Mapping
from pathlib import Path


def built() -> frozenset[str]:
    """The controllers ("gloo", "mpi") that the installed Horovod has for TensorFlow; empty without Horovod."""
    return _built_with({"gloo": b"HOROVOD_GLOO_RENDEZVOUS_ADDR", "mpi": b"MPI_Init_thread"})


def has_nccl() -> bool:
    """Whether the installed Horovod averages on GPUs by NCCL."""
    return bool(_built_with({"nccl": b"ncclCommInitRank"}))


def _built_with(marks: Mapping[str, bytes]) -> frozenset[str]:
    """The names of the marks that Horovod's library for TensorFlow contains.

    The file is searched because importing it would load TensorFlow, which takes seconds and memory.
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
        there: number of GPUs of its machine.

    >>> count_gpus(None, 4), count_gpus("0,2", 4), count_gpus("0,7", 4)
    (4, 2, 1)
    """
    if visible is None:
        return there
    # As in CUDA: entries after the first invalid one are ignored.
    names = [name.strip() for name in visible.split(",")]
    valid = [bool(name) and (int(name) in range(there) if name.lstrip("-").isdigit() else there > 0) for name in names]
    return (valid + [False]).index(False)


def own_address(towards: str = "192.0.2.1") -> str:
    """The address from which this machine reaches another; by default one reserved for documentation, outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting UDP sends nothing
        try:
            probe.connect((towards, 9))
        except OSError:  # no route: the address of this machine's name
            return socket.gethostbyname(socket.gethostname())
        return probe.getsockname()[0]
