"""Materials of a detector: the name of each in calolab, other names for it, and its name in Geant4."""

from __future__ import annotations

from collections.abc import Iterable

from calolab.names import nearest

# Materials with constants in GFlash, too, and what else they are called. All others of Geant4's NIST list can be used
# by their names there, e.g. "PbWO4" or "G4_PbWO4".
NAMES = {
    "W": ("tungsten",),
    "Pb": ("lead",),
    "U": ("uranium",),
    "Cu": ("copper",),
    "Fe": ("iron",),
    "STAINLESS-STEEL": ("steel",),
    "Al": ("aluminium", "aluminum"),
    "Si": ("silicon",),
    "lAr": ("liquid argon",),
    "POLYSTYRENE": ("scintillator", "plastic scintillator"),
    "Air": (),
}


def canonical(name: str) -> str:
    """The name of a material in calolab, or its name in Geant4 without `G4_` if it is not in `NAMES`.

    Case, spaces, hyphens and underscores do not matter for the materials in `NAMES`.

    Args:
        name: a name such as `"Pb"`, `"lead"` or `"G4_Pb"`.

    Raises:
        ValueError: if the name is not a string, or is empty.

    >>> canonical("lead"), canonical("liquid argon"), canonical("G4_STAINLESS-STEEL"), canonical("G4_PbWO4")
    ('Pb', 'lAr', 'STAINLESS-STEEL', 'PbWO4')
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"A material must be a name, such as 'W' or 'lead', received {name!r}.")
    name = name.strip().removeprefix("G4_")
    return _BY_PLAIN_NAME.get(_plain(name), name)


def nist_name(name: str) -> str:
    """The name of a material in Geant4's NIST database.

    Args:
        name: as for `canonical`.

    >>> nist_name("Air"), nist_name("tungsten")
    ('G4_AIR', 'G4_W')
    """
    name = canonical(name)
    return "G4_AIR" if name == "Air" else f"G4_{name}"


def hint(name: str, known: Iterable[str] = NAMES) -> str:
    """` Nearest: a, b.` for a material that is unknown where it is needed, or an empty string.

    Args:
        name: the unknown name.
        known: names in calolab of the materials that are known there.

    >>> hint("tungstn")
    ' Nearest: tungsten.'
    """
    return nearest(name, [word for one in known for word in (one, *NAMES.get(one, ()))])


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").replace("_", "")


_BY_PLAIN_NAME = {_plain(word): name for name, others in NAMES.items() for word in (name, *others)}
