"""Data sets: public ones with files, DOIs, licences and layouts to read them, and those that are part of calolab."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from calolab.names import check_file_name, check_name
from calolab.tables import Html, Table

FOLDER = Path(__file__).with_name("packaged")  # package data
_ZENODO = "https://zenodo.org"
_CHECKSUMS = {"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}  # bytes of each


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public data set.

    Args:
        name: its name.
        size: its size [bytes]; None if unknown.
        checksum: algorithm and hexadecimal digits, e.g. `"md5:005d2adeda7d..."`; None if unknown.

    Raises:
        ValueError: if the name is a path, or size or checksum is not valid.
    """

    name: str
    size: int | None = None
    checksum: str | None = None

    def __post_init__(self):
        check_file_name("file of a public set", self.name)
        if self.size is not None and (type(self.size) is not int or self.size < 0):
            raise ValueError(f"{self.name}: the size must be a number of bytes or None, received {self.size!r}.")
        if self.checksum is not None:
            algorithm, _, digits = str(self.checksum).partition(":")
            if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * _CHECKSUMS.get(algorithm, 0)}}}", digits) or not digits:
                raise ValueError(
                    f"{self.name}: the checksum must be '<algorithm>:<hexadecimal digits>' of {', '.join(_CHECKSUMS)}, "
                    f"or None; received {self.checksum!r}."
                )


@dataclass(frozen=True)
class PublicSet:
    """A public data set; None stands for unknown.

    Args:
        name: its name in `fetch(name)`.
        title: its content.
        doi: its digital object identifier.
        paper: the paper to cite, arXiv number or DOI.
        files: its files; if empty, they are read from `listing`.
        licence: the licence of the data.
        reader: the layout with which `load` and `stream` read it; None if calolab cannot read it yet.
        download: address of its files, with `{file}` in place of the name; None if they must be downloaded by hand.
        listing: address of a JSON list of the files, with sizes and checksums.
        packaged: whether it is part of calolab: `load(name)` reads it, without the Internet.

    Raises:
        ValueError: if the name is a path, or `download` does not contain `{file}`.
    """

    name: str
    title: str
    doi: str | None = None
    paper: str | None = None
    files: tuple[RemoteFile, ...] = ()
    licence: str | None = None
    reader: str | None = None
    download: str | None = None
    listing: str | None = None
    packaged: bool = False

    def __post_init__(self):
        check_file_name("public set", self.name)
        if self.download is not None and "{file}" not in self.download:
            raise ValueError(
                f"{self.name}: download must contain {{file}} in place of the file name, received {self.download!r}."
            )

    @property
    def page(self) -> str | None:
        """Its web page; None without a DOI."""
        return None if self.doi is None else f"https://doi.org/{self.doi}"

    @property
    def size(self) -> int | None:
        """Total size of its files [bytes]; None if not all sizes are known."""
        if self.packaged:
            return (FOLDER / f"{self.name}.h5").stat().st_size
        sizes = [file.size for file in self.files]
        return None if not sizes or None in sizes else sum(sizes)

    def row(self) -> tuple[str, ...]:
        """Name, title, size, DOI, licence and reader as texts."""
        return (
            self.name,
            self.title,
            "unknown" if self.size is None else _size(self.size),
            self.doi or ("part of calolab" if self.packaged else "unknown"),
            self.licence or "unknown",
            "load, stream (by name)"
            if self.packaged
            else f"load, stream (layout {self.reader})"
            if self.reader
            else "none yet",
        )


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _zenodo(record: int, name: str, title: str, paper: str, files: dict | None = None, **more) -> PublicSet:
    return PublicSet(
        name,
        title,
        doi=f"10.5281/zenodo.{record}",
        paper=paper,
        files=tuple(RemoteFile(file, *known) for file, known in (files or {}).items()),
        download=f"{_ZENODO}/records/{record}/files/{{file}}?download=1",
        listing=f"{_ZENODO}/api/records/{record}",
        **more,
    )


