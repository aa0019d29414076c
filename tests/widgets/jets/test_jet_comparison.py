import zlib

import numpy as np
import pytest
import traitlets
from scipy.stats import ks_2samp

from calolab import jets, spaces
from calolab.generators import Generator
from calolab.samples import Sample, concatenate
from calolab.validation.floors import DisjointHalves
from calolab.widgets import JetComparison
from calolab.widgets.jets.event_sources import mass_points
from tests.widgets.jets.jet_events import SPACE, make_events, make_pileup, other_mass

IMAGES = 32


def variable(widget, name):
    return next(one for one in widget.distributions["variables"] if one["name"] == name)


def test_histograms_are_those_of_the_jets(real, generated):
    widget = JetComparison(real, generated)
    assert widget.distributions["events"] == {"reference": 40, "generated": 40}
    found = {"reference": jets.cluster(real), "generated": jets.cluster(generated)}
    shown = variable(widget, "multiplicity")
    assert shown["edges"][:2] == [-0.5, 0.5]
    for role, clustered in found.items():
        assert clustered.multiplicity[0] == 0
        counts = np.bincount(clustered.multiplicity, minlength=len(shown["edges"]) - 1)
        assert np.allclose(shown[role]["contents"], counts / 40) and shown[role]["contents"][0] > 0
        assert np.allclose(shown[role]["errors"], np.sqrt(counts) / 40)
    masses = variable(widget, "summed_mass")
    # The event without jets is included in the first bin, with mass zero.
    inside = found["reference"].summed_mass < masses["edges"][1]
    assert masses["reference"]["contents"][0] == pytest.approx(inside.mean()) and inside[0]
    assert all(sum(one[role]["contents"]) == pytest.approx(1) for one in (shown, masses) for role in found)


def test_the_ks_distance_is_scipys(real, generated):
    widget = JetComparison(real, generated)
    masses = [jets.cluster(sample).summed_mass for sample in (real, generated)]
    assert variable(widget, "summed_mass")["ks"] == pytest.approx(ks_2samp(*masses).statistic)


def test_the_floors_are_those_of_disjoint_halves_which_are_drawn_once(real, generated, monkeypatch):
    drawn = []

    def counted(halves):
        drawn.append(draws(halves))
        return drawn[-1]

    draws = DisjointHalves.draws
    monkeypatch.setattr(DisjointHalves, "draws", counted)
    # The floors need the KS distance only: no other distance is computed.
    monkeypatch.setattr("calolab.validation.distances.weighted_distances", None)
    widget = JetComparison(real, generated)
    assert len(drawn) == 1
    found = jets.cluster(real)
    columns = {"multiplicity": found.multiplicity, "leading_mass_1": np.nan_to_num(found.leading("mass")[:, 0])}
    for name, column in columns.items():
        pairs = ((column[one == 1], column[other == 1]) for one, other in zip(drawn[0].first, drawn[0].second))
        expected = np.mean([ks_2samp(*pair).statistic for pair in pairs])
        assert variable(widget, name)["floor"] == pytest.approx(drawn[0].scale * expected)


def test_the_browser_gets_images_and_jets_of_the_first_events(real, generated):
    widget = JetComparison(real, generated)
    received = np.frombuffer(zlib.decompress(widget.pictures), dtype="<f4").reshape(2, IMAGES, *SPACE.shape)
    assert np.array_equal(received, [real.values[:IMAGES], generated.values[:IMAGES]])
    assert widget.scene["names"] == ["reference", "generated"] and widget.scene["jets"][0][0] == []
    one = jets.cluster(real.select([5]))
    expected = np.column_stack([one.flat(name) for name in ("pt", "eta", "phi", "mass")])
    assert np.allclose(widget.scene["jets"][0][5], expected)


