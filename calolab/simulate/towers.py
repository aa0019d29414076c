"""Calorimeter towers: the simulation of the ATLAS card of Delphes (arXiv:1307.6346) in numpy.

Particles propagate through the solenoid to the surface of the calorimeters. There each deposits a fraction of its
energy, which depends on its identity, in one ECal tower and one HCal tower. The energy of a tower is smeared with a
log-normal distribution; towers below a minimum energy, or below two standard deviations, are not read out. The
direction of a tower is uniformly distributed in its cell. All events of a call are processed together, without a loop.

Tracks are not used: these are the towers that Delphes calls `Calorimeter/towers`, before energy flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from calolab.particles import Particles
from calolab.simulate import atlas_card, solenoid
from calolab.simulate.atlas_card import TowerGrid
from calolab.simulate.pdg import charges

_MOST_PHI_CELLS = 360


def simulate(particles: Particles, *, seed: int, smear: bool = True, thresholds: bool = True) -> Particles:
    """The calorimeter towers of events, following the ATLAS card of Delphes (arXiv:1307.6346).

    Args:
        particles: stable particles with their `identity` (PDG code); they start at `x`, `y`, `z` [mm] if given,
            otherwise at the origin.
        seed: seed of energies and directions.
        smear: whether to smear; otherwise energies are exact and the direction of a tower is the centre of its cell.
        thresholds: whether to remove towers below the minimum energy and significance of the card.

    Returns:
        One massless particle per tower, in the events of `particles` with their labels: `pt` [GeV], `eta`, `phi` [rad],
        `mass` (0), `ecal` and `hcal` [GeV]. A tower belongs to one of the two calorimeters, so one of these energies is
        zero. Events without towers are kept.

    Raises:
        ValueError: if the particles have no identity.

    >>> photon = {"pt": [50.0], "eta": [0.3], "phi": [1.0], "mass": [0.0], "identity": [22]}
    >>> towers = simulate(Particles.from_flat([1], photon), seed=1, smear=False)
    >>> towers.counts, towers.flat("ecal").round(2)
    (array([1]), array([52.27]))
    """
    generator = np.random.Generator(np.random.SFC64(seed))
    event, ring, column, energy = _deposits(particles)
    rings = _rings()
    terms = rings.terms[:, ring]
    if smear:
        energy = _log_normal(energy, _sigma(terms, energy), generator)
    if thresholds:
        # The resolution is evaluated at the smeared energy, the only one that a readout can know.
        read = (energy >= rings.minimum[ring]) & (energy >= rings.significance[ring] * _sigma(terms, energy))
    else:
        read = energy > 0
    read = np.flatnonzero(read)
    event, ring, column, energy = event[read], ring[read], column[read], energy[read]
    place = generator.random((2, len(read))) if smear else np.full((2, len(read)), 0.5)
    eta = rings.low[ring] + place[0] * (rings.high[ring] - rings.low[ring])
    width = 2 * np.pi / rings.phi_cells[ring]
    in_ecal = ring < rings.first_hcal
    columns = {
        "pt": energy / np.cosh(eta),
        "eta": eta,
        "phi": np.minimum((column + place[1]) * width - np.pi, np.pi),
        "mass": np.zeros(len(energy)),
        "ecal": np.where(in_ecal, energy, 0.0),
        "hcal": np.where(in_ecal, 0.0, energy),
    }
    origin = {**particles.origin, "towers": "ATLAS card of Delphes", "towers_seed": seed}
    return Particles.from_flat(np.bincount(event, minlength=len(particles)), columns, particles.labels, origin)


@dataclass(frozen=True, eq=False)
class _Rings:
    """The rings of both calorimeters, ECal first: edges in eta, phi cells and readout of each ring."""

    low: np.ndarray
    high: np.ndarray
    phi_cells: np.ndarray
    minimum: np.ndarray
    significance: np.ndarray
    terms: np.ndarray
    first_hcal: int


@cache
def _rings() -> _Rings:
    both = (atlas_card.ecal(), atlas_card.hcal())
    return _Rings(
        low=np.concatenate([one.eta[:-1] for one in both]),
        high=np.concatenate([one.eta[1:] for one in both]),
        phi_cells=np.concatenate([one.phi_cells for one in both]),
        minimum=np.concatenate([np.full(len(one.phi_cells), one.minimum_energy) for one in both]),
        significance=np.concatenate([np.full(len(one.phi_cells), one.significance) for one in both]),
        terms=np.concatenate([one.resolution_terms for one in both], axis=1),
        first_hcal=len(both[0].phi_cells),
    )


def _deposits(particles: Particles) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Event, ring, phi cell and exact energy [GeV] of every tower that is hit, sorted in this order."""
    if "identity" not in particles.fields:
        raise ValueError(
            "towers.simulate expects particles with the field 'identity' (PDG codes), which determine charge and "
            f"energy fractions; received {', '.join(particles.fields)}. Make particles with simulate.collisions(..., "
            "output='particles'), or add the column; towers cannot be simulated a second time."
        )
    event, identity, energy, eta, phi = _at_surface(particles)
    keys, parts, first = [], [], 0
    n_rings = len(_rings().low)
    for grid in (atlas_card.ecal(), atlas_card.hcal()):
        fraction = grid.fraction(identity)
        hit = np.flatnonzero(fraction)
        ring, column = _cell(grid, eta[hit], phi[hit])
        inside = ring >= 0
        hit, ring, column = hit[inside], ring[inside], column[inside]
        keys.append((event[hit] * n_rings + ring + first) * _MOST_PHI_CELLS + column)
        parts.append(fraction[hit] * energy[hit])
        first += len(grid.phi_cells)
    key, part = np.concatenate(keys), np.concatenate(parts)
    # A stable sort sums the energies of a tower in the same order, independently of the other events.
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    sums = np.add.reduceat(part[order], starts) if len(starts) else np.zeros(0)
    row, column = np.divmod(key[starts], _MOST_PHI_CELLS)
    return *np.divmod(row, n_rings), column, sums


