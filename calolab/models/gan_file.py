"""Files of generative networks; their header can be read without Keras.

A `.gan` file is a zip archive of `gan.json`, the header, and one member per network and format. Nothing in it is
pickled. Versions: 1, whose head `generation` returned a probability and which named no layer `features`; 2, which
always held `generator.keras` and `discriminator.keras`; 3, whose header lists the networks. Entries that a reader may
ignore were added to version 3 later: `dtype`, and the model card in the provenance.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from calolab.files import DISK_FULL_REASONS, complete, diagnosed, full_disk, scratch
from calolab.labels import UNITS
from calolab.model_card import ModelCard
from calolab.spaces import Space

FORMAT = "calolab-gan"
VERSION = 3
HEADER = "gan.json"
KERAS = "keras"
DTYPES = ("float32", "float16")  # types of stored weights
# Entries that the header must have in all versions.
_REQUIRED = {
    "architecture": str,
    "space": dict,
    "latent_size": int,
    "conditions": list,
    "settings": dict,
    "provenance": dict,
}
_BEFORE_VERSION_3 = {name: {KERAS: f"{name}.keras"} for name in ("generator", "discriminator")}


@dataclass(frozen=True)
class Header:
    """The header of a `.gan` file.

    Args:
        architecture, space, latent_size, conditions, settings, provenance: as for `Generator`.
        value_scale: as for `GAN`.
        networks: for each network, the members of the archive that contain it, by format, e.g.
            `{"generator": {"keras": "generator.keras"}}`.
        parts: networks that are layers of another one and have no member of their own: the name of that network, and
            of its layer.
        library: version of the library that wrote the networks, e.g. `{"keras": "3.9.0"}`.
        dtype: type of the stored weights; they are float32 after loading.
        version: version of the file format.

    Raises:
        ValueError: if the model card in the provenance is not complete.
    """

    architecture: str
    space: Space
    latent_size: int
    conditions: tuple[str, ...]
    settings: Mapping[str, object]
    provenance: dict[str, object]
    value_scale: float = 1.0
    networks: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: dict(_BEFORE_VERSION_3))
    parts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    library: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "float32"
    version: int = VERSION

    def __post_init__(self):
        object.__setattr__(self, "conditions", tuple(self.conditions))
        _ = self.card  # a card that cannot be read is reported at once

    @property
    def card(self) -> ModelCard | None:
        """The model card; None without one."""
        content = self.provenance.get("card")
        return None if content is None else ModelCard.from_dict(content)

    def member(self, network: str, kind: str) -> str:
        """Name of the member of the archive that holds a network in a format.

        Args:
            network: name of the network.
            kind: name of the format.

        Raises:
            ValueError: if there is none.
        """
        formats = self.networks.get(network, {})
        if kind not in formats:
            held = ", ".join(f"{name} ({', '.join(members)})" for name, members in self.networks.items())
            raise ValueError(f"the network {network!r} in the format {kind!r} is expected, the file holds {held}")
        return formats[kind]

    def to_dict(self) -> dict:
        """The header as plain numbers and strings that JSON can hold."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "architecture": self.architecture,
            "space": self.space.to_dict(),
            "latent_size": self.latent_size,
            "conditions": list(self.conditions),
            "label_units": {name: UNITS.get(name, "") for name in self.conditions},
            "value_scale": self.value_scale,
            "settings": dict(self.settings),
            "provenance": self.provenance,
            "networks": {name: dict(members) for name, members in self.networks.items()},
            "parts": {name: list(place) for name, place in self.parts.items()},
            "library": dict(self.library),
            "dtype": self.dtype,
        }

    @classmethod
    def from_dict(cls, content: Mapping) -> Header:
        """Rebuild a header of this or an earlier version from `to_dict`.

        Raises:
            ValueError: if an entry is missing or of the wrong type.
        """
        for name, kind in _REQUIRED.items():
            if not isinstance(content.get(name), kind):
                raise ValueError(f"gan.json must have {name!r} of type {kind.__name__}, has {content.get(name)!r:.80}")
        trainings = content["provenance"].get("trainings", [])
        if not isinstance(trainings, list) or not all(isinstance(one.get("epochs"), int) for one in trainings):
            raise ValueError(f"each training in gan.json must have a number of epochs, received {trainings!r:.80}")
        later = {}
        if content["version"] >= 3:
            later = {
                "networks": content["networks"],
                "parts": {name: tuple(place) for name, place in content["parts"].items()},
                "library": content["library"],
            }
        return cls(
            **{name: content[name] for name in _REQUIRED} | {"space": Space.from_dict(content["space"])},
            value_scale=content.get("value_scale", 1.0),
            dtype=content.get("dtype", "float32"),
            version=content["version"],
            **later,
        )