def test_pileup_is_added_to_both_samples_and_compared_with_events_alone(real, generated):
    widget = JetComparison(real, generated, pileup=make_pileup, mus=[0, 20, 200])
    alone = variable(widget, "summed_mass")["reference"]["contents"]
    widget.pileup, widget.mu = "real", 199.0
    assert widget.mu == 200.0 and set(widget.distributions["events"]) == {"reference", "generated", "alone"}
    shown = variable(widget, "summed_mass")
    edges = np.array(shown["edges"])
    means = {role: np.dot(shown[role]["contents"], (edges[1:] + edges[:-1]) / 2) for role in ("reference", "alone")}
    assert means["reference"] > 1.2 * means["alone"]
    received = np.frombuffer(zlib.decompress(widget.pictures), dtype="<f4").reshape(2, IMAGES, -1)
    added = received - [s.values[:IMAGES].reshape(IMAGES, -1) for s in (real, generated)]
    assert np.all(added >= -1e-3) and np.all(added.sum(axis=2) > 100)
    # Each sample has its own pile-up.
    assert not np.allclose(added[0], added[1])
    widget.mu = 0
    assert set(widget.distributions["events"]) == {"reference", "generated"}
    assert variable(widget, "summed_mass")["reference"]["contents"] == alone


def test_generated_pileup_is_compared_with_real_pileup(real, generated):
    calls = []

    def generate(events, mu, seed):
        calls.append((events, mu))
        return make_pileup(events, 3 * mu, seed)

    widget = JetComparison(real, generated, pileup=make_pileup, generated_pileup=generate, mus=[100])
    widget.pileup = "generated"
    first = np.frombuffer(zlib.decompress(widget.pictures), dtype="<f4").reshape(2, IMAGES, -1)
    widget.signal = "real"
    second = np.frombuffer(zlib.decompress(widget.pictures), dtype="<f4").reshape(2, IMAGES, -1)
    assert np.array_equal(first[0], second[0]) and not np.array_equal(first[1], second[1])
    assert np.all(second[1] >= real.values[:IMAGES].reshape(IMAGES, -1) - 1e-3)
    assert second[1].sum() > second[0].sum() and set(calls[1:]) == {(8, 100), (16, 100)}
    widget.pileup = "real"
    # Real events with real pile-up are the reference: there is nothing else to compare.
    assert set(widget.distributions["events"]) == {"reference", "alone"} and widget.scene["names"] == ["reference"]


def test_clustered_events_are_kept(real, generated):
    calls = []

    def counted(events, mu, seed):
        calls.append(mu)
        return make_pileup(events, mu, seed)

    widget = JetComparison(real, generated, pileup=counted, mus=[20, 40])
    widget.pileup = "real"
    widget.mu = 40
    before, shown = len(calls), widget.distributions
    widget.mu = 20
    widget.mu = 40
    assert len(calls) == before and widget.distributions == shown


def test_mass_points_are_those_of_the_labels(real, generated):
    both = concatenate([real, other_mass(real)])
    widget = JetComparison(both, concatenate([generated, other_mass(generated)]), events=40)
    assert widget.about["points"] == {"events": ["all", "1400, 850", "1800, 850"]}
    assert widget.mass_point == "all" and widget.distributions["events"]["reference"] == 40
    # All mass points, not only the first.
    assert widget.scene["labels"][0][0]["values"] == [1400.0] * 20 + [1800.0] * 12
    widget.mass_point = "1800, 850"
    assert widget.distributions["events"]["reference"] == 40
    assert set(widget.scene["labels"][1][0]["values"]) == {1800.0}
    with pytest.raises(traitlets.TraitError, match="mass_point must be one of .*received '1700, 850'"):
        widget.mass_point = "1700, 850"


def test_a_mass_point_that_was_not_generated_shows_the_real_events(real, generated):
    widget = JetComparison(concatenate([real, other_mass(real)]), generated)
    widget.mass_point = "1800, 850"
    assert widget.scene["names"] == ["reference"] and "ks" not in variable(widget, "jet_pt")


def test_direct_decays_have_one_mass(real):
    sample = Sample(real.values, {"gluino_mass": np.repeat([1000.0, 1200.0], 20)}, SPACE)
    assert list(mass_points(sample)) == ["all", "1000", "1200"]


