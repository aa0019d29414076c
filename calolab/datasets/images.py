"""Images: masses in file names, checks of binning and unit, other binnings, and symmetries."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from calolab import spaces
from calolab.datasets.layouts import Layout
from calolab.samples import Sample
from calolab.spaces import Layer, Space

# Plausible medians of the non-empty cells [GeV]: towers above thresholds of 0.5 GeV, constituents of jets. A factor of
# 1000 between GeV and MeV leads outside this range.
BELIEVABLE_CELL = (0.03, 30.0)
_NAME = re.compile(r"RPV10_(\d+)_(\d+)_\d+", re.IGNORECASE)


def masses(path: str | Path) -> dict[str, float]:
    """Masses [GeV] in the name of a file such as `RPV10_<gluino>_<neutralino>_01_train.npz`.

    Returns:
        The labels `gluino_mass` and `neutralino_mass` [GeV]; empty for other names.

    Raises:
        ValueError: if the neutralino is heavier than the gluino that decays to it.

    >>> masses("RPV10_1400_850_01_train.npz")
    {'gluino_mass': 1400.0, 'neutralino_mass': 850.0}
    """
    found = _NAME.search(Path(path).name)
    if not found:
        return {}
    gluino, neutralino = map(float, found.groups())
    if neutralino > gluino:
        raise ValueError(
            f"{path}: the name gives a gluino of {gluino:g} GeV and a heavier neutralino of {neutralino:g} GeV; "
            "expected RPV10_<gluino mass>_<neutralino mass>_01_... Rename the file."
        )
    return {"gluino_mass": gluino, "neutralino_mass": neutralino}


def file_name(gluino_mass: float, neutralino_mass: float, part: str = "train", suffix: str = "npz") -> str:
    """The name of a file of RPV events that contains the masses.

    Args:
        gluino_mass, neutralino_mass: masses [GeV], whole numbers.
        part: `"train"`, `"valid"` or `"test"`.
        suffix: suffix of the name.

    Raises:
        ValueError: if a mass is not a whole number.

    >>> file_name(1400, 850, "test")
    'RPV10_1400_850_01_test.npz'
    """
    if any(mass != round(mass) for mass in (gluino_mass, neutralino_mass)):
        raise ValueError(
            f"The name of a file contains whole masses [GeV], received {gluino_mass} and {neutralino_mass}."
        )
    return f"RPV10_{gluino_mass:.0f}_{neutralino_mass:.0f}_01_{part}.{suffix}"


def binned(space: str | Space, shape: tuple[int, int]) -> Space:
    """An image space with the same window but `shape` equal cells, to read images with another binning.

    Args:
        space: an image with two axes and without layers.
        shape: number of cells along each axis.

    Raises:
        ValueError: if the space is not such an image.

    >>> binned("whole-detector", (32, 32)).shape
    (32, 32)
    """
    space = spaces.space(space)
    if space.has_depth or len(space.axes) != 2:
        raise ValueError(f"binned expects a plain image with two axes, received space {space.name!r}.")
    edges = tuple(np.linspace(axis[0], axis[-1], cells + 1) for axis, cells in zip(space.layers[0].edges, shape))
    return replace(space, name=f"{space.name}-{shape[0]}x{shape[1]}", layers=(Layer(edges),))


def symmetries(sample: Sample) -> Sample:
    """Each map in its eight orientations, rotated by multiples of 90 degrees and mirrored; the sky is isotropic.

    Args:
        sample: square maps.

    Returns:
        Eight times as many maps, the given ones first. They are not independent: split the sample before, not after.

    Raises:
        ValueError: if the maps are not square.

    >>> one = Sample(np.zeros((1, 256, 256)), {}, spaces.space("convergence"))
    >>> len(symmetries(one))
    8
    """
    shape = sample.space.shape
    if sample.space.has_depth or len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"symmetries expects square maps, received {sample.space!r}.")
    turned = [np.rot90(sample.values, quarters, axes=(1, 2)) for quarters in range(4)]
    values = np.concatenate([*turned, *(one[:, :, ::-1] for one in turned)])
    return replace(sample, values=values, labels={name: np.tile(column, 8) for name, column in sample.labels.items()})


def wrong_binning(path: str, dataset: str, shape: tuple[int, ...], space: Space) -> ValueError:
    """The error to raise for cells that do not have the shape of a space, with the remedy.

    Args:
        path, dataset: file and name of the cells.
        shape: their shape, event first.
        space: the expected space.
    """
    wanted = f"(event, {', '.join(map(str, space.shape))}) for space {space.name!r}"
    text = f"{path}: dataset {dataset!r} has shape {shape}, expected {wanted}."
    if len(shape) != 3:
        return ValueError(f"{text} Write one image per event, and each channel to a separate file.")
    per_cell = [given / cells for given, cells in zip(shape[1:], space.shape)]
    if min(per_cell) > 1 and all(ratio == int(ratio) for ratio in per_cell):
        rows, columns = map(int, per_cell)
        return ValueError(
            f"{text} {rows} x {columns} cells fit into each of these: if both windows are the same, write "
            f"cells.reshape(-1, {space.shape[0]}, {rows}, {space.shape[1]}, {columns}).sum((2, 4)), which keeps the "
            "energy, or set space= to the space of these cells."
        )
    common = " x ".join(str(math.gcd(given, cells)) for given, cells in zip(shape[1:], space.shape))
    return ValueError(
        f"{text} The cells of one do not fit into those of the other (both fit into {common} only). Make the images "
        f"again from towers or particles, with particles.images; or read these cells with "
        f"space=datasets.images.binned({space.name!r}, {tuple(shape[1:])}) and move the energy of each cell to the "
        "cell that contains its centre: particles.images(particles.from_images(sample, minimum_pt=0))."
    )


def doubtful_unit(values: np.ndarray, layout: Layout, believable: tuple[float, float] = BELIEVABLE_CELL) -> str | None:
    """A message if the unit of cells is implausible, otherwise None.

    Args:
        values: cells or towers of some events [GeV].
        layout: layout with which they were read.
        believable: plausible medians of those that are not empty [GeV].
    """
    filled = values[values > 0]
    low, high = believable
    if not filled.size or low <= np.median(filled) <= high:
        return None
    median = float(np.median(filled))
    units = {1.0: "GeV", 1000.0: "MeV"}
    fitting = [unit for factor, unit in units.items() if low <= median * layout.factor / factor <= high]
    factor = {"GeV": 1.0, "MeV": 1000.0}.get(fitting[0]) if fitting else None
    remedy = (
        f"The file looks like {fitting[0]}: layout=dataclasses.replace(datasets.layouts.layout({layout.name!r}), "
        f"factor={factor})."
        if fitting
        else f"Choose the factor that fits: layout=dataclasses.replace(datasets.layouts.layout({layout.name!r}), "
        "factor=...)."
    )
    unit = units.get(layout.factor, f"GeV x {layout.factor:g}")
    return (
        f"read as {unit} (layout {layout.name!r}), half of the cells that are not empty contain less than {median:.3g} "
        f"GeV, where a few GeV are usual. {remedy}"
    )
