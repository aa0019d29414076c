"""Log-normal maps have the requested mean, variance, spectrum and skewness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.datasets import images
from calolab.simulate import sky

SMALL = images.binned("convergence", (64, 64))


def measured_spectrum(sample):
    """Mean C_l in bins of l, calculated with numpy only, and the number of modes in each bin."""
    n, width = sample.space.shape[0], np.deg2rad(1.75)
    power = (np.abs(np.fft.fft2(sample.values.astype(np.float64))) ** 2).mean(axis=0) * width**2 / n**4
    wave = np.fft.fftfreq(n, width / n) * 2 * np.pi
    multipole = np.hypot(wave[:, None], wave)
    which = np.digitize(multipole, np.geomspace(300, 1e4, 9))
    inside = [which == i for i in range(1, 9)]
    return (
        np.array([multipole[bin].mean() for bin in inside]),
        np.array([power[bin].mean() for bin in inside]),
        multipole,
        inside,
    )


@pytest.fixture(scope="module")
def periodic():
    return sky.maps(200, seed=5, periodic=True)


def test_mean_and_variance(periodic):
    values = periodic.values.astype(np.float64)
    assert abs(values.mean()) < 0.01 * sky.SIGMA
    assert values.std() == pytest.approx(sky.SIGMA, rel=0.02)
    assert values.min() > -sky.SHIFT
    assert np.array_equal(periodic.labels["redshift"], np.ones(200))


def test_the_spectrum_is_recovered_within_three_per_cent_and_its_statistics(periodic):
    _, found, multipole, inside = measured_spectrum(periodic)
    shape = sky.lensing_spectrum(np.where(multipole > 0, multipole, 1)) * (multipole > 0)
    wanted = shape * sky.SIGMA**2 * np.deg2rad(1.75) ** 2 / shape.sum()
    for power, bin in zip(found, inside):
        statistics = 4 * np.sqrt(2 / (bin.sum() * len(periodic)))
        assert power / wanted[bin].mean() == pytest.approx(1, abs=0.03 + statistics)


def test_the_skewness_is_that_of_a_log_normal_and_vanishes_for_a_large_shift(periodic):
    def skewness(values):
        values = values.astype(np.float64)
        return np.mean((values - values.mean()) ** 3) / values.std() ** 3

    ratio = sky.SIGMA / sky.SHIFT
    assert skewness(periodic.values) == pytest.approx(3 * ratio + ratio**3, rel=0.05)
    gaussian = sky.maps(100, seed=5, space=SMALL, shift=10.0, periodic=True)
    assert abs(skewness(gaussian.values)) < 0.05


@pytest.mark.parametrize("redshift", [0.49, 1.5])
def test_sources_further_away_have_more_power(redshift):
    sample = sky.maps(60, seed=1, redshift=redshift, space=SMALL, periodic=True)
    assert sample.values.std() == pytest.approx(0.0092 * redshift**1.13, rel=0.03)
    assert set(sample.labels["redshift"]) == {redshift}


def test_one_redshift_per_map():
    redshift = np.array([0.5, 1.0, 0.5, 1.0])
    sample = sky.maps(4, seed=3, redshift=redshift, space=SMALL)
    assert np.array_equal(sample.labels["redshift"], redshift)
    # The same noise, scaled with the redshift.
    far = sky.maps(4, seed=3, redshift=1.0, space=SMALL)
    assert np.array_equal(sample.values[[1, 3]], far.values[[1, 3]])
    assert sample.values[0].std() < far.values[0].std()


def test_a_measured_spectrum_comes_back():
    """A steep spectrum given at points, without sigma: the maps have this spectrum and its variance."""
    multipole = np.geomspace(100, 4e4, 50)
    content = 1e-9 * (multipole / 1000) ** -2.5
    sample = sky.maps(300, seed=2, space=SMALL, spectrum=(multipole, content), shift=0.05, periodic=True)
    found_at, found, _, inside = measured_spectrum(sample)
    many = np.array([bin.sum() > 30 for bin in inside])
    # Bins are wide: compare where the power law is nearly straight in them.
    np.testing.assert_allclose(found[many], 1e-9 * (found_at[many] / 1000) ** -2.5, rtol=0.12)
    scaled = sky.maps(20, seed=2, space=SMALL, spectrum=(multipole, content), sigma=0.02, periodic=True)
    assert scaled.values.std() == pytest.approx(0.02, rel=0.1)


def test_maps_cut_out_of_the_sky_do_not_close_and_their_means_vary():
    cut, closed = (sky.maps(40, seed=4, space=SMALL, periodic=flag).values.astype(np.float64) for flag in (False, True))
    step = [np.abs(values[:, 0] - values[:, -1]).mean() for values in (cut, closed)]
    assert step[0] > 2 * step[1]
    assert cut.mean(axis=(1, 2)).std() > 5 * closed.mean(axis=(1, 2)).std()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), events=st.integers(1, 4), more=st.integers(0, 3))
def test_same_seed_same_maps_and_a_longer_run_begins_alike(seed, events, more):
    first = sky.maps(events, seed=seed, space=SMALL)
    again = sky.maps(events + more, seed=seed, space=SMALL)
    assert np.array_equal(again.values[:events], first.values)
    assert not np.array_equal(sky.maps(events, seed=seed + 1, space=SMALL).values, first.values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": 0}, "at least one event"),
        ({"redshift": 0.0}, "redshift expects positive"),
        ({"sigma": -1.0}, "sigma expects positive"),
        ({"shift": np.nan}, "shift expects positive"),
        ({"space": "whole-detector"}, "axes in degrees, such as 'convergence'"),
        ({"space": "clic-ecal"}, "axes in degrees"),
        ({"spectrum": ([100, 50], [1, 1])}, "increasing positive multipoles"),
        ({"spectrum": ([50, 100], [1, 0])}, "spectrum expects positive"),
        ({"spectrum": lambda multipole: -multipole}, "non-negative"),
    ],
)
def test_what_is_no_sky(options, message):
    with pytest.raises(ValueError, match=message):
        sky.maps(**{"events": 2, "seed": 1, "space": SMALL} | options)


def test_the_default_space_is_convergence():
    sample = sky.maps(1, seed=1)
    assert sample.space == spaces.space("convergence") and sample.origin["simulation"] == "log-normal field"
