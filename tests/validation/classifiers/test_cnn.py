"""The convolutional network finds differences between cells, and only those; small spaces and few epochs."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.spaces import Layer, Space, pad_edges
from calolab.validation.classifiers import cnn
from calolab.validation.classifiers.cnn import cnn_test, is_symmetric

PADS = pad_edges(6, 5.0)
BOX = Space("box", ("x", "y", "z"), ("mm",) * 3, tuple(Layer((PADS, PADS), (i, i + 1.0)) for i in range(2)))


def showers(events, seed, smooth=False, scale=1.0, space=BOX):
    """Independent cells, or the same smoothed by their neighbours, with equal means."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(10, 100, events)
    values = rng.exponential(1e-4, (events, *space.shape)) * (rng.random((events, *space.shape)) < 0.4)
    values *= scale * energy.reshape(-1, *[1] * len(space.shape)) / 50
    if smooth:
        values = (values + np.roll(values, 1, axis=1) + np.roll(values, 1, axis=2)) / 3
    return Sample(values, {"energy": energy}, space)


def test_smoothed_cells_are_found_and_equal_ones_are_not():
    reference = showers(200, 1)
    smooth = cnn_test(reference, showers(200, 2, smooth=True), epochs=8, batch_size=16, progress=False)
    assert smooth.auc > 0.95 and smooth.judge == "cnn" and smooth.inputs == "cells"
    equal = cnn_test(reference, showers(200, 3), epochs=1, progress=False)
    assert abs(equal.deviation) < 3


def test_a_network_that_learned_nothing_is_noted(monkeypatch):
    build = cnn.build

    def dead(*arguments):
        network = build(*arguments)
        last = network.layers[-1]
        last.kernel.assign(np.zeros(last.kernel.shape))
        last.trainable = False
        return network

    reference, smooth = showers(60, 1), showers(60, 2, smooth=True)
    assert not cnn_test(reference, smooth, epochs=1, progress=False).notes
    monkeypatch.setattr(cnn, "build", dead)
    found = cnn_test(reference, smooth, epochs=1, progress=False)
    assert found.auc == 0.5 and "same output for all events" in found.notes[0]


def test_a_sample_against_itself_has_an_auc_of_one_half_and_the_same_seed_the_same_result():
    reference, other = showers(50, 1), showers(50, 4)
    assert cnn_test(reference, reference, epochs=1, progress=False).auc == pytest.approx(0.5, abs=1e-12)
    first, again = (cnn_test(reference, other, epochs=1, seed=5, progress=False) for _ in range(2))
    assert (first.aucs, first.jsds) == (again.aucs, again.jsds)


def test_the_threshold_is_applied_to_both_samples():
    """Noise below the threshold in one of them is no difference."""
    reference = showers(100, 1)
    noisy = np.maximum(reference.values, 1e-6 * np.random.default_rng(3).random(reference.values.shape))
    found = cnn_test(reference, Sample(noisy, reference.labels, BOX), epochs=1, progress=False)
    assert found.auc == pytest.approx(0.5, abs=1e-12)


def test_layers_of_unequal_shape():
    wide = pad_edges(3, 10.0)
    space = Space("two", BOX.axes, BOX.units, (BOX.layers[0], Layer((wide, wide), (1, 2.0))))
    found = cnn_test(showers(50, 1, space=space), showers(50, 2, space=space), epochs=1, progress=False)
    assert 0 <= found.auc <= 1 and found.inputs == "cells"


def test_images():
    space = Space("image", ("eta", "phi"), ("", "rad"), (Layer((PADS, PADS)),), "transverse momentum")
    found = cnn_test(showers(50, 1, space=space), showers(50, 2, space=space), epochs=1, progress=False)
    assert 0 <= found.auc <= 1 and found.inputs == "pixels"


def test_cells_in_an_angle_are_periodic():
    edges = tuple(np.linspace(-np.pi, np.pi, 5)), (0.0, 5.0, 10.0)
    space = Space(
        "rings", ("alpha", "r", "z"), ("rad", "mm", "mm"), (Layer(edges, (0.0, 1.0)), Layer(edges, (1.0, 2.0)))
    )
    found = cnn_test(showers(50, 1, space=space), showers(50, 2, space=space), epochs=1, progress=False)
    assert found.events[-1] == (10, 10)


def test_angles_as_labels_and_jet_images_have_no_symmetry():
    sample = showers(50, 1)
    assert is_symmetric(sample)
    assert not is_symmetric(Sample(sample.values, {"theta": np.linspace(1, 2, 50)}, BOX))
    jets = spaces.space("jet-image")
    assert not is_symmetric(Sample(np.zeros((2, *jets.shape)), {}, jets))


def test_different_energies_are_noted_and_the_time_limit_ends_training():
    reference, generated = showers(60, 1), showers(60, 2)
    generated = Sample(generated.values, {"energy": generated.labels["energy"] + 50}, BOX)
    found = cnn_test(reference, generated, epochs=50, time_limit=1e-3, progress=False)
    assert found.notes[0].startswith("The labels 'energy' differ: reference 1")
    assert found.notes[1] == "The time limit ended a training in epoch 1 of 50."


def test_bad_input():
    reference = showers(60, 1)
    with pytest.raises(ValueError, match="both samples in one space"):
        cnn_test(reference, showers(60, 1, space=spaces.space("calogan")))
    with pytest.raises(ValueError, match="at least 50 events of each sample"):
        cnn_test(reference, reference.select(slice(0, 49)), progress=False)
    with pytest.raises(ValueError, match="label 'energy' in both samples or in none"):
        cnn_test(reference, Sample(reference.values, {}, BOX))
    negative = reference.values.copy()
    negative[7, 0, 0, 0] = -1e-3
    with pytest.raises(ValueError, match="1 events of the generated sample have negative ones, the first is event 7"):
        cnn_test(reference, Sample(negative, reference.labels, BOX))
    with pytest.raises(TypeError, match="Matrices of features go to tree_test"):
        cnn_test(reference.values, reference.values)
    with pytest.raises(ValueError, match="positive threshold"):
        cnn_test(reference, reference, threshold=0.0)
    with pytest.raises(ValueError, match="epochs and batch_size"):
        cnn_test(reference, reference, epochs=0)
