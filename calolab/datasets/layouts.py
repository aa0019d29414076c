"""The layouts of files as a table: where a file stores cells and labels, and the factor for its cells."""

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
    "npy": ("a numpy array", (".npy",)),
    "hepmc": ("a HepMC file", (".hepmc", ".hepmc2", ".hepmc3")),
}


@dataclass(frozen=True)
class Column:
    """Where a file stores a label.

    Args:
        dataset: name of the dataset.
        label: name of the label.
        column: the column of that dataset; None if it has one number per event.
        factor: stored numbers are the label times this factor.
    """

    dataset: str
    label: str
    column: int | None = None
    factor: float = 1.0

    def __post_init__(self):
        if not self.factor > 0:
            raise ValueError(f"Label {self.label!r} needs a positive factor, received {self.factor}.")


@dataclass(frozen=True)
class Points:
    """How a file stores showers as points.

    Args:
        columns: the numbers of a point in the order of the file: axes of the space [mm], and `energy`.
        origin: the point with these x, y and z in the file [mm] is the origin of the space.
        depth_in_layers: whether depths are numbers of layers, from 0, instead of mm.
    """

    columns: tuple[str, ...]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    depth_in_layers: bool = False


@dataclass(frozen=True)
class Layout:
    """The way in which a family of files stores events.

    Args:
        name: the name for `layout(name)`.
        energy: the dataset with the incident energy; None for events without one.
        column: the column of that dataset; None if it has one number per event.
        factor: stored cells are GeV times this factor.
        about: origin of such files.
        container: a key of `CONTAINERS`.
        cells: the dataset with the cells, or several, one for each layer; None for showers in `ECAL` or `HCAL`.
        labels: optional labels: pairs of a dataset and the name of its label, or `Column` records.
        space: the space of the cells, if the layout defines it; or several names, of which the shape selects one.
        signed: whether cells may be negative.
        energy_factor: stored incident energies are GeV times this factor.
        axes: axes of the cells of an event in the file; by default those of the space.
        flat: whether the cells of an event are stored in one row.
        response: range of plausible ratios of the energy in the cells to the incident energy; None if not known.
        energies: range of plausible incident energies [GeV]; None if not known.
        points: how it stores points; None if it stores cells. Such files are only read.
        dtype: type of the cells in written files, `"float32"`, or `"float16"` for small files: cells between 6.2e-5 and
            65504, in the unit of the file, are rounded by at most 0.05 %.

    Angles [rad] of showers are read from `theta` and `mtheta` if a file has them.

    Raises:
        ValueError: if `factor` is not positive, or `container` or `dtype` is unknown.
    """

    name: str
    energy: str | None
    column: int | None
    factor: float
    about: str
    container: str = "hdf5"
    cells: str | tuple[str, ...] | None = None
    labels: tuple[Column, ...] = ()
    space: str | tuple[str, ...] | None = None
    signed: bool = False
    energy_factor: float = 1.0
    axes: tuple[str, ...] | None = None
    flat: bool = False
    response: tuple[float, float] | None = None
    energies: tuple[float, float] | None = None
    points: Points | None = None
    dtype: str = "float32"

    def __post_init__(self):
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"Layout {self.name!r} expects dtype 'float32' or 'float16', received {self.dtype!r}.")
        for factor in (self.factor, self.energy_factor):
            if not factor > 0:
                raise ValueError(f"Layout {self.name!r} needs a positive factor, received {factor}.")
        if self.container not in CONTAINERS:
            raise ValueError(
                f"Layout {self.name!r} expects a container among {', '.join(CONTAINERS)}, received {self.container!r}."
            )
        object.__setattr__(self, "labels", tuple(map(_column, self.labels)))
        for name in ("cells", "space", "axes", "response", "energies"):  # lists, if read from JSON
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))

    def column_of(self, label: str) -> Column:
        """Where a label is stored: as the layout says, or in a dataset of its name."""
        if label == "energy" and self.energy is not None:
            return Column(self.energy, label, self.column, self.energy_factor)
        return next((column for column in self.labels if column.label == label), Column(label, label))

    def datasets(self, quantity: str) -> tuple[str, ...]:
        """Names of the datasets with the cells.

        Args:
            quantity: `ECAL` or `HCAL`, for layouts that do not define the cells.
        """
        cells = self.cells or quantity
        return (cells,) if isinstance(cells, str) else cells


