"""FPD and KPD: closed forms of Gaussians, equal samples, and the numbers of the package jetnet on the same arrays."""

import os

import numpy as np
import pytest
from scipy import linalg

from calolab.validation import frechet
from calolab.validation.frechet import (
    frechet_distance,
    frechet_physics_distance,
    kernel_physics_distance,
    minimum_events,
)

# As jetnet's, on the samples of `correlated`.
JETNET = {"sizes": (1000, 3000), "replacement": True}


def correlated(events=3000, features=20, scale=1.05):
    """Two correlated Gaussian samples, the second one wider, with a feature that is always zero."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(features, features))
    reference = rng.normal(size=(events, features)) @ mixing
    generated = rng.normal(size=(events, features)) @ mixing * scale
    reference[:, 3] = generated[:, 3] = 0
    return reference, generated


def gaussians(events, features, seed, shift=0.0, scale=1.0):
    """Independent Gaussian features; the second sample has another mean in the first feature, and another width."""
    rng = np.random.default_rng(seed)
    reference, generated = rng.normal(size=(2, events, features))
    generated *= scale
    generated[:, 0] += shift
    return reference, generated


def test_the_distance_of_gaussians_that_commute():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    first, second, difference = rng.uniform(0.1, 2, 4), rng.uniform(0.1, 2, 4), rng.normal(size=4)
    covariances = [(basis * values) @ basis.T for values in (first, second)]
    expected = difference @ difference + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2)
    assert frechet_distance(difference, covariances[0], np.zeros(4), covariances[1]) == pytest.approx(expected)


def test_the_distance_of_any_gaussians_contains_the_root_of_their_product():
    rng = np.random.default_rng(2)
    first, second = (one @ one.T for one in rng.normal(size=(2, 5, 5)))
    expected = np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert frechet_distance(np.zeros(5), first, np.zeros(5), second) == pytest.approx(expected)


def test_the_distance_of_singular_gaussians():
    flat = np.diag([4.0, 0.0, 0.0])
    assert frechet_distance(np.zeros(3), flat, np.zeros(3), flat) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(np.zeros(3), flat, np.zeros(3), np.diag([0.0, 1.0, 0.0])) == pytest.approx(5)


def test_few_events_give_the_distance_of_infinitely_many():
    found = []
    for seed in range(5):
        reference, generated = gaussians(1200, 30, seed, shift=0.5, scale=1.1)
        largest = np.abs(reference).max(axis=0)
        expected = (0.5 / largest[0]) ** 2 + np.sum((0.1 / largest) ** 2)
        one = frechet_physics_distance(reference, generated)
        found.append(one.value / expected)
        assert one.distances[-1] / expected > 1.5  # of all events, without extrapolation
    assert np.mean(found) == pytest.approx(1, abs=0.1)


def test_equal_samples_have_no_distance():
    frechet_values, kernel_values = [], []
    for seed in range(8):
        both = gaussians(800, 20, seed)
        frechet_values.append(frechet_physics_distance(*both).value)
        one = kernel_physics_distance(*both)
        kernel_values.append(one.value / one.error)
    plain = frechet_physics_distance(*both).distances[-1]
    assert np.mean(frechet_values) < 0.2 * plain
    assert abs(np.mean(kernel_values)) < 1.5 and max(map(abs, kernel_values)) < 5


def test_kpd_is_the_unbiased_mmd():
    reference, generated = (one / 3 for one in gaussians(60, 3, 1, shift=1.0))
    kernel = lambda a, b: (a @ b / 3 + 1) ** 4  # noqa: E731
    pairs = [(i, j) for i in range(60) for j in range(60)]
    largest = np.abs(reference).max(axis=0)
    x, y = reference / largest, generated / largest
    expected = (
        sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j) / (60 * 59)
        - 2 * sum(kernel(x[i], y[j]) for i, j in pairs) / 60**2
    )
    found = kernel_physics_distance(reference, generated, size=60, replacement=False)
    assert found.value == pytest.approx(expected) and found.error == pytest.approx(0, abs=1e-12)


def test_blocks_give_the_same_kpd(monkeypatch):
    both = gaussians(300, 5, 1)
    whole = kernel_physics_distance(*both).value
    monkeypatch.setattr(frechet, "BLOCK", 37)
    assert kernel_physics_distance(*both).value == pytest.approx(whole, rel=1e-9)


def test_scale_and_order_of_features_do_not_matter():
    both = gaussians(300, 6, 1, shift=1.0)
    changed = [7.0 * one[:, ::-1] for one in both]
    for function in (frechet_physics_distance, kernel_physics_distance):
        assert function(*changed).value == pytest.approx(function(*both).value, rel=1e-6)


def test_the_numbers_of_jetnet():
    both = correlated()
    # Computed on these arrays by jetnet 0.2.5: fpd(min_samples=1000, max_samples=3000), kpd(batch_size=1000).
    fpd, kpd = frechet_physics_distance(*both, **JETNET), kernel_physics_distance(*both, size=1000, replacement=True)
    assert (fpd.value, fpd.error) == pytest.approx((0.00828832, 0.00038389), rel=1e-5)
    assert (kpd.value, kpd.error) == pytest.approx((0.00022062, 0.00029079), rel=1e-4)


def test_large_samples_have_the_settings_of_jetnet():
    found = kernel_physics_distance(*gaussians(50_000, 2, 1), batches=2)
    assert found.replacement and found.sizes.tolist() == [5000]
    found = frechet_physics_distance(*gaussians(50_000, 2, 1), batches=1)
    assert found.replacement and found.sizes[[0, -1]].tolist() == pytest.approx([20_000, 50_000], abs=1)


def test_features_that_have_no_distance():
    reference, generated = gaussians(100, 60, 1)
    with pytest.raises(ValueError, match=f"at least {minimum_events(60)} events in each sample, received 100 and 100"):
        frechet_physics_distance(reference, generated)
    for function in (frechet_physics_distance, kernel_physics_distance):
        with pytest.raises(ValueError, match="at least 50 events"):
            function(reference[:49], generated)
        with pytest.raises(ValueError, match=r"\(100, 60\) and \(100, 59\)"):
            function(reference, generated[:, 1:])
        with pytest.raises(ValueError, match="1 generated events have others"):
            function(reference, np.where(np.arange(100)[:, None] == 3, np.nan, generated))
    with pytest.raises(ValueError, match="at most 100 events"):
        frechet_physics_distance(reference[:, :5], generated[:, :5], sizes=(50, 200))
    with pytest.raises(ValueError, match="2 to 100 events, received 200"):
        kernel_physics_distance(reference, generated, size=200)


if os.environ.get("CALOLAB_PACKAGES"):  # optional: jetnet, which needs PyTorch, is no dependency

    def test_the_package_jetnet_gives_the_same():
        import jetnet.evaluation as package

        both = correlated()
        fpd = frechet_physics_distance(*both, **JETNET)
        expected = package.fpd(*both, min_samples=JETNET["sizes"][0], max_samples=JETNET["sizes"][1])
        assert (fpd.value, fpd.error) == pytest.approx(expected, rel=1e-6)
        kpd = kernel_physics_distance(*both, size=1000, replacement=True)
        assert (kpd.value, kpd.error) == pytest.approx(package.kpd(*both, batch_size=1000), rel=1e-6)
