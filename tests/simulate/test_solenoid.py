"""Paths in the solenoid: known deflections, and analytic results compared with many small steps."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from calolab.simulate.solenoid import propagate

ATLAS = {"radius": 1150.0, "half_length": 3510.0, "field": 2.0}


def one(pt, eta, phi, charge, vertex=None, **cylinder):
    vertex = None if vertex is None else tuple(np.array([float(v)]) for v in vertex)
    columns = (np.array([float(value)]) for value in (pt, eta, phi, charge))
    exit_eta, exit_phi = propagate(*columns, vertex, **{**ATLAS, **cylinder})
    return exit_eta[0], exit_phi[0]


def turned(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


def stepped(pt, eta, phi, charge, vertex, steps=20_000):
    """The exit point calculated with small steps in which the momentum is rotated, along a path of at most 9 m."""
    length = np.arange(1, steps + 1) * 9000 / steps
    turn = -charge * 2.0 * 2.99792458e-4 / pt * length
    middle = phi + turn - turn[0] / 2
    x = vertex[0] + np.cumsum(np.cos(middle)) * 9000 / steps
    y = vertex[1] + np.cumsum(np.sin(middle)) * 9000 / steps
    z = vertex[2] + length * np.sinh(eta)
    outside = (np.hypot(x, y) > 1150) | (np.abs(z) > 3510)
    if not outside.any():
        return None
    first = np.argmax(outside)
    return np.array([x[first], y[first], z[first]])


def test_a_charged_pion_of_1_gev_bends_by_asin_of_half_the_radius_over_its_curvature():
    bend = np.arcsin(1.150 / (2 * 1.0 / (0.299792458 * 2.0)))  # 1.668 m of curvature: 0.3519 rad
    assert bend == pytest.approx(0.3519, abs=1e-4)
    assert one(1.0, 0.0, 0.5, +1) == pytest.approx((0, 0.5 - bend))
    assert one(1.0, 0.0, 0.5, -1) == pytest.approx((0, 0.5 + bend))
    assert one(1.0, 0.0, 0.5, 0) == (0, 0.5)
    # The path is longer than the chord, so a forward particle moves further along the beam.
    path = 2 * bend * 1.668
    assert one(1.0, 0.3, 0.5, +1)[0] == pytest.approx(np.arcsinh(np.sinh(0.3) * path / 1.150), rel=1e-3)


def test_a_stiff_track_goes_straight_on():
    assert one(1e7, 1.2, -2.0, -1) == pytest.approx((1.2, -2.0), abs=1e-7)


def test_a_soft_particle_curls_to_the_end_of_the_cylinder():
    # Below 0.345 GeV the circle through the origin, of 2 x 0.834 m here, stays within the radius of 1.15 m.
    eta, phi = one(0.25, 1.0, 0.0, +1)
    curvature = 0.25 / (0.299792458 * 2.0)
    half_turn = 3.510 / np.sinh(1.0) / curvature / 2
    assert half_turn > np.pi  # more than a full circle
    distance = 2 * curvature * abs(np.sin(half_turn))
    assert eta == pytest.approx(np.arcsinh(3.510 / distance))
    assert np.cos(phi) == pytest.approx(np.cos(-half_turn) * np.sign(np.sin(half_turn)))


def test_a_curling_particle_without_motion_along_the_beam_never_leaves():
    assert np.isnan(one(0.2, 0.0, 0.3, 1)).all()
    assert np.isnan(one(0.2, 0.0, 0.3, 1, vertex=(1, 2, 3))).all()


def test_a_particle_born_outside_is_not_followed():
    assert np.isnan(one(10, 0.1, 0.3, 0, vertex=(1200, 0, 0))).all()
    assert np.isnan(one(10, 0.1, 0.3, 1, vertex=(0, 0, -3600))).all()


def test_a_neutral_particle_from_a_displaced_vertex():
    # From (100, 0, 50) mm along y: it reaches the cylinder at y = sqrt(1150^2 - 100^2), having moved by as much along
    # z.
    eta, phi = one(5, np.arcsinh(1.0), np.pi / 2, 0, vertex=(100, 0, 50))
    height = np.sqrt(1150**2 - 100**2)
    assert phi == pytest.approx(np.arctan2(height, 100))
    assert eta == pytest.approx(np.arcsinh((50 + height) / 1150))


PARTICLES = {
    "pt": st.floats(0.12, 50),
    "eta": st.floats(-4, 4),
    "phi": st.floats(-np.pi, np.pi),
    "charge": st.sampled_from([-2, -1, 1]),
}


@given(**PARTICLES)
def test_both_forms_agree_at_the_origin(pt, eta, phi, charge):
    assume(abs(eta) > 1e-3)
    near, far = one(pt, eta, phi, charge), one(pt, eta, phi, charge, vertex=(0, 0, 0))
    # If a path ends close to the beam, the direction is sensitive to rounding.
    assume(abs(near[0]) < 9)
    assert near[0] == pytest.approx(far[0], rel=1e-5, abs=1e-9)
    assert turned(near[1] - far[1]) == pytest.approx(0, abs=1e-5)


@given(
    **PARTICLES,
    distance=st.floats(0, 1000),
    around=st.floats(-np.pi, np.pi),
    z=st.floats(-3000, 3000),
    neutral=st.booleans(),
)
def test_closed_form_agrees_with_many_small_steps(pt, eta, phi, charge, distance, around, z, neutral):
    charge = 0 if neutral else charge
    vertex = (distance * np.cos(around), distance * np.sin(around), z)
    end = stepped(pt, eta, phi, charge, vertex)
    assume(end is not None)
    exit_eta, exit_phi = one(pt, eta, phi, charge, vertex)
    slope = np.sinh(exit_eta)
    if abs(slope) * 1150 <= 3510:
        point = np.array([1150 * np.cos(exit_phi), 1150 * np.sin(exit_phi), 1150 * slope])
    else:
        across = 3510 / abs(slope)
        point = np.array([across * np.cos(exit_phi), across * np.sin(exit_phi), 3510 * np.sign(slope)])
    # One step is 0.45 mm in the plane and sinh(eta) times as much along the beam, 12 mm at most.
    assume(not grazes(pt, phi, charge, vertex))
    np.testing.assert_allclose(point, end, atol=0.5 * np.cosh(eta) * 3 + 0.1)


def grazes(pt, phi, charge, vertex):
    """Whether the circle nearly touches the side, so that rounding decides whether the particle leaves there."""
    if charge == 0:
        return False
    bend = pt / (2.99792458e-4 * 2.0 * charge)
    centre = np.hypot(vertex[0] + bend * np.sin(phi), vertex[1] - bend * np.cos(phi))
    return abs(centre + abs(bend) - 1150) < 2


@given(**PARTICLES, angle=st.floats(-3, 3))
def test_paths_turn_with_the_azimuth_and_mirror_with_charge_and_side(pt, eta, phi, charge, angle):
    assume(abs(eta) > 1e-3)
    exit_eta, exit_phi = one(pt, eta, phi, charge)
    assume(abs(exit_eta) < 9)
    moved = one(pt, eta, phi + angle, charge)
    assert moved[0] == pytest.approx(exit_eta)
    assert turned(moved[1] - exit_phi - angle) == pytest.approx(0, abs=1e-6)
    mirrored = one(pt, -eta, -phi, -charge)
    assert mirrored[0] == pytest.approx(-exit_eta)
    assert turned(mirrored[1] + exit_phi) == pytest.approx(0, abs=1e-6)
