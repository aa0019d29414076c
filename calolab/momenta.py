"""Momenta as transverse momentum, eta, phi and mass, and as Cartesian components."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# The columns that define a momentum, and those that complete it; without the latter, particles are massless.
_CYLINDRICAL, _CARTESIAN = ("pt", "eta", "phi"), ("px", "py", "pz")
_FOURTH = ("mass", "energy")
# Files with few digits, such as NanoAOD, have negative masses up to this fraction of the momentum.
_ROUNDING = 0.02
COMPONENTS = (*_CYLINDRICAL, *_CARTESIAN, *_FOURTH)


def cartesian(
    pt: np.ndarray, eta: np.ndarray, phi: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Components px, py, pz and energy [GeV].

    Args:
        pt, mass: transverse momentum and mass [GeV].
        eta, phi: pseudorapidity and azimuth [rad].
    """
    pz = pt * np.sinh(eta)
    return pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)


def cylindrical(px: np.ndarray, py: np.ndarray, pz: np.ndarray, energy: np.ndarray) -> dict[str, np.ndarray]:
    """Columns `pt`, `eta`, `phi` (-pi to pi) and `mass`; a mass that is imaginary because of rounding is set to 0.

    Args:
        px, py, pz, energy: components [GeV]; along the beam, where eta is not defined, it is 0.
    """
    pt = np.hypot(px, py)
    momentum = np.hypot(pt, pz)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros(len(pz)), where=pt > 0))
    return {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": _mass(energy, momentum)}


def check_components(names) -> None:
    """Raise ValueError unless columns define a momentum.

    Args:
        names: names of the columns: `pt`, `eta` and `phi`, or `px`, `py` and `pz`; with `mass`, `energy` or neither.
    """
    given = [name for name in COMPONENTS if name in names]
    momentum = [name for name in given if name not in _FOURTH]
    if tuple(momentum) not in (_CYLINDRICAL, _CARTESIAN) or len(given) > 4:
        raise ValueError(
            "A momentum consists of pt, eta and phi, or of px, py and pz, and of mass, energy or neither; received "
            f"{', '.join(given) or 'none of them'}."
        )


def from_components(columns: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns `pt`, `eta`, `phi` and `mass` from the columns of a file or an array; other columns are kept.

    Args:
        columns: arrays of shape `(particle,)` [GeV, rad] with a momentum as for `check_components`. Without mass and
            energy, particles are massless.

    Returns:
        The columns of the particles with a transverse momentum, and a mask of shape `(particle,)` that selects these.
        Without one, a particle has no eta: it is padding, or moves along the beam.

    Raises:
        ValueError: if the columns do not define a momentum.

    >>> columns, kept = from_components({"px": np.array([3.0]), "py": np.array([4.0]), "pz": np.array([0.0])})
    >>> columns["pt"], kept
    (array([5.]), array([ True]))
    """
    check_components(columns)
    columns = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    transverse = columns["pt"] if "pt" in columns else np.hypot(columns["px"], columns["py"])
    kept = transverse != 0
    columns = {name: column[kept] for name, column in columns.items()}
    others = {name: column for name, column in columns.items() if name not in COMPONENTS}
    if "pt" in columns:
        found = {name: columns[name] for name in _CYLINDRICAL}
        momentum = np.abs(found["pt"]) * np.cosh(found["eta"])
    else:
        momentum = np.sqrt(sum(columns[name] ** 2 for name in _CARTESIAN))
        found = cylindrical(*(columns[name] for name in _CARTESIAN), momentum)
    found["mass"] = np.zeros(len(momentum))
    if "energy" in columns:
        found["mass"] = _mass(columns["energy"], momentum)
    elif "mass" in columns:
        rounded = (columns["mass"] < 0) & (columns["mass"] > -_ROUNDING * momentum)
        found["mass"] = np.where(rounded, 0, columns["mass"])
    return {**found, **others}, kept


def _mass(energy: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum((energy - momentum) * (energy + momentum), 0))
