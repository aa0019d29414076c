import dataclasses
import json

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calolab import jets, spaces
from calolab.jets import Jets
from calolab.particles import Particles
from calolab.samples import Sample
from calolab.validation import compare_jets, jet_score, kolmogorov_smirnov
from calolab.validation.distances import CAP, ks_distances, minus_log_p
from calolab.validation.floors import DisjointHalves, entry_distances, ks_floors, number_floors
from calolab.validation.observables.jets import COMBINED, observe, variables
from calolab.validation.report_table import verdict

WHOLE = spaces.space("whole-detector")


def distances(reference, generated, edges):
    return entry_distances(reference, generated, edges, ks_distances)


def floors(variable, edges, draws):
    return number_floors(variable.values, edges, draws, ks_distances, variable.events)


def make(events, seed, scale=1.0, number=3.0):
    """Jets whose momenta within an event vary together, as those of real events do."""
    random = np.random.default_rng(seed)
    counts = random.poisson(number, events)
    common = np.repeat(random.lognormal(0, 0.3, events), counts)
    n = counts.sum()
    pt = 200 + scale * common * random.exponential(150, n)
    order = np.lexsort((-pt, np.repeat(np.arange(events), counts)))
    columns = {
        "pt": pt[order],
        "eta": random.normal(0, 0.9, n),
        "phi": random.uniform(-np.pi, np.pi, n),
        "mass": 0.3 * pt[order] * random.uniform(0.5, 1.5, n),
    }
    return Jets(ak.unflatten(ak.zip(columns), counts))


def draw(events, seed, brighter=1.0):
    """Images of three jets of two pixels each, and of none in every tenth event."""
    random = np.random.default_rng(seed)
    values = np.zeros((events, 64, 64), np.float32)
    for event in values:
        if random.uniform() > 0.1:
            for energy in brighter * random.uniform(300, 900, 3):
                eta, phi = random.integers(15, 45), random.integers(0, 63)
                event[eta, phi] += energy
                event[eta + 1, phi + 1] += 0.2 * energy
    return Sample(values, {"gluino_mass": np.full(events, 1400.0)}, WHOLE)


@pytest.fixture(scope="module")
def like():
    return compare_jets(make(800, 1), make(800, 2), seed=5)


@pytest.fixture(scope="module")
def unlike():
    return compare_jets(make(800, 1), make(800, 2, scale=1.5), seed=5)


def test_all_variables_are_there_and_like_samples_stay_at_the_floor(like):
    assert list(like.observables) == [
        "multiplicity", "summed_mass", "jet_pt", "jet_eta", "jet_phi", "leading_pt",
        "leading_mass_1", "leading_mass_2", "leading_mass_3", "leading_mass_4",
    ]  # fmt: skip
    verdicts = [verdict(one) for one in like.observables.values()]
    assert verdicts.count("at the floor") >= 9, verdicts
    assert like["ks_comb"].value < like["ks_comb"].floor + 4 * like["ks_comb"].floor_spread
    assert like["ks_comb"].value == sum(like[name].distances["minus_log_p"].value for name in COMBINED)
    for one in like.observables.values():
        assert all(d.floor > 0 and d.floor_spread > 0 for d in one.distances.values()), one.name


def test_a_harder_sample_is_above_the_floor_where_it_differs(unlike):
    for name in ("jet_pt", "summed_mass", "leading_pt", "leading_mass_1"):
        assert unlike[name].distances["ks"].times_floor > 2 and "× floor" in verdict(unlike[name]), name
    for name in ("multiplicity", "jet_eta", "jet_phi"):
        assert verdict(unlike[name]) == "at the floor", name
    assert unlike["ks_comb"].value > 50 > unlike["ks_comb"].floor


def test_a_sample_has_no_distance_from_itself():
    one = make(300, 3)
    same = compare_jets(one, one, repetitions=3)
    for observable in same.observables.values():
        assert all(d.value == pytest.approx(0, abs=1e-9) for d in observable.distances.values()), observable.name
    assert same["ks_comb"].value == 0 and all(a == b for a, b in same.details.regions.values())


