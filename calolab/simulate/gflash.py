"""GFlash: electromagnetic showers by the parametrisation of Grindhammer and Peters (hep-ex/0001020), in numpy.

The complete parametrisation of individual showers in sampling calorimeters is implemented. The depth of the maximum and
the shape of each shower are drawn with their correlation. The energy is deposited along the axis following a gamma
distribution, with sampling fluctuations, and distributed around the axis in spots whose radial density has a core and a
tail and widens with depth. The slabs of the calorimeter enter as an effective homogeneous medium
(`calolab.simulate.gflash_materials`).

Choices that the paper leaves open:

- *Change of medium* (the thin and thick absorbers of CLIC): the shower continues with the parameters of the new section
  and the same random numbers, at the depth where it would have deposited the same fraction of its energy.
- *Tilted showers* traverse thicker layers, and the sensitive slabs cut their radial density at an angle.
- *Sensitive slabs* sample the shower at their depth: their energy is the energy density there, times the thickness of
  the layer, times the sampling fraction, which is the energy fraction of a minimum ionising particle times e/mip of the
  paper.

Four constants are not from the literature. They were fitted to showers of 10 GeV in CLIC's ECAL simulated with our
Geant4, and are valid within a few per cent from 10 to 100 GeV:

- `RESPONSE`: the formulas have no production cut and give more energy in the silicon than Geant4 with a cut of 0.7 mm.
- `SAMPLING_TERM`: c = k sqrt(d / f), with the sensitive thickness d [mm] and the mip fraction f, is Wigmans' law
  (R. Wigmans, Calorimetry, Oxford 2000), whose k = 2.7 % is too small for half a millimetre of silicon.
- `GAP_SPREAD` and `GAP_WEIGHT`: in gaps of air, soft electrons that the next absorber would have stopped travel
  sideways. The tail of the radial density widens and the weight of the core decreases with the fraction of the layer
  that is gas. These corrections are valid for gaps behind the sensitive slab, as in CLIC's ECAL, and vanish without
  gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln

from calolab.progress import bar
from calolab.simulate.gflash_materials import Section, sections
from calolab.simulate.readout import in_cells
from calolab.spaces import Space

RESPONSE = 0.90
SAMPLING_TERM = 0.057
GAP_SPREAD = 0.3
GAP_WEIGHT = 0.2
# Below this ln(E / E_c) the fluctuations of the paper are not defined.
LEAST_LOGARITHM = 3.0
# Number of showers per batch: enough for numpy, few enough for the cache of the CPU. Results for a seed depend on it.
BATCH = 64
# Smaller deposits in a slab [GeV] are set to zero.
SMALLEST_DEPOSIT = 1e-6


@dataclass(frozen=True)
class _Profile:
    """Gamma distributions along the axis, per shower and section: shape, rate [1/X0] and offset of the depth [X0]."""

    shape: np.ndarray
    rate: np.ndarray
    start: np.ndarray

    def density(self, depth: np.ndarray, section: np.ndarray) -> np.ndarray:
        """Fraction of the energy per radiation length.

        Args:
            depth: depths [X0], shape `(event, layer)`.
            section: index of the section of each layer.
        """
        shape, rate = self.shape[:, section], self.rate[:, section]
        logarithm = shape * np.log(rate) - gammaln(self.shape)[:, section]
        age = np.maximum(depth, 1e-9)
        return np.where(depth > 0, np.exp(logarithm + (shape - 1) * np.log(age) - rate * age), 0)


def cells(
    space: Space, labels: Mapping[str, np.ndarray], *, particle: str, seed: int, progress: bool = True
) -> np.ndarray:
    """Energy that parametrised showers deposit in the cells of the sensitive slabs.

    Args:
        space: a regular calorimeter with slabs and equal cells.
        labels: `energy` [GeV] and, for tilted showers, `theta` [rad], each of shape `(event,)`.
        particle: `"e-"`, `"e+"` or `"gamma"`; the shower of a photon starts at its conversion.
        seed: seed of all showers.
        progress: whether to show a progress bar.

    Returns:
        Energies [GeV], shape `(event, *space.shape)`, float32.

    Raises:
        ValueError: for a material that is not in `calolab.simulate.gflash_materials`, or an energy that is too low.
    """
    values = np.empty((len(labels["energy"]), *space.shape), np.float32)
    for chosen, event, x, y, layer, energy in _batches(space, labels, particle, seed, progress):
        part = values[chosen]
        part[:] = in_cells(space, len(part), event, x, y, layer, energy, follow="theta" in labels)
    return values


def deposits(
    space: Space, labels: Mapping[str, np.ndarray], *, particle: str, seed: int, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The energy spots of the same showers as `cells`, before they are summed in cells.

    Args:
        space, labels, particle, seed, progress: as for `cells`.

    Returns:
        The number of spots of each event, shape `(event,)`; and x, y, z [mm] and energy [GeV] of all spots, shape
        `(4, spot)`, float32, in event order; z is the middle of a sensitive slab.

    Raises:
        ValueError: as for `cells`.
    """
    planes = space.centres("z").astype(np.float32)
    counts, spots = [], []
    for chosen, event, x, y, layer, energy in _batches(space, labels, particle, seed, progress):
        counts.append(np.bincount(event, minlength=chosen.stop - chosen.start))
        spots.append(np.stack([x, y, planes[layer], energy]))
    return np.concatenate(counts), np.concatenate(spots, axis=1)


