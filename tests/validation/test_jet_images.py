"""Mass, pt and prongs of images by hand and against a slow search over all pairs; nearest neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.observables.jet_images import image_mass, image_pt, image_tau_21, nearest

SPACE = spaces.space("jet-image")


def image(*pixels):
    """One image per list of `(row, column, pt)`."""
    values = np.zeros((len(pixels), *SPACE.shape))
    for event, one in enumerate(pixels):
        for row, column, pt in one:
            values[event, row, column] = pt
    return Sample(values, {}, SPACE)


def random_images(seed, events=6, filled=0.05):
    random = np.random.default_rng(seed)
    mask = random.random((events, *SPACE.shape)) < filled
    # Few different values, so that ties occur.
    return Sample(mask * random.integers(1, 12, mask.shape), {}, SPACE)


def pairs_tau_21(values):
    """As the definition says: all pairs, one merger after the other."""
    centres = SPACE.centres("eta")
    left = sorted(
        ([pt, row * 25 + column, centres[row], centres[column]] for (row, column), pt in np.ndenumerate(values) if pt),
        key=lambda one: (-one[0], one[1]),
    )
    if not left:
        return np.nan
    pixels = np.array(left)

    def tau(axes):
        return np.sum(pixels[:, 0] * np.min([np.hypot(*(pixels[:, 2:] - axis[2:]).T) for axis in axes], axis=0))

    def apart(one, other):
        return np.round((one[2] - other[2]) ** 2 + (one[3] - other[3]) ** 2, 9)

    tau_1 = tau([pixels[0]])
    left = [one.copy() for one in pixels]
    while len(left) > 2:
        kt = {
            (a, b): (min(left[a][0], left[b][0]) ** 2 * apart(left[a], left[b]), -max(left[a][0], left[b][0]))
            for a in range(len(left))
            for b in range(a)
        }
        a, b = min(kt, key=kt.get)
        hard, soft = (b, a) if left[b][0] >= left[a][0] else (a, b)
        left[hard][0] += left[soft][0]
        del left[soft]
    return tau(left) / tau_1 if tau_1 > 0 else 0.0


def test_two_pixels_by_hand():
    # 150 GeV in the middle, 125 GeV six pixels below: massless, 0.6 apart in phi.
    two = image([(12, 12, 150), (12, 6, 125)])
    assert image_pt(two) == pytest.approx(np.hypot(150 + 125 * np.cos(0.6), 125 * np.sin(0.6)), rel=1e-6)
    assert image_mass(two) == pytest.approx(np.sqrt(2 * 150 * 125 * (1 - np.cos(0.6))), rel=1e-6)
    assert image_tau_21(two) == 0


def test_mass_of_pixels_apart_in_eta():
    two = image([(2, 12, 30), (22, 12, 40)])
    assert image_mass(two) == pytest.approx(np.sqrt(2 * 30 * 40 * (np.cosh(2.0) - 1)), rel=1e-6)
    assert image_pt(two) == pytest.approx(70, rel=1e-6)


def test_three_pixels_by_hand():
    # The 10 GeV pixel is 0.1 from the harder axis and 0.5 from the other; all are measured from the hardest for tau_1.
    three = image([(12, 12, 100), (12, 6, 50), (12, 11, 10)])
    assert image_tau_21(three) == pytest.approx(10 * 0.1 / (50 * 0.6 + 10 * 0.1), rel=1e-6)


def test_merging_adds_momentum_so_that_axes_may_change():
    # 40 takes 30 in and becomes harder than 60; it is then 60 that is an axis beside 70, not merged into it.
    values = image([(0, 0, 60), (24, 24, 40), (24, 23, 30), (12, 0, 20)])
    assert image_tau_21(values) == pytest.approx(pairs_tau_21(values.values[0]))


def test_empty_and_single_pixels():
    some = image([], [(3, 4, 7.0)], [(12, 12, 1), (12, 13, 1)])
    assert np.isnan(image_tau_21(some)[0]) and image_tau_21(some)[1:].tolist() == [0, 0]
    assert image_mass(some)[:2] == pytest.approx([0, 0], abs=1e-5)
    assert image_pt(some) == pytest.approx([0, 7, 2 * np.cos(0.05)], rel=1e-4)
    assert [f(some.select(slice(0, 0))).shape for f in (image_pt, image_mass, image_tau_21)] == [(0,)] * 3


@given(seed=st.integers(0, 2**32 - 1), filled=st.sampled_from([0.003, 0.01, 0.03, 0.08]))
@settings(max_examples=12, deadline=None)
def test_prongs_are_those_of_a_search_over_all_pairs(seed, filled):
    random = np.random.default_rng(seed)
    # Equally near pixels are common on a grid; equally hard ones do not occur, as their order is a matter of taste.
    values = random.exponential(size=(4, *SPACE.shape)) * (random.random((4, *SPACE.shape)) < filled)
    sample = Sample(values, {}, SPACE)
    wanted = [pairs_tau_21(one) for one in sample.values.astype(np.float64)]
    np.testing.assert_allclose(image_tau_21(sample), wanted, rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.25, 4))
@settings(max_examples=20, deadline=None)
def test_scaling_scales_mass_and_pt_and_leaves_the_prongs(seed, factor):
    one = random_images(seed)
    other = Sample(one.values * factor, {}, SPACE)
    np.testing.assert_allclose(image_mass(other), factor * image_mass(one), rtol=1e-4)
    np.testing.assert_allclose(image_pt(other), factor * image_pt(one), rtol=1e-5)
    mirrored = Sample(one.values[:, ::-1], {}, SPACE)
    np.testing.assert_allclose(image_mass(mirrored), image_mass(one), rtol=1e-6)
    assert np.all(image_mass(one) >= 0) and np.nanmax(image_tau_21(one)) < 3


def test_images_in_any_company_have_the_same_prongs():
    sparse, dense = random_images(1, 5, 0.01), random_images(2, 5, 0.4)
    together = Sample(np.concatenate([sparse.values, dense.values]), {}, SPACE)
    apart = np.append(image_tau_21(sparse), image_tau_21(dense))
    np.testing.assert_array_equal(image_tau_21(together), apart)
    shuffled = np.random.default_rng(0).permutation(10)
    for function in (image_tau_21, image_mass, image_pt):
        np.testing.assert_array_equal(function(together.select(shuffled)), function(together)[shuffled])


def test_nearest_finds_copies_and_leaves_out_the_image_itself():
    images = random_images(3, 40)
    shuffled = np.random.default_rng(0).permutation(40)
    index, distance = nearest(images, images.select(shuffled))
    assert shuffled[index].tolist() == list(range(40)) and np.all(distance == 0)
    index, distance = nearest(images)
    every = np.sqrt(((images.values[:, None] - images.values[None].astype(float)) ** 2).sum((2, 3)))
    np.fill_diagonal(every, np.inf)
    assert index.tolist() == every.argmin(axis=1).tolist()
    np.testing.assert_allclose(distance, every.min(axis=1))


def test_other_spaces_are_refused():
    whole = Sample(np.zeros((1, 64, 64)), {}, spaces.space("whole-detector"))
    for function in (image_pt, image_mass, image_tau_21):
        with pytest.raises(ValueError, match="'whole-detector' has tower energy"):
            function(whole)
    with pytest.raises(ValueError, match="expects other images in the space 'jet-image', received 1"):
        nearest(image([]), whole)
    with pytest.raises(ValueError, match="none else"):
        nearest(image([]))
