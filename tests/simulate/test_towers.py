"""Calorimeter towers: cases calculated by hand, a simple loop over particles, and conservation laws."""

from bisect import bisect_left
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab.particles import Particles, concatenate
from calolab.simulate import atlas_card, towers
from calolab.simulate.solenoid import propagate

MASS = {22: 0.0, 11: 0.000511, 13: 0.10566, 211: 0.13957, 310: 0.49761, 2112: 0.93957, 2212: 0.93827}


def events(*particles_of_events, **labels):
    """Events of particles `(identity, pt, eta, phi)`."""
    flat = [particle for one in particles_of_events for particle in one]
    identity, pt, eta, phi = np.array(flat, float).reshape(-1, 4).T
    mass = np.array([MASS.get(abs(int(code)), 0.0) for code in identity])
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "identity": identity.astype(int)}
    return Particles.from_flat([len(one) for one in particles_of_events], columns, labels)


def exact(particles, thresholds=False):
    return towers.simulate(particles, seed=0, smear=False, thresholds=thresholds)


def random_events(seed, n_events=5, most=80):
    random = np.random.default_rng(seed)
    counts = random.integers(0, most, n_events)
    total = counts.sum()
    columns = {
        "pt": 0.01 + random.exponential(3, total),
        "eta": random.uniform(-6, 6, total),
        "phi": random.uniform(-np.pi, np.pi, total),
        "identity": random.choice([22, 22, 211, -211, 11, 13, 14, 310, 3122, 130, 2212, 1000022], total),
    }
    columns["mass"] = np.array([MASS.get(abs(code), 0.5) for code in columns["identity"]])
    return Particles.from_flat(counts, columns)


# Hand-computed cases


def test_one_photon():
    result = exact(events([(22, 10.0, 0.05, 0.005)]))
    assert result.counts.tolist() == [1]
    # Ring 0.0348 to 0.0522 and the first degree: the cell's centre.
    assert result.flat("eta") == pytest.approx([2.5 * 0.0174])
    assert result.flat("phi") == pytest.approx([np.radians(0.5)])
    energy = 10 * np.cosh(0.05)
    assert result.flat("ecal") == pytest.approx([energy])
    assert result.flat("hcal") == [0]
    assert result.flat("mass") == [0]
    assert result.flat("pt") == pytest.approx([energy / np.cosh(2.5 * 0.0174)])


def test_a_pion_goes_to_the_hcal_where_the_field_has_bent_it():
    result = exact(events([(211, 1.0, 0.0, 0.5)], [(-211, 1.0, 0.0, 0.5)]))
    # 0.3519 rad: from 28.65 degrees to 8.48 and 48.81; towers of 10 degrees. eta = 0 is the upper edge of its ring.
    assert np.degrees(result.flat("phi")) == pytest.approx([5, 45])
    assert result.flat("eta") == pytest.approx([-0.05, -0.05])
    assert result.flat("hcal") == pytest.approx([np.hypot(1, 0.13957)] * 2)
    assert result.flat("ecal").tolist() == [0, 0]


def test_muons_neutrinos_and_neutralinos_leave_nothing():
    result = exact(events(*[[(code, 50.0, 0.3, 1.0)] for code in (13, -13, 12, 14, -16, 1000022)]))
    assert result.counts.tolist() == [0] * 6


def test_a_neutral_kaon_shares_its_energy():
    result = exact(events([(310, 20.0, 1.0, -2.0)]))
    energy = np.sqrt((20 * np.cosh(1.0)) ** 2 + 0.49761**2)
    assert result.counts.tolist() == [2]
    assert result.flat("ecal") == pytest.approx([0.3 * energy, 0])
    assert result.flat("hcal") == pytest.approx([0, 0.7 * energy])


def test_outside_the_calorimeters_nothing_is_seen():
    # The ECal ends at 5, the HCal at 4.9; a kaon between them deposits energy only in the ECal.
    result = exact(events([(22, 10, 5.01, 0)], [(2112, 10, 4.95, 0)], [(310, 10, -4.95, 0)], [(22, 10, -4.99, 0)]))
    assert result.counts.tolist() == [0, 0, 1, 1]
    assert result.flat("hcal").tolist() == [0, 0]


