"""A small calorimeter and random showers for the tests of calolab-fast."""

import numpy as np

from calolab import models
from calolab.models.architectures import calolab_fast
from calolab.samples import Sample
from calolab.spaces import Layer, Space, pad_edges

THRESHOLD = 3e-5


def space(side=9, layers=5):
    pads = pad_edges(side, 5.0)
    return Space(
        f"small-{side}",
        ("x", "y", "z"),
        ("mm", "mm", "mm"),
        tuple(Layer((pads, pads), depth=(2.0 * i, 2.0 * i + 2.0)) for i in range(layers)),
    )


def sample(events=60, side=9, layers=5, seed=0):
    """Showers whose hits and energies fall with the distance to the centre, some with empty layers."""
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 100, events)
    axis = np.arange(side) - side // 2
    radius = np.hypot(axis[:, None], axis)[..., None]
    depth = np.array([0.2, 1.0, 0.8, 0.3, 0.05] * layers)[:layers] * (energy / 50)[:, None, None, None]
    hits = random.random((events, side, side, layers)) < np.minimum(0.95, 1.2 * depth**0.5 * np.exp(-radius / 1.5))
    values = THRESHOLD + 2e-3 * depth * np.exp(-radius) * random.exponential(1, hits.shape)
    return Sample(np.where(hits, values, 0.0), {"energy": energy}, space(side, layers))


def small(side=9, layers=5, seed=1, fitted=True, **settings):
    """An untrained GAN, with constants that are fitted to random showers."""
    settings = {"width": 16, "blocks": 1, "steps": 2, "hidden": 8, "far_hidden": 5, "context": 6, **settings}
    gan = models.build("calolab-fast", space(side, layers), seed=seed, **settings)
    if fitted:
        calolab_fast.prepare(gan, sample(200, side, layers, seed=9))
    return gan


def randomised(network, seed=0, size=0.3):
    """Give a network random weights, so that nothing is zero."""
    random = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        variable.assign(variable.numpy() + random.normal(0, size, variable.shape))
    return network
