"""The unit of showers: whether incident energies, and the energy in the cells relative to them, are plausible."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from calolab.datasets import layouts
from calolab.datasets.layouts import ECAL, Layout
from calolab.spaces import Space

# Range of plausible visible fractions. In CLIC's ECAL an electron or photon deposits about 0.02 of its energy in the
# cells; a missing or superfluous factor of 50 leads outside this range.
BELIEVABLE_RESPONSE = (0.002, 0.3)
CLIC = ("clic-ecal", "clic-ecal-51")
EVENTS = 16  # number of events that are enough for a mean response


def check(
    path: str | Path, dataset: str, layout: Layout, space: Space, values: np.ndarray, energy: np.ndarray, raises: bool
) -> None:
    """Check that cells and incident energies have the units of the layout.

    Args:
        path, dataset: file and name of the cells, for the message.
        layout: the layout with which they were read.
        space: the space of the cells.
        values: cells of some events [GeV], event first.
        energy: their incident energies [GeV], shape `(event,)`, possibly of more events.
        raises: whether implausible units are an error instead of a warning.

    Raises:
        ValueError: if they are implausible, and `raises` is set.
    """
    message = _doubtful_energies(layout, energy) or _doubtful_response(dataset, layout, space, values, energy)
    if message and raises:
        raise ValueError(f"{path}: {message} To read it nevertheless, pass layout={layout.name!r}.")
    if message:
        warnings.warn(f"{path}: {message}", stacklevel=6)


def _doubtful_energies(layout: Layout, energy: np.ndarray) -> str | None:
    low, high = layout.energies or (0.0, np.inf)
    if low <= energy.min() and energy.max() <= high:
        return None
    return (
        f"read with layout {layout.name!r} (stored = GeV x {layout.energy_factor:g}), the incident energies of the "
        f"first events are {energy.min():.3g} to {energy.max():.3g} GeV; {low:g} to {high:g} GeV are expected. If they "
        "have another unit, specify it, e.g. GeV: "
        f"layout=dataclasses.replace(datasets.layouts.layout({layout.name!r}), energy_factor=1.0)."
    )


def _doubtful_response(
    dataset: str, layout: Layout, space: Space, values: np.ndarray, energy: np.ndarray
) -> str | None:
    clic = dataset == ECAL and space.name in CLIC
    allowed = BELIEVABLE_RESPONSE if clic else layout.response
    if allowed is None:
        return None
    response = float(values.sum(dtype=np.float64) / energy[: len(values)].sum())
    low, high = allowed
    if low <= response <= high:
        return None
    stored = response * layout.factor
    fitting = [known for known in layouts.LAYOUTS.values() if known.datasets(ECAL) == layout.datasets(ECAL)]
    fitting = [known for known in fitting if known.energy == layout.energy]
    fitting = [known.name for known in fitting if low <= stored / known.factor <= high]
    remedy = (
        f"The file looks like layout={fitting[0]!r}."
        if fitting
        else "If the cells have another unit, specify it, e.g. MeV: layout=dataclasses.replace(layout, factor=1000.0)."
    )
    expected = f"about 0.02 is expected in {space.name}" if clic else f"{low:g} to {high:g} is expected"
    return (
        f"read with layout {layout.name!r} (stored = GeV x {layout.factor:g}), dataset {dataset!r} sums to "
        f"{response:.3g} of the incident energy; {expected}. {remedy}"
    )
