"""Spectra and functionals of fields that are known: waves, checkerboards, Gaussian random fields."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.samples import Sample
from calolab.spaces import Layer, Space
from calolab.validation import gaussian_minkowski, minkowski, pixel_contents, power_spectrum


def square(pixels, width=1.75):
    edges = np.linspace(0, width, pixels + 1)
    return Space("square", ("row", "column"), ("deg", "deg"), (Layer((edges, edges)),), "convergence", "")


def sample(values, width=1.75):
    values = np.asarray(values, np.float32)
    return Sample(values, {}, square(values.shape[-1], width))


def gaussian_field(events, pixels, scale, seed=0):
    """Smooth periodic Gaussian fields of unit variance, correlated over `scale` pixels."""
    wave = 2 * np.pi * np.fft.fftfreq(pixels)
    amplitude = np.exp(-(wave[:, None] ** 2 + wave**2) * scale**2 / 2)
    noise = np.random.default_rng(seed).normal(size=(events, pixels, pixels))
    field = np.fft.ifft2(np.fft.fft2(noise) * amplitude).real
    power = amplitude**2 / (amplitude**2).sum()
    gradient = np.sqrt((power * (wave[:, None] ** 2 + wave**2)).sum())
    return field / np.sqrt((amplitude**2).mean()), gradient


def test_one_wave_has_its_power_at_its_multipole():
    phase = 2 * np.pi * 10 * np.arange(128) / 128
    multipole, content = power_spectrum(sample(np.broadcast_to(np.cos(phase), (1, 128, 128))), bins=200)
    best = np.argmax(content[0])
    assert multipole[best] == pytest.approx(2 * np.pi * 10 / np.deg2rad(1.75), rel=0.05)
    assert content[0].sum() == pytest.approx(content[0, best], rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), pixels=st.integers(8, 33), width=st.floats(0.1, 10), sigma=st.floats(0.01, 100))
def test_white_noise_is_flat_and_has_the_variance_of_its_pixels(seed, pixels, width, sigma):
    """C_l of white noise is the variance of a pixel times its solid angle."""
    noise = np.random.default_rng(seed).normal(0, sigma, (400, pixels, pixels))
    multipole, content = power_spectrum(sample(noise, width))
    wanted = sigma**2 * np.deg2rad(width / pixels) ** 2
    assert np.all(np.diff(multipole) > 0)
    assert multipole[0] >= 0.99 * 360 / width
    np.testing.assert_allclose(content.mean(axis=0), wanted, rtol=0.3)
    assert content.mean() == pytest.approx(wanted, rel=0.1)


def test_a_spectrum_is_the_mean_over_all_waves_of_the_full_transform():
    """Against all the waves of the complex transform: none counted twice, none left out."""
    values = np.random.default_rng(1).normal(size=(3, 24, 24))
    multipole, content = power_spectrum(sample(values), bins=500)
    wave = 2 * np.pi * np.fft.fftfreq(24, np.deg2rad(1.75) / 24)
    all_waves, power = np.hypot(wave[:, None], wave), np.abs(np.fft.fft2(values)) ** 2
    longest = 2 * np.pi / np.deg2rad(1.75)
    for i in range(len(multipole)):
        bin = (all_waves >= longest * (i + 0.5)) & (all_waves < longest * (i + 1.5))
        assert multipole[i] == pytest.approx(all_waves[bin].mean())
        np.testing.assert_allclose(
            content[:, i], power[:, bin].mean(axis=1) * np.deg2rad(1.75 / 24) ** 2 / 24**2, rtol=1e-4
        )


def test_functionals_of_a_gaussian_field_follow_tomita():
    field, gradient = gaussian_field(60, 128, scale=4)
    thresholds = np.linspace(-3, 3, 25)
    found = [functional.mean(axis=0) for functional in minkowski(sample(field), thresholds)]
    # Per pixel in the field, per degree in the sample.
    expected = gaussian_minkowski(thresholds, 1.0, gradient * 128 / 1.75)
    for measured, wanted, tolerance in zip(found, expected, (0.01, 0.03, 0.05)):
        np.testing.assert_allclose(measured, wanted, atol=tolerance * np.abs(wanted).max())
    # Not only up to a factor.
    assert found[1].max() == pytest.approx(expected[1].max(), rel=0.03)
    assert found[2].max() == pytest.approx(expected[2].max(), rel=0.05)


def test_functionals_of_discs_count_them():
    """Round hills of one size: V2 is their number per area, V1 a quarter of their circles' length, V0 their area."""
    pixels, width, radius = 600, 2.0, 0.15
    x = (np.arange(pixels) + 0.5) * width / pixels
    hills = np.zeros((pixels, pixels))
    for row, column in ((0.5, 0.5), (0.5, 1.5), (1.5, 1.0)):
        hills = np.maximum(hills, 1 - np.hypot(x[:, None] - row, x - column) / (2 * radius))
    v0, v1, v2 = (functional[0, 5] for functional in minkowski(sample([hills], width), np.linspace(0.25, 0.75, 11)))
    assert v0 == pytest.approx(3 * np.pi * radius**2 / width**2, rel=0.02)
    assert v1 == pytest.approx(3 * 2 * np.pi * radius / 4 / width**2, rel=0.02)
    assert v2 == pytest.approx(3 / width**2, rel=0.03)
    holes = minkowski(sample([-hills], width), np.linspace(-0.75, -0.25, 11))
    assert holes[2][0, 5] == pytest.approx(-v2, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_functionals_move_with_the_map(seed, factor, shift):
    field, _ = gaussian_field(1, 32, scale=3, seed=seed)
    thresholds = np.linspace(-2.037, 2.011, 9)
    plain = minkowski(sample(field), thresholds)
    moved = minkowski(sample(field * factor + shift), thresholds * factor + shift)
    for a, b in zip(plain, moved):
        # A pixel on the edge of a bin may fall to the other side by rounding.
        assert np.abs(a - b).max() < 0.02 * max(1, np.abs(a).max())
    turned = minkowski(sample(np.rot90(field, axes=(1, 2))), thresholds)
    for a, b in zip(plain, turned):
        assert np.abs(a - b).max() < 0.02 * max(1, np.abs(a).max())


def test_a_constant_map_has_area_only():
    v0, v1, v2 = minkowski(sample(np.ones((1, 16, 16))), np.array([0.0, 0.5, 1.0, 1.5]))
    assert v0.tolist() == [[1, 1, 1, 0]] and not v1.any() and not v2.any()


def test_pixel_contents_count_every_pixel_once():
    values = np.random.default_rng(0).normal(size=(4, 16, 16)).astype(np.float32)
    edges = np.array([-1.0, 0.0, 0.5])
    contents = pixel_contents(sample(values), edges)
    assert contents.sum(axis=1) == pytest.approx(1)
    for event in range(4):
        counted = np.bincount(np.digitize(values[event].ravel(), edges), minlength=4) / 256
        np.testing.assert_allclose(contents[event], counted)


def test_what_has_no_texture():
    whole = spaces.space("whole-detector")
    with pytest.raises(ValueError, match="in degrees, such as 'convergence'; space 'whole-detector'"):
        power_spectrum(Sample(np.zeros((2, 64, 64)), {}, whole))
    with pytest.raises(ValueError, match="in one unit"):
        minkowski(Sample(np.zeros((2, 64, 64)), {}, whole), np.linspace(0, 1, 5))
    for thresholds in ([1.0], [0, 1, 3], [1, 0]):
        with pytest.raises(ValueError, match="increase in equal steps"):
            minkowski(sample(np.ones((1, 16, 16))), thresholds)
