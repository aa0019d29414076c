"""The only door to Horovod: which controllers it has, the rendezvous over Gloo, averages and broadcasts."""

from __future__ import annotations

import importlib.util
import mmap
from pathlib import Path


def built() -> set[str]:
    """The controllers, "gloo" and "mpi", that the installed Horovod has for TensorFlow; empty without Horovod.

    Asked from the library's own text, because importing it takes TensorFlow's seconds and memory.
    """
    spec = importlib.util.find_spec("horovod")
    found = set()
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in Path(folder).glob("tensorflow/mpi_lib*.so"):
            with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                if text.find(b"HOROVOD_GLOO_RENDEZVOUS_ADDR") >= 0:
                    found.add("gloo")
                if text.find(b"MPI_Init_thread") >= 0:
                    found.add("mpi")
    return found
