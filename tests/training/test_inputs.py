import numpy as np
import pytest

from calolab.training import Recipe
from calolab.training.inputs import draw, order_seed

LABELS = {"energy": np.linspace(10, 50, 11), "theta": np.linspace(1, 2, 11)}


def drawn(*place, events=64, labels=LABELS, **flips):
    recipe = Recipe(**{"flip": 0.4, **flips})
    return draw(place, events, latent_size=8, labels=labels, recipe=recipe, dropouts=3)


def test_a_place_fixes_every_number():
    first, again = drawn(1, 0, 2, 3, 1), drawn(1, 0, 2, 3, 1)
    np.testing.assert_array_equal(first.latent, again.latent)
    np.testing.assert_array_equal(first.flips, again.flips)
    np.testing.assert_array_equal(first.seeds, again.seeds)
    np.testing.assert_array_equal(first.labels["energy"], again.labels["energy"])


@pytest.mark.parametrize("position", range(5), ids=["seed", "rank", "epoch", "step", "pass"])
def test_noise_dropout_flips_and_labels_differ_between_places(position):
    here = [7, 0, 0, 0, 0]
    there = [value + (index == position) for index, value in enumerate(here)]
    first, other = drawn(*here), drawn(*there)
    assert not np.any(first.latent == other.latent)
    assert not np.any(np.all(first.seeds == other.seeds, axis=1))
    assert not np.array_equal(first.flips, other.flips)
    assert not np.array_equal(first.labels["energy"], other.labels["energy"])


def test_labels_are_rows_of_the_training_sample():
    rows = set(zip(LABELS["energy"], LABELS["theta"]))
    labels = drawn(1, 0, 0, 0, 0).labels
    assert set(zip(labels["energy"], labels["theta"])) <= rows


def test_flips_have_their_probability():
    assert drawn(1, 0, 0, 0, 0, events=20_000, flip=0.05).flips.mean() == pytest.approx(0.05, abs=0.006)
    assert not drawn(1, 0, 0, 0, 0, flip=0.0).flips.any()


def test_dropout_seeds_fit_the_type_of_keras():
    seeds = drawn(1, 0, 0, 0, 0).seeds
    assert seeds.dtype == np.int64
    assert seeds.min() >= 0
    assert seeds.max() < 2**31


def test_order_differs_between_ranks_and_epochs():
    assert len({order_seed(seed, rank, epoch) for seed in range(3) for rank in range(3) for epoch in range(3)}) == 27


def test_all_labels_of_a_batch_flip_together():
    means = [drawn(1, 0, 0, step, 0, flip=0.0, batch_flip=0.3).flips.mean() for step in range(400)]
    assert set(means) == {0.0, 1.0}
    assert np.mean(means) == pytest.approx(0.3, abs=0.08)


def test_mixing_fills_zero_to_one_and_classes_flip_with_their_probability():
    many = drawn(1, 0, 0, 0, 0, events=20_000, class_flip=0.09)
    assert many.class_flips.mean() == pytest.approx(0.09, abs=0.008)
    assert many.mixing.min() >= 0 and many.mixing.max() <= 1 and many.mixing.mean() == pytest.approx(0.5, abs=0.02)


def test_a_gan_without_conditions_has_no_labels():
    assert drawn(1, 0, 0, 0, 0, labels={}).labels == {}
