import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import simulate
from calolab.simulate import gflash
from calolab.simulate.gflash_materials import sections
from calolab.spaces import Slab, Space, pad_edges, stack


def showers(space="clic-ecal", events=200, energy=20.0, **settings):
    return simulate.showers(space, events, energy, method="gflash", progress=False, **{"seed": 1, **settings})


def stacked(*slabs, layers):
    edges = pad_edges(11, 46.0)
    return Space("stack", ("x", "y", "z"), ("mm",) * 3, stack([slabs] * layers, [(edges, edges)] * layers))


DENSE = stacked(Slab("W", 1.4), Slab("Si", 0.3, sensitive=True), layers=90)


def test_the_same_seed_gives_the_same_showers():
    first, again, other = showers(seed=5), showers(seed=5), showers(seed=6)
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_a_deep_calorimeter_sees_the_whole_energy():
    (section,) = sections(DENSE)
    sample = showers(DENSE, events=500, energy=50)
    expected = gflash.RESPONSE * section.mip_fraction * section.electron_to_mip
    response = sample.values.sum((1, 2, 3), dtype=float) / 50
    # 1 % for the radial tail outside the window of 506 mm, in addition to the statistics.
    error = response.std() / 500**0.5
    assert response.mean() == pytest.approx(expected, abs=3 * error + 0.01 * expected)


def test_depth_and_radii_of_a_published_check():
    """hep-ex/0001020 on Geant4's Par04 stack at 10 GeV: depth 33.7 mm; 50, 68, 90 % within 1.80, 3.13, 9.9 mm."""
    hits = simulate.hits(DENSE, 600, 10, seed=3, method="gflash", progress=False)
    assert np.average(hits.z, weights=hits.energy) == pytest.approx(33.7, rel=0.03)
    order = np.argsort(radius := np.hypot(hits.x, hits.y))
    within = np.cumsum(hits.energy[order], dtype=float) / hits.energy.sum(dtype=float)
    found = radius[order][np.searchsorted(within, [0.50, 0.68, 0.90])]
    assert found == pytest.approx([1.80, 3.13, 9.9], rel=0.04)


def test_the_shower_maximum_moves_with_the_logarithm_of_the_energy():
    depths = []
    for energy in (10, 30, 90):
        values = showers(DENSE, events=400, energy=energy).values.sum((0, 1, 2), dtype=float)
        depths.append(values @ np.arange(90) * 1.7 / values.sum())
    # One radiation length (4.22 mm) per e-fold of energy, slightly less for the mean depth.
    assert np.diff(depths) / np.log(3) == pytest.approx([4.22, 4.22], rel=0.15)


def test_photons_start_where_they_convert():
    depths = {}
    for particle in ("e-", "e+", "gamma"):
        values = showers(DENSE, events=800, particle=particle).values.sum((1, 2), dtype=float)
        depths[particle] = values @ np.arange(90) * 1.7 / values.sum(1)
    length = 1.7 / sections(DENSE)[0].thickness
    assert depths["gamma"].mean() - depths["e-"].mean() == pytest.approx(9 / 7 * length, rel=0.15)
    assert depths["gamma"].std() > depths["e-"].std()
    assert depths["e+"].mean() == pytest.approx(depths["e-"].mean(), rel=0.02)


@given(shape=st.floats(1.1, 10), rate=st.floats(0.2, 2), begin=st.floats(0.1, 15), conversion=st.floats(0, 5))
@settings(max_examples=50, deadline=None)
def test_a_border_between_equal_sections_changes_nothing(shape, rate, begin, conversion):
    both = np.array([[shape, shape]]), np.array([[rate, rate]])
    profile = gflash._continued(*both, [np.zeros(1), np.array([begin])], np.array([conversion]))
    # When nearly all energy has been deposited, the remainder contains little information on the depth.
    assert profile.start[0, 1] == pytest.approx(-conversion, abs=1e-3)


@given(
    shapes=st.tuples(st.floats(1.5, 8), st.floats(1.5, 8)),
    rates=st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)),
    begin=st.floats(1, 8),
)
@settings(max_examples=50, deadline=None)
def test_no_energy_is_lost_where_the_medium_changes(shapes, rates, begin):
    both = np.array([shapes]), np.array([rates])
    profile = gflash._continued(*both, [np.zeros(1), np.array([begin])], np.zeros(1))
    step = 0.01
    depth = np.arange(step / 2, 200, step)
    section = (depth > begin).astype(int)
    density = profile.density(depth + profile.start[:, section], section)
    assert density.sum() * step == pytest.approx(1, abs=5e-3)


def test_tilted_showers_follow_their_angle():
    angle = np.radians(70)
    hits = simulate.hits("clic-ecal-51", 300, 50, angle=angle, seed=4, method="gflash", progress=False)
    slope = np.polyfit(hits.z, hits.y, 1, w=np.sqrt(hits.energy))[0]
    assert slope == pytest.approx(1 / np.tan(angle), abs=0.02)
    assert np.average(hits.x, weights=hits.energy) == pytest.approx(0, abs=0.3)


def test_energies_too_low_for_the_parametrisation_are_refused():
    plastic = stacked(Slab("POLYSTYRENE", 50.0), Slab("POLYSTYRENE", 5.0, sensitive=True), layers=30)
    with pytest.raises(ValueError, match="far above the critical energy"):
        showers(plastic, events=2, energy=1.0)
    assert showers(plastic, events=2, energy=20.0).values.sum() > 0
