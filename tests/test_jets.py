import subprocess
import sys

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import jets, particles, spaces
from calolab.jets import Jets
from calolab.particles import Particles
from calolab.samples import Sample

WHOLE = spaces.space("whole-detector")


def event(*momenta, mass=0.0, **more):
    """One event of particles (pt, eta, phi)."""
    pt, eta, phi = (np.array(column, dtype=float) for column in zip(*momenta))
    return Particles.from_flat([len(pt)], {"pt": pt, "eta": eta, "phi": phi, "mass": np.full(len(pt), mass), **more})


def events(counts, seed, hardest=300.0):
    random, n = np.random.default_rng(seed), sum(counts)
    columns = {
        "pt": hardest * random.uniform(0, 1, n) ** 4 + 1,
        "eta": random.uniform(-2, 2, n),
        "phi": random.uniform(-np.pi, np.pi, n),
        "mass": np.zeros(n),
    }
    return Particles.from_flat(counts, columns, {"gluino_mass": 1400.0 + np.arange(len(counts))}, {"seed": seed})


def moved(source, **changes):
    columns = source.columns
    for name, change in changes.items():
        columns = ak.with_field(columns, change(columns[name]), name)
    return Particles(columns, source.labels, source.origin)


def wrapped(phi):
    return np.pi - (np.pi - phi) % (2 * np.pi)


def same_jets(first, second, phi=0.0, eta=0.0, rtol=1e-6):
    """Whether two sets of jets agree but for a turn in phi and a shift in eta."""
    assert first.multiplicity.tolist() == second.multiplicity.tolist()
    np.testing.assert_allclose(second.flat("pt"), first.flat("pt"), rtol=rtol)
    np.testing.assert_allclose(second.flat("mass"), first.flat("mass"), rtol=rtol, atol=1e-3)
    np.testing.assert_allclose(wrapped(second.flat("phi") - first.flat("phi") - phi), 0, atol=1e-6)
    if eta is not None:
        np.testing.assert_allclose(second.flat("eta") - first.flat("eta"), eta, atol=1e-6)


def naive(momenta, radius, power):
    """The generalised kt algorithm as its definition says it, on rows (px, py, pz, E): jets by falling pt."""
    active, found = [np.array(m) for m in momenta], []

    def pt2(p):
        return p[0] ** 2 + p[1] ** 2

    def place(p):
        return 0.5 * np.log((p[3] + p[2]) / (p[3] - p[2])), np.arctan2(p[1], p[0])

    while active:
        least, who = np.inf, None
        for i, first in enumerate(active):
            beam = pt2(first) ** power
            if beam < least:
                least, who = beam, (i, None)
            for j in range(i):
                (y1, phi1), (y2, phi2) = place(first), place(active[j])
                near = ((y1 - y2) ** 2 + wrapped(phi1 - phi2) ** 2) / radius**2
                pair = min(beam, pt2(active[j]) ** power) * near
                if pair < least:
                    least, who = pair, (i, j)
        taken = active.pop(who[0])
        if who[1] is None:
            found.append(taken)
        else:
            active[who[1]] = active[who[1]] + taken
    return sorted(found, key=lambda p: -pt2(p))


@pytest.mark.parametrize("algorithm, power", [("antikt", -1), ("kt", 1), ("cambridge", 0)])
def test_jets_are_those_of_the_definition(algorithm, power):
    source = events([18, 1, 25], seed=3)
    found = jets.cluster(source, radius=0.7, minimum_pt=0, maximum_eta=np.inf, algorithm=algorithm)
    for number, columns in enumerate(source.columns):
        pt, eta, phi = (ak.to_numpy(columns[name]) for name in ("pt", "eta", "phi"))
        rows = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
        expected = np.array(naive(rows, 0.7, power))
        np.testing.assert_allclose(found.columns.pt[number], np.hypot(expected[:, 0], expected[:, 1]), rtol=1e-9)
        mass = np.sqrt(np.maximum(expected[:, 3] ** 2 - np.sum(expected[:, :3] ** 2, axis=1), 0))
        np.testing.assert_allclose(found.columns.mass[number], mass, atol=1e-3)