def _column(given) -> Column:
    if isinstance(given, Column):
        return given
    return Column(**given) if isinstance(given, dict) else Column(*given)


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
            "nanoaod",
            None,
            None,
            1.0,
            "GeV; particle-flow candidates in tree Events of PFNano, or other particles of a flat tree",
            container="root",
            cells="PFCands",
            labels=(("genWeight", "weight"),),
        ),
        Layout("hepmc", None, None, 1.0, "GeV and mm; particles of event generators", container="hepmc"),
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
        Layout(
            "calochallenge",
            "incident_energies",
            0,
            1000.0,
            "MeV; the CaloChallenge (arXiv:2410.21611), whose data set follows from the number of voxels",
            cells="showers",
            space=("calochallenge-photons", "calochallenge-pions", "calochallenge-2", "calochallenge-3"),
            energy_factor=1000.0,
            axes=("z", "alpha", "r"),
            flat=True,
            response=(0.02, 2.0),
            energies=(0.1, 10_000.0),
        ),
        Layout(
            "par04",
            "incident_energy",
            None,
            1000.0,
            "MeV; Geant4's example Par04, deposits in silicon in 18x50x45 or 9x16x45 cells in r, phi and z",
            cells="showers",
            labels=(("incident_theta", "theta"), ("incident_phi", "phi")),
            space=("par04", "par04-low"),
            energy_factor=1000.0,
            axes=("r", "alpha", "z"),
            response=(0.003, 0.3),
            energies=(0.1, 10_000.0),
        ),
        Layout(
            "calogan",
            "energy",
            0,
            1000.0,
            "MeV, incident energy in GeV; CaloGAN (arXiv:1705.02355), with the energy outside the cells in overflow",
            cells=("layer_0", "layer_1", "layer_2"),
            labels=tuple(Column("overflow", f"overflow_{layer}", layer, 1000.0) for layer in range(3)),
            space="calogan",
            response=(0.1, 1.5),
        ),
        Layout(
            "calogan-root",
            "TotalEnergy",
            None,
            1000.0,
            "MeV, incident energy in GeV; tree fancy_tree of CaloGAN's Geant4 simulation",
            container="root",
            cells="fancy_tree",
            space="calogan",
            response=(0.1, 1.5),
        ),
        *(
            Layout(
                name,
                "energy",
                0,
                1.0,
                f"GeV; showers of ILD as points of CaloClouds 3: x [mm], depth [{unit}], z [mm] and energy",
                cells="events",
                response=(0.0005, 0.3),
                points=Points(("x", "z", "y", "energy"), depth_in_layers=unit == "layer"),
            )
            for name, unit in (("ild", "mm"), ("ild-layers", "layer"))
        ),
        Layout(
            "showers",
            "energy",
            None,
            1.0,
            "GeV; written by calolab for showers in all other spaces",
            cells="showers",
        ),
        Layout(
            "compact",
            "energy",
            None,
            1000.0,
            "MeV in half precision; small files, written by calolab for showers in any space",
            cells="showers",
            dtype="float16",
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
    for name in ("calochallenge", "par04", "calogan"):
        if has(LAYOUTS[name].energy) and all(map(has, LAYOUTS[name].datasets(ECAL))):
            return LAYOUTS[name]
    if has("events") and has("energy"):
        return LAYOUTS["ild"]
    if has("showers") and has("energy"):
        return LAYOUTS["showers"]
    if any(map(has, ANGLES)) and has("energy"):
        return LAYOUTS["3dgan-angle"]
    for name in ("3dgan", "3dgan-target"):
        if has(LAYOUTS[name].energy):
            return LAYOUTS[name]
    return None