def test_a_point_on_an_edge_belongs_to_the_lower_cell():
    on_edge = events([(22, 10, 10 * 0.0174, 37 * np.pi / 180)])
    above = events([(22, 10, np.nextafter(10 * 0.0174, 1), np.nextafter(37 * np.pi / 180, 1))])
    for particles, ring, degree in ((on_edge, 9.5, 36.5), (above, 10.5, 37.5)):
        result = exact(particles)
        assert result.flat("eta") == pytest.approx([ring * 0.0174])
        assert np.degrees(result.flat("phi")) == pytest.approx([degree])


def test_every_edge_in_phi_belongs_to_the_lower_cell_and_minus_pi_to_the_last():
    edges = np.arange(-179, 181) * np.pi / 180
    result = exact(events([(22, 5, 0.1, phi) for phi in edges]))
    assert np.degrees(result.flat("phi")) == pytest.approx(np.arange(-179.5, 180))
    assert np.degrees(exact(events([(22, 5, 0.1, -np.pi)])).flat("phi")) == pytest.approx([179.5])


def test_energies_in_one_tower_add_up_within_the_event_only():
    particles = events([(22, 1.0, 0.001, 0.001), (-11, 1e3, 0.001, 0.01)], [(22, 2.0, 0.001, 0.001)])
    # The positron of 1 TeV bends by 0.3 mrad.
    result = exact(particles)
    assert result.counts.tolist() == [1, 1]
    assert result.flat("ecal") == pytest.approx([1001, 2])


def test_least_energies():
    # At 0.5 GeV the ECal's sigma is 0.071 GeV, so that the minimum energy is the relevant threshold.
    result = exact(events([(22, 0.499, 0.0, 1)], [(22, 0.501, 0.0, 1)]), thresholds=True)
    assert result.counts.tolist() == [0, 1]


def test_significance():
    # HCal barrel: E > 2 sigma(E) means E^2 (1 - 4 0.0302^2) > 4 (0.5205^2 E + 1.59^2), or E > 3.7725 GeV.
    quadratic = 1 - 4 * 0.0302**2, -4 * 0.5205**2, -4 * 1.59**2
    least = (-quadratic[1] + np.sqrt(quadratic[1] ** 2 - 4 * quadratic[0] * quadratic[2])) / (2 * quadratic[0])
    below, above = ([(130, least + step, 0.0, 1)] for step in (-1e-3, 1e-3))
    assert exact(events(below, above), thresholds=True).counts.tolist() == [0, 1]
    # In the end-caps there is no noise: E > 4 0.706^2 / (1 - 4 0.05^2).
    least = 4 * 0.706**2 / (1 - 4 * 0.05**2)
    below, above = ([(130, (least + step) / np.cosh(2.0), 2.0, 1)] for step in (-1e-3, 1e-3))
    assert exact(events(below, above), thresholds=True).counts.tolist() == [0, 1]


# Smearing


@pytest.mark.parametrize(
    "identity, energy, sigma",
    [
        (22, 50.0, np.sqrt((0.0017 * 50) ** 2 + 0.101**2 * 50)),
        (130, 50.0, np.sqrt((0.0302 * 50) ** 2 + 0.5205**2 * 50 + 1.59**2)),
        (130, 5.0, np.sqrt((0.0302 * 5) ** 2 + 0.5205**2 * 5 + 1.59**2)),
    ],
)
def test_smeared_energies_are_log_normal_with_the_card_s_width(identity, energy, sigma):
    n_events = 40_000
    particles = Particles.from_flat(
        np.ones(n_events, int),
        {
            "pt": np.full(n_events, energy),
            "eta": np.zeros(n_events),
            "phi": np.full(n_events, 1.0),
            "mass": np.zeros(n_events),
            "identity": np.full(n_events, identity),
        },
    )
    found = towers.simulate(particles, seed=3, thresholds=False).flat("energy")
    assert len(found) == n_events
    assert found.mean() == pytest.approx(energy, abs=4 * sigma / np.sqrt(n_events))
    assert found.std() == pytest.approx(sigma, rel=0.04)
    logarithm = np.log(found)
    width = np.sqrt(np.log(1 + (sigma / energy) ** 2))
    assert logarithm.mean() == pytest.approx(np.log(energy) - width**2 / 2, abs=4 * width / np.sqrt(n_events))
    assert logarithm.std() == pytest.approx(width, rel=0.02)
    assert ((logarithm - logarithm.mean()) ** 3).mean() == pytest.approx(0, abs=0.1 * width**3)


