"""Precision, recall, density, coverage and memorised events: by hand, against plain loops, and by injected copies."""

import os

import numpy as np
import pytest

from calolab.validation import neighbours
from calolab.validation.neighbours import manifold_overlap, memorisation, standardised


def gaussians(events, seed, features=6, **normal):
    return np.random.default_rng(seed).normal(size=(events, features), **normal)


def plain(reference, generated, k):
    """The definitions with all distances in one matrix."""
    between = np.linalg.norm(reference[:, None] - generated, axis=2)
    radii = [np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)[:, k] for x in (reference, generated)]
    inside = between < radii[0][:, None]
    recall = (between < radii[1]).any(axis=1).mean()
    return inside.any(axis=0).mean(), recall, inside.sum(axis=0).mean() / k, (between.min(axis=1) < radii[0]).mean()


def test_overlap_by_hand():
    reference, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0], [10.5]])
    found = manifold_overlap(reference, generated, neighbours=1)
    # Radii 1, 1, 2 and 9.5, 0.5, 0.5: 0.5 is within 1 of the first two reference events only; it reaches all of them.
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx((1 / 3, 1, 2 / 3, 2 / 3))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_overlap_equals_its_definition_also_in_blocks(shift, monkeypatch):
    reference, generated = gaussians(130, 1), gaussians(110, 2, loc=shift)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 8 * 110 * 7)
    found = manifold_overlap(reference, generated)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(
        plain(reference, generated, 5), rel=1e-12
    )


def test_faults_lower_the_right_number():
    reference = gaussians(500, 1)
    good = manifold_overlap(reference, gaussians(500, 2))
    assert good.density == pytest.approx(1, abs=0.1) and good.coverage > 0.9
    narrow = manifold_overlap(reference, gaussians(500, 2, scale=0.4))
    assert narrow.recall < 0.5 * good.recall and narrow.precision > good.precision
    wide = manifold_overlap(reference, gaussians(500, 2, scale=2.5))
    assert wide.precision < 0.5 * good.precision


def test_standardised_features():
    reference = np.column_stack([gaussians(200, 1, 2, loc=5, scale=3), np.full(200, 7.0)])
    scaled, other = standardised(reference, reference[:3])
    assert scaled.shape == (200, 2) and scaled.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert scaled.std(axis=0) == pytest.approx(1) and np.array_equal(other, scaled[:3])


def test_an_ideal_generator_memorises_nothing():
    pulls = []
    for seed in range(10):
        found = memorisation(gaussians(400, seed), gaussians(300, 100 + seed), gaussians(300, 200 + seed))
        pulls.append((found.closer - 0.5) / found.closer_spread)
        assert found.near < 0.06
    assert abs(np.mean(pulls)) < 1 and max(map(abs, pulls)) < 4


def test_copies_are_found():
    training, held_out, generated = gaussians(400, 1), gaussians(300, 2), gaussians(300, 3)
    copies, originals = [5, 17, 200], [3, 300, 7]
    generated[copies] = training[originals] + 1e-3 * gaussians(3, 4)
    found = memorisation(training, held_out, generated)
    assert {tuple(pair) for pair in found.pairs.tolist()} >= set(zip(copies, originals))
    assert found.pairs[:3, 0].tolist() == sorted(copies, key=lambda event: found.generated[event])
    assert len(found.pairs) <= 3 + 6 and found.expected_pairs == pytest.approx(300 / 301)


def test_a_generator_of_copies_is_far_above_its_floor():
    training, held_out = gaussians(400, 1), gaussians(300, 2)
    generated = training[:300] + 0.1 * gaussians(300, 3)
    scores = memorisation(training, held_out, generated).scores()
    for name in ("memorisation", "near_training"):
        assert scores[name].value > scores[name].floor + 10 * scores[name].floor_spread
    assert scores["memorisation"].value > 0.95


def test_equal_training_events_are_no_error():
    training = np.repeat(gaussians(60, 1), 2, axis=0)
    found = memorisation(training, gaussians(80, 2), gaussians(80, 3))
    assert np.isfinite(found.generated).all() and np.isfinite(found.closer)


def test_features_that_cannot_be_compared():
    events = gaussians(60, 1)
    with pytest.raises(ValueError, match="at least 6 events in each sample, received 60 and 5"):
        manifold_overlap(events, events[:5])
    with pytest.raises(ValueError, match="at least 1, received 0"):
        manifold_overlap(events, events, neighbours=0)
    with pytest.raises(ValueError, match=r"\(60, 6\) and \(60, 5\)"):
        manifold_overlap(events, events[:, 1:])
    with pytest.raises(ValueError, match="1 generated events have others"):
        manifold_overlap(events, np.where(np.arange(60)[:, None] == 3, np.inf, events))
    with pytest.raises(ValueError, match="at least 50 events"):
        memorisation(events, events, events[:49])


if os.environ.get("CALOLAB_PACKAGES"):  # optional: prdc is no dependency

    def test_the_package_prdc_gives_the_same():
        from prdc import compute_prdc

        reference, generated = gaussians(700, 1), gaussians(500, 2, loc=0.3, scale=1.2)
        found, expected = manifold_overlap(reference, generated), compute_prdc(reference, generated, nearest_k=5)
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-12)