def test_events_without_jets_are_in_the_zero_bin():
    reference, generated = make(400, 4, number=2.0), make(300, 5, number=1.0)
    found = compare_jets(reference, generated, repetitions=5)
    contents = found["multiplicity"].histogram("generated").contents
    assert found["multiplicity"].edges[:2].tolist() == [-0.5, 0.5]
    assert contents[0] == pytest.approx(np.mean(generated.multiplicity == 0)) and contents.sum() == pytest.approx(1)
    assert len(found["summed_mass"].generated) == 300 and np.sum(found["summed_mass"].generated == 0) > 50
    assert any("have no jet" in note and "300 generated" in note for note in found.notes)
    # The missing zero bin of the published code would have hidden most of the difference.
    edges = found["multiplicity"].edges
    with_zero = distances(reference.multiplicity, generated.multiplicity, edges)["separation"]
    assert found["multiplicity"].distances["separation"].value == pytest.approx(with_zero)


@pytest.mark.parametrize("n_reference, n_generated", [(1200, 300), (300, 300)])
def test_the_floor_is_what_independent_real_samples_of_the_same_size_score(n_reference, n_generated):
    """With enough real events for two sets, and scaled without."""
    bins = {"jet_pt": np.linspace(200, 1200, 30), "summed_mass": np.linspace(0, 1500, 30)}
    bins["multiplicity"] = np.arange(13) - 0.5
    fresh, floor = [], []
    for seed in range(150):
        first, second = variables(make(n_reference, 1000 + seed)), variables(make(n_generated, 5000 + seed))
        fresh.append({name: distances(first[name].values, second[name].values, bins[name]) for name in COMBINED})
    for seed in range(15):
        draws = DisjointHalves(n_reference, n_reference, n_generated, 20, seed).draws()
        real = variables(make(n_reference, seed))
        floor.append({name: floors(real[name], bins[name], draws) for name in COMBINED})
    for name in COMBINED:
        for kind in ("ks", "separation", "minus_log_p"):
            measured = np.array([one[name][kind] for one in fresh])
            expected = np.array([one[name][kind] for one in floor])
            assert 0.8 < measured.mean() / expected.mean() < 1.25, (name, kind)
            assert 0.7 < measured.std() / expected.std() < 1.4, (name, kind)
    measured = np.sum([[one[name]["minus_log_p"] for one in fresh] for name in COMBINED], axis=0)
    expected = np.sum([[one[name]["minus_log_p"] for one in floor] for name in COMBINED], axis=0)
    assert 0.8 < measured.mean() / expected.mean() < 1.25 and 0.7 < measured.std() / expected.std() < 1.4


def test_halves_take_no_event_twice_and_have_the_right_size():
    enough = DisjointHalves(1000, 400, 400, 7, seed=3)
    assert (enough.events, enough.scale) == (400, 1.0)
    few = DisjointHalves(400, 400, 400, 7, seed=3)
    assert few.events == 200 and few.scale == pytest.approx(np.sqrt(0.5))
    unequal = DisjointHalves(1000, 1000, 250, 7, seed=3)
    assert unequal.events == 400 and unequal.scale == 1.0
    for halves in (enough, few, unequal):
        draws = halves.draws()
        assert draws.scale == halves.scale
        for sets in (draws.first, draws.second):
            assert sets.shape == (7, halves.available) and np.all(sets.sum(axis=1) == halves.events)
            assert not np.array_equal(sets[0], sets[1])
        assert np.max(draws.first + draws.second) == 1
        assert np.array_equal(draws.first, halves.draws().first)


def test_same_seed_same_numbers():
    arguments = make(200, 6), make(150, 7)
    first, second, other = (compare_jets(*arguments, seed=seed, repetitions=20) for seed in (1, 1, 2))
    assert first.to_json() == second.to_json() != other.to_json()


