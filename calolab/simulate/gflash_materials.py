"""Material constants of GFlash, and the effective homogeneous medium that replaces a stack of thin slabs.

Geant4 does not use these constants: it has its own materials (`geant4_worker`) and cross sections (`tables`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from calolab import materials
from calolab.spaces import Slab, Space

# Energy scale of multiple scattering [MeV], from which the Moliere radius is calculated.
SCATTERING_ENERGY = 21.2
# Materials with a lower density [g/cm3] are gases.
GAS = 0.02


@dataclass(frozen=True)
class Material:
    """Constants of one material, from the Particle Data Group's tables of atomic and nuclear properties.

    Args:
        z, a: atomic number and mass; for mixtures averages weighted by mass.
        density: density [g/cm3].
        radiation_length: radiation length [g/cm2].
        minimum_loss: energy loss of a minimum ionising particle [MeV cm2/g].
    """

    z: float
    a: float
    density: float
    radiation_length: float
    minimum_loss: float

    @property
    def critical_energy(self) -> float:
        """Critical energy [MeV], from the fit of Grindhammer and Peters."""
        return 2.66 * (self.radiation_length * self.z / self.a) ** 1.1


MATERIALS = {
    "W": Material(74, 183.84, 19.30, 6.76, 1.145),
    "Pb": Material(82, 207.2, 11.35, 6.37, 1.122),
    "U": Material(92, 238.029, 18.95, 6.00, 1.081),
    "Cu": Material(29, 63.546, 8.96, 12.86, 1.403),
    "Fe": Material(26, 55.845, 7.874, 13.84, 1.451),
    # As Geant4 defines it: 74.6 % Fe, 16.9 % Cr and 8.5 % Ni by mass.
    "STAINLESS-STEEL": Material(25.8, 55.4, 8.00, 13.91, 1.453),
    "Al": Material(13, 26.982, 2.699, 24.01, 1.615),
    "Si": Material(14, 28.085, 2.33, 21.82, 1.664),
    "lAr": Material(18, 39.948, 1.396, 19.55, 1.508),
    "Air": Material(7.37, 14.80, 1.205e-3, 36.62, 1.815),
    "POLYSTYRENE": Material(5.62, 10.45, 1.06, 43.79, 1.936),
}


@dataclass(frozen=True)
class Section:
    """Consecutive layers with the same slabs, and their effective medium.

    Args:
        begin: depth of the front of the section [radiation lengths].
        layers: number of layers.
        thickness: thickness of one layer [radiation lengths].
        plane: distance from the front of a layer to the middle of its sensitive slab [radiation lengths].
        z: effective atomic number.
        critical_energy: critical energy [GeV].
        moliere_radius: Moliere radius [mm].
        passive_z, active_z: effective atomic numbers of the passive and the sensitive material.
        mip_fraction: fraction of the energy loss of a minimum ionising particle in the sensitive slab.
        sensitive_thickness: thickness of the sensitive slab [mm].
        gap: fraction of the thickness of the layer that is gas.
    """

    begin: float
    layers: int
    thickness: float
    plane: float
    z: float
    critical_energy: float
    moliere_radius: float
    passive_z: float
    active_z: float
    mip_fraction: float
    sensitive_thickness: float
    gap: float

    @property
    def electron_to_mip(self) -> float:
        """Response to shower electrons relative to minimum ionising particles (e/mip)."""
        return 1 / (1 + 0.007 * (self.passive_z - self.active_z))


def material(name: str) -> Material:
    """The constants of a material.

    Raises:
        ValueError: for an unknown material, with the nearest known ones.

    >>> material("W").radiation_length
    6.76
    """
    found = MATERIALS.get(materials.canonical(name))
    if found is None:
        raise ValueError(
            f"GFlash has no constants for material {name!r}; it has {', '.join(MATERIALS)}."
            f"{materials.hint(name, MATERIALS)}"
        )
    return found


def sections(space: Space) -> tuple[Section, ...]:
    """The sections of a calorimeter whose layers have slabs, ordered by depth.

    Raises:
        ValueError: for an unknown material.

    >>> from calolab import spaces
    >>> [section.layers for section in sections(spaces.space("clic-ecal"))]
    [17, 8]
    """
    found, begin = [], 0.0
    for slabs, layers in groupby(space.layers, key=lambda layer: layer.slabs):
        found.append(_section(slabs, len(list(layers)), begin))
        begin += found[-1].layers * found[-1].thickness
    return tuple(found)


def _section(slabs: Sequence[Slab], layers: int, begin: float) -> Section:
    stuff = [material(slab.material) for slab in slabs]
    active = [slab.sensitive for slab in slabs].index(True)
    # Per slab: mass [g/cm2] and thickness in radiation lengths.
    mass = np.array([slab.thickness / 10 * each.density for slab, each in zip(slabs, stuff)])
    lengths = mass / [each.radiation_length for each in stuff]
    z = np.array([each.z for each in stuff])
    weight = mass / mass.sum()
    passive = np.arange(len(slabs)) != active
    # Sum of w E_c / X0 over the slabs [MeV cm2/g], for the effective critical energy and Moliere radius.
    ratio = weight @ [each.critical_energy / each.radiation_length for each in stuff]
    thickness = sum(slab.thickness for slab in slabs)
    density = mass.sum() / (thickness / 10)
    losses = mass * [each.minimum_loss for each in stuff]
    return Section(
        begin=begin,
        layers=layers,
        thickness=lengths.sum(),
        plane=lengths[:active].sum() + lengths[active] / 2,
        z=weight @ z,
        critical_energy=ratio * mass.sum() / lengths.sum() / 1e3,
        moliere_radius=10 * SCATTERING_ENERGY / ratio / density,
        passive_z=np.average(z[passive], weights=mass[passive]) if passive.any() else z[active],
        active_z=z[active],
        mip_fraction=losses[active] / losses.sum(),
        sensitive_thickness=slabs[active].thickness,
        gap=sum(slab.thickness for slab, each in zip(slabs, stuff) if each.density < GAS) / thickness,
    )
