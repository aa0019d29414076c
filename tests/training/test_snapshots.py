"""One generated event per epoch with the same noise and labels, which does not change the training."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.scores import Score
from calolab.training import PhysicsScore, Snapshots, fit
from calolab.training.snapshots import LARGEST, picture, plane_of


@pytest.mark.parametrize("name", spaces.names())
def test_an_image_has_the_cells_of_its_plane_in_every_space(name):
    space = spaces.space(name)
    values = np.random.default_rng(1).normal(size=space.shape).astype(np.float32)
    plane, image = plane_of(space), picture(space, values)
    assert image.shape == plane.shape and image.dtype == np.float32
    assert max(image.shape) <= LARGEST
    assert all(np.all(np.diff(edges) > 0) for edges in plane.edges)
    assert set(plane.axes) <= set(space.axes)


def test_a_shower_is_seen_from_the_side_and_keeps_its_energy():
    space = spaces.space("clic-ecal")
    values = np.zeros(space.shape, np.float32)
    values[3, 7, 11] = 2.0
    values[5, 7, 11] = 1.0
    image = picture(space, values)
    assert plane_of(space).axes == ("z", "y") and plane_of(space).note == "sum along x"
    assert image[11, 7] == 3.0 and image.sum() == 3.0


def test_a_map_keeps_its_mean_and_its_orientation():
    space = spaces.space("convergence")
    values = np.full(space.shape, -0.25, np.float32)
    values[:4, 200:204] = 1.0  # the first rows, far to the right
    image = picture(space, values)
    assert plane_of(space).axes == ("column", "row")
    assert image[50, 0] == 1.0
    assert image.mean() == pytest.approx(values.mean())


def test_the_thickest_layer_represents_layers_that_differ():
    space = spaces.space("calogan")
    sample = Sample(np.arange(space.n_cells, dtype=np.float32)[None], {}, space)
    assert np.array_equal(picture(space, sample.values[0]), sample.layer(1)[0])
    assert plane_of(space).note == "layer 1"


def test_every_epoch_has_its_scores_and_an_event_without_influence_on_the_training(tiny_gan, tiny_sample, weights):
    received, sample = [], tiny_sample()
    snapshots = Snapshots.of(tiny_gan(), sample, seed=3)
    score = PhysicsScore(lambda gan: {"ks_comb": Score("ks_comb", 1.0, floor=0.5)})
    options = {"epochs": 3, "seed": 1, "batch_size": 4, "progress": False, "physics_score": score}

    def on_epoch(epochs, gan):
        received.append(([dict(epoch["scores"]) for epoch in epochs], snapshots.take(gan)))

    watched, alone = tiny_gan(), tiny_gan()
    fit(watched, sample, on_epoch=on_epoch, **options)
    fit(alone, sample, **options)
    assert [len(scores) for scores, _ in received] == [1, 2, 3]
    assert received[-1][0] == [{"ks_comb": {"value": 1.0, "floor": 0.5, "direction": "lower"}}] * 3
    images = [image for _, image in received]
    assert not np.array_equal(images[0], images[1]) and images[0].shape == (4, 4)
    # The event of an epoch is what the GAN generates for these labels and this latent vector.
    labels = {"energy": sample.labels["energy"][:1]}
    assert np.array_equal(snapshots.take(alone), snapshots.take(alone))
    made = alone.generate(labels, seed=0, latent=snapshots.latent)
    np.testing.assert_allclose(snapshots.take(alone), picture(sample.space, made.values[0]), rtol=1e-5, atol=1e-7)
    assert snapshots.example["labels"] == {"energy": sample.labels["energy"][0]}
    assert np.array_equal(snapshots.example["event"], picture(sample.space, sample.values[0]))
    assert all(np.array_equal(a, b) for a, b in zip(weights(watched), weights(alone), strict=True))


def test_a_stream_gives_its_first_event(tiny_gan, tiny_sample, tmp_path):
    from calolab import datasets

    sample = tiny_sample()
    datasets.save(tmp_path / "tiny.h5", sample)
    example = Snapshots.of(tiny_gan(), datasets.stream(tmp_path / "tiny.h5", space=sample.space), seed=3).example
    np.testing.assert_allclose(example["event"], picture(sample.space, sample.values[0]), rtol=1e-6)