def test_minus_log_p_is_the_published_one_also_where_p_underflows():
    # SciPy of 2018: kstwobign.sf((en + 0.12 + 0.11 / en) * d) with en the root of the effective number of events.
    for distance, n, m in ((0.02, 4096, 4096), (0.05, 700, 900), (0.2, 320, 320), (0.3, 4096, 4096), (0.9, 100, 100)):
        en = np.sqrt(n * m / (n + m))
        p = stats.kstwobign.sf((en + 0.12 + 0.11 / en) * distance)
        assert minus_log_p(distance, n, m) == pytest.approx(-np.log(p), rel=1e-6)
    far = minus_log_p(np.array([0.7, 0.71, 0.72]), 1300, 1300)
    assert np.all(np.diff(far) > 10) and far[0] > 600, "still rising near where p itself underflows"
    assert minus_log_p(1.0, 4096, 4096) == minus_log_p(0.9, 0, 10) == CAP


@settings(max_examples=60, deadline=None)
@given(distance=st.floats(0, 0.9), n=st.integers(30, 3000), m=st.integers(30, 3000))
def test_minus_log_p_is_near_the_exact_test(distance, n, m):
    found = float(minus_log_p(distance, n, m))
    assert 0 <= found <= CAP
    assert float(minus_log_p(distance + 0.01, n, m)) >= found
    p = stats.kstwo.sf(distance, max(1, round(n * m / (n + m))))
    if p > 1e-4:
        assert found == pytest.approx(-np.log(p), rel=0.25, abs=0.1)


def test_rounding_does_not_decide_the_score_of_disjoint_samples():
    scores = [
        distances(np.arange(n) + 0.0, 100.0 + np.arange(m), np.linspace(0, 200, 11))["minus_log_p"]
        for n, m in ((30, 27), (33, 30), (41, 38), (60, 60))
    ]
    assert scores == sorted(scores) and 25 < scores[0] < 40 and scores[-1] < 80


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 80), m=st.integers(5, 80))
def test_distances_are_symmetric_bounded_and_blind_to_monotone_maps(seed, n, m):
    random = np.random.default_rng(seed)
    first, second = random.normal(0, 1, n).round(1), random.normal(0.5, 1, m).round(1)
    bins = np.linspace(-4, 4, 12)
    found = distances(first, second, bins)
    assert found == pytest.approx(distances(second, first, bins))
    assert 0 <= found["ks"] <= 1 and 0 <= found["separation"] <= 1
    mapped = distances(np.exp(first), np.exp(second), np.exp(bins))
    assert mapped == pytest.approx(found)
    statistic, p = kolmogorov_smirnov(first, second)
    assert found["ks"] == pytest.approx(statistic, abs=1e-12)
    assert found["minus_log_p"] == pytest.approx(float(minus_log_p(statistic, n, m)), rel=1e-6)


def test_generated_events_without_any_jet_score_the_published_700_each():
    reference, generated = draw(60, 1), draw(60, 2)
    nothing = dataclasses.replace(generated, values=np.zeros_like(generated.values))
    found = compare_jets(reference, nothing, repetitions=5)
    for name in ("jet_pt", "jet_eta"):
        measured = {kind: one.value for kind, one in found[name].distances.items()}
        assert measured == {"ks": 1.0, "separation": 1.0, "minus_log_p": 700.0}, name
    # 60 against 60 events are too few for a p of exp(-700); the zeros are compared all the same.
    assert 20 < found["multiplicity"].distances["minus_log_p"].value < 700
    # All sixty generated events are still there, with a leading pt of zero.
    share = np.mean(found["multiplicity"].reference > 0)
    assert np.array_equal(found["leading_pt"].generated, np.zeros(60))
    assert found["leading_pt"].distances["ks"].value == pytest.approx(share)
    assert 700 < found["ks_comb"].value < 2100
    assert any("None of the 60 generated events has a jet" in note for note in found.notes)
    assert any("capped at 700" in note and "jet pt" in note for note in found.notes)
    assert "–" in repr(found) and found.to_dict()["observables"]["jet_pt"]["generated"]["mean"] is None


