"""Download public data sets: interrupted downloads are resumed, and complete ones are verified."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from calolab import cache
from calolab.datasets.public_sets import PublicSet, RemoteFile, catalogue
from calolab.files import DISK_FULL_REASONS, full_disk
from calolab.progress import Bar, bar

_ATTEMPTS = 3
_TIMEOUT = 60.0  # time without data [s]
_BYTES = 1 << 20
_REMEDY = "Free some space and fetch again, or choose another directory=."
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(
    name: str | PublicSet,
    directory: str | os.PathLike | None = None,
    *,
    files: str | Sequence[str] = "*",
    url: str | None = None,
    progress: bool = True,
) -> list[Path]:
    """Download a public data set, or some of its files, and verify size and checksum.

    An interrupted download is tried again; it leaves `<file>.part`, from which the next call resumes. A file is renamed
    to its final name when its size and checksum have been verified. Existing files are verified but not downloaded.

    Args:
        name: a name in `catalogue()`, or your own `PublicSet`.
        directory: folder for the files; by default `datasets/<name>` in the cache of calolab.
        files: a pattern such as `"*_1.hdf5"`, or several names or patterns; by default all files.
        url: address of a mirror, from which `<url>/<file>` is downloaded.
        progress: whether to show a progress bar.

    Returns:
        The paths of the files.

    Raises:
        ValueError: if the set or a file is unknown, can only be downloaded by hand or is part of calolab, or if a
            checksum is wrong.
        ConnectionError: if the server does not respond or the connection keeps failing; call again to resume.
        OSError: if the disk has too little space.
    """
    chosen_set = name if isinstance(name, PublicSet) else catalogue()[name]
    if chosen_set.packaged:
        raise ValueError(f"{chosen_set.name!r} is part of calolab: datasets.load({chosen_set.name!r}) reads it.")
    wanted = [files] if isinstance(files, str) else list(files)
    if chosen_set.download is None and url is None:
        raise ValueError(
            f"{chosen_set.name!r} can only be fetched by hand, from {chosen_set.page}; or set url= to the address of a "
            "directory with its files."
        )
    known = chosen_set.files or _listed(chosen_set)
    chosen = [file for file in known if any(fnmatch.fnmatchcase(file.name, pattern) for pattern in wanted)]
    if not chosen:
        raise ValueError(
            f"{chosen_set.name!r} has no file that matches {', '.join(wanted)}; it has "
            f"{', '.join(file.name for file in known)}."
        )
    directory = cache.cache_dir("datasets") / chosen_set.name if directory is None else Path(directory).expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    template = chosen_set.download if url is None else f"{url.rstrip('/')}/{{file}}"
    paths = [_fetch_file(template.replace("{file}", quote(file.name)), directory, file, progress) for file in chosen]
    if chosen_set.reader is None:
        warnings.warn(
            f"calolab cannot read the files of {chosen_set.name!r} yet: datasets.load does not open them.", stacklevel=2
        )
    return paths


def _listed(public_set: PublicSet) -> tuple[RemoteFile, ...]:
    """The files of a set with sizes and checksums, from its record on the server."""
    if public_set.listing is None:
        raise ValueError(f"The files of {public_set.name!r} are not known here; see {public_set.page}.")
    try:
        with urllib.request.urlopen(public_set.listing, timeout=_TIMEOUT) as answer:
            content = answer.read()
    except _BROKEN as error:
        raise ConnectionError(f"{public_set.listing}: no list of files ({error}). Try again later.") from error
    try:
        listed = json.loads(content)["files"]
        return tuple(RemoteFile(file["key"], file["size"], file["checksum"]) for file in listed)
    except (KeyError, TypeError, ValueError) as error:
        wrong = f"missing {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"{public_set.listing}: expected a list of files with key, size and checksum: {wrong}. Fetch by hand from "
            f"{public_set.page}."
        ) from error


def _fetch_file(url: str, directory: Path, file: RemoteFile, progress: bool) -> Path:
    path, part = directory / file.name, directory / f"{file.name}.part"
    if path.exists():
        _check(path, file, "Delete it and fetch again.")
        return path
    if file.size is not None:
        missing = file.size - (part.stat().st_size if part.exists() else 0)
        if missing > shutil.disk_usage(directory).free:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise full_disk(full, path, missing, f"nothing was fetched. {_REMEDY}")
    try:
        with bar(desc=file.name, total=file.size, unit="B", unit_scale=True, show=progress) as shown:
            _insist(url, part, file, shown)
    except OSError as error:
        if error.errno not in DISK_FULL_REASONS:
            raise
        raise full_disk(error, path, file.size, f"{part.name} keeps what was received. {_REMEDY}") from error
    try:
        _check(
            part, file, f"The copy of {url} was deleted; fetch again. If the error persists, the source has changed."
        )
    except ValueError:
        part.unlink()
        raise
    finally:
        _tag(part).unlink(missing_ok=True)
    if file.checksum is None:
        warnings.warn(f"{url}: no checksum is known, so only the size was verified.", stacklevel=3)
    os.replace(part, path)
    return path


def _insist(url: str, part: Path, file: RemoteFile, bar: Bar) -> None:
    """Download a file, resuming a few times if the connection fails."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _transfer(url, part, file, bar)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == _ATTEMPTS:
                raise ConnectionError(f"{url}: the server responded {error.code} {error.reason}.") from error
        except _BROKEN as error:
            if attempt == _ATTEMPTS:
                kept = f"; {part} keeps what was received, call fetch again to resume" if part.exists() else ""
                raise ConnectionError(f"{url}: no connection, or the connection failed ({error}){kept}.") from error
        time.sleep(attempt - 1)


