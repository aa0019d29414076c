"""An architecture so small that it learns showers of clic-ecal in seconds, in two stages by objectives of its own."""

import keras
from keras import layers, ops

from calolab.models.architecture import Architecture, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream


def build(space, *, seed=0, width=8):
    check_shape("toy-showers", space, (25, 25, 25), "clic-ecal")
    seeds = SeedStream(seed)

    def dense(size, activation=None):
        return layers.Dense(size, activation=activation, kernel_initializer=seeds.glorot_uniform())

    energy, latent = keras.Input((1,), name="energy"), keras.Input((4,), name="latent")
    total = keras.Model(energy, dense(1, "softplus")(ops.divide(energy, 100.0)), name="total")
    hidden = keras.Input((4,))
    sides = [layers.Softmax()(dense(25)(dense(width, "tanh")(hidden))) for _ in range(3)]
    x, y, z = (ops.reshape(side, (-1, *shape)) for side, shape in zip(sides, ((25, 1, 1), (1, 25, 1), (1, 1, 25))))
    shape = keras.Model(hidden, ops.multiply(ops.multiply(x, y), z), name="shape")
    values = ops.multiply(shape(latent), ops.reshape(total(energy), (-1, 1, 1, 1)))
    generator = keras.Model({"latent": latent, "energy": energy}, layers.Reshape((25, 25, 25, 1))(values))
    networks = {"generator": generator, "total": total, "shape": shape}
    return GAN("toy-showers", space, networks=networks, latent_size=4, settings={"seed": seed, "width": width})


def _total(gan, inputs, training):
    import tensorflow as tf

    visible = tf.reduce_sum(inputs["image"], axis=(1, 2, 3, 4))[:, None]
    return tf.square(gan.networks["total"](inputs["energy"], training=training) - visible)


def _shape(gan, inputs, training):
    import tensorflow as tf

    image = inputs["image"][..., 0]
    shares = image / (tf.reduce_sum(image, axis=(1, 2, 3), keepdims=True) + 1e-9)
    made = gan.networks["shape"](inputs["latent"], training=training)
    return -tf.reduce_sum(shares * tf.math.log(made + 1e-9), axis=(1, 2, 3))


ARCHITECTURES = (
    Architecture(
        name="toy-showers",
        build=build,
        space="clic-ecal",
        conditions=("energy",),
        heads={},
        recipe={
            "objective": "toy-showers/total",
            "optimizer": "adam",
            "learning_rate": 1e-2,
            "threshold": 3e-5,
            "stages": (
                {"networks": ("total",), "epochs": 8},
                {"networks": ("shape",), "epochs": 4, "recipe": {"objective": "toy-showers/shape"}},
            ),
        },
        citation="this file",
        parameters={},
        objectives={"total": {"total": _total}, "shape": {"shape": _shape}},
    ),
)
