"""Comparisons of jet images: zero with themselves, at the floor among alike, far from what is wrong."""

import json

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation import compare_jet_images, image_mass, image_tau_21
from calolab.validation.observables.jet_images import CLASSES

SPACE = spaces.space("jet-image")


def prongs(events, seed, scale=1.0, signal=(0, 1)):
    """Images with a core in the middle and, six pixels below, a second prong that class 1 has harder."""
    rng = np.random.default_rng(seed)
    values = np.zeros((events, *SPACE.shape))
    kind = rng.choice(signal, events).astype(float)
    for event in range(events):
        share = 0.4 if kind[event] else 0.15
        for row, column, part in ((12, 12, 1 - share), (12, 6, share)):
            for _ in range(8):
                place = row + rng.integers(-2, 3), column + rng.integers(-2, 3)
                values[event][place] += scale * part * rng.gamma(2, 18)
    return Sample(values, {"signal": kind}, SPACE)


@pytest.fixture(scope="module")
def real():
    return prongs(300, 1)


def test_a_sample_with_itself_is_at_zero(real):
    report = compare_jet_images(real, real, repetitions=5)
    assert set(report.parts) == {"W boson", "QCD"}
    for part in report.parts.values():
        assert set(part.observables) == {"mass", "pt", "tau_21", "pixels"}
        assert all(d.value == 0 for one in part.observables.values() for d in one.distances.values())


def test_another_sample_of_the_same_kind_is_near_the_floor_and_a_heavier_one_is_not(real):
    alike = compare_jet_images(real, prongs(300, 2), repetitions=100)
    heavier = compare_jet_images(real, prongs(300, 2, scale=1.3), repetitions=100)
    for kind in CLASSES.values():
        for name in ("mass", "pt", "tau_21", "pixels"):
            assert alike[kind][name].distances["ks"].times_floor < 3, (kind, name)
        assert not heavier[kind]["mass"].distances["ks"].within_floor
        assert not heavier[kind]["pt"].distances["ks"].within_floor
        # The scale is not in the number of prongs.
        assert heavier[kind]["tau_21"].distances["ks"].times_floor < 3


def test_classes_are_compared_with_their_own_kind(real):
    swapped = Sample(real.values, {"signal": 1 - real.labels["signal"]}, SPACE)
    report = compare_jet_images(real, swapped, repetitions=20)
    assert report["W boson"].events == (np.sum(real.labels["signal"] == 1), np.sum(real.labels["signal"] == 0))
    assert report["QCD"]["tau_21"].distances["ks"].value > 0.2
    chosen = real.select(real.labels["signal"] == 1)
    np.testing.assert_array_equal(report["W boson"]["mass"].reference, image_mass(chosen))
    np.testing.assert_array_equal(report["W boson"]["tau_21"].reference, image_tau_21(chosen))
    np.testing.assert_allclose(report["W boson"].details.means[0], chosen.values.mean(axis=0), rtol=1e-5)


def test_without_classes_all_images_are_compared(real):
    report = compare_jet_images(real, Sample(real.values[:50], {}, SPACE), repetitions=5)
    assert {name: part.events for name, part in report.parts.items()} == {"all": (300, 50)}


def test_empty_images_count_and_traces_fall_into_the_first_bin(real):
    values = real.values.copy()
    values[:10] = 0
    values[10:, 0, 0] += 1e-6
    report = compare_jet_images(real, Sample(values, real.labels, SPACE), repetitions=5)
    undefined = [report[kind]["tau_21"].undefined[1] for kind in report.parts]
    assert sum(undefined) == 10
    assert sum("are empty" in note for note in report.notes) == np.count_nonzero(undefined)
    for kind, lost in zip(report.parts, undefined):
        pixels = report[kind]["pixels"]
        traces = pixels.generated[:, 0].sum() - pixels.reference[:, 0].sum()
        assert traces >= report[kind].events[1] - lost - 5
        assert np.sum(report[kind]["mass"].generated == 0) == lost


def test_a_generator_of_empty_images_is_reported_and_has_no_prongs(real):
    nothing = Sample(np.zeros_like(real.values), real.labels, SPACE)
    report = compare_jet_images(real, nothing, repetitions=5)
    assert report["QCD"]["mass"].distances["ks"].value == pytest.approx(1)
    assert np.isnan(report["QCD"]["tau_21"].distances["ks"].value)
    assert all("are empty" in note for note in report.notes) and len(report.notes) == 2
    assert "undefined" in repr(report)


def test_same_arguments_same_numbers_as_text_html_and_json(real):
    other = prongs(200, 3)
    report = compare_jet_images(real, other, seed=4, repetitions=10)
    again = compare_jet_images(real, other, seed=4, repetitions=10)
    assert json.dumps(report.to_dict()) == json.dumps(again.to_dict())
    ks = report["QCD"]["mass"].distances["ks"].value
    assert f"{ks:.3f}" in repr(report) and f"{ks:.3f}" in report._repr_html_()
    assert "W boson" in report._repr_html_() and "10 draws" in report._repr_html_()


def test_bad_input_is_refused(real):
    with pytest.raises(ValueError, match="both samples in one space"):
        compare_jet_images(real, Sample(np.zeros((3, 64, 64)), {}, spaces.space("whole-detector")))
    with pytest.raises(ValueError, match="two or more images in each sample, received 1 and"):
        compare_jet_images(real.select([0]), real)
    with pytest.raises(ValueError, match=r"same classes.*received \[.*0.*1.*\] and \[.*0.*\]"):
        compare_jet_images(real, prongs(20, 1, signal=(0,)))
    with pytest.raises(ValueError, match="two or more images of class 'W boson'"):
        compare_jet_images(real, Sample(real.values[:3], {"signal": np.array([0, 0, 1])}, SPACE))
    with pytest.raises(ValueError, match="at least one repetition"):
        compare_jet_images(real, real, repetitions=0)
    with pytest.raises(ValueError, match="Unknown entry of the report 'W-boson'. Nearest: W boson."):
        compare_jet_images(real, real, repetitions=1)["W-boson"]
