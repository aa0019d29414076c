"""npz archives, read and written a few events at a time; numpy itself would load whole arrays into memory."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# Exceptions that zipfile raises for damaged archives, in addition to those for damaged HDF5 files.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, OverflowError)
_LOCAL_HEADER = 30  # bytes before the name in front of each member


class Archive:
    """An npz archive open for reading: its arrays by name, like the datasets of an HDF5 file.

    Args:
        path: the archive.

    Raises:
        zipfile.BadZipFile: if it is not an archive, or truncated.
    """

    def __init__(self, path: Path):
        self._zip = zipfile.ZipFile(path)
        self._raw = open(path, "rb")  # noqa: SIM115 (closed by `close`)
        members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}
        try:
            self._arrays = {name: StoredArray(self._zip, self._raw, info) for name, info in members.items()}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
        self._zip.close()

    def get(self, name: str) -> StoredArray | None:
        """The array with this name, or None."""
        return self._arrays.get(name)

    def __getitem__(self, name: str) -> StoredArray:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)


class StoredArray:
    """One array of an archive, from which events are read on demand.

    Uncompressed members allow random access. Compressed ones are unpacked sequentially; reading an earlier event starts
    again from the beginning.

    Args:
        archive, raw: the archive, opened with zipfile and as a plain file.
        info: the member.
    """

    def __init__(self, archive: zipfile.ZipFile, raw, info: zipfile.ZipInfo):
        self._archive, self._raw, self._info = archive, raw, info
        self.compressed = info.compress_type != zipfile.ZIP_STORED
        self._file = archive.open(info)
        try:
            version = np.lib.format.read_magic(self._file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            self.shape, self._fortran, self.dtype = read_header[version](self._file)
        except Exception as error:  # with a damaged header numpy may raise any exception
            raise OSError(f"{info.filename} is not a numpy array: {error}") from error
        self._start = self._at = self._file.tell()
        self._check_size()
        self._checksum, self._checked = None, 0
        if not self.compressed:
            self._file.close()
            raw.seek(info.header_offset)
            header = raw.read(_LOCAL_HEADER)
            if len(header) < _LOCAL_HEADER:
                raise EOFError(f"{info.filename} begins beyond the end of the file")
            lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            self._offset = info.header_offset + _LOCAL_HEADER + lengths

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def column_major(self) -> bool:
        """Whether the array is stored in Fortran order, in which events are not contiguous."""
        return self._fortran and self.ndim > 1

    @property
    def chunks(self) -> None:
        """None: arrays are stored contiguously."""
        return

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, chosen: slice | int) -> np.ndarray:
        if isinstance(chosen, slice):
            start, stop, _ = chosen.indices(len(self))
            return self._read(start, max(start, stop))
        return self._read(chosen, chosen + 1)[0]

    def read_direct(self, out: np.ndarray, chosen: slice) -> None:
        """Read the events of a slice into an array of any type.

        Args:
            out: the array, of the shape of these events.
            chosen: the events.
        """
        out[...] = self[chosen]

    def _read(self, start: int, stop: int) -> np.ndarray:
        if self.dtype.hasobject:
            raise OSError(f"{self._info.filename} contains Python objects, which are not read for security reasons")
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        content = self._bytes(self._start + start * row, (stop - start) * row)
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])

    def _check_size(self) -> None:
        """Reject an array whose header declares more or less data than is stored."""
        if any(length < 0 for length in self.shape):
            raise OSError(f"{self._info.filename} declares the shape {self.shape}, in which lengths are negative")
        declared, held = math.prod(self.shape) * self.dtype.itemsize, self._info.file_size - self._start
        if declared != held and not self.dtype.hasobject:
            raise OSError(
                f"{self._info.filename} declares the shape {self.shape} of {self.dtype}, {declared} bytes, but "
                f"contains {held} bytes"
            )

    def _bytes(self, begin: int, length: int) -> bytes:
        if not self.compressed:
            self._raw.seek(self._offset + begin)
            content = self._raw.read(length)
        else:
            if begin < self._at:
                self._file.close()
                self._file, self._at = self._archive.open(self._info), 0
            while self._at < begin:
                skipped = len(self._file.read(min(begin - self._at, 1 << 24)))
                if not skipped:
                    break
                self._at += skipped
            content = self._file.read(length)
            self._at += len(content)
        if len(content) != length:
            raise EOFError(f"{self._info.filename} ends early")
        self._check(begin, content)
        return content

    def _check(self, begin: int, content: bytes) -> None:
        """Compare the checksum with that in the archive once an uncompressed member has been read in order."""
        end = self._info.file_size
        if self.compressed:
            if begin + len(content) == end:
                self._file.read(1)  # at the end zipfile compares the checksum
            return
        if self._checksum is None and begin == self._start:
            self._raw.seek(self._offset)
            self._checksum, self._checked = zlib.crc32(self._raw.read(self._start)), begin
        if self._checksum is not None and begin == self._checked:
            self._checksum, self._checked = zlib.crc32(content, self._checksum), begin + len(content)
            if self._checked == end and self._checksum != self._info.CRC:
                raise zipfile.BadZipFile(f"bad checksum of {self._info.filename}")


@contextmanager
def written(path: str | os.PathLike) -> Iterator[ArchiveWriter]:
    """Create an archive, which is written inside the `with` block."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        yield ArchiveWriter(archive)


class ArchiveWriter:
    """An npz archive open for writing; arrays are not compressed, so that they allow random access.

    Args:
        archive: the open archive.
    """

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive

    def write(self, name: str, shape: tuple[int, ...], dtype, pieces: Iterable[np.ndarray]) -> None:
        """Write one array from consecutive pieces.

        Args:
            name: name of the array.
            shape: its shape.
            dtype: its type.
            pieces: its events, some at a time, in order.
        """
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        with self._archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for piece in pieces:
                file.write(np.ascontiguousarray(piece, dtype).tobytes())
