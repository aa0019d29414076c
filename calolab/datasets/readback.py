"""Verification of written files: they are read back and compared, by shape and checksum, before they are renamed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from calolab.datasets import hdf5
from calolab.datasets.archives import Archive
from calolab.datasets.events import dataset, open_file
from calolab.datasets.layouts import DESCRIPTION

_BYTES = 2_000_000  # read at a time


@dataclass
class Tally:
    """The part of a dataset that has been written so far.

    Args:
        dtype: type of its numbers.
        shape: its shape.
        checksum: checksum of the bytes in C order.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    checksum: int = 0

    def counted(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass pieces on to the writer and include them in the checksum."""
        for piece in pieces:
            self.checksum = zlib.crc32(np.ascontiguousarray(piece, self.dtype), self.checksum)
            yield piece


def verify(path: Path, partial: Path, written: dict[str, Tally], text: str) -> None:
    """Read an HDF5 file or npz archive back.

    Args:
        path: its final name, for messages.
        partial: its temporary name.
        written: the expected content of each of its datasets.
        text: its description.

    Raises:
        OSError: if the content differs, or the file cannot be read at present.
        ValueError: if the file system has no locks, or another process has locked the file.
    """
    with reading_back(path, partial), open_file(partial) as handle:
        wrong = next(_differences(handle, partial, written, text), None)
    if wrong:
        raise differs(path, wrong)


def _differences(handle: h5py.File | Archive, partial: Path, written: dict[str, Tally], text: str) -> Iterator[str]:
    """The parts of an open file that differ from what was written."""
    if handle[DESCRIPTION][0] != text.encode():
        yield DESCRIPTION
    for name, tally in written.items():
        held = dataset(handle, str(partial), name)
        found = Tally(tally.dtype, tuple(held.shape))
        rows = max(1, _BYTES // max(1, held.dtype.itemsize * int(np.prod(held.shape[1:]))))
        for _ in found.counted(held[start : start + rows] for start in range(0, len(held), rows)):
            pass
        if found != tally:
            yield f"dataset {name!r} of shape {tally.shape}"


@contextmanager
def reading_back(path: Path, partial: Path) -> Iterator[None]:
    """In the block, which reads a written file back, give errors the right diagnosis and the final name.

    Args:
        path: its final name.
        partial: its temporary name.

    Raises:
        OSError, MemoryError: if the file cannot be read at present, or its content is damaged.
        ValueError: if the file is locked, or locks are not supported.
    """
    try:
        yield
    except (hdf5.LockError, MemoryError) as error:
        raise type(error)(_with_final_name(error, path, partial)) from error
    except OSError as error:
        text = _with_final_name(error.strerror or error, path, partial)
        raise OSError(*([text] if error.errno is None else [error.errno, text])) from error
    except (ValueError, KeyError) as error:
        raise differs(path, f"the file ({_with_final_name(error, path, partial)})") from error


def _with_final_name(error: Exception | str, path: Path, partial: Path) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return str(text).replace(str(partial), str(path)).replace(partial.name, path.name)


def differs(path: Path, what: str) -> OSError:
    """The error to raise for a file that does not contain what was written.

    Args:
        path: its final name.
        what: the part of it that differs.
    """
    return OSError(
        f"{path}: {what} was written, but differs when it is read back; nothing was kept. Save it elsewhere: the disk "
        "or its file system may be full or damaged."
    )
