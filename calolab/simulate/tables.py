"""The cross-section tables of Geant4, made from two small packages instead of a download of several gigabytes.

Geant4 calculates Compton scattering, pair production, ionisation, multiple scattering and high-energy bremsstrahlung
from formulas. For `G4EmStandardPhysics_option1` it reads from files the Seltzer-Berger bremsstrahlung spectra (Nucl.
Instrum. Meth. B 12, 95), which `xpecgen` provides on the grid of Geant4, and the photoelectric cross sections, which
`xraydb` provides up to 800 keV. Both are converted once and stored in the user's cache.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calolab.cache import REMEDY, cache_dir
from calolab.files import complete

INSTALL = 'pip install "calolab[geant4]"'
ELEMENTS = range(1, 93)

# All variables that Geant4 may read: it terminates if one is not set, even if its data are not needed.
VARIABLES = (
    "G4NEUTRONHPDATA",
    "G4LEDATA",
    "G4LEVELGAMMADATA",
    "G4RADIOACTIVEDATA",
    "G4PARTICLEXSDATA",
    "G4PIIDATA",
    "G4REALSURFACEDATA",
    "G4SAIDXSDATA",
    "G4ABLADATA",
    "G4INCLDATA",
    "G4ENSDFSTATEDATA",
    "G4CHANNELINGDATA",
)

# To be incremented when the content of the files changes, so that files of an older calolab are not used.
EDITION = 1


@dataclass(frozen=True)
class Tables:
    """The tables that Geant4 reads.

    Args:
        name: human-readable name, e.g. `"xpecgen 1.3.1, xraydb 4.5.8"`.
        official: whether they are the official data sets, which are complete for all physics lists.
        environment: the environment variables with their location.
    """

    name: str
    official: bool
    environment: Mapping[str, str]


def tables() -> Tables:
    """The tables for Geant4: the official ones if `GEANT4_DATA_DIR` contains them, otherwise our own, made if missing.

    Raises:
        ModuleNotFoundError: if `xpecgen` or `xraydb` is needed but not installed.
    """
    official = os.environ.get("GEANT4_DATA_DIR", "")
    found = sorted(path.name for path in Path(official).glob("G4EMLOW*")) if official else []
    if found:
        return Tables(f"official data, {found[-1]}", True, {"GEANT4_DATA_DIR": official})
    folder = made_tables()
    environment = dict.fromkeys(VARIABLES, str(folder)) | {"GEANT4_DATA_DIR": str(folder)}
    return Tables(", ".join(f"{package} {_version(package)}" for package in ("xpecgen", "xraydb")), False, environment)


def made_tables() -> Path:
    """The folder in the cache with the tables made from `xpecgen` and `xraydb`; it is made if missing.

    Two processes may do this at the same time: each makes its own folder, and the first to finish renames it.

    Raises:
        ModuleNotFoundError: if one of the two packages is not installed.
    """
    cache = cache_dir("geant4")
    folder = cache / f"tables-{EDITION}-xpecgen-{_version('xpecgen')}-xraydb-{_version('xraydb')}"
    if folder.is_dir():
        return folder
    with complete(folder, remedy=REMEDY) as draft:
        _write_bremsstrahlung(draft / "brem_SB")
        _write_photoelectric(draft / "epics2017" / "phot")
        # Excited states of nuclei: not used by electromagnetic physics, but the file must exist.
        (draft / "ENSDFSTATE.dat").touch()
    return folder


def _version(package: str) -> str:
    """Version of a package of the extra `geant4`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as missing:
        raise ModuleNotFoundError(
            f"Geant4 without a download needs {package}, which is not installed. "
            f"It comes with calolab's extra 'geant4': {INSTALL}",
            name=package,
        ) from missing


def _write_bremsstrahlung(folder: Path) -> None:
    """Seltzer-Berger spectra beta^2/Z^2 k dsigma/dk [mb] over k/T and ln(T/MeV), one file per element."""
    # Only the data of the package are needed; importing it would import matplotlib and other packages.
    source = Path(importlib.util.find_spec("xpecgen").submodule_search_locations[0]) / "data" / "cs"
    energies, fractions = (np.array(line.split(","), float) for line in _lines(source / "grid.csv"))
    nodes = [_row(fractions), _row(np.log(energies / 1e3))]
    folder.mkdir(parents=True)
    for z in ELEMENTS:
        spectra = np.array([line.split(",") for line in _lines(source / f"{z:02d}.csv")], float)
        if spectra.shape != (energies.size, fractions.size):
            raise ValueError(
                f"{z:02d}.csv of xpecgen should have shape {(energies.size, fractions.size)}, it has {spectra.shape}."
            )
        header = f"0 {fractions.size} {energies.size}"
        (folder / f"br{z}").write_text("\n".join([header, *nodes, *map(_row, spectra)]) + "\n")


def _write_photoelectric(folder: Path) -> None:
    """Photoelectric cross sections times E^3 [barn MeV^3] over E [MeV], summed over all shells.

    Above 800 keV, where the tables end, the cross section decreases as 1/E, its high-energy limit.
    """
    import xraydb

    folder.mkdir(parents=True)
    database = xraydb.get_xraydb()
    for z in ELEMENTS:
        grid = np.geomspace(1e2, 8e5, 240)
        # One point on each side of an absorption edge keeps the edge sharp.
        edges = np.array([edge.energy for edge in xraydb.xray_edges(z).values()])
        edges = edges[(edges > grid[0] * 1.01) & (edges < grid[-1] * 0.99)]
        energy = np.unique(np.concatenate([grid, edges * (1 - 1e-4), edges * (1 + 1e-4)]))
        barn = database.cross_section_elam(z, energy, kind="photo") * xraydb.atomic_mass(z) / 0.602214076
        above = np.geomspace(1e6, 1e12, 60)
        barn = np.concatenate([barn, barn[-1] * energy[-1] / above])
        energy = np.concatenate([energy, above]) / 1e6
        rows = [f"{energy[0]:.8e} {energy[-1]:.8e} {energy.size}", str(energy.size)]
        rows += [f"{e:.8e} {s * e**3:.8e}" for e, s in zip(energy, barn)]
        (folder / f"pe-cs-{z}.dat").write_text("\n".join(rows) + "\n")
        # One shell, and a fit that starts at 1e12 MeV, so that the table above is used everywhere.
        for part in ("high", "low"):
            (folder / f"pe-{part}-{z}.dat").write_text("1 1 1e12\n1e-5 0 0 0 0 0 0\n")


def _lines(path: Path) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", path.read_text()) if line.strip()]


def _row(numbers) -> str:
    return " ".join(f"{number:.8g}" for number in numbers)
