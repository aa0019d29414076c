"""Showers made of a few lines, quick and with known moments."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample


def make_showers(events, seed, *, energy=(10, 100), depth=50.0, scale=1.0, space="clic-ecal", quiet=0):
    """Gamma profile around a fluctuating `depth` [mm], two Gaussians across, Poisson deposits of 0.2 MeV."""
    rng = np.random.default_rng(seed)
    space = spaces.space(space)
    energies = rng.uniform(*energy, events)
    mean = depth * rng.normal(1, 0.08, (events, 1)) * (energies[:, None] / 50) ** 0.06
    z = space.centres("z")
    along = (z / mean) ** 3 * np.exp(-4 * z / mean)
    x = space.centres("x")
    across = np.exp(-0.5 * (x / 4.0) ** 2) + 0.05 * np.exp(-0.5 * (x / 15.0) ** 2)
    expected = np.einsum("x,y,ez->exyz", across, across, along)
    expected *= (0.02 * scale * energies / expected.sum(axis=(1, 2, 3)))[:, None, None, None]
    values = 2e-4 * rng.poisson(expected / 2e-4)
    values[:quiet] = 0
    return Sample(values, {"energy": energies}, space, {"simulation": "toy", "seed": seed})


@pytest.fixture(scope="session")
def showers():
    """Two samples of one distribution and one that lies deeper and higher, with three empty showers."""
    return make_showers(400, 1), make_showers(400, 2), make_showers(400, 3, depth=56.0, scale=1.1, quiet=3)


@pytest.fixture(scope="session")
def flat_showers():
    """Random cells in the three unequal layers of CaloGAN."""
    space = spaces.space("calogan")
    rng = np.random.default_rng(5)
    values = rng.exponential(0.01, (60, *space.shape)) * (rng.random((60, *space.shape)) < 0.3)
    return Sample(values, {"energy": rng.uniform(1, 100, 60)}, space)


@pytest.fixture(scope="session")
def make():
    """`make_showers`, to make more."""
    return make_showers