def _batches(space, labels, particle, seed, progress) -> Iterator[tuple]:
    """Slices of events with the spots of their showers."""
    matter = sections(space)
    energies = labels["energy"]
    angles = labels.get("theta", np.full(len(energies), np.pi / 2))
    with bar(total=len(energies), unit="shower", desc="GFlash", show=progress) as shown:
        for number, start in enumerate(range(0, len(energies), BATCH)):
            chosen = slice(start, min(start + BATCH, len(energies)))
            seeds = np.random.SeedSequence(seed, spawn_key=(1, number))
            generator = np.random.Generator(np.random.SFC64(seeds))
            yield chosen, *_spots(space, matter, energies[chosen], angles[chosen], particle, generator)
            shown.update(chosen.stop - chosen.start)


def _spots(space, matter, energy, angle, particle, generator) -> tuple[np.ndarray, ...]:
    """Event, x, y [mm], layer and energy [GeV] of the spots of one batch of showers, in event order."""
    share, in_core, in_tail, core, tail = _layers(matter, energy, angle, particle, generator)
    # Groups of spots that differ only in position: core and tail of each layer of each event.
    shape = (*share.shape, 2)
    number = np.stack([in_core, in_tail], axis=-1).ravel()
    groups = (
        np.broadcast_to(np.arange(shape[0], dtype=np.int32)[:, None, None], shape),
        np.broadcast_to(np.arange(shape[1], dtype=np.int32)[None, :, None], shape),
        np.broadcast_to(share[..., None].astype(np.float32), shape),
        np.stack([core, tail], axis=-1).astype(np.float32),
    )
    event, layer, amount, radius = (np.repeat(each.ravel(), number) for each in groups)

    u = generator.random(len(event), np.float32)
    phi = generator.random(len(event), np.float32) * np.float32(2 * np.pi)
    r = radius * np.sqrt(u / (1 - u))
    x, y = r * np.cos(phi), r * np.sin(phi)
    if np.any(angle != np.pi / 2):
        # Projection from the plane perpendicular to the axis, along the axis, onto the sensitive slab.
        middle = space.centres("z").astype(np.float32)[layer]
        sine, cosine = (f(angle).astype(np.float32)[event] for f in (np.sin, np.cos))
        y = (y + middle * cosine) / sine
    return event, x, y, layer, amount


def _layers(matter, energy, angle, particle, generator) -> tuple[np.ndarray, ...]:
    """Properties of the spots in each layer, each of shape `(event, layer)`.

    Energy of a spot [GeV], numbers of spots in core and tail, and radii of core and tail [mm].
    """
    section = np.repeat(np.arange(len(matter)), [part.layers for part in matter])
    slant = 1 / np.sin(angle)[:, None]
    per_section = {
        name: np.array([getattr(part, name) for part in matter])
        for name in (*Section.__dataclass_fields__, "electron_to_mip")
    }
    terms = SAMPLING_TERM * np.sqrt(per_section["sensitive_thickness"] / per_section["mip_fraction"] * slant)
    step, term = (per_section["thickness"] * slant)[:, section], terms[:, section]
    planes = np.concatenate([part.begin + part.plane + part.thickness * np.arange(part.layers) for part in matter])
    planes = planes * slant
    profile, spot_profile, mean_age = _profiles(matter, per_section, energy, slant, particle, generator)

    # Energy of the profile, then sampling fluctuations with variance c^2 E.
    depth = planes + profile.start[:, section]
    mean = energy[:, None] * profile.density(depth, section) * step
    deposited = generator.standard_gamma(mean / term**2) * term**2
    fraction = RESPONSE * per_section["mip_fraction"] * per_section["electron_to_mip"]
    visible = deposited * fraction[section]

    spots = 10.3 / term * energy[:, None] ** 0.959
    spots = spots * spot_profile.density(planes + spot_profile.start[:, section], section) * step
    count = np.where(visible > SMALLEST_DEPOSIT, np.maximum(generator.poisson(spots), 1), 0)

    age = depth * profile.rate[:, section] / profile.shape[:, section] * mean_age[:, section]
    core, tail, weight = _radii(per_section, section, energy[:, None], age, step)
    in_core = generator.binomial(count, weight)
    radius = per_section["moliere_radius"][section]
    return visible / np.maximum(count, 1), in_core, count - in_core, core * radius, tail * radius


