"""The binning of the CaloChallenge (arXiv:2410.21611): cells in alpha and r for each layer, from its tables or XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np

_LARGEST_FILE = 10_000_000  # bytes; the published files have up to 40,000
_LARGEST_ALPHA = 10_000
_PIECE = 64  # bytes that are parsed at a time


class _Refused(ValueError):
    """An XML file with a document type declaration."""


@dataclass(frozen=True)
class LayerBinning:
    """Cells of one layer around the direction of the incident particle.

    Args:
        number: number of the layer in the detector; unused numbers in between are omitted.
        r: edges in radius [mm].
        n_alpha: number of equal bins in the angle alpha around the direction, from -pi to pi.

    Raises:
        ValueError: if the edges do not increase from 0 or more, or there is no bin.
    """

    number: int
    r: tuple[float, ...]
    n_alpha: int

    def __post_init__(self):
        increases = len(self.r) > 1 and np.all(np.isfinite(self.r)) and self.r[0] >= 0 and np.all(np.diff(self.r) > 0)
        if not increases:
            raise ValueError(f"layer {self.number}: r edges must increase from 0 mm or more, received {self.r}")
        if not 1 <= self.n_alpha <= _LARGEST_ALPHA:
            raise ValueError(
                f"layer {self.number}: expected 1 to {_LARGEST_ALPHA} bins in alpha, received {self.n_alpha}"
            )

    @property
    def edges(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Edges in alpha [rad] and r [mm]."""
        return tuple(np.linspace(-np.pi, np.pi, self.n_alpha + 1).tolist()), self.r


def _layers(table: Mapping[int, tuple[int, tuple[float, ...]]]) -> tuple[LayerBinning, ...]:
    return tuple(LayerBinning(number, tuple(map(float, r)), n_alpha) for number, (n_alpha, r) in table.items())


_PRESAMPLER = (1, (0, 5, 10, 30, 50, 100, 200, 400, 600))
_BACK = (1, (0, 50, 100, 200, 400, 600))
_PHOTONS = {
    0: _PRESAMPLER,
    1: (10, (0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 50, 70, 90, 120, 150, 200)),
    2: (10, (0, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 130, 160, 200, 250, 300, 350, 400)),
    3: _BACK,
    12: (1, (0, 100, 200, 400, 1000, 2000)),
}
_PIONS = {
    0: _PRESAMPLER,
    1: (10, (0, 1, 4, 7, 10, 15, 30, 50, 90, 150, 200)),
    2: (10, (0, 5, 10, 20, 30, 50, 80, 130, 200, 300, 400)),
    3: _BACK,
    12: (10, (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400, 1000, 2000)),
    13: (10, (0, 10, 20, 30, 50, 80, 100, 130, 160, 200, 250, 300, 350, 400, 600, 1000, 2000)),
    14: (1, (0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000)),
}


def _par04(n_r: int, n_alpha: int, width: float) -> tuple[LayerBinning, ...]:
    """The mesh of Geant4's example Par04: 45 equal layers."""
    r = tuple((np.arange(n_r + 1) * width).round(6).tolist())
    return tuple(LayerBinning(number, r, n_alpha) for number in range(45))


LAYER_DEPTH = 3.4  # of data sets 2 and 3: two sheets of 1.4 mm tungsten and 0.3 mm silicon [mm]
# The data sets, by name.
BINNINGS = {
    "photons": _layers(_PHOTONS),
    "pions": _layers(_PIONS),
    "2": _par04(9, 16, 4.65),
    "3": _par04(18, 50, 2.325),
}


def read_xml(path: str | PathLike, particle: str | None = None) -> tuple[LayerBinning, ...]:
    """Read the binning of one particle from an XML file of the CaloChallenge.

    Args:
        path: the file.
        particle: name of the particle in it, e.g. `"photon"`; may be None if it describes only one.

    Returns:
        The layers that are used, in the order of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, contains a document type declaration, which may define entities that
            exhaust the memory or name other files, or lacks the particle.
    """
    with open(path, "rb") as file:
        text = file.read(_LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:
        raise ValueError(f"{path}: expected a binning of the CaloChallenge of at most {_LARGEST_FILE} bytes.")
    bins = _parse(path, text).findall("Bin")
    if not bins:
        raise ValueError(f"{path}: expected elements <Bin>, each with the binning of one particle, received none.")
    names = [found.get("name", "") for found in bins]
    if particle is None and len(bins) > 1:
        raise ValueError(f"{path}: describes {', '.join(map(repr, names))}; choose one of them with particle=.")
    if particle is not None and particle not in names:
        raise ValueError(f"{path}: describes {', '.join(map(repr, names))}, but particle= asks for {particle!r}.")
    if particle is not None and names.count(particle) > 1:
        raise ValueError(f"{path}: describes {particle!r} {names.count(particle)} times; leave only one of them.")
    chosen = bins[0 if particle is None else names.index(particle)]
    try:
        layers = [_layer(element) for element in chosen.findall("Layer")]
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Compare it with the published binning files.") from error
    used = tuple(layer for layer in layers if layer is not None)
    if not used:
        raise ValueError(f"{path}: no layer has cells; expected <Layer id= r_edges= n_bin_alpha=>.")
    numbers = [layer.number for layer in used]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{path}: describes a layer more than once, received the numbers {numbers}.")
    return used


def _parse(path: str | PathLike, text: bytes) -> Element:
    """The root element; XML with a document type declaration is rejected where it begins."""

    class Builder(TreeBuilder):
        def doctype(self, name, public, system):
            raise _Refused(f"{path}: contains a document type declaration (<!DOCTYPE), which is not read. Remove it.")

    parser = XMLParser(target=Builder())
    try:
        # In small pieces, so that nothing behind the beginning of the declaration is interpreted.
        for start in range(0, len(text), _PIECE):
            parser.feed(text[start : start + _PIECE])
        return parser.close()
    except _Refused:
        raise
    except (ParseError, LookupError, ValueError) as error:  # the latter for unknown encodings
        raise ValueError(f"{path}: expected an XML file with a binning of the CaloChallenge ({error}).") from error


def _layer(element: Element) -> LayerBinning | None:
    """The binning of one layer; None for a layer without cells."""
    given = {name: element.get(name) for name in ("id", "r_edges", "n_bin_alpha")}
    if missing := [name for name, value in given.items() if value is None]:
        raise ValueError(f"a <Layer> lacks the attribute {missing[0]!r}, received {list(element.keys())}")
    for name in ("id", "n_bin_alpha"):
        if not re.fullmatch(r"\s*[0-9]{1,9}\s*", given[name]):
            raise ValueError(f"attribute {name!r} of a <Layer> must be a whole number, received {given[name][:50]!r}")
    try:
        r = tuple(float(edge) for edge in given["r_edges"].split(",") if edge.strip())
    except ValueError:
        raise ValueError(
            f"layer {given['id']}: attribute 'r_edges' must be numbers [mm] separated by commas, received "
            f"{given['r_edges'][:50]!r}"
        ) from None
    return LayerBinning(int(given["id"]), r, int(given["n_bin_alpha"])) if len(r) > 1 else None
