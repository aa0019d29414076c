"""DCGANs of whole events: RPV supersymmetry, alone or at given masses, and pile-up (EPJ Web Conf. 214 (2019) 09005).

The three share their layers. Conditions are appended to the latent vector, and each is a further channel of the
discriminator's image. Energies enter linearly, as published: in GeV outside the networks, in units of `image_norm`
inside.
"""

from __future__ import annotations

from functools import partial

import keras
from keras import ops

from calolab.models.architecture import Architecture, check_shape
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream
from calolab.models.layers import dcgan
from calolab.spaces import Space

SHAPE = (64, 64)
# Below this fraction of `image_norm`, less than any real pixel, a power below 1 is replaced by a straight line.
FAINT = 1e-5
# (origin, unit) of each condition; the networks receive (value - origin) / unit.
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
    """Build a DCGAN of whole events; the `build` of each of `ARCHITECTURES` sets the first two arguments.

    The initial weights are PyTorch's, uniform up to the inverse square root of the fan-in. `periodic` is not published:
    those networks pad phi with zeros like eta, and the angles of their jets are the least accurate of all observables.

    Args:
        architecture: name in the registry.
        conditions: labels of the events to generate, a subset of `CONDITIONS`.
        space: a space whose values have shape (64, 64), e.g. `whole-detector`.
        seed: seed of the initial weights.
        latent_size: length of the latent vector (published: 64; 16 in the best trial of the scan).
        filters: channels of the largest maps (published: 16; 128 in the best trial of the scan).
        image_norm: the largest energy in a pixel that can be generated [GeV].
        threshold: generated pixels up to this energy are set to zero [GeV].
        power: the networks process (energy / image_norm) to this power (published: 1); with 0.3 the many faint pixels
            get more weight, as the cells of 3DGAN do with 0.85 (arXiv:2109.07388).
        batch_norm: whether the discriminator normalises batches; set it to False for WGAN-GP, whose penalty is defined
            for single events.
        spectral_norm: whether the discriminator normalises its kernels instead (arXiv:1802.05957).
        periodic: whether both networks treat phi as periodic.

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
        networks={
            "generator": _generator(latent_size, conditions, filters, image_norm, threshold, power, style),
            "discriminator": _discriminator(conditions, filters, image_norm, power, style),
        },
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
        # The slope of the root would be unbounded at zero.
        straight = ops.multiply(x, FAINT ** (power - 1))
        x = ops.where(ops.greater(x, FAINT), ops.power(ops.maximum(x, FAINT), power), straight)
    if conditions:
        everywhere = ops.ones_like(x)
        columns = [ops.reshape(_scaled(name, inputs[name]), (-1, 1, 1, 1)) for name in conditions]
        x = ops.concatenate([x, *(ops.multiply(everywhere, column) for column in columns)], axis=-1)
    heads = dcgan.discriminator_heads(x, [filters, 2 * filters, 4 * filters, 8 * filters], style)
    return keras.Model({"image": image, **inputs} if conditions else image, heads, name="discriminator")


def _inputs(conditions):
    return {name: keras.Input((1,), name=name) for name in conditions}


def _scaled(name, column):
    origin, unit = CONDITIONS[name]
    return ops.divide(ops.subtract(column, origin), unit)


def _nonlinear(settings) -> str:
    power = settings.get("power", 1)
    return (
        ""
        if power == 1
        else f"it was built with power={power}, whose slope is unbounded at zero; build it with power=1"
    )


def _architecture(name, conditions, parameters, **settings) -> Architecture:
    return Architecture(
        name=name,
        build=partial(build, name, conditions, **settings),
        space="whole-detector",
        conditions=conditions,
        heads={},
        recipe={**dcgan.RECIPE, "threshold": 0.5},
        citation="EPJ Web Conf. 214 (2019) 09005",
        parameters=parameters,
        batch_size=64,
        nonlinear=_nonlinear,
    )


ARCHITECTURES = (
    _architecture("rpv", (), {"generator": 304_320, "discriminator": 175_232}),
    _architecture(
        "conditional-rpv", ("gluino_mass", "neutralino_mass"), {"generator": 308_416, "discriminator": 175_744}
    ),
    # At mu = 200 a forward pixel has a mean energy of about 10 GeV; only the rare jets among the collisions deposit
    # some hundred GeV in one pixel.
    _architecture("pileup", ("mu",), {"generator": 306_368, "discriminator": 175_488}, image_norm=500.0),
)
