"""Supersymmetric spectra in the SUSY Les Houches format: gluinos with R-parity-violating decays to quarks.

The spectra are simplified models as in the multi-jet searches of ATLAS (arXiv:1804.03568): a gluino, optionally a
lighter neutralino, and all other superpartners decoupled. R-parity is violated by the coupling of three quarks (UDD),
which leads to decays to one up-type and two different down-type quarks, or to their antiparticles; all flavours except
top are equally likely. Decays are given as tables of branching ratios and follow three-body phase space, without matrix
elements.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

GLUINO = 1000021
NEUTRALINO = 1000022
CALLER_OF_COLLISIONS = 6  # stacklevel in `check_blocks`, including `contextlib` for the decorator `stopping`
# Limits of the masses [GeV]. A pair of 6 TeV gluinos needs nearly all of the beam energy.
LIGHTEST_GLUINO, HEAVIEST_GLUINO = 50.0, 6000.0
LIGHTEST_NEUTRALINO = 10.0
# With a smaller mass difference [GeV] the widths extend over the threshold, and decays to heavier quarks are closed.
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
# Blocks that Pythia needs for pairs of gluinos, one of each group: the mixing of squarks in all models.
_SQUARK_MIXINGS = (("STOPMIX", "USQMIX"), ("SBOTMIX", "DSQMIX"))
# Further blocks that are needed if an entry of MODSEL has one of these values (any except 0 if there are none).
_MODELS = {
    ("3", (1,)): ("the NMSSM", [("NMNMIX",), ("NMAMIX",), ("NMHMIX",), ("NMSSMRUN",)]),
    ("4", ()): (
        "R-parity violation",
        [("RVNMIX", "NMIX"), ("RVUMIX", "UMIX"), ("RVVMIX", "VMIX"), ("RVHMIX", "ALPHA"), ("RVLMIX", "STAUMIX")],
    ),
    ("5", ()): ("CP violation", [("CVHMIX",)]),
    ("6", (1, 3)): ("flavour violation of quarks", [("VCKMIN",), ("USQMIX",), ("DSQMIX",)]),
}


def spectrum(gluino_mass: float, neutralino_mass: float | None = None) -> str:
    """The spectrum of one point of the mass plane, as text in the SUSY Les Houches format (hep-ph/0311123).

    Args:
        gluino_mass: mass of the gluino [GeV], 50 to 6000.
        neutralino_mass: mass of the neutralino [GeV], from 10 to 10 below the gluino: the gluino decays to two light
            quarks and the neutralino, which decays to three quarks. If None, the gluino decays to three quarks.

    Returns:
        A complete spectrum with decay tables, as needed by Pythia.

    Raises:
        ValueError: if a mass is out of range, or the mass difference is too small.

    >>> print(spectrum(1400, 850)[:12])
    BLOCK SPINFO
    """
    check_masses(gluino_mass, neutralino_mass)
    masses = {**_HIGGS, **dict.fromkeys(_OTHER_SPARTICLES, DECOUPLED), GLUINO: gluino_mass}
    masses[NEUTRALINO] = DECOUPLED if neutralino_mass is None else neutralino_mass
    blocks = [
        _block("SPINFO", {1: "calolab", 2: "1"}),
        # R-parity is formally conserved; otherwise Pythia would require neutralino-neutrino mixings, which are
        # irrelevant.
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
    """Raise ValueError unless gluinos and neutralinos with these masses can be produced and can decay.

    Args:
        gluino_mass: mass of the gluino [GeV].
        neutralino_mass: mass of the neutralino [GeV], or None.
    """
    for name, mass in (("gluino_mass", gluino_mass), ("neutralino_mass", neutralino_mass)):
        if not isinstance(mass, (int, float, np.number)) and not (mass is None and name == "neutralino_mass"):
            raise ValueError(f"{name} expects a number [GeV], received {mass!r}.")
    if not LIGHTEST_GLUINO <= gluino_mass <= HEAVIEST_GLUINO:
        raise ValueError(
            f"gluino_mass must be from {LIGHTEST_GLUINO:g} to {HEAVIEST_GLUINO:g} GeV (heavier pairs cannot be "
            f"produced at 13 TeV), received {gluino_mass:g}."
        )
    if neutralino_mass is None:
        return
    if neutralino_mass >= gluino_mass:
        raise ValueError(
            f"The neutralino ({neutralino_mass:g} GeV) must be lighter than the gluino ({gluino_mass:g} GeV), which "
            "decays to it. Keep neutralino_mass=None for gluinos that decay directly to three quarks."
        )
    if not neutralino_mass >= LIGHTEST_NEUTRALINO:
        raise ValueError(
            f"neutralino_mass must be at least {LIGHTEST_NEUTRALINO:g} GeV to decay to three quarks, received "
            f"{neutralino_mass:g}."
        )
    if gluino_mass - neutralino_mass < SMALLEST_GAP:
        raise ValueError(
            f"The neutralino ({neutralino_mass:g} GeV) must be at least {SMALLEST_GAP:g} GeV lighter than the gluino "
            f"({gluino_mass:g} GeV), which also decays to two quarks."
        )


def read(source: str | Path) -> str:
    """The text of a spectrum: `source` itself if it has several lines, otherwise the content of this file.

    Raises:
        ValueError: if there is no such file, or it is not a text file.
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


