"""Unsupported files are identified correctly, with a remedy; nothing is executed and nothing hangs."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import threading
import zipfile

import h5py
import numpy as np
import pytest

from calolab import datasets
from calolab.datasets.signatures import container


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def packed(archive):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=archive) as file:
        file.addfile(tarfile.TarInfo("events.h5"), io.BytesIO())
    return out.getvalue()


LHE = b'<LesHouchesEvents version="3.0">\n<header>\n'
KINDS = {
    "empty": (b"", "the file is empty: download or write it again"),
    "page": (b"\n<!doctype HTML><html>", "a web page: the download has failed"),
    "xhtml": (b'<?xml version="1.0"?><html>', "a web page"),
    "xml": (b'<?xml version="1.0"?>\n<data/>', "an XML file"),
    "gdml": (b'<?xml version="1.0"?>\n<gdml xmlns:gdml="x">', "a GDML file, the geometry of a detector without events"),
    "lhe": (LHE, "a Les Houches event file"),
    "lhe.gz": (gzip.compress(LHE), "a gzip archive of a Les Houches event file: unpack it first, with gunzip"),
    "markup": (b"<events>", "markup text"),
    "hepmc.gz": (
        gzip.compress(b"\nHepMC::Version 2.06.09\n"),
        "a gzip archive of a HepMC file",
    ),
    "slha": (b"# SUSY\nBlock MODSEL\n", "an SLHA spectrum"),
    "json": (b'{"events": []}', "a JSON text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "pickle": (pickle.dumps(Trap()), "a Python pickle, which may run code"),
    "hdf5.gz": (gzip.compress(b"\x89HDF\r\n\x1a\n"), "a gzip archive of an HDF5 file: unpack it first, with gunzip"),
    "root.bz2": (bz2.compress(b"root"), "a bzip2 archive of a ROOT file: unpack it first, with bunzip2"),
    "fits.xz": (lzma.compress(b"SIMPLE  ="), "an xz archive of a FITS file"),
    "tar": (packed("w"), "a tar archive: unpack it first, with tar -xf"),
    "tar.gz": (packed("w:gz"), "a gzip archive of a tar archive"),
    "gz cut": (gzip.compress(b"\x89HDF\r\n\x1a\n")[:12], "a gzip archive, which is damaged"),
    "zeros": (bytes(100), "an interrupted download"),
    "text": (b"just text", "it begins with b'just tex'"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_file_is(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, words = KINDS[name]
    path = tmp_path / "events.h5"
    path.write_bytes(content)
    for read in (datasets.load, datasets.stream):
        with pytest.raises(ValueError) as caught:
            read(path)
        assert f"{path}: expected an HDF5 file or an npz archive" in str(caught.value)
        assert words in str(caught.value)
    assert not (tmp_path / "trapped").exists()


def test_a_zip_archive_of_a_supported_file(tmp_path):
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/events.h5", b"\x89HDF")
    with pytest.raises(ValueError, match=r"contains data/events.h5. Unpack it with unzip"):
        datasets.load(path)


def test_pickles_inside_an_archive_are_never_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("events.npz", hist=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match=r"events\.npz.*'hist' holds object.*Python objects that are never loaded"):
        datasets.load("events.npz")
    assert not (tmp_path / "trapped").exists()


def test_places_that_hold_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    refused = []

    def read():
        with pytest.raises(ValueError, match=r"pipe\.h5: is a named pipe, .*only from regular files") as caught:
            datasets.load(tmp_path / "pipe.h5")
        refused.append(caught)

    # Reading the pipe would block until there is a writer, so it runs in a thread.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30)
    assert refused
    with pytest.raises(ValueError, match=r"/dev/null: is a device"):
        datasets.load("/dev/null")
    with pytest.raises(ValueError, match=r"is a directory; give its files, e\.g\. '.*\*\.h5'"):
        container(tmp_path)
    (tmp_path / "link.h5").symlink_to("gone.h5")
    with pytest.raises(FileNotFoundError, match=r"link\.h5: a symbolic link to gone\.h5, which does not exist"):
        datasets.load(tmp_path / "link.h5")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "events.h5"
    path.write_bytes(b"\x89HDF")

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # root may read everything
    with pytest.raises(PermissionError, match=r"events\.h5: this user has no permission to read it"):
        container(path)


def test_hdf5_behind_a_block_of_the_users_own(tmp_path, showers):
    sample = showers(3)
    path = tmp_path / "events.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["ECAL"], file["energy"] = sample.values, sample.labels["energy"]
    path.write_bytes(b"# a comment".ljust(512, b"\0") + path.read_bytes()[512:])
    assert np.array_equal(datasets.load(path).values, sample.values)
