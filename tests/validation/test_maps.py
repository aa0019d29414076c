"""Comparisons of maps: zero against itself, at the floor for like samples, far above it for others."""

import json

import matplotlib
import numpy as np
import pytest

from calolab.datasets import images
from calolab.plots import texture
from calolab.samples import Sample
from calolab.simulate import sky
from calolab.validation import compare_maps

SMALL = images.binned("convergence", (64, 64))
NAMES = ["pixels", "power_spectrum", "v0", "v1", "v2"]


@pytest.fixture(scope="module")
def reference():
    return sky.maps(60, seed=1, space=SMALL)


@pytest.fixture(scope="module")
def report(reference):
    return compare_maps(reference, sky.maps(40, seed=2, space=SMALL), seed=3, repetitions=40)


def test_a_sample_against_itself_is_zero(reference):
    found = compare_maps(reference, reference, repetitions=5)
    assert [curve.distance.value for curve in found.observables.values()] == [0] * 5
    assert all(curve.distance.floor > 0 for curve in found.observables.values())


def test_like_samples_lie_at_the_floor(report):
    assert list(report.observables) == NAMES and report.events == (60, 40) and report.notes == ()
    for curve in report.observables.values():
        distance = curve.distance
        assert distance.value < distance.floor + 4 * distance.floor_spread


def test_the_pixel_distance_is_the_kolmogorov_smirnov_statistic(reference):
    from scipy import stats

    other = sky.maps(30, seed=5, space=SMALL, sigma=0.012)
    found = compare_maps(reference, other, repetitions=2)["pixels"].distance.value
    assert found == pytest.approx(stats.ks_2samp(reference.values.ravel(), other.values.ravel()).statistic, abs=0.002)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"sigma": 0.015}, NAMES),
        # The same spectrum without the skewness: only what sees more than two points notices.
        ({"shift": 10.0}, ["pixels", "v0", "v1", "v2"]),
    ],
)
def test_other_maps_lie_above_it(reference, options, names):
    found = compare_maps(reference, sky.maps(60, seed=7, space=SMALL, **options), repetitions=40)
    for name in NAMES:
        assert found[name].distance.within_floor == (name not in names), name


def test_shuffled_pixels_keep_their_histogram_and_lose_all_else(reference):
    rng = np.random.default_rng(0)
    values = rng.permuted(reference.values.reshape(60, -1), axis=1).reshape(reference.values.shape)
    found = compare_maps(reference, Sample(values, reference.labels, SMALL), repetitions=20)
    assert found["pixels"].distance.value == 0 and found["v0"].distance.value == pytest.approx(0, abs=1e-12)
    assert min(found[name].distance.times_floor for name in ("power_spectrum", "v1", "v2")) > 10


def test_floors_draw_within_a_redshift():
    """Sources at two depths: drawn from all together, the floor would hold their difference."""
    redshift = np.tile([0.5, 1.5], 12)
    mixed = sky.maps(24, seed=4, space=SMALL, redshift=redshift)
    labelled = compare_maps(mixed, mixed, repetitions=30)
    without = Sample(mixed.values, {}, SMALL)
    assert (
        labelled["pixels"].distance.floor
        < 0.7 * compare_maps(without, without, repetitions=30)["pixels"].distance.floor
    )


def test_the_same_seed_gives_the_same_numbers_as_json(reference, report):
    again = compare_maps(reference, sky.maps(40, seed=2, space=SMALL), seed=3, repetitions=40)
    assert json.dumps(again.to_dict()) == json.dumps(report.to_dict())
    content = report.to_dict()
    assert content["events"] == [60, 40] and len(content["observables"]["v1"]["reference"]) == 41
    assert content["observables"]["pixels"]["distances"]["ks"]["times_floor"] > 0


def test_collapsed_maps_are_reported_not_hidden(reference):
    flat = Sample(np.zeros((5, 64, 64)), {"redshift": np.ones(5)}, SMALL)
    found = compare_maps(reference, flat, repetitions=3)
    assert "5 of 5 generated maps are constant" in found.notes[0]
    assert found["power_spectrum"].distance.value == np.inf
    assert found.to_dict()["observables"]["power_spectrum"]["distances"]["rms_log_ratio"]["value"] is None
    assert "floor" in repr(found)


def test_notes_on_few_maps_and_other_redshifts(reference):
    found = compare_maps(
        sky.maps(8, seed=1, space=SMALL), sky.maps(8, seed=2, space=SMALL, redshift=1.2), repetitions=2
    )
    assert "Only 8 reference maps" in found.notes[0] and "reference 1, generated 1.2" in found.notes[1]
    found = compare_maps(reference, Sample(reference.values, {}, SMALL), repetitions=2)
    assert "Only one sample has the label 'redshift'" in found.notes[0]


def test_the_table(report):
    html, text = report._repr_html_(), repr(report)
    for table in (html, text):
        assert "boundary V₁" in table and "60 reference and 40 generated" in table
    with pytest.raises(ValueError, match="Nearest: power_spectrum"):
        report["power"]


def test_what_cannot_be_compared(reference):
    with pytest.raises(ValueError, match="one space"):
        compare_maps(reference, sky.maps(2, seed=1))
    with pytest.raises(ValueError, match="two or more maps"):
        compare_maps(reference, reference.select(slice(1)))
    constant = Sample(np.ones((3, 64, 64)), {}, SMALL)
    with pytest.raises(ValueError, match="no texture"):
        compare_maps(constant, reference)


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_the_figure_has_its_panels_units_and_numbers(report, tmp_path):
    figure = report.plot()
    figure.savefig(tmp_path / "figure.png", dpi=40)
    assert len(figure.axes) == 7
    labels = {panel.get_xlabel() for panel in figure.axes} | {panel.get_ylabel() for panel in figure.axes}
    assert {"convergence", "multipole ℓ", "V₁ [1/deg]", "V₂ [1/deg²]", "gen. / ref."} <= labels
    written = " ".join(texts(figure))
    for curve in report.observables.values():
        distance = curve.distance
        assert f"{distance.value:.2g} (floor {distance.floor:.2g}" in written
    assert "60 reference, 40 generated maps" in written


def test_the_gallery_has_one_colour_scale(reference, tmp_path):
    figure = texture.gallery({"one": reference, "other": reference}, [0, 5, 7], label="redshift")
    figure.savefig(tmp_path / "gallery.png", dpi=40)
    shown = [image for panel in figure.axes for image in panel.images]
    assert len(shown) == 6 and len({image.get_clim() for image in shown}) == 1
    assert np.array_equal(shown[1].get_array(), reference.values[5])
    assert "redshift 1" in texts(figure)
    with pytest.raises(ValueError, match="gallery shows map 60"):
        texture.gallery({"one": reference}, [60])
    with pytest.raises(ValueError, match="one plain image space"):
        texture.gallery({"one": reference, "other": sky.maps(4, seed=1)}, 2)