def test_images_particles_and_jets_give_the_same_comparison():
    from calolab.particles import from_images

    reference, generated = draw(50, 3), draw(40, 4)
    options = {"radius": 0.6, "minimum_pt": 150.0}
    first = compare_jets(reference, generated, repetitions=5, **options)
    second = compare_jets(from_images(reference), from_images(generated), repetitions=5, **options)
    third = compare_jets(*(jets.cluster(s, **options) for s in (reference, generated)), repetitions=5)
    assert first.to_json() == second.to_json() == third.to_json()
    assert first.events == (50, 40) and "R = 0.6, pt > 150" in first.details.clustering


def test_a_comparison_can_be_read(like, unlike):
    content = json.loads(unlike.to_json())
    assert content["totals"]["ks_comb"]["value"] == unlike["ks_comb"].value and content["events"] == [800, 800]
    assert content["observables"]["multiplicity"]["distances"]["separation"]["floor"] > 0
    assert content["floors"]["events"] == 400 and content["floors"]["method"] == "disjoint halves"
    assert content["floors"]["scale"] == pytest.approx(np.sqrt(0.5))
    text, html = repr(unlike), unlike._repr_html_()
    assert "jets per event" in text and "× floor" in text and f"ks_comb = {unlike['ks_comb'].value:.1f}" in text
    assert html.count("<tr>") == 11 and "real events, scaled" in html and "at the floor" in like._repr_html_()
    assert any("two sets of 400 events" in note for note in like.notes)
    with pytest.raises(ValueError, match="jet_mass.*Nearest"):
        like["jet_mass"]


def test_labels_that_differ_are_noted():
    reference, generated = draw(60, 5), draw(60, 6)
    heavy = dataclasses.replace(generated, labels={"gluino_mass": np.full(60, 1800.0)})
    assert not any("label" in note for note in compare_jets(reference, generated, repetitions=2).notes)
    assert any("'gluino_mass' differs" in note for note in compare_jets(reference, heavy, repetitions=2).notes)


def test_wrong_input_says_what_to_do():
    images = draw(30, 7)
    empty = dataclasses.replace(images, values=np.zeros_like(images.values))
    with pytest.raises(ValueError, match="at least 10 reference events with jets, 0 of 30"):
        compare_jets(empty, images)
    with pytest.raises(ValueError, match="at least one generated event"):
        compare_jets(images, images.select(slice(0, 0)))
    square = spaces.space("jet-image")
    with pytest.raises(ValueError, match="one space.*whole-detector.*jet-image"):
        compare_jets(images, Sample(np.zeros((30, 25, 25)), {}, square))
    with pytest.raises(ValueError, match="found in one way"):
        compare_jets(jets.cluster(images), jets.cluster(images, radius=0.4))
    with pytest.raises(ValueError, match="leave out radius"):
        compare_jets(jets.cluster(images), images, radius=0.4)
    with pytest.raises(ValueError, match="at least one repetition"):
        compare_jets(images, images, repetitions=0)
    with pytest.raises(TypeError, match="Particles or a Sample"):
        compare_jets(images.values, images)
    with pytest.raises(TypeError, match="raduis"):
        compare_jets(images, images, raduis=0.4)
    with pytest.raises(ValueError, match="1 to 30"):
        jet_score(images, seed=1, events=31)


@dataclasses.dataclass(frozen=True)
class Painter:
    """Makes events as a GAN does, and remembers nothing."""

    brighter: float = 1.0

    def generate(self, labels, seed):
        events = len(labels["gluino_mass"])
        return dataclasses.replace(draw(events, 1000 + seed, self.brighter), labels=labels)