_CALOCHALLENGE = "arXiv:2410.21611"
_SETS = (
    PublicSet(
        "clic-electrons-demo",
        "1,000 electrons of 10 to 100 GeV in clic-ecal by Geant4: a test sample, not for training",
        licence="BSD-3-Clause",
        reader="compact",
        packaged=True,
    ),
    PublicSet(
        "clic-electrons-lead",
        "1,000 electrons of 10 to 100 GeV by Geant4 in clic-ecal with lead absorbers 1.6 times as thick: a test sample",
        licence="BSD-3-Clause",
        reader="compact",
        packaged=True,
    ),
    _zenodo(
        3603086,
        "clic-angle",
        "3DGAN: electron showers in CLIC's ECAL at variable angle, 51x51x25 cells",
        "doi:10.1140/epjc/s10052-022-10258-4",
        reader="3dgan-angle",
    ),
    PublicSet(
        "calogan",
        "CaloGAN: 100,000 showers each of positrons, photons and charged pions, 3 layers, 504 cells",
        doi="10.17632/pvn3xc3wy5.1",
        paper="arXiv:1705.02355",
        files=(RemoteFile("eplus.hdf5"), RemoteFile("gamma.hdf5"), RemoteFile("piplus.hdf5")),
        licence="CC BY 4.0",
        reader="calogan",
    ),
    _zenodo(
        269622,
        "jet-images",
        "LAGAN: jet images of W bosons and QCD, 25x25 pixels, 250 to 300 GeV",
        "arXiv:1701.05927",
        {"jet-images_Mass60-100_pT250-300_R1.25_Pix25.hdf5": (None, "md5:f9b11c46b6a0ff928bec2eccf865ecf0")},
        reader="lagan",
    ),
    _zenodo(
        8099322,
        "calochallenge-1-photons",
        "CaloChallenge 1: 2 x 121,000 photons in ATLAS, 5 layers, 368 voxels",
        _CALOCHALLENGE,
        {
            "dataset_1_photons_1.hdf5": (None, "md5:005d2adeda7db034b388112661265656"),
            "dataset_1_photons_2.hdf5": (None, "md5:4767715ed56e99565fd9c67340661e70"),
        },
        reader="calochallenge",
    ),
    _zenodo(
        8099322,
        "calochallenge-1-pions",
        "CaloChallenge 1: 2 x 120,800 charged pions in ATLAS, 7 layers, 533 voxels",
        _CALOCHALLENGE,
        {
            "dataset_1_pions_1.hdf5": (None, "md5:6a5f52722064a1bcd8a0bc002f16515d"),
            "dataset_1_pions_2.hdf5": (None, "md5:fee7457b40127bc23c8ab909e2638ca0"),
        },
        reader="calochallenge",
    ),
    _zenodo(
        6366271,
        "calochallenge-2",
        "CaloChallenge 2: 2 x 100,000 electrons in Par04, 45 x 16 x 9 voxels",
        _CALOCHALLENGE,
        {
            "dataset_2_1.hdf5": (1_356_475_617, "md5:e590333e9a2da51b258288d74bd8357a"),
            "dataset_2_2.hdf5": (1_366_708_391, "md5:7a56fd68aa53ded37c2ac445694d9736"),
        },
        reader="calochallenge",
    ),
    _zenodo(
        6366324,
        "calochallenge-3",
        "CaloChallenge 3: 4 x 50,000 electrons in Par04, 45 x 50 x 18 voxels",
        _CALOCHALLENGE,
        {
            "dataset_3_1.hdf5": (None, "md5:d33f03418aa311b0965452fcbef1ff87"),
            "dataset_3_2.hdf5": (None, "md5:911dec2c40aafa64a07b7450b80881bf"),
            "dataset_3_3.hdf5": (None, "md5:5ea62f6831a1821bb5035fafc9f030e8"),
            "dataset_3_4.hdf5": (None, "md5:5e8d82e6a6c28c6914a3b602a1cfa299"),
        },
        reader="calochallenge",
    ),
)


@dataclass(frozen=True)
class Catalogue:
    """The data sets, by name or by iteration; shown as a table in a notebook."""

    sets: tuple[PublicSet, ...]

    def __iter__(self) -> Iterator[PublicSet]:
        return iter(self.sets)

    def __len__(self):
        return len(self.sets)

    def __getitem__(self, name: str) -> PublicSet:
        held = {one.name: one for one in self.sets}
        check_name("public set", name, held)
        return held[name]

    def __repr__(self):
        return repr(Table([held.row() for held in self.sets], ("name", "title", "size", "DOI", "licence", "reader")))

    def _repr_html_(self):
        rows = []
        for held in self.sets:
            name, title, size, doi, licence, reader = held.row()
            code = Html(f"<code style='white-space:nowrap'>{escape(name)}</code>", name)
            link = doi if held.page is None else Html(f"<a href='{escape(held.page)}'>{escape(doi)}</a>", doi)
            rows.append((code, title, size, link, licence, reader, held.paper or ""))
        return Table(rows, ("name", "holds", "size", "DOI", "licence", "reader", "paper")).to_html()


def catalogue() -> Catalogue:
    """The public data sets with their files, sizes, DOIs, licences, papers and readers, and those in calolab itself.

    `fetch(name)` downloads a public set. Unknown entries are None and shown as "unknown".

    >>> catalogue()["jet-images"].doi
    '10.5281/zenodo.269622'
    """
    return Catalogue(_SETS)


def packaged_names() -> list[str]:
    """Names of the sets that are part of calolab."""
    return [held.name for held in _SETS if held.packaged]


def packaged_file(name: str | os.PathLike) -> Path | None:
    """The file of a set that is part of calolab; None for any other name.

    Args:
        name: a name in `catalogue()`, or any path.
    """
    return FOLDER / f"{name}.h5" if str(name) in packaged_names() else None
