"""Structural similarity of images and showers: by hand, symmetries, and what a generator without variety shows."""

import os

import numpy as np
import pytest

from calolab.samples import Sample
from calolab.validation.similarity import shower_similarity, structural_similarity


def test_one_window_by_hand():
    first, second = np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 1.0, 0.0]])
    # Means 1 and 1, variances 1 and 1, covariance -1; the constants are (0.01 * 2)² and (0.03 * 2)².
    expected = (2 + 4e-4) * (-2 + 36e-4) / ((2 + 4e-4) * (2 + 36e-4))
    assert structural_similarity(first, second, 2.0) == pytest.approx([expected])


def test_equal_images_are_similar_and_others_less():
    images = np.random.default_rng(1).random((3, 9, 10))
    assert structural_similarity(images, images, 1.0) == pytest.approx(1)
    shuffled = np.random.default_rng(2).permuted(images, axis=1)
    assert np.all(structural_similarity(images, shuffled, 1.0) < 0.6)


def test_mirrored_images_have_the_same_similarity():
    first, second = np.random.default_rng(1).random((2, 4, 9, 8, 7))
    found = structural_similarity(first, second, 1.0)
    assert structural_similarity(second[:, ::-1], first[:, ::-1], 1.0) == pytest.approx(found)
    assert structural_similarity(3 * first, 3 * second, 3.0) == pytest.approx(found)


def test_an_equal_sample_is_as_diverse_and_has_the_same_mean(showers):
    found = shower_similarity(showers[0], showers[1], pairs=100)
    assert found.mean_images > 0.98 and abs(found.excess) < 4 * found.excess_error
    again = shower_similarity(showers[0], showers[1], pairs=100)
    assert again == found and shower_similarity(showers[0], showers[1], pairs=100, seed=1) != found


def test_a_sample_of_one_shower_repeated_has_too_little_variety(showers):
    sample = showers[0]
    chosen = np.argmin(np.abs(sample.labels["energy"] - 50)) * np.ones(60, dtype=int)
    repeated = Sample(sample.values[chosen] * 1.01, {"energy": np.full(60, 50.0)}, sample.space)
    found = shower_similarity(sample, repeated, pairs=50)
    assert found.within_generated == pytest.approx(1) and found.excess > 5 * found.excess_error


def test_noise_reduces_the_similarity_within_a_sample(showers):
    sample = showers[0]
    values = sample.values * np.random.default_rng(1).exponential(1, sample.values.shape)
    for transform in ("log", "power"):
        found = shower_similarity(sample, Sample(values, sample.labels, sample.space), transform=transform, pairs=100)
        assert found.excess < -5 * found.excess_error


def test_layers_of_unequal_cells(flat_showers):
    found = shower_similarity(flat_showers, flat_showers, pairs=20)
    assert found.mean_images == pytest.approx(1) and 0 < found.within_reference < 0.5


def test_samples_that_have_no_similarity(showers, flat_showers):
    sample = showers[0]
    with pytest.raises(ValueError, match="'clic-ecal' and 'calogan'"):
        shower_similarity(sample, flat_showers)
    with pytest.raises(ValueError, match="at least 10 events"):
        shower_similarity(sample, sample.select(slice(0, 9)))
    with pytest.raises(ValueError, match="'log' or 'power', received 'sqrt'"):
        shower_similarity(sample, sample, transform="sqrt")
    with pytest.raises(ValueError, match="positive threshold"):
        shower_similarity(sample, sample, threshold=0)
    empty = Sample(0 * sample.values, sample.labels, sample.space)
    with pytest.raises(ValueError, match="no images to compare"):
        shower_similarity(empty, sample)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        structural_similarity(np.ones((2, 3)), np.ones((2, 4)), 1.0)
    with pytest.raises(ValueError, match="positive number, received 0"):
        structural_similarity(np.ones((2, 3)), np.ones((2, 3)), 0)


if os.environ.get("CALOLAB_PACKAGES"):  # optional: scikit-image is no dependency

    def test_the_package_scikit_image_gives_the_same():
        from skimage import metrics

        first, second = np.random.default_rng(1).random((2, 3, 12, 11, 9))
        expected = [metrics.structural_similarity(*pair, data_range=1.5) for pair in zip(first, second)]
        assert structural_similarity(first, second, 1.5) == pytest.approx(expected, rel=1e-9)
