import json
import re

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation import compare, projection_error
from calolab.validation.report_table import verdict


@pytest.fixture(scope="module")
def like(showers):
    return compare(showers[0], showers[1], seed=5)


@pytest.fixture(scope="module")
def unlike(showers):
    return compare(showers[0], showers[2], seed=5)


def test_every_observable_of_a_calorimeter_is_there(like):
    assert list(like.observables) == [
        "visible_fraction", "visible_energy", "profile_z", "profile_x", "profile_y",
        "first_moment_z", "second_moment_z", "first_moment_x", "second_moment_x", "first_moment_y", "second_moment_y",
        "maximum", "containment_radius", "hits", "sparsity", "cell_spectrum",
    ]  # fmt: skip
    for observable in like.observables.values():
        assert {"ks", "w1", "separation"} <= set(observable.distances), observable.name
        assert all(np.isfinite(d.value) and d.floor > 0 for d in observable.distances.values()), observable.name


def test_two_samples_of_one_distribution_stay_at_the_floor(like):
    verdicts = {name: verdict(one) for name, one in like.observables.items()}
    assert list(verdicts.values()).count("at the floor") >= len(verdicts) - 1, verdicts
    assert like["correlations"].within_floor and like["projection_error"].within_floor


def test_a_shifted_sample_is_above_the_floor(unlike):
    for name in ("visible_fraction", "profile_z", "first_moment_z"):
        distance = unlike[name].distances["ks"]
        assert not distance.within_floor and distance.times_floor > 3, name
        assert re.fullmatch(r"\d+\.\d × floor", verdict(unlike[name]))
    assert unlike["first_moment_z"].distances["ks"].p < 1e-6
    assert unlike["projection_error"].times_floor > 2
    # Depth was changed, width was not.
    assert verdict(unlike["second_moment_x"]) == "at the floor"


def test_a_sample_has_no_distance_from_itself(showers):
    same = compare(showers[0], showers[0])
    for observable in same.observables.values():
        assert all(d.value == pytest.approx(0, abs=1e-12) for d in observable.distances.values()), observable.name
    assert same["projection_error"].value == same["correlations"].value == 0


def test_the_floor_is_what_fresh_samples_of_the_same_size_score(make):
    """The floor drawn from one sample agrees with the distances of truly independent ones, for unequal sizes, too."""
    names = "visible_fraction", "first_moment_z", "hits", "profile_z"
    floors = compare(make(300, 11), make(100, 12))
    fresh = [compare(make(300, 100 + i), make(100, 200 + i), repetitions=1) for i in range(10)]
    for name in names:
        for kind in ("ks", "w1"):
            measured = np.mean([one[name].distances[kind].value for one in fresh])
            assert 0.6 < measured / floors[name].distances[kind].floor < 1.6, (name, kind)


def test_the_floor_shrinks_with_the_number_of_events(make):
    few, many = (compare(make(n, 21), make(n, 22))["first_moment_z"].distances for n in (100, 900))
    assert few["ks"].floor / many["ks"].floor == pytest.approx(3, rel=0.3)


def test_the_same_seed_gives_the_same_numbers(showers, unlike):
    assert compare(showers[0], showers[2], seed=5).to_json() == unlike.to_json()
    other = compare(showers[0], showers[2], seed=6)
    assert other["hits"].distances["ks"].value == unlike["hits"].distances["ks"].value
    assert other["hits"].distances["ks"].floor != unlike["hits"].distances["ks"].floor


def test_empty_showers_are_left_out_and_counted(unlike):
    assert unlike.details.empty == (0, 3)
    assert unlike["first_moment_z"].undefined == (0, 3) and unlike["visible_fraction"].undefined == (0, 0)
    assert np.isfinite(unlike["first_moment_z"].summary("generated")[0])
    assert any("3 of 400 generated showers are empty" in note for note in unlike.notes)
    assert "3 of 400 generated showers are empty" in unlike._repr_html_()


