"""The solenoid: propagation of particles to the surface of its cylinder, on straight lines and helices."""

from __future__ import annotations

import numpy as np

# Curvature radius [mm] = pt [GeV] / (this * charge * field [T]).
SPEED_OF_LIGHT = 2.99792458e-4


def propagate(
    pt: np.ndarray,
    eta: np.ndarray,
    phi: np.ndarray,
    charge: np.ndarray,
    vertex: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    *,
    radius: float,
    half_length: float,
    field: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Propagate particles to the surface of a cylinder around the beam, with a field parallel to the beam.

    A particle that does not reach the side because of its low momentum spirals until it leaves through an end, as in
    Delphes (arXiv:1307.6346).

    Args:
        pt, eta, phi, charge: transverse momentum [GeV], pseudorapidity, azimuth [rad] and charge [elementary charges]
            of each particle, shape `(particle,)`.
        vertex: start positions x, y and z [mm], each of shape `(particle,)`; by default the origin.
        radius, half_length: dimensions of the cylinder [mm].
        field: field along z [T].

    Returns:
        Pseudorapidity and azimuth [rad] of the exit point, seen from the origin, each of shape `(particle,)`; NaN if a
        particle starts outside the cylinder or never leaves it.

    >>> neutral = [np.array([value]) for value in (1.0, 0.5, 0.25, 0.0)]
    >>> propagate(*neutral, radius=1150.0, half_length=3510.0, field=2.0)
    (array([0.5]), array([0.25]))
    """
    curvature = SPEED_OF_LIGHT * field * charge / pt  # signed [1/mm]; positive charges turn towards smaller phi
    if vertex is None:
        return _from_origin(curvature, eta, phi, radius, half_length)
    x, y, z = vertex
    slope = np.sinh(eta)
    exit_eta, exit_phi = np.empty(len(pt)), np.empty(len(pt))
    # Particles that never leave have an infinite path, and so NaN as exit point.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        to_end = np.where(slope == 0, np.inf, (half_length * np.sign(slope) - z) / slope)
        for chosen, follow in ((curvature == 0, _straight), (curvature != 0, _helix)):
            length, at_x, at_y = follow(curvature[chosen], phi[chosen], x[chosen], y[chosen], to_end[chosen], radius)
            along = z[chosen] + length * slope[chosen]
            exit_eta[chosen] = np.arcsinh(along / np.hypot(at_x, at_y))
            exit_phi[chosen] = np.arctan2(at_y, at_x)
    inside = (np.hypot(x, y) <= radius) & (np.abs(z) <= half_length)
    exit_eta[~inside] = exit_phi[~inside] = np.nan
    return exit_eta, exit_phi


def _from_origin(curvature, eta, phi, radius, half_length):
    """Exit points of particles from the origin; the azimuth changes by half the turning angle."""
    exit_eta, exit_phi = eta.copy(), phi.copy()
    bent = np.flatnonzero(curvature)
    curvature, slope = curvature[bent], np.sinh(eta[bent])
    half = np.abs(curvature) / 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The arcsine is NaN for a helix that does not reach the side; it leaves through an end.
        half_turn = np.fmin(np.arcsin(half * radius), half * half_length / np.abs(slope))
        chord = np.sin(half_turn) / half
        length = half_turn / half
        exit_eta[bent] = np.arcsinh(length * slope / np.abs(chord))
        bent_phi = phi[bent] - np.sign(curvature) * half_turn + np.where(chord < 0, np.pi, 0)
        exit_phi[bent] = np.remainder(bent_phi + np.pi, 2 * np.pi) - np.pi
    return exit_eta, exit_phi


def _straight(curvature, phi, x, y, to_end, radius):
    """Path length in the transverse plane [mm] and exit point of neutral particles."""
    cosine, sine = np.cos(phi), np.sin(phi)
    across, ahead = cosine * y - sine * x, cosine * x + sine * y
    length = np.fmin(np.sqrt(radius**2 - across**2) - ahead, to_end)
    return length, x + length * cosine, y + length * sine


def _helix(curvature, phi, x, y, to_end, radius):
    """The same for charged particles, on a circle in the transverse plane."""
    bend, sign = 1 / np.abs(curvature), np.sign(curvature)
    centre_x, centre_y = x + sign * bend * np.sin(phi), y - sign * bend * np.cos(phi)
    distance = np.hypot(centre_x, centre_y)
    start = phi + sign * np.pi / 2  # angle of the particle seen from the centre of the circle
    crossing = np.arccos((radius**2 - distance**2 - bend**2) / (2 * distance * bend))
    turn = np.remainder(sign * (start - np.arctan2(centre_y, centre_x)) - crossing, 2 * np.pi)
    length = np.fmin(turn * bend, to_end)  # the arccosine is NaN if the circle is within the cylinder
    angle = start - sign * length / bend
    return length, centre_x + bend * np.cos(angle), centre_y + bend * np.sin(angle)