def _at_surface(particles: Particles) -> tuple[np.ndarray, ...]:
    """Event, identity, energy [GeV] and direction of particles that reach the calorimeters and deposit energy."""
    identity = particles.flat("identity").astype(np.int64)
    pt = particles.flat("pt")
    leaves = np.zeros(len(pt), bool)
    for grid in (atlas_card.ecal(), atlas_card.hcal()):
        leaves |= grid.fraction(identity) > 0
    chosen = np.flatnonzero(leaves & (pt > atlas_card.LEAST_PT))
    event = np.repeat(np.arange(len(particles)), particles.counts)[chosen]
    identity, pt = identity[chosen], pt[chosen].astype(np.float64)
    eta, phi, mass = (particles.flat(name)[chosen].astype(np.float64) for name in ("eta", "phi", "mass"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    vertex = None
    if {"x", "y", "z"} <= set(particles.fields):
        vertex = tuple(particles.flat(name)[chosen].astype(np.float64) for name in ("x", "y", "z"))
    eta, phi = solenoid.propagate(
        pt,
        eta,
        phi,
        charges(identity),
        vertex,
        radius=atlas_card.RADIUS,
        half_length=atlas_card.HALF_LENGTH,
        field=atlas_card.MAGNETIC_FIELD,
    )
    return event, identity, energy, eta, phi


def _cell(grid: TowerGrid, eta: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ring and phi cell of each point; ring -1 outside the grid, and for NaN.

    As in Delphes a cell includes its upper edges and not its lower ones.
    """
    ring = np.searchsorted(grid.eta, eta, side="left") - 1
    ring[ring >= len(grid.phi_cells)] = -1
    half = grid.phi_cells[ring] // 2
    column = np.ceil(np.nan_to_num(phi) * (half / np.pi)).astype(np.int64)
    # Rounding may shift a point at an edge by one cell: compare with the edges themselves.
    column += (phi > column * np.pi / half).astype(np.int64) - (phi <= (column - 1) * np.pi / half)
    column += half - 1
    # phi = -pi is the upper edge of the last cell.
    column[column < 0] += 2 * half[column < 0]
    return ring, column


def _sigma(terms: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Standard deviations [GeV] of energies [GeV], from the resolution terms of shape `(3, tower)`."""
    constant, stochastic, noise = terms
    return np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)


def _log_normal(mean: np.ndarray, sigma: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw from log-normal distributions with these means and standard deviations."""
    spread = np.log1p((sigma / mean) ** 2)
    return mean * np.exp(np.sqrt(spread) * generator.standard_normal(len(mean)) - spread / 2)
