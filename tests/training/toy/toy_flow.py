"""A toy architecture in one file: the total energy and the shower shape are two networks, trained one after the other.

The shape is the end of a path from the latent vector that the network `velocity` describes (flow matching).
"""

import keras
from keras import layers, ops

from calolab.models.architecture import Architecture, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream

STEPS = 4


def build(space, *, seed=0, width=16):
    check_shape("toy-flow", space, (4, 4, 4), "tiny")
    seeds = SeedStream(seed)

    def dense(size, activation=None):
        return layers.Dense(size, activation=activation, kernel_initializer=seeds.glorot_uniform())

    energy, vector = keras.Input((1,), name="energy"), keras.Input((64 + 2,), name="vector")
    total = keras.Model(energy, dense(1, "softplus")(dense(width, "relu")(ops.divide(energy, 100.0))), name="total")
    velocity = keras.Model(vector, dense(64)(dense(width, "relu")(vector)), name="velocity")
    latent = keras.Input((64,), name="latent")
    position = latent
    for step in range(STEPS):
        time = ops.full_like(energy, step / STEPS)
        position = ops.add(position, velocity(ops.concatenate([position, time, ops.divide(energy, 100.0)], axis=-1)))
    shape = ops.multiply(ops.softmax(position), total(energy))
    generator = keras.Model({"latent": latent, "energy": energy}, layers.Reshape((4, 4, 4, 1))(shape))
    return GAN(
        architecture="toy-flow",
        space=space,
        networks={"generator": generator, "total": total, "velocity": velocity},
        latent_size=64,
        settings={"seed": seed, "width": width},
    )


ARCHITECTURES = (
    Architecture(
        name="toy-flow",
        build=build,
        space="tiny",
        conditions=("energy",),
        heads={},
        recipe={
            "objective": "toy-flow-matching",
            "optimizer": "adam",
            "stages": ({"networks": ("total",), "epochs": 2}, {"networks": ("velocity",)}),
        },
        citation="this file",
        parameters={},
    ),
)
