"""What was written is read back before it counts: shapes, and checksums of every number."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calolab.datasets.events import dataset, open_file
from calolab.datasets.layouts import DESCRIPTION

_BYTES = 2_000_000  # that are read at a time


@dataclass
class Tally:
    """What has been written of one dataset so far.

    Args:
        dtype: the type of its numbers.
        shape: its shape.
        checksum: of the bytes in C order.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    checksum: int = 0

    def counted(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass pieces on to the writer, and count them."""
        for piece in pieces:
            self.checksum = zlib.crc32(np.ascontiguousarray(piece, self.dtype), self.checksum)
            yield piece


def verify(path: Path, partial: Path, written: dict[str, Tally], text: str) -> None:
    """Read an HDF5 file or npz archive back.

    Args:
        path: its final name, for the message.
        partial: the file.
        written: what each of its datasets must hold.
        text: its description.

    Raises:
        OSError: if it does not hold that.
    """
    try:
        with open_file(partial) as handle:
            if handle[DESCRIPTION][0] != text.encode():
                raise differs(path, DESCRIPTION)
            for name, tally in written.items():
                held = dataset(handle, str(partial), name)
                found = Tally(tally.dtype, tuple(held.shape))
                rows = max(1, _BYTES // max(1, held.dtype.itemsize * int(np.prod(held.shape[1:]))))
                for _ in found.counted(held[start : start + rows] for start in range(0, len(held), rows)):
                    pass
                if found != tally:
                    raise differs(path, f"dataset {name!r} of shape {tally.shape}")
    except (ValueError, KeyError) as error:
        raise differs(path, f"the file ({error})") from error


def differs(path: Path, what: str) -> OSError:
    """The error for a file that does not hold what was written."""
    return OSError(
        f"{path}: {what} was written, but does not read back as it was; nothing is kept. Save it elsewhere: the disk "
        "or its file system may be full or damaged."
    )
