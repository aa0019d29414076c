"""CosmoGAN: the DCGAN of weak-lensing convergence maps of 256 x 256 pixels (arXiv:1706.02390)."""

from __future__ import annotations

import keras
from keras import ops

from calolab.models.architecture import Architecture, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream
from calolab.models.layers import dcgan
from calolab.spaces import Space

SHAPE = (256, 256)


def build(
    space: Space,
    *,
    seed: int = 0,
    latent_size: int = 64,
    scale: float = 0.6,
    batch_norm: bool = True,
    spectral_norm: bool = False,
) -> GAN:
    """Build the published CosmoGAN: 12,826,369 parameters in the generator, 4,438,017 in the discriminator.

    Args:
        space: a space whose values have shape (256, 256), e.g. `convergence`.
        seed: seed of the initial weights.
        latent_size: length of the latent vector (published: 64).
        scale: convergence = scale * tanh of the generator's last layer, so its absolute value is less than `scale`. The
            default covers the peaks of 0.5 behind massive clusters; for maps below 0.1, 0.2 is the better choice.
        batch_norm: whether the discriminator normalises batches; set it to False for WGAN-GP, whose penalty is defined
            for single maps.
        spectral_norm: whether the discriminator normalises its kernels instead (arXiv:1802.05957).

    Returns:
        An untrained `GAN` without conditions, its generator's output a convergence.

    Raises:
        ValueError: if the space has another shape, or a number is out of range.
    """
    check_shape("cosmogan", space, SHAPE, "convergence")
    if latent_size < 1 or not scale > 0:
        raise ValueError(f"latent_size must be at least 1 and scale positive, received {latent_size} and {scale}.")
    seeds = SeedStream(seed)
    style = dcgan.Style(
        kernel=5,
        use_bias=True,
        initializer=lambda fan_in: seeds.normal(0.02),
        seeds=seeds,
        batch_norm=batch_norm,
        spectral_norm=spectral_norm,
    )
    latent = keras.Input((latent_size,), name="latent")
    maps = ops.multiply(ops.tanh(dcgan.upsample(latent, 16, [512, 256, 128, 64, 1], style)), scale)
    image = keras.Input((*SHAPE, 1), name="image")
    heads = dcgan.discriminator_heads(ops.divide(image, scale), [64, 128, 256, 512], style)
    return GAN(
        architecture="cosmogan",
        space=space,
        networks={
            "generator": keras.Model({"latent": latent}, maps, name="generator"),
            "discriminator": keras.Model(image, heads, name="discriminator"),
        },
        latent_size=latent_size,
        conditions=(),
        value_scale=scale,
        settings={
            "seed": seed,
            "latent_size": latent_size,
            "scale": scale,
            "batch_norm": batch_norm,
            "spectral_norm": spectral_norm,
        },
    )


ARCHITECTURES = (
    Architecture(
        name="cosmogan",
        build=build,
        space="convergence",
        conditions=(),
        heads={},
        recipe={**dcgan.RECIPE, "batch_flip": 0.01, "threshold": None},
        citation="arXiv:1706.02390",
        parameters={"generator": 12_826_369, "discriminator": 4_438_017},
        batch_size=64,
    ),
)
