"""Timed steps are steps of a training, and their time stamps are in order."""

import time

import numpy as np
import pytest

from calolab.training import Recipe, Stage, TrainingRequest, fit
from calolab.training.ranks import Alone
from calolab.training.timing import StepTimer, timed_averages


class SlowRanks(Alone):
    """A rank whose averages inside compiled functions take a given time."""

    def __init__(self, seconds):
        self.seconds = seconds

    def average(self, tensors):
        """The tensors, after that time."""
        import tensorflow as tf

        if tf.executing_eagerly():
            return tensors

        def late(*arrays):
            time.sleep(self.seconds)
            return arrays

        kept = tf.numpy_function(late, tensors, [tensor.dtype for tensor in tensors])
        for one, tensor in zip(kept, tensors):
            one.set_shape(tensor.shape)
        return kept


def test_timed_steps_are_those_of_a_training(tiny_gan, tiny_sample, weights):
    timed, trained = tiny_gan(), tiny_gan()
    fit(trained, tiny_sample(16), epochs=1, batch_size=8, progress=False)
    StepTimer(timed, tiny_sample(16), TrainingRequest(epochs=1, batch_size=8)).take(2)
    for one, other in zip(weights(timed), weights(trained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_global_batch_is_timed_as_it_is_trained(tiny_gan, tiny_sample, weights):
    timed, trained = tiny_gan(), tiny_gan()
    fit(trained, tiny_sample(16), epochs=1, batch_size=8, global_batch=4, progress=False)
    request = TrainingRequest(epochs=1, batch_size=8, global_batch=4)
    assert len(StepTimer(timed, tiny_sample(16), request).take(4)) == 4
    for one, other in zip(weights(timed), weights(trained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_single_step_does_not_use_is_refused(tiny_gan, tiny_sample, tmp_path):
    fit(tiny_gan(), tiny_sample(16), epochs=1, batch_size=8, checkpoints=tmp_path, progress=False)
    request = TrainingRequest(epochs=1, batch_size=8, checkpoints=tmp_path, resume=True, time_limit=5)
    with pytest.raises(ValueError, match="leave checkpoints, resume, time_limit out of the request"):
        StepTimer(tiny_gan(), tiny_sample(16), request)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"], "it was not set aside"


@pytest.fixture(scope="module")
def timed(tiny_gan, tiny_sample):
    """A timer that has taken its first step, which compiles; its averages take 0.05 s."""
    timer = StepTimer(tiny_gan(), tiny_sample(16), TrainingRequest(epochs=1, batch_size=8), SlowRanks(0.05))
    timer.take(1, batch_size=4)
    return timer


def test_stamps_separate_computing_from_averages_and_cover_all_of_the_time(timed):
    started = time.perf_counter()
    stamps = timed.take(5)  # more than an epoch
    seconds = time.perf_counter() - started
    assert stamps.shape == (5, 2 + 2 * len(Recipe().passes))
    assert np.all(np.diff(stamps, axis=1) >= 0) and np.all(stamps[1:, 0] >= stamps[:-1, -1])
    assert np.all(stamps[:, 2:-1:2] - stamps[:, 1:-1:2] >= 0.05)
    assert 0.8 * seconds < stamps[-1, -1] - stamps[0, 0] <= seconds + 1e-3


def test_bytes_are_reported_for_every_pass(timed, tiny_gan):
    gan = tiny_gan()
    real, fake, first, second = timed.averaged_bytes
    sizes = {
        network: sum(4 * int(np.prod(v.shape)) for v in getattr(gan, network).trainable_variables)
        for network in ("generator", "discriminator")
    }
    assert first == second > sizes["generator"] and min(real, fake) > sizes["discriminator"]


def test_the_passes_of_a_training_in_stages_are_those_of_its_first_stage(tiny_gan, tiny_sample):
    recipe = Recipe(stages=(Stage(("discriminator",), 1), Stage(("generator",))))
    timer = StepTimer(tiny_gan(), tiny_sample(16), TrainingRequest(epochs=2, batch_size=8, recipe=recipe))
    assert timer.take(3).shape == (3, 2 + 2 * len(("real", "fake")))  # more than an epoch
    real, fake = timer.averaged_bytes
    discriminator = sum(4 * int(np.prod(v.shape)) for v in tiny_gan().discriminator.trainable_variables)
    assert min(real, fake) > discriminator


def test_averages_are_timed():
    seconds = timed_averages(SlowRanks(0.02), (4, 400), repeats=3)
    assert seconds.shape == (2, 3) and seconds.min() >= 0.02 and seconds.max() == pytest.approx(0.02, abs=0.5)
