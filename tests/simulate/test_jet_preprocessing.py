"""Jet images: each step for cases calculated by hand, and all steps for events with two prongs and one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import simulate, spaces
from calolab.particles import Particles
from calolab.samples import Sample
from calolab.simulate import jet_preprocessing as steps

SPACE = spaces.space("jet-image")


def jets_of(*jets):
    """Constituents `(pt, eta, phi)` of jets."""
    pt, eta, phi = np.array([one for jet in jets for one in jet], float).reshape(-1, 3).T
    columns = {"pt": pt, "eta": eta, "phi": phi, "mass": np.zeros(len(pt))}
    return Particles.from_flat([len(jet) for jet in jets], columns)


def random_jets(seed, n_jets=4):
    """Jets of two subjets each, with constituents scattered around them."""
    random = np.random.default_rng(seed)
    constituents, subjets = [], []
    for _ in range(n_jets):
        centres = random.normal(0, 0.3, (2, 2)) + [random.uniform(-1.5, 1.5), random.uniform(-np.pi, np.pi)]
        size = random.integers(1, 20, 2)
        pt = random.exponential(20, size.sum())
        places = np.repeat(centres, size, axis=0) + random.normal(0, 0.1, (size.sum(), 2))
        constituents.append(np.column_stack([pt, places]))
        sums = sorted([(pt[: size[0]].sum(), *centres[0]), (pt[size[0] :].sum(), *centres[1])], reverse=True)
        subjets.append(sums)
    return jets_of(*constituents), jets_of(*subjets)


def place(particles, number=0):
    """Eta and phi of the `number`-th particle of every event."""
    starts = np.cumsum([0, *particles.counts[:-1]]) + number
    return particles.flat("eta")[starts], particles.flat("phi")[starts]


def per_jet(particles, weights):
    return np.bincount(np.repeat(np.arange(len(particles)), particles.counts), weights, minlength=len(particles))


def test_centre_puts_the_leading_subjet_at_the_origin_also_across_the_border_of_phi():
    constituents = jets_of([(10, 0.5, 3.1), (5, 0.7, -3.1)], [(1, -1.0, 0.2)])
    subjets = jets_of([(10, 0.5, 3.1), (5, 0.7, -3.1)], [(1, -1.0, 0.2)])
    moved, moved_subjets = steps.centre(constituents, subjets)
    np.testing.assert_allclose(moved.flat("eta"), [0, 0.2, 0], atol=1e-12)
    np.testing.assert_allclose(moved.flat("phi"), [0, 2 * np.pi - 6.2, 0], atol=1e-12)
    np.testing.assert_allclose(moved_subjets.flat("phi"), moved.flat("phi"), atol=1e-12)
    assert moved.flat("pt").tolist() == [10, 5, 1]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_rotate_puts_the_second_subjet_straight_below_and_keeps_distances_and_pt(seed):
    constituents, subjets = steps.centre(*random_jets(seed))
    turned, turned_subjets = steps.rotate(constituents, subjets)
    eta, phi = place(turned_subjets, 1)
    before = np.hypot(*place(subjets, 1))
    np.testing.assert_allclose(eta, 0, atol=1e-12)
    np.testing.assert_allclose(phi, -before, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(place(turned_subjets)), 0, atol=1e-12)
    for name in ("pt", "mass"):
        np.testing.assert_array_equal(turned.flat(name), constituents.flat(name))
    np.testing.assert_allclose(
        np.hypot(turned.flat("eta"), turned.flat("phi")), np.hypot(constituents.flat("eta"), constituents.flat("phi"))
    )


@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_images_do_not_feel_how_the_jet_was_turned_before(seed, angle):
    constituents, subjets = steps.centre(*random_jets(seed))
    first = steps.rotate(constituents, subjets)[0]
    second = steps.rotate(*(steps._turned(some, np.full(some.counts.sum(), angle)) for some in (constituents, subjets)))
    np.testing.assert_allclose(first.flat("eta"), second[0].flat("eta"), atol=1e-9)
    np.testing.assert_allclose(first.flat("phi"), second[0].flat("phi"), atol=1e-9)


def test_a_jet_of_one_subjet_turns_its_principal_axis_upright():
    along, across = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    points = [(3, *(0.4 * along)), (1, *(-0.5 * along)), (2, *(0.1 * along)), (0.5, *(0.05 * across))]
    constituents = jets_of(points, [(7, 0.0, 0.0)])
    turned, _ = steps.rotate(constituents, jets_of([(6.5, 0, 0)], [(7, 0, 0)]))
    eta, phi = turned.flat("eta"), turned.flat("phi")
    assert eta[:3] == pytest.approx(0, abs=0.02)
    assert phi[:3] == pytest.approx([-0.4, 0.5, -0.1], abs=0.02)
    assert (eta[4], phi[4]) == (0, 0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_flip_leaves_more_pt_on_the_right_and_mirrors_only(seed):
    image = np.random.default_rng(seed).exponential(size=(5, 25, 25)).astype(np.float32)
    flipped = steps.flip(Sample(image, {}, SPACE)).values
    assert np.all(flipped[:, 13:].sum((1, 2)) >= flipped[:, :12].sum((1, 2)) * (1 - 1e-6))
    for before, after in zip(image, flipped):
        assert np.array_equal(after, before) or np.array_equal(after, before[::-1])
    np.testing.assert_array_equal(steps.flip(Sample(flipped, {}, SPACE)).values, flipped)


def test_pixelate_sums_transverse_momentum_in_pixels_of_a_tenth():
    image = steps.pixelate(jets_of([(10, 0.0, 0.0), (2, 0.04, -0.04), (3, 0.06, -0.5), (9, 1.3, 0)], []))
    assert image.space is SPACE and image.values.shape == (2, 25, 25)
    assert image.values[0, 12, 12] == 12
    assert image.values[0, 13, 7] == 3
    assert image.values.sum() == 15  # the constituent outside the window is lost, the empty jet is empty


def test_pixels_keep_the_pt_of_a_turned_jet_within_the_window():
    constituents, subjets = steps.centre(*random_jets(3))
    turned, _ = steps.rotate(constituents, subjets)
    inside = (np.abs(turned.flat("eta")) < 1.25) & (np.abs(turned.flat("phi")) < 1.25)
    assert steps.pixelate(turned).values.sum((1, 2)) == pytest.approx(per_jet(turned, turned.flat("pt") * inside))


def test_normalise_gives_a_sum_of_squares_of_one_and_leaves_empty_images_empty():
    image = steps.normalise(steps.pixelate(jets_of([(10, 0, 0), (5, 0.3, -0.2)], [])))
    assert np.sum(image.values**2, axis=(1, 2)) == pytest.approx([1, 0])
    assert image.values[0].max() == pytest.approx(10 / np.hypot(10, 5))


# From events to images

PRONGS = ((150.0, 0.3, 3.0), (125.0, 0.3 + 0.585 * np.cos(1.0), 3.0 + 0.585 * np.sin(1.0) - 2 * np.pi))


def event(*particles, prongs=PRONGS):
    """Two hard prongs across the border of phi, and more particles `(pt, eta, phi)`."""
    return [*prongs, (90.0, -0.5, 0.1), *particles]


def test_a_boson_of_two_prongs():
    found = simulate.jet_images(jets_of(event()), signal=1)
    (first, second) = PRONGS
    turned = np.cosh(first[1] - second[1]) - np.cos(first[2] - second[2])
    assert found.labels["mass"] == pytest.approx(np.sqrt(2 * 150 * 125 * turned))
    assert 60 < found.labels["mass"][0] < 100
    assert found.labels["pt"] == pytest.approx(
        np.hypot(*sum(pt * np.array([np.cos(phi), np.sin(phi)]) for pt, _, phi in PRONGS))
    )
    assert 0.3 < found.labels["eta"][0] < second[1]
    assert found.labels["signal"] == 1
    assert found.labels["tau_21"] == pytest.approx(0, abs=1e-6)
    assert found.values[0, 12, 12] == 150
    assert found.values[0, 12, 6] == 125  # 0.585 below the centre
    assert found.values.sum() == 275


def test_soft_subjets_are_trimmed_and_the_heavier_side_comes_to_the_right():
    # Perpendicular to the line between the prongs, next to the leading one: 7 % of the jet on one side, 2 % on the
    # other.
    left, right = ((0.3 - side * 0.4 * np.sin(1.0), 3.0 + side * 0.4 * np.cos(1.0)) for side in (1, -1))
    wide = {"pt": (200, 400), "mass": (50, 150)}
    for third, soft in ((left, right), (right, left)):
        image = steps.jet_images(jets_of(event((20.0, *third), (5.0, *soft))), **wide).values[0]
        assert image[16, 12] == pytest.approx(20)
        assert image[:12].sum() == 0
        assert image.sum() == pytest.approx(295)


def test_events_outside_the_window_or_without_jets_give_no_image_and_labels_follow_their_events():
    heavier = [(pt * 1.2, eta, phi) for pt, eta, phi in PRONGS]
    events = jets_of([], event(), event(prongs=heavier), event(prongs=PRONGS[:1]), event((0.2, 2.0, 1.0)))
    labelled = Particles(events.columns, {"mu": np.arange(5)}, {"simulation": "by hand"})
    found = steps.jet_images(labelled)
    assert found.labels["mu"].tolist() == [1, 4]
    assert "signal" not in found.labels
    assert found.origin["simulation"] == "by hand"
    nothing = steps.jet_images(labelled.select([0, 3]), signal=0)
    assert nothing.values.shape == (0, 25, 25)
    assert set(nothing.labels) == {"mu", "pt", "mass", "eta", "phi", "tau_21", "signal"}
    assert len(steps.jet_images(labelled.select(slice(0, 0)))) == 0


def test_images_do_not_feel_turns_of_the_event_around_the_beam_and_boosts_along_it():
    # A boost shifts the pseudorapidity of massless particles, so each subjet is one particle here.
    soft = [(25.0, 0.7, 3.2 - 2 * np.pi), (20.0, 0.0, 2.8)]
    one = np.array(event(*soft))
    wide = {"pt": (200, 800), "mass": (20, 300)}
    first = steps.jet_images(jets_of(one), **wide)
    moved = one + [0, -0.7, 0]
    moved[:, 2] = (moved[:, 2] + 1.1 + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(steps.jet_images(jets_of(moved), **wide).values, first.values, rtol=1e-5)
    assert first.values.sum() == pytest.approx(320)


def test_bad_windows_and_classes_are_refused():
    with pytest.raises(ValueError, match="1 for W bosons or 0 for QCD"):
        steps.jet_images(jets_of(event()), signal=2)
    with pytest.raises(ValueError, match=r"mass=.*\(low, high\) in GeV"):
        steps.jet_images(jets_of(event()), mass=(100, 60))
    with pytest.raises(ValueError, match="'whole-detector' is for tower energy"):
        steps.jet_images(jets_of(event()), space="whole-detector")
