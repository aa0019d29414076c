"""Parameters of the ATLAS card of Delphes: magnet, tower grids, energy fractions, resolutions and thresholds.

Delphes (arXiv:1307.6346) is a fast simulation whose detectors are defined by cards; the parameters here are those of
`delphes_card_ATLAS.tcl`. They are used by `calolab.simulate.towers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

# The cylinder with the solenoid field, on whose surface the calorimeters are [mm], and the field [T].
RADIUS = 1150.0
HALF_LENGTH = 3510.0
MAGNETIC_FIELD = 2.0
# Particles with lower transverse momentum [GeV] are not propagated.
LEAST_PT = 1e-9**0.5

_ELECTROMAGNETIC = (11, 22, 111)
# Muons, neutrinos and neutralinos deposit no energy in the calorimeters.
_INVISIBLE = (12, 13, 14, 16, 1000022, 1000023, 1000025, 1000035, 1000045)
_SHARED = (310, 3122)


@dataclass(frozen=True)
class Resolution:
    """sigma(E)^2 = (constant E)^2 + stochastic^2 E + noise^2, with E in GeV, for towers with |eta| below `eta`."""

    eta: float
    constant: float
    stochastic: float
    noise: float = 0.0


@dataclass(frozen=True, eq=False)
class TowerGrid:
    """The towers of one calorimeter: rings in eta, each divided into cells in phi.

    Args:
        name: `"ecal"` or `"hcal"`.
        eta: edges of the rings, shape `(rings + 1,)`.
        phi_cells: number of cells in each ring, shape `(rings,)`; every ring begins at phi = -pi.
        fractions: fraction of its energy that a particle deposits here, by absolute PDG code.
        default: fraction for all other particles.
        minimum_energy: towers with less energy are not read out [GeV].
        significance: towers with less energy than this number of standard deviations are not read out.
        resolutions: in order of eta; above the last eta the energy is exact.
    """

    name: str
    eta: np.ndarray
    phi_cells: np.ndarray
    fractions: Mapping[int, float]
    default: float
    minimum_energy: float
    significance: float
    resolutions: tuple[Resolution, ...]

    @property
    def n_cells(self) -> int:
        """Number of towers."""
        return int(self.phi_cells.sum())

    @cached_property
    def resolution_terms(self) -> np.ndarray:
        """Constant, stochastic and noise term of each ring, shape `(3, rings)`."""
        centres = np.abs(self.eta[1:] + self.eta[:-1]) / 2
        terms = np.zeros((3, len(centres)))
        for resolution in reversed(self.resolutions):
            terms[:, centres <= resolution.eta] = [[resolution.constant], [resolution.stochastic], [resolution.noise]]
        return terms

    def fraction(self, identity: np.ndarray) -> np.ndarray:
        """Fraction of their energy that particles with these PDG codes deposit here, shape `(particle,)`."""
        code = np.abs(identity)
        table = self._fraction_table
        fraction = table[np.minimum(code, len(table) - 1)]
        if len(code) and code.max() >= len(table):
            for rare, part in self.fractions.items():
                if rare >= len(table):
                    fraction[code == rare] = part
        return fraction

    @cached_property
    def _fraction_table(self) -> np.ndarray:
        table = np.full(10_000, self.default)
        for code, part in self.fractions.items():
            if code < len(table):
                table[code] = part
        return table

    def _repr_html_(self):
        return f"<b>{self.name}</b>: {self.n_cells:,} towers, |eta| &lt; {self.eta[-1]}"


@cache
def ecal() -> TowerGrid:
    """The electromagnetic calorimeter: towers of 0.0174 in eta x 1 degree, coarser beyond |eta| = 2.958.

    >>> ecal().n_cells
    123192
    """
    fine = [i * 0.0174 for i in range(-85, 87)]
    fine += [-2.958 + i * 0.0174 for i in range(1, 85)]
    fine += [1.4964 + i * 0.0174 for i in range(1, 85)]
    coarse = [-5, -4.7, -4.525, -4.35, -4.175, -4, -3.825, -3.65, -3.475, -3.3, -3.125, -2.958]
    coarse += [3.125, 3.3, 3.475, 3.65, 3.825, 4, 4.175, 4.35, 4.525, 4.7, 5]
    eta, phi_cells = _rings({360: fine, 36: coarse})
    return TowerGrid(
        name="ecal",
        eta=eta,
        phi_cells=phi_cells,
        fractions={
            **dict.fromkeys(_ELECTROMAGNETIC, 1.0),
            **dict.fromkeys(_INVISIBLE, 0.0),
            **dict.fromkeys(_SHARED, 0.3),
        },
        default=0.0,
        minimum_energy=0.5,
        significance=2.0,
        resolutions=(Resolution(3.2, 0.0017, 0.101), Resolution(4.9, 0.0350, 0.285)),
    )


@cache
def hcal() -> TowerGrid:
    """The hadronic calorimeter: towers of 0.1 in eta x 10 degrees, coarser beyond |eta| = 2.5.

    >>> hcal().n_cells
    2340
    """
    fine = [-3.2, *(i / 10 for i in range(-25, 27)), 3.3]
    coarse = [-4.9, -4.7, -4.5, -4.3, -4.1, -3.9, -3.7, -3.5, -3.3, -3, -2.8, -2.6]
    coarse += [2.8, 3, 3.2, 3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9]
    eta, phi_cells = _rings({36: fine, 18: coarse})
    return TowerGrid(
        name="hcal",
        eta=eta,
        phi_cells=phi_cells,
        fractions={
            **dict.fromkeys(_ELECTROMAGNETIC, 0.0),
            **dict.fromkeys(_INVISIBLE, 0.0),
            **dict.fromkeys(_SHARED, 0.7),
        },
        default=1.0,
        minimum_energy=1.0,
        significance=2.0,
        resolutions=(
            Resolution(1.7, 0.0302, 0.5205, 1.59),
            Resolution(3.2, 0.0500, 0.706),
            Resolution(4.9, 0.09420, 1.00),
        ),
    )


def _rings(edges: Mapping[int, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Rings from the lists of eta edges in the card, each with its number of phi cells.

    In Delphes a ring has the number of phi cells of its upper edge. Because the lists of the card overlap, a few
    forward rings of the HCal have more cells than their neighbours.
    """
    cells = {edge: number for number, some in edges.items() for edge in some}
    eta = sorted(cells)
    return np.array(eta), np.array([cells[edge] for edge in eta[1:]])