def test_a_conditional_generator_gets_the_labels_of_the_point(real):
    calls = []

    def generate(labels, seed):
        calls.append(labels)
        return Sample(make_events(len(labels["gluino_mass"]), seed).values, labels, SPACE)

    widget = JetComparison(concatenate([real, other_mass(real)]), generate)
    widget.mass_point = "1800, 850"
    assert [len(labels["gluino_mass"]) for labels in calls] == [8, 64, 8, 8, 32]
    assert set(calls[-1]["gluino_mass"]) == {1800.0} and widget.distributions["events"]["generated"] == 40


def test_a_generator_can_be_compared(real):
    conditions = ("gluino_mass", "neutralino_mass")

    def run(inputs):
        return make_events(len(inputs["latent"])).values

    widget = JetComparison(real, Generator("toy", SPACE, run, latent_size=2, conditions=conditions))
    assert widget.distributions["events"] == {"reference": 40, "generated": 40}
    assert widget.scene["labels"][0] == widget.scene["labels"][1]


def test_samples_have_mass_points_of_their_own(real, generated):
    plain = make_events(seed=7, labels=False)
    widget = JetComparison({"RPV": concatenate([real, other_mass(real)]), "QCD": plain}, {"QCD": plain})
    widget.mass_point = "1800, 850"
    widget.sample = "QCD"
    assert widget.mass_point == "all" and widget.distributions["choice"]["sample"] == "QCD"
    # The same events in both samples.
    assert variable(widget, "jet_pt")["ks"] == 0
    with pytest.raises(traitlets.TraitError, match="sample must be one of"):
        widget.sample = "ttbar"


def scaled(sample, factor):
    return Sample(factor * sample.values, sample.labels, SPACE)


@pytest.mark.parametrize("factor", [1.95, 100])
def test_a_bad_generator_does_not_hide_the_real_events(real, factor):
    alone, widget = JetComparison(real), JetComparison(real, scaled(real, factor))
    for name in ("summed_mass", "leading_mass_1", "jet_pt"):
        own, shown = variable(alone, name), variable(widget, name)
        span = own["edges"][-1] - own["edges"][0]
        assert np.diff(shown["edges"]) == pytest.approx(np.diff(own["edges"])[0])
        assert span <= shown["edges"][-1] - shown["edges"][0] <= 2 * span
        # No generated event is lost: those beyond the edges are counted and included in the last bin.
        values = widget._clustered[widget._views["generated"]].values[name]
        outside = np.mean(values > shown["edges"][-1])
        assert shown["generated"]["beyond"] == pytest.approx([0, outside])
        assert shown["generated"]["contents"][-1] >= outside and sum(shown["generated"]["contents"]) == pytest.approx(1)
        assert (outside > 0.5) == (factor == 100)
    high = real.values[:IMAGES].max()
    assert widget.scene["colours"]["high"] == pytest.approx(min(factor, 2) * high)
    assert widget._repr_png_()[0].startswith(b"\x89PNG")


def test_samples_have_names_of_their_own(real, generated):
    widget = JetComparison(real, generated, names=("Pythia", "GFlash"))
    assert widget.about["names"] == {"reference": "Pythia", "generated": "GFlash", "alone": "Pythia, no pile-up"}
    assert JetComparison(real).about["names"]["reference"] == "real"
    with pytest.raises(ValueError, match="two different strings"):
        JetComparison(real, generated, names=("one", "one"))


def test_the_number_of_events_with_images_is_sent(real, generated):
    widget = JetComparison(real, generated)
    assert [widget.scene[name] for name in ("events", "images", "of")] == [IMAGES, IMAGES, 40]
    widget = JetComparison(real, generated, images=100)
    assert [widget.scene[name] for name in ("events", "images", "of")] == [40, 40, 40]
    widget.event = 39
    assert np.frombuffer(zlib.decompress(widget.pictures), "<f4").size == 2 * 40 * 64 * 64


