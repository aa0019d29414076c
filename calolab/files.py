"""Complete files only: a file is written under a temporary name and renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import platform
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Messages for the reasons why nothing more can be written.
DISK_FULL_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not become so large here (see `ulimit -f`)",
}
REMEDY = "Free some space, or save elsewhere."

# Error numbers that a damaged file can cause, e.g. by pointing beyond its end; all others have another cause.
_OF_CONTENT = (None, errno.EINVAL, errno.ENOENT)
_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-\d+\.part", re.DOTALL)
_numbers = itertools.count()
_in_use: set[str] = set()  # temporary names of this process


@contextmanager
def complete(
    path: str | os.PathLike, size: int | None = None, *, remedy: str = REMEDY, durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary name next to `path`; at the end of the block the file or folder is renamed to `path`.

    If the block raises an exception, what was written is removed and an existing `path` is left unchanged. If another
    process has completed the same folder in the meantime, that folder is kept. Temporary files of killed processes of
    this machine are removed.

    Args:
        path: the file or folder.
        size: its maximum size [bytes], for the message about a full disk.
        remedy: what to do about a full disk, for the message.
        durable: whether to wait until content and name are on the disk, so that they survive a power failure.

    Raises:
        FileNotFoundError: if the parent folder is missing.
        OSError: if the disk is full, with the `errno` of the system, or as raised in the block.
    """
    path = Path(path)
    with scratch(path, size, remedy=remedy) as partial:
        yield partial
        if durable:
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
        try:
            os.replace(partial, path)
        except OSError:
            if not (partial.is_dir() and path.is_dir()):
                raise
        if durable:
            _sync_folder(path.parent)


@contextmanager
def scratch(path: str | os.PathLike, size: int | None = None, *, remedy: str = REMEDY) -> Iterator[Path]:
    """Yield a temporary name next to `path`, which is removed after the block; otherwise like `complete`.

    Args:
        path: the file or folder.
        size: its maximum size [bytes], for the message about a full disk.
        remedy: what to do about a full disk, for the message.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory to save {path.name} in. Create it first.")
    remove_abandoned(path.parent)
    # Names are limited to 255 bytes, and a character may take 4.
    partial = path.with_name(f".{path.name[:50]}.{host_id()}-{os.getpid()}-{next(_numbers)}.part")
    _in_use.add(partial.name)
    outer = sys.exc_info()[1]
    try:
        yield partial
    except Exception as error:
        _remove(partial)
        if (full := _full(error, outer)) is None:
            raise
        kept = "nothing was written" + (f", {path.name} is unchanged" if path.exists() else "")
        raise full_disk(full, path, size, f"{kept}. {remedy}") from error
    finally:
        _remove(partial)
        _in_use.discard(partial.name)


def full_disk(error: OSError, path: Path, size: int | None, outcome: str) -> OSError:
    """The error to raise for a full disk.

    Args:
        error: the error of the system.
        path: the file that could not be written.
        size: the space that it needs [bytes], None if not known.
        outcome: what was kept and what to do.
    """
    needs = "" if size is None else f"needs up to {_bytes(size)}, "
    free = _bytes(shutil.disk_usage(path.parent).free)
    return OSError(error.errno, f"{path}: {DISK_FULL_REASONS[error.errno]} ({needs}{free} free); {outcome}")


def unreadable(error: Exception, path: str | os.PathLike) -> Exception | None:
    """The error to raise for a file that the machine cannot read at present, or None if its content may be at fault.

    Args:
        error: the exception raised while the file was read.
        path: the file.
    """
    if isinstance(error, MemoryError):
        return MemoryError(f"{path}: not enough memory to read it ({error}). Free some memory, then try again.")
    if isinstance(error, OSError) and error.errno not in _OF_CONTENT:
        return OSError(
            error.errno,
            f"{path}: cannot be read now ({error.strerror}); it is not necessarily damaged. Check the disk, the "
            "network and the permissions and limits of this process, then try again.",
        )
    return None


@contextmanager
def diagnosed(
    path: str | os.PathLike,
    explain: Callable[[Exception], str],
    errors: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> Iterator[None]:
    """Turn any exception of the block, in which `path` is read, into one with the right diagnosis.

    A ValueError or MemoryError whose message begins with the path is already a diagnosis and is passed on.

    Args:
        path: the file that is read.
        explain: returns the message about a damaged file from the exception that was raised.
        errors: the exceptions that are caught; by default all.

    Raises:
        MemoryError, OSError: if the machine cannot read the file at present.
        ValueError: otherwise, with the message of `explain`.
    """
    try:
        yield
    except errors as error:
        if isinstance(error, ValueError | MemoryError) and str(error).startswith(str(path)):
            raise
        raise unreadable(error, path) or ValueError(explain(error)) from error


def reserve(file: int, start: int, size: int) -> None:
    """Allocate part of an open file on the disk, for libraries that crash on a full disk.

    Args:
        file: its descriptor.
        start, size: first byte and number of bytes.

    Raises:
        OSError: if the disk has too little space.
    """
    disk = os.fstatvfs(file)
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, start, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system cannot allocate
                raise


def remove_abandoned(folder: str | os.PathLike) -> None:
    """Remove the temporary files that killed processes of this machine have left in a folder."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            named = _TEMPORARY.fullmatch(entry.name)
            if named and named[1] == host_id() and not _writes(int(named[2]), entry.name):
                _remove(Path(entry.path))


def host_id() -> str:
    """Identifier of this machine or container, within which process ids are unique."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{zlib.crc32(f'{platform.node()} {namespace}'.encode()):08x}"


def _writes(process: int, name: str) -> bool:
    if process == os.getpid():
        return name in _in_use
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # the process of another user
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _full(error: BaseException | None, outer: BaseException | None) -> OSError | None:
    """The error about a full disk among the causes of an error: closing the file may have raised another one.

    Args:
        error: the exception that ended the block.
        outer: the exception that was being handled before the block, to which Python chains the others.
    """
    while error is not None and error is not outer:
        if isinstance(error, OSError) and error.errno in DISK_FULL_REASONS:
            return error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system supports it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
