"""A toy architecture in one file, with objectives and constants of its own.

A regression of the total energy, whose unit is a constant that is fitted to the data, and a shape that learns from a
critic.
"""

import keras
import numpy as np
from keras import layers, ops

from calolab.models.architecture import Architecture, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream


def build(space, *, seed=0, width=8):
    check_shape("toy-critic", space, (4, 4, 4), "tiny")
    seeds = SeedStream(seed)

    def dense(size, activation=None):
        return layers.Dense(size, activation=activation, kernel_initializer=seeds.glorot_uniform())

    energy, latent, cells = keras.Input((1,), name="energy"), keras.Input((6,)), keras.Input((64,))
    # Not trainable: it divides by the root of its moving variance.
    unit = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, trainable=False)
    total = keras.Model(energy, dense(1)(dense(width, "tanh")(unit(energy))), name="total")
    shape = keras.Model(latent, layers.Softmax()(dense(64)(dense(width, "relu")(latent))), name="shape")
    critic = keras.Model(cells, dense(1)(dense(width, "relu")(cells)), name="critic")
    given = keras.Input((6,), name="latent")
    values = layers.Reshape((4, 4, 4, 1))(ops.multiply(shape(given), ops.relu(total(energy))))
    generator = keras.Model({"latent": given, "energy": energy}, values)
    networks = {"generator": generator, "total": total, "shape": shape, "critic": critic}
    return GAN("toy-critic", space, networks=networks, latent_size=6, settings={"seed": seed, "width": width})


def unit_of(gan):
    return gan.networks["total"].layers[1]


def prepare(gan, sample):
    assert not np.any((sample.values > 0) & (sample.values < 1e-6))
    energies = sample.labels["energy"]
    unit_of(gan).set_weights([np.array([energies.mean()]), np.array([energies.var()])])


def _total(gan, inputs, training):
    import tensorflow as tf

    expected = tf.reduce_sum(inputs["image"], axis=(1, 2, 3, 4))[:, None]
    difference = gan.networks["total"](inputs["energy"], training=training) - expected
    return tf.square(difference), {"bias": difference}


def _shares(inputs):
    import tensorflow as tf

    cells = tf.reshape(inputs["image"], (-1, 64))
    return cells / tf.reduce_sum(cells, axis=1, keepdims=True)


def _made(gan, inputs, training):
    import tensorflow as tf

    noise = tf.random.stateless_normal(tf.shape(inputs["latent"]), inputs["seed"])
    return gan.networks["shape"](noise, training=training)


def _critic(gan, inputs, training):
    critic = gan.networks["critic"]
    return critic(_made(gan, inputs, training), training=training) - critic(_shares(inputs), training=training)


def _shape(gan, inputs, training):
    return -gan.networks["critic"](_made(gan, inputs, training), training=training)


ARCHITECTURES = (
    Architecture(
        name="toy-critic",
        build=build,
        space="tiny",
        conditions=("energy",),
        heads={},
        recipe={
            "objective": "toy-critic/regression",
            "optimizer": "adam",
            "stages": (
                {"networks": ("total",), "epochs": 2},
                {
                    "networks": ("critic", "shape"),
                    "recipe": {"objective": "toy-critic/shape", "network_passes": {"critic": 2}, "betas": (0.0, 0.9)},
                },
            ),
        },
        citation="this file",
        parameters={},
        objectives={"regression": {"total": _total}, "shape": {"critic": _critic, "shape": _shape}},
        latent_sizes={"regression": lambda gan: 0},
        prepare=prepare,
    ),
)
