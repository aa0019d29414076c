"""Files that are written whole: under a temporary name beside their own, which they get when they are complete."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Why the system takes no more bytes, in words.
DISK_FULL_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not become so large here (see `ulimit -f`)",
}
REMEDY = "Free some space, or save elsewhere."

# What the system says of a read whose place or part a damaged file names; any other number is no fault of the content.
_OF_CONTENT = (None, errno.EINVAL, errno.ENOENT)
_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-\d+\.part", re.DOTALL)
_numbers = itertools.count()
_in_use: set[str] = set()  # temporary names of this process


@contextmanager
def complete(
    path: str | os.PathLike, size: int | None = None, *, remedy: str = REMEDY, durable: bool = False
) -> Iterator[Path]:
    """A temporary name beside `path`; the file or folder made there is renamed to `path` when the block ends well.

    Whatever ends the block earlier removes what was written and leaves an earlier `path` as it was. A folder that
    another process has completed meanwhile is kept. Leftovers of killed processes of this machine are removed.

    Args:
        path: of the file or the folder.
        size: bytes that it takes at most, for the message about a full disk.
        remedy: what to do about a full disk.
        durable: wait until the bytes and the name are on the disk, so that they survive a power cut.

    Raises:
        FileNotFoundError: if the parent folder is missing.
        OSError: if the disk is full, with the `errno` of the system, or as the block raised it.
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
    """A temporary name beside `path`, of which nothing is left after the block; otherwise like `complete`."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory to save {path.name} in. Make it first.")
    remove_abandoned(path.parent)
    # A name may have 255 bytes, a character up to 4.
    partial = path.with_name(f".{path.name[:50]}.{host_id()}-{os.getpid()}-{next(_numbers)}.part")
    _in_use.add(partial.name)
    outer = sys.exc_info()[1]
    try:
        yield partial
    except Exception as error:
        _remove(partial)
        if (full := _full(error, outer)) is None:
            raise
        kept = "nothing was written" + (f", {path.name} is still the earlier one" if path.exists() else "")
        raise full_disk(full, path, size, f"{kept}. {remedy}") from error
    finally:
        _remove(partial)
        _in_use.discard(partial.name)


def full_disk(error: OSError, path: Path, size: int | None, outcome: str) -> OSError:
    """The error for a full disk: why `path` could not be written, what it needs, what is free, and `outcome`."""
    needs = "" if size is None else f"needs up to {_bytes(size)}, "
    free = _bytes(shutil.disk_usage(path.parent).free)
    return OSError(error.errno, f"{path}: {DISK_FULL_REASONS[error.errno]} ({needs}{free} free); {outcome}")


def unreadable(error: Exception, path: str | os.PathLike) -> Exception | None:
    """The error for a file that the machine cannot read now, or None if the file's content may be at fault.

    Args:
        error: what was raised while it was read.
        path: the file.
    """
    if isinstance(error, MemoryError):
        return MemoryError(f"{path}: not enough memory to read it ({error}). Free some memory, and read it again.")
    if isinstance(error, OSError) and error.errno not in _OF_CONTENT:
        return OSError(
            error.errno,
            f"{path}: cannot be read now ({error.strerror}), which does not mean that it is damaged. Check the disk, "
            "the network and this process's permissions and limits, then read it again.",
        )
    return None


def reserve(file: int, start: int, size: int) -> None:
    """Allocate bytes of an open file on the disk, so that a library that crashes on a full disk may write them.

    Args:
        file: its descriptor.
        start, size: which bytes.

    Raises:
        OSError: if there is no room for them.
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
    """Remove what processes of this machine that are dead by now were writing in a folder when they were killed."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            named = _TEMPORARY.fullmatch(entry.name)
            if named and named[1] == host_id() and not _writes(int(named[2]), entry.name):
                _remove(Path(entry.path))


def host_id() -> str:
    """This machine, or this container on it, whose process numbers are its own."""
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
        return True  # it is another user's
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _full(error: BaseException | None, outer: BaseException | None) -> OSError | None:
    """The full disk behind an error, which closing the file may have covered with another one.

    Args:
        error: what ended the block.
        outer: what was being handled before the block: not its doing, though Python chains the two.
    """
    while error is not None and error is not outer:
        if isinstance(error, OSError) and error.errno in DISK_FULL_REASONS:
            return error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do so for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
