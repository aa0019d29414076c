"""A GAN and a sample so small that a training takes one second, alone or on engines."""

import keras
import numpy as np
from keras import layers, ops

from calolab.model_card import ModelCard
from calolab.models import GAN
from calolab.samples import Sample
from calolab.scores import Score
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
    return GAN("tiny", SPACE, networks={"generator": generator, "discriminator": discriminator}, latent_size=6)


def tiny_sample(events=21, seed=0):
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 50, events)
    values = random.exponential(1, (events, 4, 4, 4))
    values *= (0.02 * energy / values.sum(axis=(1, 2, 3)))[:, None, None, None]
    return Sample(values, {"energy": energy}, SPACE, {"simulation": "random numbers"})


def tiny_card():
    return ModelCard(
        name="tiny-fast",
        about="Showers for tests.",
        particle="electron",
        detector="tiny",
        validity={"energy": (10, 50)},
        data="21 events of random numbers",
        recipe="one epoch",
        commit="0123abcd",
        seeds={"weights": 1, "training": 2},
        cost="1 s on one core",
        scores={"auc.trees": Score("auc.trees", 0.71, 0.5, 0.02), "fpd": Score("fpd", 0.012)},
        scored_on="200 events",
        flaws=["Too few hits."],
        citation="this file",
        licence="BSD-3-Clause",
    )
