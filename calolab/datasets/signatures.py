"""The format of a file, identified by its first bytes: supported formats, and common others for error messages."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import zipfile
from pathlib import Path

import h5py

from calolab.datasets.layouts import CONTAINERS

_BYTES = 4096  # read from the beginning of the file
_READ_HERE = {b"\x89HDF": "hdf5", b"PK\x03\x04": "npz", b"root": "root", b"SIMPLE  =": "fits", b"\x93NUMPY": "npy"}
_HEPMC = b"HepMC::"
_PACKED = {
    b"\x1f\x8b": ("gzip", gzip.open, "gunzip"),
    b"BZh": ("bzip2", bz2.open, "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", lzma.open, "unxz"),
}
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "a Zstandard archive: unpack it first, with unzstd",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    **dict.fromkeys(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a Python pickle, which may run code when it is opened and is not read: save arrays with np.savez or h5py",
    ),
    b"\x0e\x03\x13\x01": "an HDF4 file: convert it first, with h4toh5",
    b"PAR1": "a Parquet file: convert it to HDF5 first",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: get it with git lfs pull",
    b"\x00" * 8: "it begins with zeros, like an interrupted download: download it again",
}
# Text formats, by a word near the beginning.
_TEXTS = {
    **dict.fromkeys(
        (b"<leshoucheseventfile", b"<leshouchesevents"),
        "a Les Houches event file: partons of a matrix element, without parton shower and detector. Delphes with its "
        "Pythia 8 interface simulates both; load the towers that it writes",
    ),
    b"<gdml": "a GDML file, the geometry of a detector without events",
    b"<!doctype html": "a web page: the download has failed, download the file itself",
    b"<html": "a web page: the download has failed, download the file itself",
    b"<?xml": "an XML file",
}
_SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def container(path: str | Path) -> str:
    """The format of a file, by its first bytes: a key of `CONTAINERS`.

    Raises:
        FileNotFoundError: if there is no such file.
        PermissionError: if this user may not read it.
        ValueError: if its format is not supported.
    """
    path, start = Path(path), first_bytes(path)
    known = next((kind for key, kind in _READ_HERE.items() if start.startswith(key)), None)
    if known == "npz":
        _check_archive(path)
    if known is None and start.lstrip().startswith(_HEPMC):
        known = "hepmc"
    if known is None and h5py.is_hdf5(path):  # after a user block
        known = "hdf5"
    if known is None:
        expected = " or ".join(what for what, _ in CONTAINERS.values())
        raise ValueError(f"{path}: expected {expected}, but this is another file ({_what_else(path, start)}).")
    return known


def first_bytes(path: str | Path) -> bytes:
    """The beginning of a regular file.

    Raises:
        FileNotFoundError: if there is no such file.
        PermissionError: if this user may not read it.
        ValueError: if it is not a regular file.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        where = f"a symbolic link to {path.readlink()}, which does not exist" if path.is_symlink() else "no such file"
        raise FileNotFoundError(f"{path}: {where}.") from None
    except PermissionError as error:
        raise _denied(path, error) from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path}: is a directory; give its files, e.g. '{path / '*.h5'}'.")
    for is_kind, what in _SPECIAL.items():
        if is_kind(mode):
            raise ValueError(
                f"{path}: is {what}, but events can be read only from regular files, which allow random access. Copy "
                "its content into a regular file first."
            )
    try:
        with open(path, "rb") as file:
            return file.read(_BYTES)
    except PermissionError as error:
        raise _denied(path, error) from error


def _denied(path: Path, error: PermissionError) -> PermissionError:
    return PermissionError(error.errno, f"{path}: this user has no permission to read it. Ask its owner for permission")


def _what_else(path: Path, start: bytes) -> str:
    """Description of a file that is not supported, with the remedy."""
    if not start:
        return "the file is empty: download or write it again"
    for key, (name, opened, command) in _PACKED.items():
        if start.startswith(key):
            article = "an" if name[0] in "aeioux" else "a"
            return f"{article} {name} archive{_inside(path, opened)}: unpack it first, with {command}"
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it first, with tar -xf"
    for key, what in _OTHERS.items():
        if start.startswith(key):
            return what
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if what := _text(text):
        return what
    if text.startswith(b"<"):
        return f"markup text that begins with {start[:30]!r}"
    if text.startswith((b"{", b"[")):
        return "a JSON text"
    if b"\nblock " in text:
        return "an SLHA spectrum of masses and decays, without events: input of an event generator"
    return f"it begins with {start[:8]!r}"


def _text(text: bytes) -> str | None:
    """Description of a known text format; the text is in lower case."""
    if not text.startswith(b"<"):
        return None
    return next((what for key, what in _TEXTS.items() if key in text), None)


def _inside(path: Path, opened) -> str:
    """Description of the content of a compressed file."""
    try:
        with opened(path, "rb") as file:
            start = file.read(_BYTES)
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return ", which is damaged"
    readable = {**_READ_HERE, _HEPMC: "hepmc"}
    found = next((CONTAINERS[kind][0] for key, kind in readable.items() if start.lstrip().startswith(key)), None)
    if start[257:262] == b"ustar":
        found = "a tar archive"
    found = found or (_text(start.lstrip().lower()) or "").split(":")[0].split(",")[0]
    return f" of {found}" if found else ""


def _check_archive(path: Path) -> None:
    """Reject a zip archive that contains other files than arrays; damaged archives are reported by their reader."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, UnicodeDecodeError):
        return
    others = [name for name in names if not name.endswith(".npy")]
    if others:
        some = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")
        model = (
            " A Keras model or a GAN is opened with models.load." if any("config.json" in one for one in names) else ""
        )
        raise ValueError(
            f"{path}: expected an npz archive, which contains numpy arrays (*.npy), but this zip archive contains "
            f"{some}. Unpack it with unzip and load its files of events.{model}"
        )
