"""Simulation of electromagnetic showers: checks arguments, draws labels and calls Geant4 or GFlash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calolab import spaces
from calolab.interrupts import stopping
from calolab.names import check_name
from calolab.samples import Sample
from calolab.simulate import geant4, gflash
from calolab.spaces import Space

PARTICLES = ("e-", "e+", "gamma")
METHODS = ("geant4", "gflash")
ENERGIES = (1.0, 500.0)
ANGLES = (np.pi / 3, 2 * np.pi / 3)


@dataclass(frozen=True, eq=False)
class Hits:
    """Energy deposits before they are summed in cells: one entry per deposit in a sensitive slab.

    Args:
        event: index of the shower, shape `(hit,)`.
        x, y, z: position [mm]; the particle enters at x = y = z = 0, in the middle of the window.
        energy: deposited energy [GeV].
        labels: labels of the showers, shape `(event,)`: `energy` [GeV] and, if tilted, `theta` [rad].
        space: the calorimeter.
        origin: how they were simulated.
    """

    event: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    energy: np.ndarray
    labels: dict[str, np.ndarray]
    space: Space
    origin: dict[str, object]

    def __len__(self):
        return len(self.energy)

    def __repr__(self):
        return f"Hits({len(self)} deposits of {len(self.labels['energy'])} showers in {self.space.name!r})"

    def _repr_html_(self):
        return f"<b>{len(self)} deposits</b> of {len(self.labels['energy'])} showers in {self.space._repr_html_()}"


@stopping("the simulation of showers")
def showers(
    space: Space | str,
    events: int,
    energy: float | Sequence[float],
    *,
    particle: str = "e-",
    angle: float | Sequence[float] | None = None,
    seed: int,
    method: str = "geant4",
    processes: int | None = None,
    progress: bool = True,
    physics: str | None = None,
) -> Sample:
    """Simulate electromagnetic showers in a calorimeter.

    The particle enters at x = y = z = 0, the middle of the window, in the direction `(0, cos(angle), sin(angle))`: the
    angle is measured from the y axis, pi/2 is normal incidence, and below pi/2 the shower moves towards higher y with
    increasing depth. Tilted showers are read out as in the original angle files of 3DGAN: the window follows the
    shower, so that its middle cell contains the energy barycentre.

    Args:
        space: a regular calorimeter whose layers have slabs, or its name. Tilted showers need a window that contains
            the shower axis at the largest tilt: `"clic-ecal-51"`, not `"clic-ecal"`.
        events: number of showers.
        energy: kinetic energy of the particle [GeV], 1 to 500: one number, a tuple or list `(low, high)` for a uniform
            spectrum, or an array of shape `(events,)`.
        particle: `"e-"`, `"e+"` or `"gamma"`.
        angle: incident angle [rad], pi/3 to 2 pi/3, specified like `energy`; None for normal incidence.
        seed: the same seed gives the same showers, for any number of processes. On another kind of CPU functions such
            as `exp` may round differently, which may rarely change a random choice.
        method: `"geant4"`, a full simulation, or `"gflash"`, a parametrisation that is about a thousand times faster.
        processes: number of parallel processes of Geant4; by default one per core.
        progress: whether to show a progress bar.
        physics: name of an official Geant4 physics list (e.g. `"FTFP_BERT"`), which needs the official data; see
            `calolab.simulate.geant4`.

    Returns:
        Deposited energy per cell [GeV], with the label `energy` [GeV] and, if `angle` is given, `theta` [rad]; the
        origin says which tables Geant4 used.

    Raises:
        ValueError: for an argument out of range or a space that cannot be simulated.
        ModuleNotFoundError: if Geant4 is used and the extra `geant4` is not installed.
        RuntimeError: if a Geant4 process ends before its showers are complete.

    >>> sample = showers("clic-ecal", 3, energy=10, seed=7, method="gflash", progress=False)
    >>> sample.values.shape, sample.labels["energy"].tolist()
    ((3, 25, 25, 25), [10.0, 10.0, 10.0])
    """
    space, labels, origin = _prepare(space, events, energy, particle, angle, seed, method, processes, physics)
    if method == "gflash":
        values = gflash.cells(space, labels, particle=particle, seed=seed, progress=progress)
    else:
        values, origin["geant4"] = geant4.cells(
            space, labels, particle=particle, seed=seed, processes=processes, progress=progress, physics=physics
        )
    return Sample(values, labels, space, origin)


@stopping("the simulation of hits")
def hits(
    space: Space | str,
    events: int,
    energy: float | Sequence[float],
    *,
    particle: str = "e-",
    angle: float | Sequence[float] | None = None,
    seed: int,
    method: str = "geant4",
    processes: int | None = None,
    progress: bool = True,
    physics: str | None = None,
) -> Hits:
    """Simulate the same showers as `showers(...)`, but return every deposit with its position instead of sums in cells.

    Deposits outside the window are kept, and the window does not follow tilted showers. At normal incidence, sums of
    the deposits in the cells of the window are therefore those of `showers`.

    Args:
        space, events, energy, particle, angle, seed, method, processes, progress, physics: as for `showers`.

    Returns:
        The midpoints of the steps of Geant4, or the energy spots of GFlash at the depth of their sensitive slab.

    Raises:
        ValueError, ModuleNotFoundError, RuntimeError: as for `showers`.
    """
    space, labels, origin = _prepare(space, events, energy, particle, angle, seed, method, processes, physics)
    if method == "gflash":
        counts, deposits = gflash.deposits(space, labels, particle=particle, seed=seed, progress=progress)
    else:
        counts, deposits, origin["geant4"] = geant4.deposits(
            space, labels, particle=particle, seed=seed, processes=processes, progress=progress, physics=physics
        )
    return Hits(np.repeat(np.arange(events), counts), *deposits, labels, space, origin)


def _prepare(space, events, energy, particle, angle, seed, method, processes, physics):
    """Check all arguments and draw the labels: the space, labels and origin of the showers."""
    space = spaces.space(space)
    check_name("method", method, METHODS)
    check_name("particle", particle, PARTICLES)
    for name, number, least in (("events", events, 1), ("seed", seed, 0), ("processes", processes, 1)):
        if name == "processes" and number is None:
            continue
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"showers({name}=) expects a whole number of at least {least}, received {number!r}.")
    if method == "gflash" and physics is not None:
        raise ValueError(f"physics={physics!r} is an option of Geant4; method='gflash' has no physics lists.")
    _check_calorimeter(space)
    labels = {"energy": _drawn("energy", energy, events, ENERGIES, "GeV", seed, 0)}
    if angle is not None:
        _check_tilt(space)
        labels["theta"] = _drawn("angle", angle, events, ANGLES, "rad", seed, 2)
    return space, labels, {"simulation": method, "particle": particle, "seed": int(seed)}


def _check_calorimeter(space: Space) -> None:
    """Check the requirements of both simulations: slabs, one sensitive slab per layer, and cells of equal size."""
    if not space.has_depth or not all(layer.slabs for layer in space.layers):
        raise ValueError(
            f"Space {space.name!r} does not define the materials of its layers, which a simulation needs. Use a "
            "calorimeter whose layers have slabs, such as 'clic-ecal'."
        )
    if not space.regular or space.units != ("mm", "mm", "mm"):
        raise ValueError(f"Space {space.name!r} must be regular with axes in mm to be simulated, like 'clic-ecal'.")
    for number, layer in enumerate(space.layers):
        if sum(slab.sensitive for slab in layer.slabs) != 1:
            raise ValueError(
                f"Layer {number} of {space.name!r} must have exactly one sensitive slab, it has {layer.slabs}."
            )
    for axis, edges in zip(space.axes, space.layers[0].edges):
        if not np.allclose(np.diff(edges), edges[1] - edges[0]):
            raise ValueError(f"Space {space.name!r} must have equal cells along {axis} to be simulated.")


def _check_tilt(space: Space) -> None:
    """Check that the window contains the shower axis at the largest tilt."""
    reach = (space.layers[-1].depth[1] - space.layers[0].depth[0]) / np.tan(ANGLES[0])
    half = np.ptp(space.layers[0].edges[1]) / 2
    if half < reach:
        raise ValueError(
            f"Space {space.name!r} can be simulated at normal incidence only: at the largest tilt a shower moves "
            f"{reach:.0f} mm sideways, and the window extends to {half:.0f} mm. Keep angle=None, or use 'clic-ecal-51'."
        )


def _drawn(name, given, events, limits, unit, seed, stream) -> np.ndarray:
    """One value per event: the given number or numbers, or uniform random numbers between two limits."""
    if isinstance(given, (tuple, list)) and len(given) == 2:
        low, high = map(float, given)
        if not low < high:
            raise ValueError(f"showers({name}=(low, high)) expects low < high [{unit}], received {given}.")
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))
        values = generator.uniform(low, high, events)
        checked = np.array([low, high])
    else:
        values = np.asarray(given, np.float64)
        if values.shape not in ((), (events,)):
            raise ValueError(
                f"showers({name}=) expects one number, (low, high), or one number per event, shape ({events},); "
                f"received shape {values.shape}."
            )
        values = checked = np.array(np.broadcast_to(values, events))
    if not np.all((checked >= limits[0] - 1e-9) & (checked <= limits[1] + 1e-9)):
        raise ValueError(
            f"showers({name}=) must be from {limits[0]:.4g} to {limits[1]:.4g} {unit}, "
            f"received {np.min(checked):.4g} to {np.max(checked):.4g}."
        )
    return values