def test_the_number_of_clustered_sets_is_bounded(real, monkeypatch):
    monkeypatch.setattr("calolab.widgets.jets.clustered_views.MAX_VIEWS", 3)
    widget = JetComparison(real, pileup=make_pileup, mus=range(0, 101, 20))
    widget.pileup = "real"
    for mu in (20, 40, 60, 80, 100):
        widget.mu = mu
    assert len(widget._clustered) == 3 and widget.scene["choice"]["mu"] == 100


def test_an_error_of_a_source_is_displayed_in_the_widget(real):
    def broken(events, mu, seed):
        if mu == 200:
            raise RuntimeError("out of memory")
        return make_pileup(events, mu, seed)

    widget = JetComparison(real, pileup=broken, mus=[20, 200])
    widget.pileup = "real"
    widget.mu = 200
    assert widget.message == "RuntimeError: out of memory"
    widget.mu = 20
    assert widget.message == "" and widget.distributions["choice"]["mu"] == 20


def test_a_picture_represents_it_on_pages_without_javascript(real, generated):
    widget = JetComparison(real, generated, pileup=make_pileup, mus=[20])
    widget.pileup, widget.event = "real", 3
    assert widget._repr_png_()[0].startswith(b"\x89PNG")
    assert JetComparison(real)._repr_png_()[0].startswith(b"\x89PNG")


def test_events_without_any_jet_can_be_shown():
    empty = Sample(np.zeros((3, *SPACE.shape)), {}, SPACE)
    widget = JetComparison(empty, empty)
    assert variable(widget, "multiplicity")["reference"]["contents"] == [1.0]
    assert variable(widget, "multiplicity")["ks"] == 0 and "ks" not in variable(widget, "jet_pt")
    assert widget._repr_png_()[0].startswith(b"\x89PNG")


def elsewhere(events=3):
    space = spaces.space("jet-image")
    return Sample(np.ones((events, *space.shape)), {}, space)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda r: JetComparison({}), ValueError, "at least one real sample"),
        (lambda r: JetComparison(r.values), TypeError, r"real\['events'\] must be a Sample, received ndarray"),
        (lambda r: JetComparison(r.select(slice(0))), ValueError, "has no events"),
        (lambda r: JetComparison(r, r.select(slice(0))), ValueError, r"generated\['events'\] has no events"),
        (lambda r: JetComparison(r, elsewhere()), ValueError, "is in space 'jet-image', the real events in 'whole"),
        (lambda r: JetComparison({"a": r, "b": elsewhere()}), ValueError, "must be in one space: 'b'"),
        (lambda r: JetComparison({"a": r}, {"b": r}), ValueError, "Unknown real sample for generated 'b'.*Known: a"),
        (lambda r: JetComparison(r, 5), TypeError, "a Sample, a Generator or a function"),
        (
            lambda r: JetComparison(concatenate([r, other_mass(r)]), make_events(labels=False)),
            ValueError,
            "needs the labels gluino_mass, neutralino_mass, received none",
        ),
        (lambda r: JetComparison(make_events(labels=False), lambda labels, seed: r), ValueError, "has no labels"),
        (lambda r: JetComparison(r, generated_pileup=make_pileup), ValueError, "pileup= is required"),
        (lambda r: JetComparison(r, pileup=3), TypeError, "must be a function"),
        (lambda r: JetComparison(r, pileup=lambda n, mu, seed: elsewhere(n)), ValueError, "the real pile-up is in"),
        (lambda r: JetComparison(r, pileup=lambda n, mu, seed: r), ValueError, "must have 1 events, received 40"),
        (lambda r: JetComparison(r, mus=[20, 10]), ValueError, "numbers of at least 0 in increasing order"),
        (lambda r: JetComparison(r, events=0), ValueError, "events must be at least 1"),
        (lambda r: JetComparison(r, images=0), ValueError, "images must be at least 1, received 0"),
        (lambda r: JetComparison(r, radius=-1), ValueError, "radius must be positive"),
    ],
)
def test_invalid_arguments_are_rejected(real, make, kind, message):
    with pytest.raises(kind, match=message):
        make(real)


def test_showers_are_rejected(make_sample):
    with pytest.raises(ValueError, match="images in eta and phi"):
        JetComparison(make_sample())