def test_a_score_orders_generators_and_repeats_itself():
    score = jet_score(draw(200, 8), seed=9, repetitions=20)
    right, wrong, dark = (score(Painter(brighter)) for brighter in (1.0, 1.4, 0.0))
    assert set(right) == {
        "ks_comb", "ks_jet_pt", "ks_multiplicity", "ks_summed_mass", "ks_jet_eta", "ks_jet_phi", "distance_jet_pt",
        "distance_multiplicity", "distance_summed_mass", "distance_jet_eta", "distance_jet_phi", "chi2_multiplicity",
    }  # fmt: skip
    for scores in (right, wrong, dark):
        assert all(score.name == name and score.direction == "lower" for name, score in scores.items())
        assert all(isinstance(score.value, float) and np.isfinite(score.value) for score in scores.values())
    combined, bad = right["ks_comb"], wrong["ks_comb"]
    assert combined.is_better_than(bad) and bad.is_better_than(dark["ks_comb"])
    assert combined.value < combined.floor + 5 * combined.floor_spread < bad.value
    assert dark["ks_jet_pt"].value == dark["ks_jet_phi"].value == 700 and dark["distance_jet_pt"].value == 1
    assert combined.value == sum(right[f"ks_{name}"].value for name in ("jet_pt", "multiplicity", "summed_mass"))
    assert score(Painter()) == right == jet_score(draw(200, 8), seed=9, repetitions=20)(Painter())


def test_a_score_is_the_comparison_with_as_many_events():
    reference = draw(120, 10)
    score = jet_score(reference, seed=11, events=50, minimum_pt=150.0, repetitions=20)(Painter())
    chosen = np.sort(np.random.default_rng(11).permutation(120)[:50])
    made = Painter().generate({"gluino_mass": np.full(50, 1400.0)}, 11)
    found = compare_jets(reference.select(chosen), made, minimum_pt=150.0, repetitions=2)
    assert score["ks_comb"].value == pytest.approx(found["ks_comb"].value)
    assert score["distance_jet_phi"].value == pytest.approx(found["jet_phi"].distances["ks"].value)
    assert score["distance_summed_mass"].value == pytest.approx(found["summed_mass"].distances["ks"].value)
    assert score["chi2_multiplicity"].value == pytest.approx(found["multiplicity"].distances["separation"].value)


def test_a_score_computes_what_it_needs_once(monkeypatch):
    seen = []

    def counted(found):
        seen.append(len(found))
        return variables(found)

    def observed(reference, generated, draws):
        assert set(reference) == set(COMBINED)
        return observe(reference, generated, draws)

    monkeypatch.setattr("calolab.validation.scores.variables", counted)
    monkeypatch.setattr("calolab.validation.scores.observe", observed)
    score = jet_score(draw(40, 8), seed=9, events=30, repetitions=2)
    assert seen == [40, 30]
    score(Painter())
    assert seen == [40, 30, 30]
    jet_score(draw(40, 8), seed=9, repetitions=2)
    assert seen[3:] == [40]


def test_the_ks_floor_alone_is_that_of_all_distances():
    variable = variables(make(60, 3))["jet_pt"]
    draws = DisjointHalves(60, 60, 200, repetitions=12, seed=4).draws()
    assert draws.scale < 1
    alone = ks_floors(variable.values, draws, variable.events)
    assert np.array_equal(alone, floors(variable, np.linspace(0, 900, 9), draws)["ks"])
    assert ks_floors(np.ones(10), DisjointHalves(10, 10, 10, 3, 0).draws()) == pytest.approx([0, 0, 0], abs=0)
    nothing = np.zeros(0)
    assert ks_floors(nothing, draws, nothing.astype(int)) == pytest.approx(draws.scale * np.ones(12))


def test_the_ks_floor_is_the_distance_of_samples_of_one_distribution():
    random = np.random.default_rng(3)
    expected = [stats.ks_2samp(random.normal(size=400), random.normal(size=100)).statistic for _ in range(200)]
    draws = DisjointHalves(400, 400, 100, repetitions=30, seed=0).draws()
    found = [ks_floors(random.normal(size=400), draws).mean() for _ in range(20)]
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1)


def test_particles_can_be_the_reference_of_a_score():
    images = draw(40, 12)
    from calolab.particles import from_images

    particles = from_images(images)
    assert isinstance(particles, Particles)
    assert jet_score(particles, seed=1, repetitions=3)(Painter()) == jet_score(images, seed=1, repetitions=3)(Painter())
