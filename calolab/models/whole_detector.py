"""DCGANs of whole events: RPV supersymmetry, alone or at given masses, and pile-up (EPJ Web Conf. 214 (2019) 09005).

The three are one architecture. Conditions join the latent vector, and the discriminator sees each as an image of its
own beside the energies. Energies are linear as published: in GeV outside the networks, in units of `image_norm` inside.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import ops

from calolab.models import dcgan
from calolab.models.gan import GAN, check_shape
from calolab.models.initial_weights import SeedStream
from calolab.spaces import Space

SHAPE = (64, 64)
# Below this fraction of `image_norm`, less than any real pixel, a power below 1 gives way to a straight line.
FAINT = 1e-5
# What the networks see of a condition: (value - origin) / unit.
CONDITIONS = {"gluino_mass": (1400.0, 500.0), "neutralino_mass": (250.0, 1400.0), "mu": (0.0, 200.0)}


def build(
    architecture: str,
    conditions: tuple[str, ...],
    space: Space,
    *,
    seed: int = 0,
    latent_size: int = 64,
    filters: int = 16,
    image_norm: float = 4000.0,
    threshold: float = 0.5,
    power: float = 1.0,
    batch_norm: bool = True,
    spectral_norm: bool = False,
    periodic: bool = False,
) -> GAN:
    """A DCGAN of whole events; `build_rpv`, `build_conditional_rpv` and `build_pileup` know the first two arguments.

    The initial weights are PyTorch's, uniform up to one over the root of the fan-in. `periodic` is not published: those
    networks pad phi with zeros like eta, and the angles of their jets come out worst.

    Args:
        architecture: name in the registry.
        conditions: labels of the events to make, of those in `CONDITIONS`.
        space: a space whose values have shape (64, 64), e.g. `whole-detector`.
        seed: seed of the initial weights.
        latent_size: length of the latent vector (published: 64, in the best of the scan 16).
        filters: channels of the largest maps (published: 16, in the best of the scan 128).
        image_norm: the largest energy in a pixel that can be generated [GeV].
        threshold: generated pixels up to this are empty [GeV].
        power: the networks see (energy / image_norm) to this power (published: 1); 0.3 brings the many faint pixels
            within reach, as the 0.85 of 3DGAN does for cells (arXiv:2109.07388).
        batch_norm: whether the discriminator normalises batches; WGAN-GP, which looks at single events, should not.
        spectral_norm: whether the discriminator normalises its kernels instead (arXiv:1802.05957).
        periodic: whether both networks know that phi is a circle.

    Returns:
        An untrained `GAN`, its generator's output in GeV.

    Raises:
        ValueError: if the space has another shape, or a number is out of range.
    """
    check_shape(architecture, space, SHAPE, "whole-detector")
    if min(latent_size, filters) < 1:
        raise ValueError(f"latent_size and filters must be at least 1, received {latent_size} and {filters}.")
    if not 0 <= threshold < image_norm:
        raise ValueError(f"0 <= threshold < image_norm is expected [GeV], received {threshold} and {image_norm}.")
    if not 0 < power <= 1:
        raise ValueError(f"power is expected above 0 and up to 1, received {power}.")
    seeds = SeedStream(seed)
    style = dcgan.Style(
        kernel=4,
        use_bias=False,
        initializer=lambda fan_in: seeds.uniform(fan_in**-0.5),
        seeds=seeds,
        batch_norm=batch_norm,
        spectral_norm=spectral_norm,
        periodic=periodic,
    )
    return GAN(
        architecture=architecture,
        space=space,
        generator=_generator(latent_size, conditions, filters, image_norm, threshold, power, style),
        discriminator=_discriminator(conditions, filters, image_norm, power, style),
        latent_size=latent_size,
        conditions=conditions,
        value_scale=image_norm,
        settings={
            "seed": seed,
            "latent_size": latent_size,
            "filters": filters,
            "image_norm": image_norm,
            "threshold": threshold,
            "power": power,
            "batch_norm": batch_norm,
            "spectral_norm": spectral_norm,
            "periodic": periodic,
        },
    )


# 304,320 parameters in the generator, 175,232 in the discriminator.
build_rpv = partial(build, "rpv", ())
# 308,416 and 175,744; interpolates between the masses that it has seen.
build_conditional_rpv = partial(build, "conditional-rpv", ("gluino_mass", "neutralino_mass"))
# 306,368 and 175,488. At mu = 200 a forward pixel holds about 10 GeV on average; only the rare jets among the
# collisions leave some hundred GeV in one.
build_pileup = partial(build, "pileup", ("mu",), image_norm=500.0)


def _generator(latent_size, conditions, filters, image_norm, threshold, power, style) -> keras.Model:
    inputs = {"latent": keras.Input((latent_size,), name="latent"), **_inputs(conditions)}
    vector = [inputs["latent"], *(_scaled(name, inputs[name]) for name in conditions)]
    vector = ops.concatenate(vector, axis=-1) if conditions else inputs["latent"]
    x = dcgan.upsample(vector, 4, [8 * filters, 4 * filters, 2 * filters, filters, 1], style)
    energies = ops.multiply(ops.power(ops.sigmoid(x), 1 / power), image_norm)
    return keras.Model(inputs, ops.where(ops.greater(energies, threshold), energies, 0.0), name="generator")


def _discriminator(conditions, filters, image_norm, power, style) -> keras.Model:
    image = keras.Input((*SHAPE, 1), name="image")
    inputs = _inputs(conditions)
    x = ops.divide(image, image_norm)
    if power != 1:
        # At zero the root's slope would have no bounds.
        straight = ops.multiply(x, FAINT ** (power - 1))
        x = ops.where(ops.greater(x, FAINT), ops.power(ops.maximum(x, FAINT), power), straight)
    if conditions:
        everywhere = ops.ones_like(x)
        columns = [ops.reshape(_scaled(name, inputs[name]), (-1, 1, 1, 1)) for name in conditions]
        x = ops.concatenate([x, *(ops.multiply(everywhere, column) for column in columns)], axis=-1)
    heads = dcgan.judge(x, [filters, 2 * filters, 4 * filters, 8 * filters], style)
    return keras.Model({"image": image, **inputs} if conditions else image, heads, name="discriminator")


def _inputs(conditions):
    return {name: keras.Input((1,), name=name) for name in conditions}


def _scaled(name, column):
    origin, unit = CONDITIONS[name]
    return ops.divide(ops.subtract(column, origin), unit)