def test_two_far_particles_are_two_jets_and_two_near_ones_have_the_mass_of_their_opening():
    far = jets.cluster(event((300, 0.5, 3.0), (250, -0.5, 0.0)))
    assert far.multiplicity.tolist() == [2]
    np.testing.assert_allclose(far.flat("pt"), [300, 250])
    np.testing.assert_allclose(far.flat("mass"), 0, atol=1e-4)
    # 0.5 apart across the seam at phi = pi.
    near = jets.cluster(event((300, 0.2, np.pi - 0.2), (200, 0.6, -np.pi + 0.1)))
    assert near.multiplicity.tolist() == [1]
    expected = np.sqrt(2 * 300 * 200 * (np.cosh(0.4) - np.cos(0.3)))
    np.testing.assert_allclose(near.flat("mass"), expected, rtol=1e-9)
    np.testing.assert_allclose(near.summed_mass, expected, rtol=1e-9)
    massive = jets.cluster(event((300, 0.3, 0.1), mass=80.4))
    np.testing.assert_allclose(massive.flat("mass"), 80.4, rtol=1e-9)


def test_events_without_jets_stay_and_jets_come_by_falling_pt():
    source = events([0, 40, 1, 0, 60], seed=4)
    found = jets.cluster(source, minimum_pt=100)
    assert len(found) == len(found.multiplicity) == len(found.summed_mass) == 5
    assert found.multiplicity[[0, 3]].tolist() == [0, 0] and found.summed_mass[[0, 3]].tolist() == [0, 0]
    assert found.multiplicity.max() > 1 and len(found.flat("pt")) == found.multiplicity.sum()
    assert all(np.all(np.diff(pt) <= 0) for pt in found.columns.pt)
    leading = found.leading("mass", 3)
    assert leading.shape == (5, 3) and np.all(np.isnan(leading[0]))
    assert np.sum(np.isfinite(leading)) == np.minimum(found.multiplicity, 3).sum()
    np.testing.assert_allclose(leading[1, 0], found.columns.mass[1][0])
    assert found.labels["gluino_mass"].tolist() == [1400, 1401, 1402, 1403, 1404]
    assert found.origin["seed"] == 4 and "antikt" in found.origin["jets"]
    assert "5 events" in repr(found) and "0 jets" in found._repr_html_()
    nothing = jets.cluster(source.select(slice(0, 0)))
    assert len(nothing) == 0 and nothing.leading("pt", 2).shape == (0, 2)


def test_cuts_on_jets_and_constituents():
    source = event((250, 0.1, 0.0), (190, 0.2, 2.0), (400, 2.2, -2.0), (0.05, 0.3, 0.3))
    found = jets.cluster(source)
    np.testing.assert_allclose(found.flat("pt"), [250])
    np.testing.assert_allclose(jets.cluster(source, constituent_pt=0.01).flat("mass"), 1.4, atol=0.3)
    assert jets.cluster(source, minimum_pt=100, maximum_eta=3).multiplicity.tolist() == [3]
    wide = jets.cluster(source, minimum_pt=0, maximum_eta=np.inf)
    same_jets(found, wide.within(minimum_pt=200, maximum_eta=2))


def test_what_no_calorimeter_sees_makes_no_jet():
    identity = np.array([211, -12, 14, 1000022, 13])
    source = event((300, 0, 0), (300, 1, 1), (300, -1, 2), (300, 0, 3), (300, 0.5, -2), identity=identity)
    assert jets.cluster(source).multiplicity.tolist() == [2]