def test_the_cut_looks_at_the_smeared_energy():
    # A kaon with exactly the threshold energy is read out in about half of all events.
    particles = events(*[[(130, 3.7725, 0.0, 1.0)]] * 4000)
    result = towers.simulate(particles, seed=5)
    assert 0.3 < result.counts.mean() < 0.6
    assert result.flat("hcal").min() > 3.7725 - 1e-3
    assert result.flat("hcal").max() > 6


def test_directions_fill_the_cell_evenly():
    result = towers.simulate(events(*[[(130, 50.0, 0.55, 0.05)]] * 4000), seed=6)
    for found, low, high in ((result.flat("eta"), 0.5, 0.6), (np.degrees(result.flat("phi")), 0, 10)):
        place = (found - low) / (high - low)
        assert place.min() >= 0 and place.max() <= 1
        assert place.mean() == pytest.approx(0.5, abs=0.02)
        assert place.std() == pytest.approx(np.sqrt(1 / 12), rel=0.03)


# Properties


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_energy_is_conserved_within_the_acceptance(seed):
    particles = random_events(seed)
    identity, eta, phi, pt = (particles.flat(name) for name in ("identity", "eta", "phi", "pt"))
    charge = np.isin(identity, [211, 2212]) * 1.0 - np.isin(identity, [-211, 11])
    exit_eta, _ = propagate(pt, eta, phi, charge, radius=1150, half_length=3510, field=2)
    event = np.repeat(np.arange(len(particles)), particles.counts)
    result = exact(particles)
    for calorimeter, edge in ((atlas_card.ecal(), 5), (atlas_card.hcal(), 4.9)):
        seen = calorimeter.fraction(identity) * particles.flat("energy") * (np.abs(exit_eta) < edge)
        towers_event = np.repeat(np.arange(len(result)), result.counts)
        found = np.bincount(towers_event, result.flat(calorimeter.name), minlength=len(result))
        np.testing.assert_allclose(found, np.bincount(event, seen, minlength=len(result)), rtol=1e-12)


def naive(particles):
    """Energy by event, calorimeter, ring and cell, one particle at a time, with explicit edges."""
    sums = defaultdict(float)
    event = np.repeat(np.arange(len(particles)), particles.counts)
    columns = [particles.flat(name) for name in ("identity", "energy", "pt", "eta", "phi")]
    for number, identity, energy, pt, eta, phi in zip(event, *columns):
        charge = {211: 1, -211: -1, 11: -1, 2212: 1}.get(int(identity), 0)
        place = propagate(*np.array([[pt], [eta], [phi], [charge]]), radius=1150, half_length=3510, field=2)
        for calorimeter in (atlas_card.ecal(), atlas_card.hcal()):
            part = calorimeter.fractions.get(abs(int(identity)), calorimeter.default) * energy
            ring = bisect_left(calorimeter.eta.tolist(), place[0][0])
            if part == 0 or ring == 0 or ring == len(calorimeter.eta):
                continue
            half = int(calorimeter.phi_cells[ring - 1]) // 2
            cell = bisect_left([i * np.pi / half for i in range(-half, half + 1)], place[1][0])
            sums[int(number), calorimeter.name, ring - 1, cell - 1] += part
    return sums


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_agrees_with_a_loop_over_particles(seed):
    particles = random_events(seed)
    result = exact(particles)
    expected = naive(particles)
    event = np.repeat(np.arange(len(result)), result.counts)
    found = {}
    for number, eta, phi, in_ecal, in_hcal in zip(event, *map(result.flat, ("eta", "phi", "ecal", "hcal"))):
        assert (in_ecal == 0) != (in_hcal == 0)
        calorimeter = atlas_card.ecal() if in_ecal else atlas_card.hcal()
        ring = bisect_left(calorimeter.eta.tolist(), eta) - 1
        cell = int((phi + np.pi) / (2 * np.pi) * calorimeter.phi_cells[ring])
        found[int(number), calorimeter.name, ring, cell] = in_ecal + in_hcal
    assert found == pytest.approx(dict(expected))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_particles_does_not_matter(seed):
    particles = random_events(seed, n_events=1)
    order = np.random.default_rng(seed).permutation(particles.counts[0])
    shuffled = Particles(particles.columns[:, order])
    one, other = (towers.simulate(some, seed=11) for some in (particles, shuffled))
    for name in one.fields:
        np.testing.assert_allclose(one.flat(name), other.flat(name), rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), cells=st.integers(-35, 35))
