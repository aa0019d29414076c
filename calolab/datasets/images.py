"""Images: masses in file names, what can be wrong with binning and unit, other binnings, and mirror images."""

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

# Medians of the cells that are not empty [GeV]: towers above thresholds of 0.5 GeV, constituents of jets. A factor of
# 1000 between GeV and MeV falls outside on either side.
BELIEVABLE_CELL = (0.03, 30.0)
_NAME = re.compile(r"RPV10_(\d+)_(\d+)_\d+", re.IGNORECASE)


def masses(path: str | Path) -> dict[str, float]:
    """Masses that a file's name carries, `RPV10_<gluino>_<neutralino>_01_train.npz` and the like, [GeV].

    Returns:
        Labels `gluino_mass` and `neutralino_mass`; nothing for any other name.

    Raises:
        ValueError: if the neutralino were heavier than the gluino that decays to it.
    """
    found = _NAME.search(Path(path).name)
    if not found:
        return {}
    gluino, neutralino = map(float, found.groups())
    if neutralino > gluino:
        raise ValueError(
            f"{path}: the name says a gluino of {gluino:g} GeV and a heavier neutralino of {neutralino:g} GeV; "
            "expected RPV10_<gluino mass>_<neutralino mass>_01_... Rename the file."
        )
    return {"gluino_mass": gluino, "neutralino_mass": neutralino}


def file_name(gluino_mass: float, neutralino_mass: float, part: str = "train", suffix: str = "npz") -> str:
    """The name that carries the masses [GeV], for one part (train, valid or test) of a set of events.

    Raises:
        ValueError: if a mass is not a whole number, which the name cannot carry.
    """
    if any(mass != round(mass) for mass in (gluino_mass, neutralino_mass)):
        raise ValueError(f"A file's name carries whole masses [GeV], received {gluino_mass} and {neutralino_mass}.")
    return f"RPV10_{gluino_mass:.0f}_{neutralino_mass:.0f}_01_{part}.{suffix}"


def binned(space: str | Space, shape: tuple[int, int]) -> Space:
    """A plain image's space with the same window, cut into `shape` equal cells, to read images of other binnings.

    Raises:
        ValueError: if the space is no plain image with two axes.
    """
    space = spaces.space(space)
    if space.has_depth or len(space.axes) != 2:
        raise ValueError(f"binned expects a plain image with two axes, received space {space.name!r}.")
    edges = tuple(np.linspace(axis[0], axis[-1], cells + 1) for axis, cells in zip(space.layers[0].edges, shape))
    return replace(space, name=f"{space.name}-{shape[0]}x{shape[1]}", layers=(Layer(edges),))


def symmetries(sample: Sample) -> Sample:
    """Each map in its eight orientations: turned by quarters, and mirrored; the sky prefers none.

    Args:
        sample: maps as wide as high.

    Returns:
        Eight times as many maps, the given ones first. They are not independent: split before, not after.

    Raises:
        ValueError: if the maps are not square.
    """
    shape = sample.space.shape
    if sample.space.has_depth or len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"symmetries expects maps as wide as high, received {sample.space!r}.")
    turned = [np.rot90(sample.values, quarters, axes=(1, 2)) for quarters in range(4)]
    values = np.concatenate([*turned, *(one[:, :, ::-1] for one in turned)])
    return replace(sample, values=values, labels={name: np.tile(column, 8) for name, column in sample.labels.items()})


def wrong_binning(path: str, dataset: str, shape: tuple[int, ...], space: Space) -> ValueError:
    """The error for cells whose shape is not the space's: what was expected, and how to come there."""
    wanted = f"(event, {', '.join(map(str, space.shape))}) for space {space.name!r}"
    text = f"{path}: dataset {dataset!r} has shape {shape}, expected {wanted}."
    if len(shape) != 3:
        return ValueError(f"{text} Write one image per event; several channels go into files of their own.")
    per_cell = [given / cells for given, cells in zip(shape[1:], space.shape)]
    if min(per_cell) > 1 and all(ratio == int(ratio) for ratio in per_cell):
        rows, columns = map(int, per_cell)
        return ValueError(
            f"{text} {rows} x {columns} cells fit into each of these: with both windows alike, write "
            f"cells.reshape(-1, {space.shape[0]}, {rows}, {space.shape[1]}, {columns}).sum((2, 4)), which keeps the "
            "energy, or give the space= that these cells have."
        )
    common = " x ".join(str(math.gcd(given, cells)) for given, cells in zip(shape[1:], space.shape))
    return ValueError(
        f"{text} Cells of the one do not fit into those of the other (both into {common} only). Make the images anew "
        "from towers or particles with particles.images; or read these cells with "
        f"space=datasets.images.binned({space.name!r}, {tuple(shape[1:])}) and move each cell's energy to where its "
        "centre lies: particles.images(particles.from_images(sample, minimum_pt=0))."
    )


def doubtful_unit(values: np.ndarray, layout: Layout) -> str | None:
    """What speaks against the unit in which cells were read, or None.

    Args:
        values: cells or towers of some events [GeV].
        layout: with which they were read.
    """
    filled = values[values > 0]
    low, high = BELIEVABLE_CELL
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
        f"read as {unit} (layout {layout.name!r}), half of the cells that are not empty hold less than {median:.3g} "
        f"GeV, where some GeV are usual. {remedy}"
    )
