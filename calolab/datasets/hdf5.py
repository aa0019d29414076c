"""HDF5 files: open them with the right diagnosis, and check that the content of datasets is complete."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from calolab import memory

_DEPTH = 8  # maximum length of chains of soft links or virtual sources
# Filters that are not part of HDF5, by their registered numbers.
_FILTERS = {
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32026: "Blosc2",
}


@dataclass(frozen=True)
class _Source:
    """One source of a virtual dataset: the events that it provides, as a hyperslab, and where they are stored."""

    file: str
    dataset: str
    start: tuple[int, ...]
    count: tuple[int, ...]
    stride: tuple[int, ...]
    block: tuple[int, ...]
    bounds: tuple[int, ...] | None  # the last cell read from the source; None: all cells

    @property
    def cells(self) -> int:
        """Number of cells that it provides."""
        return math.prod(self.count) * math.prod(self.block)


class LockError(ValueError):
    """An HDF5 file that another process has open for writing, or that cannot be locked."""


def open_hdf5(path: str | Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        LockError: if another process is writing it, its last writer did not close it, or it cannot be locked.
        OSError: other errors of HDF5.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        text = str(error)
        if isinstance(error, BlockingIOError) or error.errno in (errno.EAGAIN, errno.EACCES) or "lock file" in text:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise LockError(
                    f"{path}: its file system does not support the locks that HDF5 needs. Set the environment variable "
                    "HDF5_USE_FILE_LOCKING=FALSE before Python starts, and make sure that no process writes the file."
                ) from error
            raise LockError(
                f"{path}: another process has this HDF5 file open for writing. Wait until it is closed there."
            ) from error
        if "already open for write" in text:
            raise LockError(
                f"{path}: is marked as being written: another process has it open, or its writer ended without closing "
                "it. Wait until it is closed; if no process writes it any more, clear the mark with h5clear -s and "
                "check its content."
            ) from error
        raise


def has(handle: h5py.File, name: str) -> bool:
    """Whether a file has an entry with this name; broken links count, and no other file is opened.

    Args:
        handle: the file.
        name: name of the entry.
    """
    return _walk(handle, name) is not None


def find(handle: h5py.File, path: str, name: str) -> h5py.Dataset | None:
    """The dataset with this name, or None.

    Args:
        handle: the file.
        path: its path, for messages.
        name: name of the dataset, e.g. `all_events/hist`.

    Raises:
        ValueError: if the name contains a broken link or a link to another file.
    """
    held = _walk(handle, name)
    if isinstance(held, h5py.ExternalLink):
        raise ValueError(
            f"{path}: {name!r} is a link to {held.path!r} in another file, {held.filename!r}. Links to other files are "
            "not followed: load that file itself, or copy its content into this one with h5copy."
        )
    if isinstance(held, h5py.SoftLink):
        raise ValueError(
            f"{path}: {name!r} is a link to {held.path!r}, which is not in the file. Write the file again with the "
            "dataset itself."
        )
    return held if isinstance(held, h5py.Dataset) else None


def check_content(held: h5py.Dataset, path: str, name: str, depth: int = 0) -> None:
    """Reject a dataset whose content is incomplete, in its file or, if it is virtual, in the files of its sources.

    Args:
        held: the dataset.
        path, name: its file and name, for messages.
        depth: number of virtual datasets that have led to this one.

    Raises:
        ValueError: if content was never written, is missing, is stored outside the file, or cannot be decompressed.
        MemoryError: if one of its chunks is larger than the available memory.
    """
    if held.shape is None or held.ndim == 0 or 0 in held.shape:
        return  # nothing is stored; the reader reports what it expects
    if held.external:
        places = ", ".join(sorted({str(place) for place, _, _ in held.external}))
        raise ValueError(
            f"{path}: dataset {name!r} stores its numbers outside the file, in {places}. Such storage is not read, "
            "because it can name any file. If you trust the file, copy them into it first: h5repack -l CONTI old.h5 "
            "new.h5."
        )
    _check_filters(held, path, name)
    missing = _missing_sources(held, path, name, depth) if held.is_virtual else _missing_storage(held)
    if missing:
        ranges, why = missing
        said = ", ".join(f"{first} to {last}" if last > first else str(first) for first, last in ranges[:5])
        n = sum(1 + last - first for first, last in ranges)
        raise ValueError(
            f"{path}: dataset {name!r} declares {len(held)} events, but the content of {n} of them {why}, events {said}"
            f"{' and more' if ranges[5:] else ''}; they would be read as empty. Write the file again, or add what is "
            "missing."
        )


def _walk(handle: h5py.File, name: str, depth: int = 0):
    """The entry with this name: an object, the link at which the search ends, or None."""
    group = handle
    for part in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group) or not group.id.links.exists(part.encode()):
            return None
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return link
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{group.name}/{link.path}"
            found = None if depth >= _DEPTH else _walk(handle, target, depth + 1)
            if found is None or isinstance(found, h5py.SoftLink | h5py.ExternalLink):
                return found or link
            group = found
        else:
            group = group[part]
    return group


def _check_filters(held: h5py.Dataset, path: str, name: str) -> None:
    created = held.id.get_create_plist()
    for index in range(created.get_nfilters()):
        number, _, _, known_as = created.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            what = _FILTERS.get(number) or known_as.decode(errors="replace") or "an unknown filter"
            raise ValueError(
                f"{path}: dataset {name!r} is compressed with {what} (HDF5 filter {number}), which is not installed "
                "here. Install hdf5plugin and `import hdf5plugin` before loading, or rewrite the file where the filter "
                "is installed: h5repack -f GZIP=1 old.h5 new.h5."
            )
    if held.chunks:
        needed, free = math.prod(held.chunks) * held.dtype.itemsize, memory.available()
        if needed > free.bytes:
            raise MemoryError(
                f"{path}: one chunk of dataset {name!r}, of shape {held.chunks}, takes {needed / 1e9:.1f} GB, more "
                f"than {free}. Rewrite the file in smaller chunks, on a machine with more memory: h5repack -l CHUNK=..."
            )


def _missing_storage(held: h5py.Dataset) -> tuple[list[tuple[int, int]], str] | None:
    """Ranges of events, first and last, whose content was never written; None if it is complete."""
    never = "was never written"
    if not held.chunks:
        stored = held.id.get_create_plist().get_layout() == h5py.h5d.COMPACT or held.id.get_storage_size() > 0
        return None if stored else ([(0, len(held) - 1)], never)
    per_row = math.prod(math.ceil(cells / chunk) for cells, chunk in zip(held.shape[1:], held.chunks[1:]))
    depth = held.chunks[0]
    rows = math.ceil(len(held) / depth)
    if held.id.get_num_chunks() >= rows * per_row:
        return None
    stored: dict[int, int] = {}

    def note(chunk):
        row = chunk.chunk_offset[0] // depth
        stored[row] = stored.get(row, 0) + 1

    held.id.chunk_iter(note)
    complete = sorted(row for row, count in stored.items() if count >= per_row)
    edges = zip([-1, *complete], [*complete, rows])
    gaps = [(before + 1, after - 1) for before, after in edges if after > before + 1]
    return [(first * depth, min((last + 1) * depth, len(held)) - 1) for first, last in gaps], never


def _missing_sources(held: h5py.Dataset, path: str, name: str, depth: int) -> tuple[list[tuple[int, int]], str] | None:
    """Ranges of events of a virtual dataset that no source provides; None if it is complete."""
    if depth >= _DEPTH:
        raise ValueError(f"{path}: dataset {name!r} is virtual over {_DEPTH} files that refer to each other.")
    left = held.id.get_space()
    left.select_hyperslab((0,) * held.ndim, held.shape)
    faults = []
    for source in _sources(held):
        fault = _fault(source, path, name, depth)
        if fault is None:
            left.select_hyperslab(source.start, source.count, source.stride, source.block, op=h5py.h5s.SELECT_NOTB)
        elif fault not in faults:
            faults.append(fault)
    if left.get_select_npoints() == 0:
        return None
    ranges: list[tuple[int, int]] = []
    for first, last in sorted((int(start[0]), int(stop[0])) for start, stop in left.get_select_hyper_blocklist()):
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
        else:
            ranges.append((first, last))
    more = f" and {len(faults) - 3} more" if faults[3:] else ""
    return ranges, f"is missing ({'; '.join(faults[:3]) or 'no source is given'}{more})"


def _sources(held: h5py.Dataset) -> Iterator[_Source]:
    """The sources of a virtual dataset; `%b` in names is replaced with their number."""
    endless = 2**64 - 1
    for source in held.virtual_sources():
        space, bounds = source.vspace, None
        if source.src_space.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
            try:
                bounds = tuple(map(int, source.src_space.get_select_bounds()[1]))
            except (ValueError, RuntimeError):  # unlimited: as long as the source
                bounds = None
        if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
            one = (1,) * held.ndim
            yield _Source(source.file_name, source.dset_name, (0,) * held.ndim, one, one, held.shape, bounds)
        elif space.is_regular_hyperslab():
            start, stride, count, block = (list(map(int, part)) for part in space.get_regular_hyperslab())
            counted = None
            for axis, length in enumerate(held.shape):
                if block[axis] >= endless:
                    block[axis] = length - start[axis]
                if count[axis] >= endless:
                    counted, count[axis] = axis, max(0, math.ceil((length - start[axis]) / stride[axis]))
            if "%b" not in source.file_name + source.dset_name or counted is None:
                yield _Source(source.file_name, source.dset_name, *map(tuple, (start, count, stride, block)), bounds)
                continue
            for number in range(count[counted]):
                place, once = list(start), list(count)
                place[counted], once[counted] = start[counted] + number * stride[counted], 1
                names = (text.replace("%b", str(number)) for text in (source.file_name, source.dset_name))
                yield _Source(*names, *map(tuple, (place, once, stride, block)), bounds)
        else:
            for start, stop in space.get_select_hyper_blocklist():
                one, length = (1,) * held.ndim, tuple(int(b - a) + 1 for a, b in zip(start, stop))
                yield _Source(source.file_name, source.dset_name, tuple(map(int, start)), one, one, length, bounds)


def _fault(source: _Source, path: str, name: str, depth: int) -> str | None:
    """Description of what is wrong with a source, or None."""
    inside = source.file == "."
    where = path if inside else _source_file(source.file, Path(path))
    if where is None:
        return f"{source.file!r} does not exist"
    if not Path(where).is_file():
        return f"{where} is not a regular file"
    try:
        with open_hdf5(where) as handle:
            held = _walk(handle, source.dataset)
            if not isinstance(held, h5py.Dataset):
                return f"{where} has no dataset {source.dataset!r}"
            check_content(held, str(where), source.dataset, depth + 1)
            short = held.size < source.cells if source.bounds is None else False
            if source.bounds is not None:
                short = len(source.bounds) != held.ndim or any(b >= n for b, n in zip(source.bounds, held.shape))
            return f"{source.dataset!r} of {where} has shape {held.shape}, which is too small" if short else None
    except OSError as error:
        return f"{where} cannot be opened: {error}"
    except ValueError as error:
        raise ValueError(f"{path}: the content of virtual dataset {name!r} is incomplete. {error}") from error


def _source_file(name: str, path: Path) -> Path | None:
    """The file that HDF5 opens for a source of a virtual dataset, among several possible folders."""
    prefix = os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", str(path.parent))
    inside = name if not os.path.isabs(name) else os.path.basename(name)
    places = [Path(name)] if os.path.isabs(name) else []
    places += [Path(prefix) / inside] if prefix else []
    places += [path.parent / inside, Path(inside), path.resolve().parent / inside]
    return next((place for place in places if place.exists()), None)
