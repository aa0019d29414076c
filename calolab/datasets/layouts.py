"""The layouts of files as a table: where a file stores cells and labels, and the factor on its cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from calolab.names import check_name

ECAL, HCAL = "ECAL", "HCAL"
DESCRIPTION = "calolab"  # dataset with the JSON description in files written by calolab
ANGLES = ("theta", "mtheta")
# Name of each kind of file, and the endings of its file names.
CONTAINERS = {
    "hdf5": ("an HDF5 file", (".h5", ".hdf5", ".hdf")),
    "npz": ("an npz archive", (".npz",)),
    "root": ("a ROOT file", (".root",)),
    "fits": ("a FITS file", (".fits", ".fit", ".fts")),
}


@dataclass(frozen=True)
class Layout:
    """How a family of files stores events.

    Args:
        name: the name under which `layout(name)` finds it.
        energy: the dataset with the incident energy [GeV]; None for events without one.
        column: the column of that dataset; None if it has one number per event.
        factor: stored cells are GeV times this factor.
        about: origin of such files.
        container: a key of `CONTAINERS`.
        cells: the dataset with the cells; None for showers, which are read from `ECAL` or `HCAL`.
        labels: pairs of an optional dataset and the name of its label.
        space: name of the space of the cells, if the layout defines it.
        signed: whether cells may be negative.

    Angles [rad] of showers are read from `theta` and `mtheta` if a file has them.

    Raises:
        ValueError: if `factor` is not positive, or `container` is unknown.
    """

    name: str
    energy: str | None
    column: int | None
    factor: float
    about: str
    container: str = "hdf5"
    cells: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    space: str | None = None
    signed: bool = False

    def __post_init__(self):
        if not self.factor > 0:
            raise ValueError(f"Layout {self.name!r} needs a positive factor, received {self.factor}.")
        if self.container not in CONTAINERS:
            raise ValueError(
                f"Layout {self.name!r} expects a container among {', '.join(CONTAINERS)}, received {self.container!r}."
            )
        object.__setattr__(self, "labels", tuple((dataset, label) for dataset, label in self.labels))

    def dataset_of(self, label: str) -> str:
        """Name of the dataset of a label: that of the layout, or that of the label itself."""
        if label == "energy" and self.energy is not None:
            return self.energy
        return next((dataset for dataset, known in self.labels if known == label), label)


_RPV_LABELS = (
    ("all_events/weight", "weight"),
    ("all_events/normalized_weight", "normalized_weight"),
    ("all_events/y", "signal"),
    ("all_events/passSR", "signal_region"),
)
_LAGAN_LABELS = (
    ("signal", "signal"),
    *((f"jet_{name}", name) for name in ("pt", "eta", "phi", "mass")),
    *((name, name) for name in ("tau_1", "tau_2", "tau_3", "tau_21", "tau_32")),
)
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("3dgan", "energy", None, 1.0, "GeV; written by calolab, and the RandomAngle files of 3DGAN"),
        Layout("3dgan-target", "target", 1, 1.0, "GeV; the first 3DGAN files (EleEscan), energy in column 1 of target"),
        Layout("3dgan-angle", "energy", None, 50.0, "GeV x 50; the VarAngleMeas files of 3DGAN, 100 to 200 GeV"),
        Layout(
            "rpv",
            None,
            None,
            1000.0,
            "MeV; whole-detector images as the RPV GANs read them, masses in the file name",
            container="npz",
            cells="hist",
            space="whole-detector",
        ),
        Layout(
            "rpv-h5",
            None,
            None,
            1000.0,
            "MeV; the HDF5 files from which the RPV GANs' npz files were cut, with weights and selection",
            cells="all_events/hist",
            labels=_RPV_LABELS,
            space="whole-detector",
        ),
        Layout(
            "lagan",
            None,
            None,
            1.0,
            "GeV; the jet images of LAGAN, with signal 1 for W bosons and 0 for QCD",
            cells="image",
            labels=_LAGAN_LABELS,
            space="jet-image",
        ),
        Layout("delphes", None, None, 1.0, "GeV; calorimeter towers in tree Delphes", container="root", cells="Tower"),
        Layout(
            "convergence",
            None,
            None,
            1.0,
            "weak-lensing convergence maps, with their width in header keyword ANGLE [deg]",
            container="fits",
            space="convergence",
            signed=True,
        ),
        Layout("image", None, None, 1.0, "written by calolab for all other images", cells="image", signed=True),
    )
}


def layout(name: str | Layout) -> Layout:
    """The layout with this name; a `Layout` is returned unchanged.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.

    >>> layout("rpv").factor
    1000.0
    """
    if isinstance(name, Layout):
        return name
    check_name("layout", name, LAYOUTS)
    return LAYOUTS[name]


def guess(has: Callable[[str], bool]) -> Layout | None:
    """The layout that fits the names of the datasets in a file, or None.

    The names do not determine the factor: files with angles usually contain GeV x 50, but the RandomAngle files of
    3DGAN contain GeV under the same names. Therefore the reader also checks the mean response.

    Args:
        has: returns whether the file has a dataset with this name.

    >>> guess({"ECAL", "energy"}.__contains__).name
    '3dgan'
    """
    for name in ("rpv", "rpv-h5", "lagan"):
        if has(LAYOUTS[name].cells):
            return LAYOUTS[name]
    if any(map(has, ANGLES)) and has("energy"):
        return LAYOUTS["3dgan-angle"]
    for name in ("3dgan", "3dgan-target"):
        if has(LAYOUTS[name].energy):
            return LAYOUTS[name]
    return None