def _transfer(url: str, part: Path, file: RemoteFile, bar: Bar) -> None:
    """Complete `part`; only the missing bytes are requested, if the file on the server has not changed."""
    done = part.stat().st_size if part.exists() else 0
    tag = _tag(part).read_text() if _tag(part).exists() else ""
    if not tag and file.checksum is None:
        done = 0  # otherwise old and new bytes could be of different versions without notice
    bar.reset(file.size)
    bar.update(done)
    if done and done == file.size:
        return
    request = urllib.request.Request(url)
    if done:
        request.add_header("Range", f"bytes={done}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{done}":
            return  # already complete
        if error.code == 416:
            part.unlink()  # longer than the file on the server, so it is not its beginning
            raise ConnectionError(f"{done} bytes were received, more than the server has") from error
        raise
    with answer:
        if answer.status != 206:  # the server sends all: it does not support ranges, or the file has changed
            bar.reset(file.size)
            done = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise ConnectionError(f"requested bytes from {done}, received {answer.headers.get('Content-Range')}")
        length = answer.headers.get("Content-Length")
        if bar.total is None and length is not None:
            bar.total = done + int(length)
        with open(part, "ab" if done else "wb") as out:
            _tag(part).write_text(_validator(answer.headers))
            while block := answer.read(_BYTES):
                out.write(block)
                bar.update(len(block))
    received = part.stat().st_size
    if length is not None and received < done + int(length):
        raise ConnectionError(f"received {received} of {done + int(length)} bytes")


def _validator(headers) -> str:
    """The identifier of this version of the file on the server: a strong entity tag or the date of its last change."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _check(path: Path, file: RemoteFile, remedy: str) -> None:
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise ValueError(f"{path}: {size} bytes, expected {file.size}. {remedy}")
    if file.checksum is not None:
        algorithm, _, expected = file.checksum.partition(":")
        with open(path, "rb") as content:
            found = hashlib.file_digest(content, algorithm).hexdigest()
        if found != expected.lower():
            raise ValueError(f"{path}: {algorithm} checksum {found}, expected {expected}. {remedy}")