def test_pixels_are_massless_particles_at_their_centres():
    values = np.zeros((3, 64, 64))
    eta, phi = WHOLE.centres("eta"), WHOLE.centres("phi")
    values[0, 40, 10], values[0, 43, 12] = 400.0, 200.0
    values[2, 10, 0], values[2, 10, 63] = 1000.0, 1000.0
    found = jets.cluster(Sample(values, {"mu": [0, 20, 200]}, WHOLE))
    assert found.multiplicity.tolist() == [1, 0, 1] and found.labels["mu"].tolist() == [0, 20, 200]
    pt = 400 / np.cosh(eta[40]), 200 / np.cosh(eta[43])
    mass = np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[40] - eta[43]) - np.cos(phi[10] - phi[12])))
    np.testing.assert_allclose(found.columns.mass[0][0], mass, rtol=1e-6)
    # Pixels on both sides of the seam are neighbours.
    np.testing.assert_allclose(found.columns.pt[2][0], 2000 / np.cosh(eta[10]) * np.cos(np.pi / 64), rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.columns.phi[2][0]), np.pi, rtol=1e-6)
    images = Sample(values, {}, WHOLE)
    same_jets(found, jets.cluster(particles.from_images(images)))


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(-6, 6), seed=st.integers(0, 1000))
def test_jets_turn_with_phi(angle, seed):
    source = events([30, 12], seed)
    turned = moved(source, phi=lambda phi: wrapped(phi + angle))
    options = {"minimum_pt": 50, "radius": 0.8}
    first, second = jets.cluster(source, **options), jets.cluster(turned, **options)
    same_jets(first, second, phi=angle)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-3, 3), seed=st.integers(0, 1000), algorithm=st.sampled_from(list(jets.ALGORITHMS)))
def test_a_boost_along_the_beam_changes_neither_mass_nor_pt(shift, seed, algorithm):
    source = events([30, 12], seed)
    boosted = moved(source, eta=lambda eta: eta + shift)
    options = {"minimum_pt": 50, "maximum_eta": np.inf, "algorithm": algorithm}
    same_jets(jets.cluster(source, **options), jets.cluster(boosted, **options), eta=None)


@settings(max_examples=20, deadline=None)
@given(eta=st.floats(-2, 2), phi=st.floats(-3.1, 3.1), seed=st.integers(0, 1000))
def test_an_infinitely_soft_particle_changes_nothing(eta, phi, seed):
    source = events([25], seed)
    more = particles.merge([source, event((1e-12, eta, phi))])
    options = {"minimum_pt": 50, "constituent_pt": 0.0}
    same_jets(jets.cluster(source, **options), jets.cluster(more, **options))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_events_know_nothing_of_each_other(seed):
    first, second = events([20, 0, 5], seed), events([7, 30], seed + 1)
    both = jets.cluster(particles.concatenate([first, second]), minimum_pt=50)
    alone = [jets.cluster(part, minimum_pt=50) for part in (first, second)]
    assert both.multiplicity.sum() == sum(part.multiplicity.sum() for part in alone)
    np.testing.assert_array_equal(both.multiplicity, np.concatenate([part.multiplicity for part in alone]))
    np.testing.assert_array_equal(both.flat("mass"), np.concatenate([part.flat("mass") for part in alone]))


def test_pieces_change_nothing(monkeypatch):
    source = events([20, 0, 5, 200, 0, 9, 60], seed=8)
    options = {"minimum_pt": 20, "constituents": True}
    whole = jets.cluster(source, **options)
    monkeypatch.setattr(jets, "EVENTS", 3)
    monkeypatch.setattr(jets, "PARTICLES", 11)
    parts = jets.cluster(source, **options)
    for name in ("pt", "eta", "phi", "mass"):
        assert parts.columns[name].tolist() == whole.columns[name].tolist()
    assert parts.constituents.pt.tolist() == whole.constituents.pt.tolist()
    assert jets.trim(parts).columns.pt.tolist() == jets.trim(whole).columns.pt.tolist()
    np.testing.assert_array_equal(jets.n_subjettiness(parts), jets.n_subjettiness(whole))


def test_constituents_add_up_to_their_jet_and_no_particle_is_in_two():
    source = events([80, 0, 120], seed=5)
    found = jets.cluster(source, minimum_pt=0, maximum_eta=np.inf, constituents=True)
    inside = found.constituents
    np.testing.assert_allclose(ak.sum(inside.pt * np.cos(inside.phi), axis=2)[0],
                               found.columns.pt[0] * np.cos(found.columns.phi[0]), atol=1e-8)  # fmt: skip
    for number in range(3):
        clustered = np.sort(ak.to_numpy(ak.flatten(inside.pt[number], axis=None)))
        np.testing.assert_array_equal(clustered, np.sort(ak.to_numpy(source.columns.pt[number])))
    chosen = found.select(np.array([2, 0]))
    assert chosen.constituents.pt.tolist() == inside.pt[[2, 0]].tolist()


