"""The front door of the shower simulations: arguments checked, labels drawn, one signature for every method."""

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
    """Energy deposits before any cell adds them up: one entry per deposit in a sensitive slab.

    Args:
        event: which shower, shape `(hit,)`.
        x, y, z: where [mm]; the particle enters at x = y = z = 0, in the middle of the window.
        energy: how much [GeV].
        labels: per shower, shape `(event,)`: `energy` [GeV] and, if tilted, `theta` [rad].
        space: the calorimeter.
        origin: how they were made.
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

    The particle enters at x = y = z = 0, the middle of the window. `angle` is measured from the y axis: it flies along
    `(0, cos(angle), sin(angle))`, so that below pi/2 the shower moves towards higher y as it goes deeper, and pi/2 is
    normal incidence. Tilted showers are read out as in the original angle files of 3DGAN: the window follows the
    shower, its middle pad being the one that holds the energy barycentre.

    Args:
        space: a regular calorimeter whose layers carry their slabs, or its name; tilted showers need a window wide
            enough to hold the shower's axis at the steepest angle: `"clic-ecal-51"`, not `"clic-ecal"`.
        events: number of showers.
        energy: kinetic energy of the particle [GeV], 1 to 500: one number; a tuple or list `(low, high)` for a uniform
            spectrum; or an array of shape `(events,)`.
        particle: `"e-"`, `"e+"` or `"gamma"`.
        angle: incident angle [rad], pi/3 to 2 pi/3, given like `energy`; None for normal incidence.
        seed: the same seed gives the same showers, whatever the number of processes. On another kind of CPU functions
            such as `exp` may round differently, by which a random choice may, rarely, come out differently.
        method: `"geant4"`, particle by particle, or `"gflash"`, parametrised and some thousand times faster.
        processes: how many run at once; by default one per core. GFlash needs one only.
        progress: whether to show a progress bar.
        physics: name of an official Geant4 physics list (e.g. `"FTFP_BERT"`), for those who have the official data; see
            `calolab.simulate.geant4`.

    Returns:
        Deposited energy per cell [GeV], with the label `energy` and, if `angle` is given, `theta`; the origin names the
        tables that Geant4 read.

    Raises:
        ValueError: for an argument out of range or a space that cannot be simulated.
        ModuleNotFoundError: if Geant4 is asked for and the extra `geant4` is not installed.
        RuntimeError: if a Geant4 process ends before its showers are done.
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
    """Simulate the showers of `showers(...)` and keep every deposit where it fell, not yet added up in cells.

    Arguments and errors are those of `showers`. Deposits outside the window are kept too, and tilted showers stay where
    they are, so that sums over the window's cells are those of `showers` at normal incidence.

    Returns:
        Geant4's steps at their midpoints, or GFlash's energy spots at the depth of their sensitive slab.
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
    """Check all arguments and draw the labels: the space, labels and origin of the showers to come."""
    space = spaces.space(space)
    check_name("method", method, METHODS)
    check_name("particle", particle, PARTICLES)
    for name, number, least in (("events", events, 1), ("seed", seed, 0), ("processes", processes, 1)):
        if name == "processes" and number is None:
            continue
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"showers({name}=) expects a whole number of at least {least}, received {number!r}.")
    if method == "gflash" and physics is not None:
        raise ValueError(f"physics={physics!r} is a choice of Geant4's: method='gflash' has formulas of its own.")
    _check_calorimeter(space)
    labels = {"energy": _drawn("energy", energy, events, ENERGIES, "GeV", seed, 0)}
    if angle is not None:
        _check_tilt(space)
        labels["theta"] = _drawn("angle", angle, events, ANGLES, "rad", seed, 2)
    return space, labels, {"simulation": method, "particle": particle, "seed": int(seed)}


def _check_calorimeter(space: Space) -> None:
    """What both simulations need: slabs, one of them sensitive per layer, and equal cells around the origin."""
    if not space.has_depth or not all(layer.slabs for layer in space.layers):
        raise ValueError(
            f"Space {space.name!r} does not say what its layers are made of, so nothing can be simulated in it: "
            "showers need a calorimeter whose layers carry slabs, such as 'clic-ecal'."
        )
    if not space.regular or space.units != ("mm", "mm", "mm"):
        raise ValueError(f"Space {space.name!r} must be regular, with axes in mm, to be simulated: see 'clic-ecal'.")
    for number, layer in enumerate(space.layers):
        if sum(slab.sensitive for slab in layer.slabs) != 1:
            raise ValueError(f"Layer {number} of {space.name!r} must have one sensitive slab, it has {layer.slabs}.")
    for axis, edges in zip(space.axes, space.layers[0].edges):
        if not np.allclose(np.diff(edges), edges[1] - edges[0]):
            raise ValueError(f"Space {space.name!r} must have equal cells along {axis} to be simulated.")


def _check_tilt(space: Space) -> None:
    """The window must hold the axis of the steepest shower, or little of it would be seen."""
    reach = (space.layers[-1].depth[1] - space.layers[0].depth[0]) / np.tan(ANGLES[0])
    half = np.ptp(space.layers[0].edges[1]) / 2
    if half < reach:
        raise ValueError(
            f"Space {space.name!r} is simulated at normal incidence only: at the steepest angle a shower moves "
            f"{reach:.0f} mm sideways, and the window reaches {half:.0f} mm. Leave angle=None, or take 'clic-ecal-51'."
        )


def _drawn(name, given, events, limits, unit, seed, stream) -> np.ndarray:
    """One value per event: the given number or numbers, or uniform ones between the given two."""
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
            f"showers({name}=) is possible from {limits[0]:.4g} to {limits[1]:.4g} {unit}, "
            f"received {np.min(checked):.4g} to {np.max(checked):.4g}."
        )
    return values