def test_a_collapsed_generator_is_reported_not_a_crash(showers):
    reference = showers[0]
    silent = Sample(np.zeros_like(reference.values), reference.labels, reference.space)
    report = compare(reference, silent, repetitions=5)
    assert verdict(report["first_moment_z"]) == verdict(report["profile_z"]) == "undefined"
    assert report["hits"].distances["ks"].value == pytest.approx(1) and report.details.empty == (0, 400)
    assert json.loads(report.to_json())["observables"]["first_moment_z"]["distances"]["ks"]["value"] is None
    report._repr_html_()
    report.plot().savefig("/dev/null", format="png")
    report.plot_response().savefig("/dev/null", format="png")
    report.plot_correlations().savefig("/dev/null", format="png")
    with pytest.raises(ValueError, match="reference showers are empty"):
        compare(silent, reference)


def test_projection_error_is_the_metric_of_that_name(showers, unlike):
    expected = projection_error(showers[0], showers[2])
    assert unlike["projection_error"].value == pytest.approx(expected["sum"])
    assert unlike["profile_z"].distances["mse"].value == pytest.approx(expected["z"])


def test_histograms_hold_all_events(unlike):
    for observable in unlike.observables.values():
        for which in ("reference", "generated"):
            found = observable.histogram(which)
            assert found.contents.shape == found.errors.shape == (len(observable.edges) - 1,)
            if not observable.is_profile:
                assert found.contents.sum() == pytest.approx(1)
    contents = unlike["profile_z"].histogram("generated").contents
    assert contents.sum() == pytest.approx(unlike["visible_energy"].summary("generated")[0])


def test_json_holds_everything(unlike):
    content = json.loads(unlike.to_json())
    assert (
        content["space"] == "clic-ecal" and content["events"] == [400, 400] and content["details"]["threshold"] == 3e-4
    )
    distance = content["observables"]["first_moment_z"]["distances"]["ks"]
    assert distance["value"] > distance["floor"] > 0
    assert len(content["details"]["correlations"][0]) == 25 and content["details"]["responses"][0]["energy"]
    assert content["totals"]["projection_error"]["value"] == unlike["projection_error"].value
    assert content["floors"] == {"method": "resampled", "repetitions": 100, "seed": 5}


def test_table_shows_every_observable_with_its_numbers(unlike):
    html = unlike._repr_html_()
    assert html.count("<tr>") == 1 + len(unlike.observables)
    assert "<script" not in html and "http" not in html
    ks = unlike["first_moment_z"].distances["ks"]
    assert f"{ks.value:.3f} ({ks.floor:.3f})" in html and "mean depth" in html and "mm²" in html
    assert "first_moment_z" not in repr(unlike) and "mean depth" in repr(unlike)


def test_unequal_layers_and_plain_images(flat_showers):
    report = compare(flat_showers, flat_showers.select(slice(None, None, 2)), threshold=0.01, repetitions=10)
    assert "profile_z" in report.observables and "profile_eta" not in report.observables
    assert {"first_moment_eta", "second_moment_phi", "hits", "cell_spectrum"} <= set(report.observables)
    assert report.details.correlations[0].shape == (3, 3)
    space = spaces.Space("jets", ("eta", "phi"), ("", ""), (spaces.Layer(edges=((0, 1, 2, 3), (0, 1, 2))),), "pt")
    images = Sample(np.random.default_rng(0).exponential(1, (50, 3, 2)), {}, space)
    report = compare(images, images.select(slice(0, 30)), threshold=0.5, repetitions=10)
    details = report.details
    assert details.correlations is None and details.responses is None and details.energies is None
    assert {"profile_eta", "profile_phi", "visible_energy", "first_moment_eta"} <= set(report.observables)
    report.plot().savefig("/dev/null", format="png")
    with pytest.raises(ValueError, match="one layer"):
        report.plot_correlations()
    with pytest.raises(ValueError, match="label 'energy'"):
        report.plot_response()


def test_wrong_pairs_are_refused(showers, flat_showers, make):
    reference = showers[0]
    with pytest.raises(ValueError, match="one space"):
        compare(reference, flat_showers)
    with pytest.raises(ValueError, match="two or more events"):
        compare(reference, reference.select(slice(0, 1)))
    with pytest.raises(ValueError, match="in both samples or in none"):
        compare(reference, Sample(reference.values, {}, reference.space))
    with pytest.raises(ValueError, match="Nearest: first_moment_z"):
        compare(reference, reference, repetitions=2)["first_moment"]


def test_differing_energies_are_warned_of(showers, make):
    with pytest.warns(UserWarning, match="Incident energies differ"):
        report = compare(showers[0], make(200, 9, energy=(10, 60)), repetitions=5)
    assert any("energies differ" in note for note in report.notes)
