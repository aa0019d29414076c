"""The 3DGAN HDF5 layouts as a table: where a file keeps cells, energy and angles, and the factor on its cells."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

ECAL, HCAL = "ECAL", "HCAL"
DESCRIPTION = "calolab"  # scalar dataset of JSON in which our own files say what they hold
ANGLES = ("theta", "mtheta")


@dataclass(frozen=True)
class Layout:
    """How a family of files stores showers: cells in `ECAL` (event, x, y, z), the incident energy beside them.

    Args:
        name: the name under which `layout(name)` finds it.
        energy: the dataset that holds the incident energy [GeV].
        column: the column of that dataset, or None where it holds one number per event.
        factor: stored cells are GeV times this factor.
        about: where such files come from.

    Angles [rad] are read from `theta` and `mtheta` wherever a file has them.
    """

    name: str
    energy: str
    column: int | None
    factor: float
    about: str

    def __post_init__(self):
        if not self.factor > 0:
            raise ValueError(f"Layout {self.name!r} needs a positive factor, received {self.factor}.")


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("3dgan", "energy", None, 1.0, "GeV; what calolab writes, and the RandomAngle files of 3DGAN"),
        Layout("3dgan-target", "target", 1, 1.0, "GeV; the first 3DGAN files (EleEscan), energy in column 1 of target"),
        Layout("3dgan-angle", "energy", None, 50.0, "GeV x 50; the VarAngleMeas files of 3DGAN, 100 to 200 GeV"),
    )
}


def layout(name: str | Layout) -> Layout:
    """The layout of that name; a `Layout` of your own passes through.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    if isinstance(name, Layout):
        return name
    if name not in LAYOUTS:
        near = difflib.get_close_matches(str(name), LAYOUTS, n=2, cutoff=0.3) or list(LAYOUTS)
        raise ValueError(f"Unknown layout {name!r}. Nearest: {', '.join(near)}. Known: {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def guess(datasets: Collection[str]) -> Layout | None:
    """The layout that a file's dataset names speak for, or None; the names cannot tell the factor for certain.

    Files with angles mostly hold GeV x 50, but 3DGAN's RandomAngle files hold plain GeV under the same names: the
    reader therefore checks the mean response before it believes a guess.
    """
    if any(angle in datasets for angle in ANGLES) and "energy" in datasets:
        return LAYOUTS["3dgan-angle"]
    for name in ("3dgan", "3dgan-target"):
        if LAYOUTS[name].energy in datasets:
            return LAYOUTS[name]
    return None
