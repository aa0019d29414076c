"""Supersymmetric spectra in the SUSY Les Houches format: gluinos that decay to quarks without R-parity.

The spectra are simplified models as in ATLAS's multi-jet searches (arXiv:1804.03568): a gluino, perhaps a neutralino
below it, and everything else too heavy to matter. R-parity breaks through the coupling of three quarks (UDD), which
gives the decays to an up-type and two different down-type quarks, or to their antiparticles; all flavours but top are
equally likely. Decays are given as tables, with three-body phase space; their matrix elements are not.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

GLUINO = 1000021
NEUTRALINO = 1000022
# Masses [GeV]. A pair of 6 TeV each takes nearly all the energy of the beams.
LIGHTEST_GLUINO, HEAVIEST_GLUINO = 50.0, 6000.0
LIGHTEST_NEUTRALINO = 10.0
# Below this distance [GeV] the widths of both reach over the threshold, and decays to heavier quarks close.
SMALLEST_GAP = 10.0
DECOUPLED = 1e4

_WIDTH = 1.0
_LIGHT_QUARKS = (1, 2, 3, 4)
_UP_DOWN_DOWN = ((2, 1, 3), (2, 1, 5), (2, 3, 5), (4, 1, 3), (4, 1, 5), (4, 3, 5))
_HIGGS = {25: 125.0, 35: DECOUPLED, 36: DECOUPLED, 37: DECOUPLED}
_SFERMIONS = (1, 2, 3, 4, 5, 6, 11, 13, 15)
_OTHER_SPARTICLES = (
    *(1000000 + code for code in (*_SFERMIONS, 12, 14, 16, 23, 24, 25, 35, 37)),
    *(2000000 + code for code in _SFERMIONS),
)
_MIXINGS = {"NMIX": 4, "UMIX": 2, "VMIX": 2, "STOPMIX": 2, "SBOTMIX": 2, "STAUMIX": 2}


def spectrum(gluino_mass: float, neutralino_mass: float | None = None) -> str:
    """The spectrum of one point of the mass plane, as text in the SUSY Les Houches format (hep-ph/0311123).

    Args:
        gluino_mass: [GeV], 50 to 6000.
        neutralino_mass: [GeV], from 10 to 10 below the gluino: the gluino decays to two light quarks and the
            neutralino, and this one to three quarks. With None the gluino itself decays to three quarks.

    Returns:
        A complete spectrum with decay tables, as Pythia needs it.

    Raises:
        ValueError: if a mass is out of range, or the neutralino is not well below the gluino.
    """
    check_masses(gluino_mass, neutralino_mass)
    masses = {**_HIGGS, **dict.fromkeys(_OTHER_SPARTICLES, DECOUPLED), GLUINO: gluino_mass}
    masses[NEUTRALINO] = DECOUPLED if neutralino_mass is None else neutralino_mass
    blocks = [
        _block("SPINFO", {1: "calolab", 2: "1"}),
        # R-parity stays on here: switched off, Pythia would ask for neutralino-neutrino mixings that play no part.
        _block("MODSEL", {1: 0}),
        _block("SMINPUTS", {1: 127.9, 2: 1.16637e-5, 3: 0.1184, 4: 91.1876, 5: 4.18, 6: 173.1, 7: 1.777}),
        _block("MINPAR", {3: 10.0}),
        _block("ALPHA", {"": -0.1}),
        _block("HMIX", {1: 1000.0, 2: 10.0, 3: 246.0, 4: 1e8}),
        _block("MASS", masses),
        *(_block(name, _identity(size)) for name, size in _MIXINGS.items()),
    ]
    three_quarks = [tuple(sign * quark for quark in quarks) for quarks in _UP_DOWN_DOWN for sign in (1, -1)]
    if neutralino_mass is None:
        decays = [_decay(GLUINO, three_quarks)]
    else:
        to_neutralino = [(NEUTRALINO, quark, -quark) for quark in _LIGHT_QUARKS]
        decays = [_decay(GLUINO, to_neutralino), _decay(NEUTRALINO, three_quarks)]
    return "".join([*blocks, *decays])


def check_masses(gluino_mass: float, neutralino_mass: float | None = None) -> None:
    """Raise ValueError unless gluino and neutralino [GeV] can be made and can decay."""
    for name, mass in (("gluino_mass", gluino_mass), ("neutralino_mass", neutralino_mass)):
        if not isinstance(mass, (int, float, np.number)) and not (mass is None and name == "neutralino_mass"):
            raise ValueError(f"{name} expects a number [GeV], received {mass!r}.")
    if not LIGHTEST_GLUINO <= gluino_mass <= HEAVIEST_GLUINO:
        raise ValueError(
            f"gluino_mass must be from {LIGHTEST_GLUINO:g} to {HEAVIEST_GLUINO:g} GeV (heavier pairs are out of reach "
            f"of 13 TeV), received {gluino_mass:g}."
        )
    if neutralino_mass is None:
        return
    if neutralino_mass >= gluino_mass:
        raise ValueError(
            f"The neutralino ({neutralino_mass:g} GeV) must be lighter than the gluino ({gluino_mass:g} GeV), which "
            "decays to it. Leave neutralino_mass=None for gluinos that decay to three quarks directly."
        )
    if not neutralino_mass >= LIGHTEST_NEUTRALINO:
        raise ValueError(
            f"neutralino_mass must be at least {LIGHTEST_NEUTRALINO:g} GeV to decay to three quarks, received "
            f"{neutralino_mass:g}."
        )
    if gluino_mass - neutralino_mass < SMALLEST_GAP:
        raise ValueError(
            f"The neutralino ({neutralino_mass:g} GeV) must lie at least {SMALLEST_GAP:g} GeV below the gluino "
            f"({gluino_mass:g} GeV), or there is no room for the two quarks of the decay."
        )


def read(source: str | Path) -> str:
    """The text of a spectrum: `source` itself if it has several lines, else the file of that name.

    Raises:
        ValueError: if there is no such file, or it is no text.
    """
    if isinstance(source, str) and "\n" in source:
        return source
    try:
        return Path(source).read_text()
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(
            f"slha= expects the text of a spectrum in the SUSY Les Houches format or the name of its file, received "
            f"{source!r}: {error}"
        ) from error


def masses(text: str) -> dict[str, float]:
    """The labels of events made with a spectrum: `gluino_mass` [GeV] and, if gluinos decay to it, `neutralino_mass`.

    Raises:
        ValueError: if the text does not give the gluino's mass or its decays.
    """
    block, found, decays = "", {}, []
    for line in text.splitlines():
        words = re.sub("#.*", "", line).split()
        if not words:
            continue
        if words[0].upper() in ("BLOCK", "DECAY"):
            block = " ".join(words[:2]).upper()
        elif block == "BLOCK MASS" and len(words) == 2 and words[0] in (str(GLUINO), str(NEUTRALINO)):
            found[int(words[0])] = _number(words[1])
        elif block == f"DECAY {GLUINO}":
            decays.append(words)
    if not found.get(GLUINO, 0) > 0 or not decays:
        raise ValueError(
            f"The spectrum in slha= must give the gluino's mass (code {GLUINO} in BLOCK MASS, positive) and its decays "
            f"(DECAY {GLUINO}); found mass {found.get(GLUINO, 'none')} and {len(decays)} decays. "
            "simulate.slha.spectrum(1400, 850) shows a complete one."
        )
    labels = {"gluino_mass": found[GLUINO]}
    if any(str(NEUTRALINO) in words[2:] for words in decays):
        # The sign of a neutralino's mass is a phase in this format.
        labels["neutralino_mass"] = abs(found.get(NEUTRALINO, np.nan))
    if not np.all(np.isfinite(list(labels.values()))):
        raise ValueError(f"The spectrum in slha= must give the masses of gluino and neutralino, found {labels}.")
    return labels


def _number(word):
    try:
        return float(word.upper().replace("D", "E"))
    except ValueError:
        return np.nan


def _block(name, entries):
    return f"BLOCK {name}\n" + "".join(f" {key}  {value}\n" for key, value in entries.items())


def _identity(size):
    return {f"{row} {column}": float(row == column) for row in range(1, size + 1) for column in range(1, size + 1)}


def _decay(code, channels):
    lines = (f"  {1 / len(channels):.10f}  {len(products)}  {' '.join(map(str, products))}\n" for products in channels)
    return f"DECAY {code}  {_WIDTH}\n" + "".join(lines)
