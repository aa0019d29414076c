"""LAGAN: the location-aware GAN of jet images, with locally connected layers and classes (arXiv:1701.05927)."""

from __future__ import annotations

import keras
from keras import layers, ops

from calolab.models.architecture import Architecture, Head, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream
from calolab.models.layers.locally_connected import LocallyConnected2D
from calolab.models.layers.minibatch_discrimination import MinibatchDiscrimination
from calolab.models.layers.spectral_normalisation import with_norm
from calolab.spaces import Space

SHAPE = (25, 25)
MOMENTUM_UNIT = 100.0  # [GeV] unit of the transverse momenta in both networks


def build(
    space: Space, *, seed: int = 0, latent_size: int = 200, dropout: float = 0.2, spectral_norm: bool = False
) -> GAN:
    """Build the published LAGAN: 3,587,072 parameters in the generator, 1,398,834 in the discriminator.

    The latent vector is multiplied element by element by a learned vector of the class. The discriminator compares
    events within a batch and classifies each. The 200 biases of the published comparison are omitted, because they
    cancel.

    Args:
        space: a space whose values have shape (25, 25), e.g. `jet-image`.
        seed: seed of the initial weights.
        latent_size: length of the latent vector (published: 200).
        dropout: fraction of discriminator activations dropped in training (published: 0.2).
        spectral_norm: whether the discriminator normalises its kernels (arXiv:1802.05957) rather than batches.

    Returns:
        An untrained `GAN` conditioned on `signal` (1 for W bosons, 0 for QCD), its generator's output in GeV; the
        discriminator's heads `generation` and `signal` are logits.

    Raises:
        ValueError: if the space has another shape, or a number is out of range.
    """
    check_shape("lagan", space, SHAPE, "jet-image")
    if latent_size < 1:
        raise ValueError(f"latent_size must be at least 1, received {latent_size}.")
    seeds = SeedStream(seed)
    return GAN(
        architecture="lagan",
        space=space,
        networks={
            "generator": _generator(latent_size, seeds),
            "discriminator": _discriminator(dropout, spectral_norm, seeds),
        },
        latent_size=latent_size,
        conditions=("signal",),
        value_scale=MOMENTUM_UNIT,
        settings={"seed": seed, "latent_size": latent_size, "dropout": dropout, "spectral_norm": spectral_norm},
    )


def _generator(latent_size: int, seeds: SeedStream) -> keras.Model:
    def locally_connected(x, filters, kernel):
        x = LocallyConnected2D(filters, kernel, kernel_initializer=seeds.he_uniform())(x)
        return layers.LeakyReLU(negative_slope=0.3)(x)

    latent = keras.Input((latent_size,), name="latent")
    signal = keras.Input((1,), name="signal")
    classes = layers.Embedding(2, latent_size, embeddings_initializer=seeds.glorot_normal())
    x = ops.multiply(latent, layers.Flatten()(classes(signal)))
    x = layers.Dense(7 * 7 * 128, kernel_initializer=seeds.glorot_uniform())(x)
    x = layers.Reshape((7, 7, 128))(x)
    x = layers.Conv2D(64, 5, padding="same", kernel_initializer=seeds.he_uniform())(x)
    x = layers.BatchNormalization()(layers.LeakyReLU(negative_slope=0.3)(x))
    x = layers.ZeroPadding2D(2)(layers.UpSampling2D(2)(x))
    x = layers.BatchNormalization()(locally_connected(x, 6, 5))
    x = locally_connected(layers.UpSampling2D(2)(x), 6, 3)
    x = LocallyConnected2D(1, 2, use_bias=False, kernel_initializer=seeds.glorot_normal())(x)
    # The momenta themselves are float32 also where layers compute in bfloat16.
    image = ops.multiply(ops.relu(ops.cast(x, "float32")), MOMENTUM_UNIT)
    return keras.Model({"latent": latent, "signal": signal}, image, name="generator")


def _discriminator(dropout: float, spectral_norm: bool, seeds: SeedStream) -> keras.Model:
    def layer(kind, *arguments, **settings):
        made = kind(*arguments, kernel_initializer=seeds.glorot_uniform(), **settings)
        return with_norm(made, seeds) if spectral_norm else made

    image = keras.Input((*SHAPE, 1), name="image")
    x = layer(layers.Conv2D, 32, 5, padding="same")(ops.divide(image, MOMENTUM_UNIT))
    x = layers.Dropout(dropout, seed=seeds.next())(layers.LeakyReLU(negative_slope=0.3)(x))
    for kernel, stride in ((5, 2), (5, 1), (3, 2)):
        x = layers.ZeroPadding2D(kernel // 2)(x)
        x = layer(LocallyConnected2D, 8, kernel, strides=stride)(x)
        x = layers.LeakyReLU(negative_slope=0.3)(x)
        if not spectral_norm:
            x = layers.BatchNormalization()(x)
        x = layers.Dropout(dropout, seed=seeds.next())(x)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    likeness = MinibatchDiscrimination(20, 10, kernel_initializer=seeds.glorot_uniform())(x)
    x = layers.Concatenate(name="features")([likeness, x])
    heads = {name: layer(layers.Dense, 1, name=name)(x) for name in ("generation", "signal")}
    return keras.Model(image, heads, name="discriminator")


ARCHITECTURES = (
    Architecture(
        name="lagan",
        build=build,
        space="jet-image",
        conditions=("signal",),
        heads={
            "signal": Head(
                loss=lambda targets, logits: keras.losses.binary_crossentropy(targets, logits, from_logits=True),
                target=lambda labels, total: labels["signal"],
                class_label="signal",
            )
        },
        recipe={
            "weights": {"generation": 1.0, "signal": 1.0},
            "class_flip": 0.09,
            "optimizer": "adam",
            "learning_rate": 2e-4,
            "threshold": 1e-3,
        },
        citation="arXiv:1701.05927",
        parameters={"generator": 3_587_072, "discriminator": 1_398_834},
        batch_size=100,
    ),
)
