"""A GAN and a sample so small that a whole training takes a second."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from calolab.models import GAN
from calolab.samples import Sample
from calolab.spaces import Layer, Space, pad_edges

SPACE = Space(
    "tiny",
    ("x", "y", "z"),
    ("mm", "mm", "mm"),
    tuple(Layer((pad_edges(4, 5.0), pad_edges(4, 5.0)), depth=(2.0 * i, 2.0 * i + 2.0)) for i in range(4)),
)


def tiny_gan(seed=0, dropout=0.2):
    latent, energy = keras.Input((6,), name="latent"), keras.Input((1,), name="energy")
    weights = iter(range(100 * seed, 100 * seed + 100))

    def glorot():
        return keras.initializers.GlorotUniform(seed=next(weights))

    x = layers.Dense(32, kernel_initializer=glorot())(ops.multiply(latent, ops.divide(energy, 100.0)))
    x = layers.BatchNormalization()(layers.LeakyReLU(negative_slope=0.3)(x))
    x = layers.UpSampling3D(2)(layers.Reshape((2, 2, 2, 4))(x))
    x = layers.Conv3D(1, 3, padding="same", kernel_initializer=glorot())(x)
    generator = keras.Model({"latent": latent, "energy": energy}, layers.ReLU()(x))

    image = keras.Input((4, 4, 4, 1))
    x = layers.Conv3D(4, 3, padding="same", kernel_initializer=glorot())(image)
    x = layers.BatchNormalization()(layers.LeakyReLU(negative_slope=0.3)(x))
    x = layers.Flatten(name="features")(layers.Dropout(dropout, seed=next(weights))(x))
    discriminator = keras.Model(
        image,
        {
            "generation": layers.Dense(1, kernel_initializer=glorot())(x),
            "auxiliary": layers.Dense(1, kernel_initializer=glorot())(x),
            "ecal": ops.sum(image, axis=(1, 2, 3)),
        },
    )
    return GAN("tiny", SPACE, generator, discriminator, latent_size=6)


def tiny_sample(events=21, seed=0):
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 50, events)
    values = random.exponential(1, (events, 4, 4, 4))
    values *= (0.02 * energy / values.sum(axis=(1, 2, 3)))[:, None, None, None]
    return Sample(values, {"energy": energy}, SPACE, {"simulation": "random numbers"})


def weights(gan):
    """Every variable of both networks but the dropout seeds, as arrays."""
    return [np.array(v.value.numpy()) for network in (gan.generator, gan.discriminator) for v in network.weights]


@pytest.fixture(name="tiny_gan", scope="session")
def _tiny_gan():
    return tiny_gan


@pytest.fixture(name="tiny_sample", scope="session")
def _tiny_sample():
    return tiny_sample


@pytest.fixture(name="weights")
def _weights():
    return weights


class Meeting:
    """Where the threads that play ranks meet: each brings arrays and takes what all of them make of these."""

    def __init__(self, size):
        self.size, self.barrier, self.brought = size, threading.Barrier(size, timeout=60), [None] * size

    def exchange(self, rank, arrays, combine):
        self.brought[rank] = [np.copy(array.numpy() if tf.is_tensor(array) else array) for array in arrays]
        self.barrier.wait()
        result = [combine(column) for column in zip(*self.brought)]
        self.barrier.wait()
        return result


class ThreadRank:
    """A rank that is a thread; its averages are real, only the transport is not Horovod's."""

    def __init__(self, rank, meeting):
        self.rank, self.size, self.meeting = rank, meeting.size, meeting

    def average(self, tensors):
        means = self.meeting.exchange(self.rank, tensors, lambda column: np.mean(column, axis=0, dtype=column[0].dtype))
        return [tf.convert_to_tensor(mean) for mean in means]

    def broadcast(self, arrays):
        return self.meeting.exchange(self.rank, arrays, lambda column: column[0])


def on_ranks(size, work):
    """`work(rank_object)` in one thread per rank; the results or exceptions by rank."""
    meeting, outcomes = Meeting(size), [None] * size

    def run(rank):
        try:
            outcomes[rank] = work(ThreadRank(rank, meeting))
        except Exception as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.fixture(name="on_ranks")
def _on_ranks():
    # Compiled functions of two threads would wait for each other in TensorFlow's pool, which may have one thread only.
    tf.config.run_functions_eagerly(True)
    yield on_ranks
    tf.config.run_functions_eagerly(False)