def read_header(path: str | os.PathLike) -> Header:
    """Read the header of a `.gan` file, without its networks.

    Args:
        path: the file.

    Raises:
        FileNotFoundError, ValueError, OSError, MemoryError: as `opened`.
    """
    with opened(path) as (_, header):
        return header


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[tuple[zipfile.ZipFile, Header]]:
    """Inside the block, a `.gan` file is open for reading; yields the archive and its header.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a complete GAN file, the block cannot read a part of it, or a later version of calolab
            wrote it.
        OSError, MemoryError: if it cannot be read at present, whatever its content.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No GAN file {path}; write one with gan.save({str(path)!r}).")

    def explain(error: Exception) -> str:
        return (
            f"{path}: not a complete GAN file, or damaged ({str(error) or type(error).__name__}). Copy it again, or "
            "write it again with gan.save."
        )

    try:
        # zipfile, Keras and HDF5 raise almost any exception for a damaged part.
        with diagnosed(path, explain), zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(HEADER))
            if not isinstance(content, dict) or not isinstance(content.get("version"), int):
                raise ValueError(f"gan.json must be an object with a version, it is {content!r:.80}")
            kind, version = content.get("format"), content["version"]
            if kind == FORMAT and version <= VERSION:
                yield archive, Header.from_dict(content)
                return
    except OSError as error:
        if error.errno not in DISK_FULL_REASONS:
            raise
        folder = tempfile.gettempdir()
        remedy = f"Free some space in {folder}, or set TMPDIR to a folder on another disk."
        raise full_disk(error, Path(folder, path.name), None, f"{path} was not read. {remedy}") from error
    raise ValueError(
        f"{path} has format {kind!r} version {version}; this calolab reads {FORMAT!r} up to version {VERSION}. Update "
        "calolab to read it."
    )


def write(
    path: str | os.PathLike, header: Header, members: Mapping[str, Callable[[Path], None]], size: int | None = None
) -> None:
    """Write a `.gan` file under a temporary name, and rename it when it is complete.

    Args:
        path: the file, by convention ending in `.gan`.
        header: its header.
        members: for each member of the archive, by name, a function that writes it to the path that it receives.
        size: maximum size of all members [bytes], for the message about a full disk.

    Raises:
        OSError: if the disk is full; an earlier file of that name is kept.
    """
    path = Path(path)
    # The disk contains the archive and, one at a time, a copy of a member.
    with complete(path, size and 2 * size) as whole, scratch(path) as folder:
        folder.mkdir()
        with zipfile.ZipFile(whole, "w") as archive:
            archive.writestr(HEADER, json.dumps(header.to_dict(), indent=1))
            for name, save in members.items():
                part = Path(folder, name)
                save(part)
                archive.write(part, name)
                part.unlink()


def add_network(path: str | os.PathLike, network: str, kind: str, file: str | os.PathLike) -> None:
    """Add a network in a further format, e.g. the generator for another runtime, to a `.gan` file of version 3.

    Args:
        path: the `.gan` file.
        network: name of the network, e.g. `"generator"`.
        kind: name of the format; an existing member for this network and format is replaced.
        file: file with the network in that format.

    Raises:
        FileNotFoundError, ValueError, OSError, MemoryError: as `opened`, or if the file is of an earlier version.
    """
    with opened(path) as (archive, header):
        name = f"{network}.{kind}"
        content = {one: archive.read(one) for one in archive.namelist() if one not in (HEADER, name)}
    if header.version < 3:
        raise ValueError(f"{path}: its version is {header.version}; load it and save it again first.")
    networks = {**header.networks, network: {**header.networks.get(network, {}), kind: name}}
    content[name] = Path(file).read_bytes()
    members = {one: partial(_write_bytes, held) for one, held in content.items()}
    write(path, replace(header, networks=networks), members, sum(map(len, content.values())))


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)