def test_n_subjettiness_of_one_two_and_three_prongs():
    source = particles.concatenate([
        event((300, 0, 0)),
        event((200, 0, 0), (100, 0.3, 0)),
        event((200, 0, 0), (100, 0.3, 0), (100, 0, 0.5), (1, 0.05, 0.02)),
        event((1, 0, 0)),
    ])  # fmt: skip
    found = jets.cluster(source, constituents=True)
    taus = jets.n_subjettiness(found)
    assert taus.shape == (3, 3) and found.multiplicity.tolist() == [1, 1, 1, 0]
    np.testing.assert_allclose(taus[0], 0, atol=1e-12)
    # With beta = 1 the best single axis lies on the harder particle: tau_1 = 100 * 0.3 / (300 R0).
    np.testing.assert_allclose(taus[1], [0.1, 0, 0], atol=1e-3)
    assert taus[2, 0] > taus[2, 1] > taus[2, 2] and taus[2, 2] < 1e-3 < taus[2, 1]
    np.testing.assert_allclose(jets.n_subjettiness(found, n=(2,))[:, 0], taus[:, 1])
    # R0 is the radius of the jets.
    wide = jets.cluster(source, constituents=True, radius=1.5)
    np.testing.assert_allclose(jets.n_subjettiness(wide, n=(1,))[1, 0], 0.1 / 1.5, atol=1e-3)


def test_trimming_takes_soft_subjets_away():
    hard, soft = ((300.0, 0.0, 0.0), (100.0, 0.1, 0.1), (150.0, 0.6, 0.0)), (10.0, -0.5, 0.5)
    source = particles.concatenate([event(*hard, soft), event((1.0, 0.0, 0.0)), event(*hard)])
    found = jets.cluster(source, constituents=True)
    trimmed = jets.trim(found)
    assert trimmed.multiplicity.tolist() == [1, 0, 1]
    same_jets(trimmed.select([0]), trimmed.select([2]))
    same_jets(found.select([2]), trimmed.select([2]))
    assert found.flat("mass")[0] > trimmed.flat("mass")[0]
    assert ak.num(trimmed.constituents, axis=2).tolist() == [[3], [], [3]]
    np.testing.assert_allclose(trimmed.subjets.pt[0][0], [np.hypot(300 + 100 * np.cos(0.1), 100 * np.sin(0.1)), 150])
    same_jets(jets.trim(found, fraction=0), found)
    assert jets.trim(found, fraction=1.0, subjet_radius=0.01).multiplicity.sum() == 0
    again = jets.trim(trimmed)
    same_jets(again, trimmed)


def test_trimming_sorts_jets_anew():
    ring = [(12.0, 0.5 * np.cos(a), 0.5 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)]
    source = event((205, 0, 0), *ring, (260, 0.5, 3.0))
    found = jets.cluster(source, constituents=True)
    np.testing.assert_allclose(found.flat("phi"), [0, 3.0], atol=1e-6)
    trimmed = jets.trim(found)
    np.testing.assert_allclose(trimmed.flat("pt"), [260, 205], rtol=1e-6)
    assert [len(one) for one in trimmed.constituents[0]] == [1, 1]


def made(*found):
    """One event of jets (pt, eta, mass)."""
    return Jets(ak.Array([[{"pt": pt, "eta": eta, "phi": 0.0, "mass": mass} for pt, eta, mass in found]]))