@settings(max_examples=20, deadline=None)
def test_towers_turn_with_the_event_by_whole_cells(seed, cells):
    particles = random_events(seed)
    angle = np.radians(20 * cells)
    columns = {name: particles.flat(name) for name in particles.fields}
    columns["phi"] = (columns["phi"] + angle + np.pi) % (2 * np.pi) - np.pi
    one, other = exact(particles), exact(Particles.from_flat(particles.counts, columns))
    assert one.counts.tolist() == other.counts.tolist()

    def by_cell(result, turn):
        degrees = np.round(np.degrees(result.flat("phi") + turn) % 360, 3) % 360
        event = np.repeat(np.arange(len(result)), result.counts)
        order = np.lexsort((degrees, result.flat("eta").round(6), result.flat("ecal") > 0, event))
        return degrees[order], result.flat("energy")[order]

    for first, second in zip(by_cell(one, angle), by_cell(other, 0)):
        np.testing.assert_allclose(first, second, rtol=1e-6)


# Records, seeds and bad input


def test_the_same_seed_gives_the_same_towers_and_another_does_not():
    particles = random_events(1, n_events=20)
    first, second, third = (towers.simulate(particles, seed=seed) for seed in (4, 4, 5))
    for name in first.fields:
        np.testing.assert_array_equal(first.flat(name), second.flat(name))
    assert first.flat("pt").tolist() != third.flat("pt").tolist()


def test_events_without_towers_stay_with_their_labels():
    particles = events([], [(22, 10, 0, 0)], [], [(13, 10, 0, 0)], gluino_mass=[1400, 1500, 1600, 1700])
    result = towers.simulate(particles, seed=1)
    assert result.counts.tolist() == [0, 1, 0, 0]
    assert result.labels["gluino_mass"].tolist() == [1400, 1500, 1600, 1700]
    empty = towers.simulate(events([], []), seed=1)
    assert len(empty) == 2 and empty.counts.tolist() == [0, 0]
    assert len(towers.simulate(events([], []).select(slice(0, 0)), seed=1)) == 0


def test_events_do_not_feel_their_neighbours():
    first, second = random_events(1), random_events(2)
    together = exact(concatenate([first, second]))
    assert together.flat("energy").tolist() == [*exact(first).flat("energy"), *exact(second).flat("energy")]


def test_particles_start_at_their_vertex():
    columns = {"pt": [10.0], "eta": [0.0], "phi": [np.pi / 2], "mass": [0.0], "identity": [22]}
    vertex = {"x": [100.0], "y": [0.0], "z": [575.0]}
    result = exact(Particles.from_flat([1], {**columns, **vertex}))
    # At the side: x = 100 mm, y = 1145.6 mm, z = 575 mm.
    assert result.flat("eta")[0] == pytest.approx(np.arcsinh(0.5), abs=0.0087)
    assert np.degrees(result.flat("phi")[0]) == pytest.approx(np.degrees(np.arccos(100 / 1150)), abs=0.5)
    # Outside the cylinder of the field it is not propagated.
    assert exact(Particles.from_flat([1], {**columns, **vertex, "x": [1200.0]})).counts.tolist() == [0]


def test_single_precision_is_good_enough():
    particles = random_events(9)
    columns = {name: particles.flat(name) for name in particles.fields}
    single = {name: c.astype(np.int32 if name == "identity" else np.float32) for name, c in columns.items()}
    one, other = exact(particles), exact(Particles.from_flat(particles.counts, single))
    assert other.flat("energy").sum() == pytest.approx(one.flat("energy").sum(), rel=1e-5)


def test_towers_are_not_simulated_a_second_time():
    result = towers.simulate(random_events(1), seed=1)
    with pytest.raises(ValueError, match="identity.*output='particles'"):
        towers.simulate(result, seed=1)
