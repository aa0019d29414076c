"""Supersymmetric spectra in the SUSY Les Houches format: gluinos that decay to quarks without R-parity.

The spectra are simplified models as in ATLAS's multi-jet searches (arXiv:1804.03568): a gluino, perhaps a neutralino
below it, and everything else too heavy to matter. R-parity breaks through the coupling of three quarks (UDD), which
gives the decays to an up-type and two different down-type quarks, or to their antiparticles; all flavours but top are
equally likely. Decays are given as tables, with three-body phase space; their matrix elements are not.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

GLUINO = 1000021
NEUTRALINO = 1000022
CALLER_OF_COLLISIONS = 6  # of `check_blocks`: `contextlib`, of the decorator `stopping`, is one more caller
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
# The blocks that Pythia needs for pairs of gluinos, of each group one: always the mixing of squarks.
_SQUARK_MIXINGS = (("STOPMIX", "USQMIX"), ("SBOTMIX", "DSQMIX"))
# And what an entry of MODSEL with one of these values (any but 0 where there are none) asks for beyond that.
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


def masses(text: str, name: str = "The spectrum in slha=") -> dict[str, float]:
    """The labels of events made with a spectrum: `gluino_mass` [GeV] and, if gluinos decay to it, `neutralino_mass`.

    Args:
        text: of the spectrum.
        name: of its file, for messages.

    Raises:
        ValueError: if the text does not give the masses and the gluino's decays, or the neutralino is the heavier one.
    """
    blocks = _entries(text)
    if not blocks:
        begin = f", it begins with {text.strip()[:40]!r}" if text.strip() else ", it is empty"
        raise ValueError(
            f"{name} must give a spectrum in the SUSY Les Houches format (hep-ph/0311123); there is no BLOCK and no "
            f"DECAY in it{begin}."
        )
    found = {words[0]: _number(words[1]) for words in blocks.get("BLOCK MASS", ()) if len(words) > 1}
    decays = blocks.get(f"DECAY {GLUINO}", ())
    gluino, neutralino = found.get(str(GLUINO), np.nan), found.get(str(NEUTRALINO), np.nan)
    if not gluino > 0 or not decays:
        raise ValueError(
            f"{name} must give the gluino's mass (code {GLUINO} in BLOCK MASS, positive) and its decays "
            f"(DECAY {GLUINO}); found mass {gluino if str(GLUINO) in found else 'none'} and {len(decays)} decays. "
            "simulate.slha.spectrum(1400, 850) shows a complete one."
        )
    labels = {"gluino_mass": gluino}
    if any(str(NEUTRALINO) in words[2:] for words in decays):
        # The sign of a neutralino's mass is a phase in this format.
        labels["neutralino_mass"] = abs(neutralino)
    if not np.all(np.isfinite(list(labels.values()))):
        raise ValueError(f"{name} must give the masses of gluino and neutralino, found {labels}.")
    if labels.get("neutralino_mass", 0) >= gluino:
        raise ValueError(
            f"{name} must give a gluino heavier than the neutralino that it decays to, found {gluino:g} and "
            f"{labels['neutralino_mass']:g} GeV."
        )
    if wrong := [code for code, mass in found.items() if not np.isfinite(mass)]:
        raise ValueError(f"{name} must give numbers in BLOCK MASS, those of {', '.join(wrong)} are none.")
    return labels


def check_blocks(text: str, name: str = "The spectrum in slha=") -> None:
    """Raise ValueError unless a spectrum has the blocks with which Pythia makes pairs of gluinos.

    Where one is missing, Pythia itself switches supersymmetry off, or, without the mixing of squarks, computes with
    couplings of zero. Neutralinos that do not decay bring a warning.

    Args:
        text: of the spectrum.
        name: of its file, for messages.

    Raises:
        ValueError: with the missing blocks, what is there in their place, and what to do.
    """
    blocks = _entries(text)
    given = {block.removeprefix("BLOCK ") for block in blocks if block.startswith("BLOCK ")}
    if "MODSEL" not in given:
        raise ValueError(
            f"{name} lacks BLOCK MODSEL, without which Pythia switches supersymmetry off. Add it, e.g. "
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
            remedy += ", or, if that is not what you want to simulate, set this entry to 0"
            why = [f" ({'; '.join(why)})"]
        raise ValueError(
            f"{name} lacks the blocks {', '.join(' or '.join(one) for one in missing)}, which Pythia needs to make "
            f"gluinos{''.join(why)}; of such blocks it has {', '.join(instead) or 'none'}. {remedy}."
        )
    made = any(str(NEUTRALINO) in words[2:] for words in blocks.get(f"DECAY {GLUINO}", ()))
    if made and not blocks.get(f"DECAY {NEUTRALINO}"):
        warning = f"{name} has no decays of neutralinos: they leave the detector unseen."
        warnings.warn(warning, stacklevel=CALLER_OF_COLLISIONS)


def _entries(text: str) -> dict[str, list[list[str]]]:
    """The words of each line, without comments, by the block or decay in which it stands, e.g. `"BLOCK MASS"`."""
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
