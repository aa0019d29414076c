"""Training with real events transformed by the symmetries of their space."""

from dataclasses import replace

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.symmetries import symmetries, transform
from calolab.training import Recipe, fit, loop
from calolab.training.inputs import augmentation, draw
from tests.tiny import SPACE

QUIET = {"batch_size": 4, "progress": False, "recipe": Recipe(augment=True)}


def drawn(*place, **more):
    labels = {"energy": np.linspace(10, 50, 11)}
    return draw(place, 200, latent_size=3, labels=labels, recipe=Recipe(), dropouts=2, **more)


def test_a_symmetry_for_each_event_changes_no_other_random_number():
    plain, augmented = drawn(1, 0, 2, 3, 1), drawn(1, 0, 2, 3, 1, symmetries=8)
    assert plain.symmetry is None and set(augmented.symmetry) == set(range(8))
    for name in ("latent", "flips", "class_flips", "mixing", "seeds"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(augmented, name))
    np.testing.assert_array_equal(plain.labels["energy"], augmented.labels["energy"])


@pytest.mark.parametrize("position", range(5), ids=["seed", "rank", "epoch", "step", "pass"])
def test_symmetries_are_those_of_a_place(position):
    here = [7, 0, 0, 0, 0]
    there = [value + (index == position) for index, value in enumerate(here)]
    first, again, other = (drawn(*place, symmetries=8).symmetry for place in (here, here, there))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_networks_see_transformed_events_with_their_own_labels(tiny_gan, tiny_sample, monkeypatch):
    sample, seen = tiny_sample(8), []

    def watched(kind, part, drawn, *others):
        inputs, targets = step_inputs(kind, part, drawn, *others)
        if "image" in inputs:
            seen.append((part, drawn.symmetry, inputs["image"][..., 0]))
        return inputs, targets

    step_inputs = loop.step_inputs
    monkeypatch.setattr(loop, "step_inputs", watched)
    fit(tiny_gan(), sample, epochs=2, **QUIET)
    assert len(seen) == 4  # the discriminator's pass with real events in each of two steps, twice
    for part, chosen, image in seen:
        expected = transform(SPACE, part.values, symmetries(SPACE), chosen)
        np.testing.assert_array_equal(image, np.where(expected < 1e-6, 0, expected))
    assert len({tuple(chosen) for _, chosen, _ in seen}) == 4
    assert any(not np.array_equal(part.values, image) for part, _, image in seen)


def test_an_augmented_training_resumes_bit_identically(tiny_gan, tiny_sample, weights, tmp_path):
    sample = tiny_sample(12)
    whole, stopped, resumed, plain = tiny_gan(), tiny_gan(), tiny_gan(seed=1), tiny_gan()
    fit(whole, sample, epochs=2, **QUIET)
    calls = iter(range(100))
    fit(stopped, sample, epochs=2, checkpoints=tmp_path, should_stop=lambda: next(calls) >= 6, **QUIET)
    fit(resumed, sample, epochs=2, checkpoints=tmp_path, resume=True, **QUIET)
    fit(plain, sample, epochs=2, batch_size=4, progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(plain), strict=True))


def test_ranks_transform_their_own_events_and_end_with_equal_weights(tiny_gan, tiny_sample, weights, on_ranks):
    sample = tiny_sample(8)

    def work(rank):
        gan = tiny_gan(seed=rank.rank)
        fit(gan, sample.shard(rank.rank, rank.size), epochs=1, parallel=rank, **{**QUIET, "batch_size": 2})
        return weights(gan)

    first, second = on_ranks(2, work)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_checkpoint_without_augmentation_is_another_training(tiny_gan, tiny_sample, tmp_path):
    fit(tiny_gan(), tiny_sample(8), epochs=1, batch_size=4, progress=False, checkpoints=tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        fit(tiny_gan(), tiny_sample(8), epochs=2, checkpoints=tmp_path, resume=True, **QUIET)


def test_labels_that_the_gan_does_not_know_count_in_a_calorimeter_only(tiny_sample):
    augmented = Recipe(augment=True)
    names = [one.name for one in augmentation(SPACE, ("energy",), ("energy", "theta"), augmented)]
    assert names == ["identity", "reflect x"]
    whole = spaces.space("whole-detector")
    assert len(augmentation(whole, ("mu",), ("mu", "phi"), augmented)) == 256
    assert augmentation(SPACE, ("energy",), ("energy",), Recipe()) == ()


def test_without_a_symmetry_augmentation_is_refused(tiny_gan, tiny_sample):
    sample = tiny_sample(8)
    tilted = replace(sample, labels={**sample.labels, "phi": np.ones(8)})
    with pytest.raises(ValueError, match=r"'tiny' with the labels energy, phi has none.*keep augment=False"):
        fit(tiny_gan(), tilted, epochs=1, **QUIET)
    jets = spaces.space("jet-image")
    with pytest.raises(ValueError, match="'jet-image' with the labels signal has none"):
        augmentation(
            jets, ("signal",), Sample(np.zeros((1, 25, 25)), {"pt": [250.0]}, jets).labels, Recipe(augment=True)
        )
