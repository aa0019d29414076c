"""The tiny GAN and its sample as fixtures, and ranks that are threads."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from tests.tiny import tiny_gan, tiny_sample


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
    """Collective operations of ranks that are threads: each passes arrays and receives the combination of all."""

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