def _profiles(matter, per_section, energy, slant, particle, generator):
    """Energy and spot profiles of each shower in all sections, and the factor <age>/age from depth to age."""
    z, ratio = per_section["z"], 1 - per_section["electron_to_mip"]
    inverse_sampling = per_section["thickness"] * slant
    logarithm = np.log(energy[:, None] / per_section["critical_energy"])
    if logarithm.min() < LEAST_LOGARITHM:
        least = np.exp(LEAST_LOGARITHM) * per_section["critical_energy"].max()
        raise ValueError(
            f"GFlash is valid for energies far above the critical energy, in this calorimeter from {least:.2g} GeV, "
            f"received {energy.min():.3g} GeV. Use method='geant4' for lower energies."
        )
    mean_t = np.log(np.maximum(logarithm - 0.812 - 0.55 * inverse_sampling - 0.69 * ratio, 0.1))
    mean_a = np.log(np.maximum(0.81 + (0.458 + 2.26 / z) * logarithm - 0.476 * inverse_sampling, 1.1))
    sigma_t, sigma_a = 1 / (-2.5 + 1.25 * logarithm), 1 / (-0.82 + 0.79 * logarithm)
    correlation = 0.784 - 0.023 * logarithm
    first, second = generator.standard_normal((2, len(energy), 1))
    together, apart = np.sqrt((1 + correlation) / 2) * first, np.sqrt((1 - correlation) / 2) * second
    maximum = np.exp(mean_t + sigma_t * (together + apart))
    # A gamma distribution with a <= 1 has no maximum, so fluctuations are limited to larger a.
    shape = np.maximum(np.exp(mean_a + sigma_a * (together - apart)), 1.05)
    mean_age = np.exp(mean_a) / (np.exp(mean_a) - 1)

    conversion = generator.exponential(9 / 7, (len(energy), 1)) if particle == "gamma" else np.zeros((len(energy), 1))
    spot_shape = np.maximum(shape * (0.844 + 0.0026 * z), 1.05)
    spot_maximum = maximum * (0.813 + 0.0019 * z)
    begins = [part.begin * slant[:, 0] for part in matter]
    return (
        _continued(shape, (shape - 1) / maximum, begins, conversion[:, 0]),
        _continued(spot_shape, (spot_shape - 1) / spot_maximum, begins, conversion[:, 0]),
        mean_age,
    )


def _continued(shape, rate, begins, conversion) -> _Profile:
    """A profile that starts at the conversion depth and continues from section to section with conserved energy.

    Its `start` is the offset from the depth in the calorimeter to the depth in the gamma distribution of the section.
    """
    start = np.empty_like(shape)
    start[:, 0] = -conversion
    for number in range(1, len(begins)):
        before = begins[number] + start[:, number - 1]
        done = gammainc(shape[:, number - 1], rate[:, number - 1] * np.maximum(before, 0))
        # In the tail of the distribution rounding would give an infinite depth.
        age = gammaincinv(shape[:, number], np.minimum(done, 1 - 1e-12)) / rate[:, number]
        start[:, number] = np.where(before > 0, age - begins[number], start[:, number - 1])
    return _Profile(shape, rate, start)


def _radii(per_section, section, energy, age, inverse_sampling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radii of core and tail [Moliere radii] and weight of the core, at an age in units of the shower maximum."""
    z, ratio = per_section["z"][section], 1 - per_section["electron_to_mip"][section]
    age, logarithm = np.maximum(age, 0), np.log(energy)
    core = 0.0251 + 0.00319 * logarithm + (0.1162 - 0.000381 * z) * age
    core = core - 0.0203 * ratio + 0.0397 * inverse_sampling * np.exp(-age)
    growth = np.exp(-2.59 * (age - 0.645)) + np.exp((0.3585 + 0.0421 * logarithm) * (age - 0.645))
    tail = (0.659 - 0.00309 * z) * growth - 0.14 * ratio - 0.495 * inverse_sampling * np.exp(-age)
    tail = tail * (1 + GAP_SPREAD * per_section["gap"][section])
    reduced = (0.401 + 0.00187 * z - age) / (1.313 - 0.0686 * logarithm)
    weight = (2.632 - 0.00094 * z) * np.exp(reduced - np.exp(reduced))
    weight = weight + ratio * (0.348 - 0.642 * inverse_sampling * np.exp(-((age - 1) ** 2)))
    weight = weight - GAP_WEIGHT * per_section["gap"][section]
    core = np.maximum(core, 0.005)
    return core, np.maximum(tail, core), np.clip(weight, 0, 1)
