"""What a file is, by its first bytes: the kinds that are read here, and what else a user may have at hand."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import zipfile
from pathlib import Path

import h5py

from calolab.datasets.layouts import CONTAINERS

_BYTES = 4096  # of the file's start
_READ_HERE = {b"\x89HDF": "hdf5", b"PK\x03\x04": "npz", b"root": "root", b"SIMPLE  =": "fits"}
_PACKED = {
    b"\x1f\x8b": ("gzip", gzip.open, "gunzip"),
    b"BZh": ("bzip2", bz2.open, "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", lzma.open, "unxz"),
}
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "a Zstandard archive: unpack it first, with unzstd",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"\x93NUMPY": "a single numpy array: save it under the name of a dataset, "
    "np.savez('events.npz', hist=numpy.load(path)) for images",
    **dict.fromkeys(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a Python pickle, which may run code when it is opened and is never read: save arrays with np.savez or h5py",
    ),
    b"\x0e\x03\x13\x01": "an HDF4 file: convert it first, with h4toh5",
    b"PAR1": "a Parquet file: convert it to HDF5 first",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with git lfs pull",
    b"\x00" * 8: "it begins with zeros, as an interrupted download does: fetch it again",
}
# Text formats by a word near their start.
_TEXTS = {
    b"<leshoucheseventfile": "a Les Houches event file: partons of a matrix element, which a shower and a detector "
    "have to follow; Delphes with its Pythia 8 interface does both, and load reads the towers that it writes",
    b"<leshouchesevents": "a Les Houches event file: partons of a matrix element, which a shower and a detector have "
    "to follow; Delphes with its Pythia 8 interface does both, and load reads the towers that it writes",
    b"<gdml": "a GDML file, a detector's geometry without events",
    b"<!doctype html": "a web page, so the download went wrong: fetch the file itself",
    b"<html": "a web page, so the download went wrong: fetch the file itself",
    b"hepmc::": "a HepMC file, particles of an event generator; run Delphes on it, and load reads the towers that it "
    "writes",
    b"<?xml": "an XML file",
}
_SPECIAL = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def container(path: str | Path) -> str:
    """What kind of file this is, by its first bytes: a key of `CONTAINERS`.

    Raises:
        FileNotFoundError: if there is no such file.
        PermissionError: if it may not be read.
        ValueError: if it is none that is read here.
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
        raise ValueError(f"{path}: is a directory; name its files, e.g. '{path / '*.h5'}'.")
    for is_kind, what in _SPECIAL.items():
        if is_kind(mode):
            raise ValueError(
                f"{path}: is {what}, and events are read from regular files only, in which they can be read at any "
                "place. Copy its content into one first."
            )
    try:
        with open(path, "rb") as file:
            start = file.read(_BYTES)
    except PermissionError as error:
        raise _denied(path, error) from error
    known = next((kind for key, kind in _READ_HERE.items() if start.startswith(key)), None)
    if known == "npz":
        _check_archive(path)
    if known is None and h5py.is_hdf5(path):  # behind a block of the user's own
        known = "hdf5"
    if known is None:
        expected = " or ".join(what for what, _ in CONTAINERS.values())
        raise ValueError(f"{path}: expected {expected}, but this is none ({_what_else(path, start)}).")
    return known


def _denied(path: Path, error: PermissionError) -> PermissionError:
    return PermissionError(error.errno, f"{path}: may not be read by this user. Ask its owner for the right to read it")


def _what_else(path: Path, start: bytes) -> str:
    """Words for a file that is not read here: what it is, and what to do."""
    if not start:
        return "the file is empty: fetch or write it again"
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
        return f"text with mark-up, it begins with {start[:30]!r}"
    if text.startswith((b"{", b"[")):
        return "a JSON text"
    if b"\nblock " in text:
        return "an SLHA spectrum of masses and decays, without events: a generator reads it"
    return f"it begins with {start[:8]!r}"


def _text(text: bytes) -> str | None:
    """A known text format, in words; the text is in small letters."""
    if not text.startswith((b"<", b"hepmc")):
        return None
    return next((what for key, what in _TEXTS.items() if key in text), None)


def _inside(path: Path, opened) -> str:
    """What a packed file holds, in words."""
    try:
        with opened(path, "rb") as file:
            start = file.read(_BYTES)
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return ", itself damaged"
    found = next((CONTAINERS[kind][0] for key, kind in _READ_HERE.items() if start.startswith(key)), None)
    if start[257:262] == b"ustar":
        found = "a tar archive"
    found = found or (_text(start.lstrip().lower()) or "").split(":")[0].split(",")[0]
    return f" of {found}" if found else ""


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that holds other files than arrays; a damaged one is left to its reader."""
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
            f"{path}: expected an npz archive, which holds numpy arrays (*.npy), but this zip archive holds {some}. "
            f"Unpack it first, with unzip, and load the files of events in it.{model}"
        )