def test_signal_regions_by_hand():
    def regions(*found):
        return tuple(bool(chosen[0]) for chosen in jets.signal_regions(made(*found)).values())

    hard = (500.0, 0.5, 260.0), (400.0, -0.5, 260.0), (300.0, 1.5, 200.0)
    four, fifth = (*hard, (250.0, 0.0, 100.0)), (210.0, 0.1, 50.0)
    assert regions(*four) == (True, False)
    assert regions(*four, fifth) == (True, True)
    assert regions(*hard) == (False, False), "three jets are too few"
    assert regions((430.0, 0.5, 260.0), *four[1:], fifth) == (False, False), "the leading jet is too soft"
    assert regions(hard[0], (400.0, -0.95, 260.0), *four[2:], fifth) == (False, False), "too far apart in eta"
    assert regions(*hard, (250.0, 0.0, 75.0)) == (False, False), "too little mass"
    assert regions(*hard, (250.0, 0.0, 75.0), (210.0, 0.1, 500.0)) == (False, True), "only four masses count"
    assert regions(*hard, (250.0, 2.1, 100.0)) == (False, False), "the fourth is too far forward"
    assert regions(*hard, (190.0, 0.0, 100.0)) == (False, False), "the fourth is too soft"
    nothing = jets.signal_regions(jets.cluster(event((100.0, 0.0, 0.0))))
    assert {name: chosen.tolist() for name, chosen in nothing.items()} == {"SR4j": [False], "SR5j": [False]}


def test_wrong_input_says_what_to_do():
    source = events([5], 0)
    shower = Sample(np.zeros((1, *spaces.space("clic-ecal").shape)), {}, spaces.space("clic-ecal"))
    with pytest.raises(ValueError, match="axes eta and phi.*clic-ecal"):
        jets.cluster(shower)
    with pytest.raises(TypeError, match="Particles or a Sample.*ndarray"):
        jets.cluster(np.zeros((1, 64, 64)))
    with pytest.raises(ValueError, match="anti-kt.*Nearest: antikt"):
        jets.cluster(source, algorithm="anti-kt")
    with pytest.raises(ValueError, match="radius must be positive and finite, received -1"):
        jets.cluster(source, radius=-1.0)
    with pytest.raises(ValueError, match="radius"):
        jets.cluster(source, radius=np.nan)
    with pytest.raises(ValueError, match="minimum_pt must not be negative, received nan"):
        jets.cluster(source, minimum_pt=np.nan)
    with pytest.raises(ValueError, match="finite"):
        jets.cluster(event((100.0, 1000.0, 0.0)))
    broken = Sample(np.zeros((2, 64, 64)), {}, WHOLE)
    broken.values[1, 3, 4] = np.inf
    with pytest.raises(ValueError, match="finite"):
        jets.cluster(broken)
    broken.values[1, 3, 4] = np.nan
    with pytest.raises(ValueError, match="finite"):
        jets.cluster(broken)
    plain = jets.cluster(source)
    for ask in (jets.n_subjettiness, jets.trim, lambda found: found.constituents):
        with pytest.raises(ValueError, match="constituents=True"):
            ask(plain)
    with pytest.raises(ValueError, match=r"trim\(jets\)"):
        _ = plain.subjets
    kept = jets.cluster(source, constituents=True)
    with pytest.raises(ValueError, match="fraction"):
        jets.trim(kept, fraction=1.5)
    with pytest.raises(ValueError, match="at least 1"):
        jets.n_subjettiness(kept, n=(0, 1))
    with pytest.raises(ValueError, match="masss.*Nearest: mass"):
        plain.flat("masss")
    with pytest.raises(ValueError, match="at least 1"):
        plain.leading("pt", 0)


def test_a_record_of_jets_is_checked():
    with pytest.raises(ValueError, match="fields pt, eta, phi, mass"):
        Jets(ak.Array([[{"pt": 1.0}]]))
    with pytest.raises(ValueError, match="decreasing pt"):
        made((200.0, 0.0, 1.0), (300.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="'mass' are not finite"):
        made((200.0, 0.0, np.nan))
    with pytest.raises(ValueError, match="shape"):
        Jets(made((200.0, 0.0, 1.0)).columns, {"mu": np.zeros(2)})


def test_fastjet_prints_no_banner():
    code = (
        "import numpy as np; from calolab import jets, particles;"
        "jets.cluster(particles.Particles.from_flat([1], dict(pt=[300.], eta=[0.], phi=[0.], mass=[0.])))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == result.stderr == ""
