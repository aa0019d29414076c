"""3DGAN: the three-dimensional convolutional GAN for a 25x25x25 electromagnetic calorimeter (arXiv:1912.06794)."""

from __future__ import annotations

import keras
from keras import layers, ops

from calolab.models.architecture import Architecture, Head, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream
from calolab.spaces import Space

SHAPE = (25, 25, 25)
ENERGY_UNIT = 100.0  # [GeV] unit of the incident energy in both networks


def build(space: Space, *, seed: int = 0, latent_size: int = 200, dropout: float = 0.2) -> GAN:
    """Build the published 3DGAN: 872,948 parameters in the generator, 73,450 in the discriminator.

    Args:
        space: a space whose values have shape (25, 25, 25), e.g. `clic-ecal`.
        seed: seed of the initial weights.
        latent_size: length of the latent vector (published: 200).
        dropout: fraction of discriminator activations dropped in training (published: 0.2).

    Returns:
        An untrained `GAN` conditioned on `energy` [GeV], its generator's output in GeV.

    Raises:
        ValueError: if the space has another shape.
    """
    check_shape("3dgan", space, SHAPE, "clic-ecal")
    seeds = SeedStream(seed)
    return GAN(
        architecture="3dgan",
        space=space,
        networks={"generator": _generator(latent_size, seeds), "discriminator": _discriminator(dropout, seeds)},
        latent_size=latent_size,
        conditions=("energy",),
        settings={"seed": seed, "latent_size": latent_size, "dropout": dropout},
    )


def _generator(latent_size: int, seeds: SeedStream) -> keras.Model:
    def convolution(x, filters, kernel, padding="valid"):
        x = layers.Conv3D(filters, kernel, padding=padding, kernel_initializer=seeds.he_uniform())(x)
        return layers.LeakyReLU(negative_slope=0.3)(x)

    latent = keras.Input((latent_size,), name="latent")
    energy = keras.Input((1,), name="energy")
    x = ops.multiply(latent, ops.divide(energy, ENERGY_UNIT))
    x = layers.Dense(7 * 7 * 8 * 8, kernel_initializer=seeds.glorot_uniform())(x)
    x = layers.Reshape((7, 7, 8, 8))(x)
    x = convolution(x, 64, (6, 6, 8), padding="same")
    x = layers.BatchNormalization()(x)
    x = layers.UpSampling3D((2, 2, 2))(x)
    x = layers.ZeroPadding3D((2, 2, 0))(x)
    x = convolution(x, 6, (6, 5, 8))
    x = layers.BatchNormalization()(x)
    x = layers.UpSampling3D((2, 2, 3))(x)
    x = layers.ZeroPadding3D((1, 0, 3))(x)
    x = convolution(x, 6, (3, 3, 8))
    x = layers.Conv3D(1, (2, 2, 2), use_bias=False, kernel_initializer=seeds.glorot_normal())(x)
    shower = layers.ReLU(name="shower")(x)
    return keras.Model({"latent": latent, "energy": energy}, shower, name="generator")


def _discriminator(dropout: float, seeds: SeedStream) -> keras.Model:
    def convolution(x, filters, padding="valid"):
        x = layers.Conv3D(filters, 5, padding=padding, kernel_initializer=seeds.glorot_uniform())(x)
        return layers.LeakyReLU(negative_slope=0.3)(x)

    image = keras.Input((*SHAPE, 1), name="image")
    x = convolution(image, 32, padding="same")
    x = layers.Dropout(dropout, seed=seeds.next())(x)
    for border in (2, 2, 1):
        x = layers.ZeroPadding3D(border)(x)
        x = convolution(x, 8)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(dropout, seed=seeds.next())(x)
    x = layers.Flatten(name="features")(layers.AveragePooling3D(2)(x))
    heads = {
        # A logit: its sigmoid is the probability of being real.
        "generation": layers.Dense(1, kernel_initializer=seeds.glorot_uniform(), name="generation")(x),
        "auxiliary": layers.Dense(1, kernel_initializer=seeds.glorot_uniform(), name="auxiliary")(x),
        "ecal": ops.sum(image, axis=(1, 2, 3)),
    }
    return keras.Model(image, heads, name="discriminator")


ARCHITECTURES = (
    Architecture(
        name="3dgan",
        build=build,
        space="clic-ecal",
        conditions=("energy",),
        heads={
            "auxiliary": Head(
                loss=keras.losses.mean_absolute_percentage_error,
                target=lambda labels, total: labels["energy"] / ENERGY_UNIT,
            ),
            "ecal": Head(
                loss=keras.losses.mean_absolute_percentage_error, target=lambda labels, total: total(), uses_total=True
            ),
        },
        recipe={
            "weights": {"generation": 2.0, "auxiliary": 0.1, "ecal": 0.1},
            "generator_passes": 2,
            "flip": 0.05,
            "optimizer": "rmsprop",
            "learning_rate": 1e-3,
            "threshold": 1e-6,
        },
        citation="arXiv:1912.06794",
        parameters={"generator": 872_948, "discriminator": 73_450},
        batch_size=128,
    ),
)
