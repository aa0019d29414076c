"""Materials of calorimeters, and the uniform matter that a stack of thin slabs of them amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from calolab.names import nearest
from calolab.spaces import Slab, Space

# Energy scale of multiple scattering [MeV], which makes a Moliere radius of a radiation length.
SCATTERING_ENERGY = 21.2
# What is thinner than this [g/cm3] is gas.
GAS = 0.02


@dataclass(frozen=True)
class Material:
    """Constants of one material, from the Particle Data Group's tables of atomic and nuclear properties.

    Args:
        z, a: atomic number and mass; averages by mass for mixtures.
        density: [g/cm3].
        radiation_length: [g/cm2].
        minimum_loss: energy loss of a minimum ionising particle [MeV cm2/g].
    """

    z: float
    a: float
    density: float
    radiation_length: float
    minimum_loss: float

    @property
    def critical_energy(self) -> float:
        """Critical energy [MeV], by the fit of Grindhammer and Peters."""
        return 2.66 * (self.radiation_length * self.z / self.a) ** 1.1


MATERIALS = {
    "W": Material(74, 183.84, 19.30, 6.76, 1.145),
    "Pb": Material(82, 207.2, 11.35, 6.37, 1.122),
    "U": Material(92, 238.029, 18.95, 6.00, 1.081),
    "Cu": Material(29, 63.546, 8.96, 12.86, 1.403),
    "Fe": Material(26, 55.845, 7.874, 13.84, 1.451),
    "Al": Material(13, 26.982, 2.699, 24.01, 1.615),
    "Si": Material(14, 28.085, 2.33, 21.82, 1.664),
    "lAr": Material(18, 39.948, 1.396, 19.55, 1.508),
    "Air": Material(7.37, 14.80, 1.205e-3, 36.62, 1.815),
    "POLYSTYRENE": Material(5.62, 10.45, 1.06, 43.79, 1.936),
}


@dataclass(frozen=True)
class Section:
    """Successive layers of the same slabs, and the uniform matter that a shower sees in them.

    Args:
        begin: depth of its front in radiation lengths from the calorimeter's front.
        layers: how many layers.
        thickness: of one layer, in radiation lengths.
        plane: where in the layer the sensitive slab's middle lies, in radiation lengths from the layer's front.
        z: effective atomic number.
        critical_energy: [GeV].
        moliere_radius: [mm].
        passive_z, active_z: effective atomic numbers of what is not read out and what is.
        mip_fraction: part of its energy loss that a minimum ionising particle leaves in the sensitive slab.
        sensitive_thickness: [mm].
        gap: part of the layer's thickness that is gas.
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
        """Response to a shower's electrons relative to minimum ionising particles."""
        return 1 / (1 + 0.007 * (self.passive_z - self.active_z))


def material(name: str) -> Material:
    """A material's constants.

    Raises:
        ValueError: for a material without constants here, with the nearest known ones.
    """
    if name not in MATERIALS:
        hint = nearest(name, MATERIALS)
        raise ValueError(f"GFlash has no constants for material {name!r}; it knows {', '.join(MATERIALS)}.{hint}")
    return MATERIALS[name]


def sections(space: Space) -> tuple[Section, ...]:
    """The sections of a calorimeter whose layers carry slabs, in depth order.

    Raises:
        ValueError: for a material without constants here.
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
    # Sum of w E_c / X0 over the slabs [MeV cm2/g]: effective critical energy and Moliere radius both come from it.
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