def masses(text: str, name: str = "The spectrum in slha=") -> dict[str, float]:
    """The labels of events for a spectrum: `gluino_mass` and, if gluinos decay to it, `neutralino_mass` [GeV].

    Args:
        text: text of the spectrum.
        name: name of its file, for messages.

    Raises:
        ValueError: if the text does not contain the masses and the decays of the gluino, or the neutralino is heavier.

    >>> masses(spectrum(1400, 850))
    {'gluino_mass': 1400.0, 'neutralino_mass': 850.0}
    """
    blocks = _entries(text)
    if not blocks:
        begin = f", it begins with {text.strip()[:40]!r}" if text.strip() else ", it is empty"
        raise ValueError(
            f"{name} must be a spectrum in the SUSY Les Houches format (hep-ph/0311123); it contains no BLOCK and no "
            f"DECAY{begin}."
        )
    found = {words[0]: _number(words[1]) for words in blocks.get("BLOCK MASS", ()) if len(words) > 1}
    decays = blocks.get(f"DECAY {GLUINO}", ())
    gluino, neutralino = found.get(str(GLUINO), np.nan), found.get(str(NEUTRALINO), np.nan)
    if not gluino > 0 or not decays:
        raise ValueError(
            f"{name} must contain the mass of the gluino (code {GLUINO} in BLOCK MASS, positive) and its decays "
            f"(DECAY {GLUINO}); found mass {gluino if str(GLUINO) in found else 'none'} and {len(decays)} decays. "
            "simulate.slha.spectrum(1400, 850) is an example."
        )
    labels = {"gluino_mass": gluino}
    if any(str(NEUTRALINO) in words[2:] for words in decays):
        # In this format the sign of a neutralino mass is a phase.
        labels["neutralino_mass"] = abs(neutralino)
    if not np.all(np.isfinite(list(labels.values()))):
        raise ValueError(f"{name} must contain the masses of gluino and neutralino, found {labels}.")
    if labels.get("neutralino_mass", 0) >= gluino:
        raise ValueError(
            f"{name} must have a gluino heavier than the neutralino that it decays to, found {gluino:g} and "
            f"{labels['neutralino_mass']:g} GeV."
        )
    if wrong := [code for code, mass in found.items() if not np.isfinite(mass)]:
        raise ValueError(f"{name} must have numbers in BLOCK MASS; the masses of {', '.join(wrong)} are not numbers.")
    return labels


def check_blocks(text: str, name: str = "The spectrum in slha=") -> None:
    """Raise ValueError unless a spectrum has the blocks that Pythia needs for pairs of gluinos.

    If one is missing, Pythia disables supersymmetry or, without the mixing of squarks, uses couplings of zero. For
    neutralinos that do not decay a warning is issued.

    Args:
        text: text of the spectrum.
        name: name of its file, for messages.

    Raises:
        ValueError: with the missing blocks, similar ones that are present, and the remedy.
    """
    blocks = _entries(text)
    given = {block.removeprefix("BLOCK ") for block in blocks if block.startswith("BLOCK ")}
    if "MODSEL" not in given:
        raise ValueError(
            f"{name} has no BLOCK MODSEL, without which Pythia disables supersymmetry. Add it, e.g. "
            "'BLOCK MODSEL' and a line ' 1 0' for the MSSM."
        )
    model = {words[0]: _number(words[1]) for words in blocks["BLOCK MODSEL"] if len(words) > 1}
    needed, why = list(_SQUARK_MIXINGS), []
    for (entry, choices), (what, more) in _MODELS.items():
        if (choice := model.get(entry, 0)) in choices or (not choices and choice != 0):
            needed += more
            why.append(f"MODSEL {entry} = {choice:g}, {what}")
    missing = [one for one in needed if not given & set(one)]
    missing = [one for one in missing if not any(set(other) < set(one) for other in missing)]
    if missing:
        instead = sorted(given & {block for one in needed for block in one})
        remedy = "Let the spectrum calculator write them"
        if why:
            remedy += ", or set this entry to 0 if you do not want to simulate this model"
            why = [f" ({'; '.join(why)})"]
        raise ValueError(
            f"{name} lacks the blocks {', '.join(' or '.join(one) for one in missing)}, which Pythia needs to make "
            f"gluinos{''.join(why)}; of these blocks it has {', '.join(instead) or 'none'}. {remedy}."
        )
    made = any(str(NEUTRALINO) in words[2:] for words in blocks.get(f"DECAY {GLUINO}", ()))
    if made and not blocks.get(f"DECAY {NEUTRALINO}"):
        warning = f"{name} has no decays of neutralinos: they leave the detector undetected."
        warnings.warn(warning, stacklevel=CALLER_OF_COLLISIONS)


def _entries(text: str) -> dict[str, list[list[str]]]:
    """The words of each line, without comments, by block or decay, e.g. `"BLOCK MASS"`."""
    block, found = None, {}
    for line in text.splitlines():
        words = re.sub("#.*", "", line).split()
        if words and words[0].upper() in ("BLOCK", "DECAY"):
            block = found.setdefault(" ".join(words[:2]).upper(), [])
        elif words and block is not None:
            block.append(words)
    return found


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
