"""Weighted events count by their weights in jets, histograms, distances, floors, signal regions and scores."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calolab import Particles, Sample, spaces
from calolab.jets import Jets, cluster, signal_regions
from calolab.labels import event_weights
from calolab.validation import compare_jet_images, compare_jets, jet_score, kolmogorov_smirnov
from calolab.validation.binning import histogram
from calolab.validation.floors import DisjointHalves, equivalent_events, ks_floors, weighted
from calolab.validation.observables.jets import distances


def make(events, seed, number=4.0, weights=None):
    """Jets above 200 GeV, `number` of them on average; the first two of an event are near each other in eta."""
    random = np.random.default_rng(seed)
    counts = random.poisson(number, events)
    pt = 200 + random.exponential(200, counts.sum())
    pt = pt[np.lexsort((-pt, np.repeat(np.arange(events), counts)))]
    size = len(pt)
    columns = {"pt": pt, "eta": random.normal(0, 0.4, size), "phi": random.uniform(-3, 3, size), "mass": 0.4 * pt}
    return Jets(ak.unflatten(ak.zip(columns), counts), {} if weights is None else {"weight": weights})


def repeated(jets, numbers):
    return replace(jets, labels={}).select(np.repeat(np.arange(len(jets)), numbers))


def test_whole_weights_are_repetitions():
    numbers = np.random.default_rng(2).integers(0, 4, 150)
    reference, once = make(200, 1), make(150, 2, number=5)
    by_weight = compare_jets(reference, replace(once, labels={"weight": numbers}), repetitions=3)
    by_number = compare_jets(reference, repeated(once, numbers), repetitions=3)
    for name, one in by_weight.observables.items():
        other = replace(by_number[name], edges=one.edges)
        for found, expected in ((one, other), (one, replace(other, weights=(None, None)))):
            np.testing.assert_allclose(found.histogram("generated").contents, expected.histogram("generated").contents)
        np.testing.assert_allclose(one.summary("generated"), other.summary("generated"))
        assert one.distances["ks"].value == pytest.approx(other.distances["ks"].value)
    assert by_weight.details.regions["SR4j"] == pytest.approx(by_number.details.regions["SR4j"])
    assert by_weight.details.regions["SR4j"][1] != pytest.approx(signal_regions(once)["SR4j"].mean())
    assert any("150 generated events are weighted; they are as precise as" in note for note in by_weight.notes)


def test_equal_weights_change_no_digit():
    reference, generated = make(120, 1), make(100, 2)
    plain = compare_jets(reference, generated, repetitions=5).to_json()
    weighted_both = [replace(one, labels={"weight": np.full(len(one), 0.25)}) for one in (reference, generated)]
    assert compare_jets(*weighted_both, repetitions=5).to_json() == plain


def test_a_reweighted_sample_is_at_the_floor():
    """Events of five jets on average, weighted to four: without the weights they are far from events of four."""
    generated = make(1500, 3, number=5)
    counts = generated.multiplicity
    weights = stats.poisson.pmf(counts, 4) / stats.poisson.pmf(counts, 5)
    reference = make(3000, 4, number=4)
    plain = compare_jets(reference, generated, repetitions=20)["multiplicity"].distances
    found = compare_jets(reference, replace(generated, labels={"weight": weights}), repetitions=20)
    for name in ("ks", "separation"):
        assert found["multiplicity"].distances[name].times_floor < 2.5 < plain[name].times_floor
    assert found["multiplicity"].distances["minus_log_p"].value < 5 < 20 < plain["minus_log_p"].value
    # In the other direction the floor is that of the weighted reference, which is less precise.
    turned = compare_jets(replace(generated, labels={"weight": weights}), reference, repetitions=20)["multiplicity"]
    assert turned.distances["ks"].times_floor < 2.5 and turned.summary("reference")[0] == pytest.approx(4, abs=0.2)


def test_the_floor_of_weighted_events_is_that_of_independent_samples():
    """400 weighted events against 400 equal ones: the floor is their mean KS distance, not that of equal events."""
    random = np.random.default_rng(5)
    weights = random.lognormal(0, 1, 400)
    measured = [
        kolmogorov_smirnov(random.normal(size=400), random.normal(size=400), (weights, None))[0] for _ in range(200)
    ]
    floors, without = [], []
    for seed in range(20):
        values = random.normal(size=400)
        halves = DisjointHalves(400, 400, equivalent_events(400, 400, (weights, None)), 20, seed)
        floors += ks_floors(values, weighted(halves.draws(), weights)).tolist()
        without += ks_floors(values, DisjointHalves(400, 400, 400, 20, seed).draws()).tolist()
    assert np.mean(floors) == pytest.approx(np.mean(measured), rel=0.1)
    assert np.mean(floors) > 1.2 * np.mean(without)
    assert equivalent_events(400, 120, (None, None)) == 120


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(10, 60), m=st.integers(10, 60))
def test_the_weighted_ks_test_is_the_usual_one_for_equal_weights(seed, n, m):
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 9, n).astype(float), random.normal(4, 3, m)
    expected = kolmogorov_smirnov(one, other)
    assert kolmogorov_smirnov(one, other, (np.full(n, 3.0), None)) == pytest.approx(expected, abs=1e-12)
    numbers = random.integers(0, 3, m)
    numbers[0] = 1
    statistic = kolmogorov_smirnov(one, other, (None, numbers))[0]
    assert statistic == pytest.approx(kolmogorov_smirnov(one, np.repeat(other, numbers))[0], abs=1e-12)


def test_weights_that_cannot_be():
    with pytest.raises(ValueError, match="must have a positive sum, received -1"):
        event_weights({"weight": np.array([1.0, -2.0])})
    with pytest.raises(ValueError, match=r"Expected 3 weights with a positive sum, received shape \(2,\)"):
        kolmogorov_smirnov([1, 2, 3], [1, 2], (np.ones(2), None))
    assert event_weights({}) is None and event_weights({"weight": np.ones(3)}) is None


def test_negative_weights():
    """Events of a generator at next-to-leading order: histograms add up to one, distances stay in their range."""
    random = np.random.default_rng(7)
    signs = random.choice([1.0, 1.0, 1.0, -1.0], 500)
    found = histogram(random.normal(0, 1, 500), np.linspace(-3, 3, 7), signs)
    assert found.contents.sum() == pytest.approx(1) and (found.errors > 0).all()
    report = compare_jets(make(300, 1), make(500, 2, weights=signs), repetitions=3)
    for one in report.observables.values():
        assert 0 <= one.distances["separation"].value <= 1.5 and 0 <= one.distances["ks"].value < 1.5
        assert one.histogram("generated").contents.sum() == pytest.approx(1)
    assert distances("jet_pt", np.arange(9.0), np.arange(9.0), (None, -np.ones(9)))["minus_log_p"] == 700


def test_clustering_keeps_the_weights_and_a_score_uses_them():
    random = np.random.default_rng(8)
    counts, weights = random.poisson(3, 300), random.lognormal(0, 0.5, 300)
    size = counts.sum()
    columns = {"pt": 250 + random.exponential(90, size), "eta": random.normal(0, 0.8, size)}
    columns |= {"phi": random.uniform(-3, 3, size), "mass": np.zeros(size)}
    events = Particles.from_flat(counts, columns, {"weight": weights})
    assert np.array_equal(cluster(events).labels["weight"], weights)

    class Same:
        def generate(self, labels, seed):
            assert np.array_equal(labels["weight"], weights)
            return events

    class Unweighted(Same):
        def generate(self, labels, seed):
            return replace(events, labels={})

    score = jet_score(events, seed=1, repetitions=3)
    assert score(Same())["distance_multiplicity"].value == 0
    assert score(Unweighted())["distance_multiplicity"].value > 0


def test_comparisons_that_do_not_use_weights_say_so():
    random = np.random.default_rng(9)
    images = [Sample(random.exponential(1, (6, 25, 25)), {}, spaces.space("jet-image")) for _ in range(2)]
    plain = compare_jet_images(*images, repetitions=2)
    images[1] = replace(images[1], labels={"weight": np.arange(6.0)})
    noted = compare_jet_images(*images, repetitions=2)
    assert plain.notes == () and noted.notes[0].startswith("The label 'weight' is not used: all events count equally")
