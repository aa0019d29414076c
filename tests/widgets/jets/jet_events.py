"""Events of the whole detector for JetComparison, with jets of a known kind."""

import numpy as np

from calolab import spaces
from calolab.samples import Sample

SPACE = spaces.space("whole-detector")


def make_events(events=40, seed=1, jets_per_event=3, energy=400.0, labels=True):
    """Events with a few clusters of energy; the first event is empty."""
    random = np.random.default_rng(seed)
    values = np.zeros((events, *SPACE.shape), np.float32)
    for value in values[1:]:
        for _ in range(random.poisson(jets_per_event)):
            eta, phi = random.integers(16, 48), random.integers(0, 64)
            for _ in range(12):
                place = eta + random.integers(-4, 5), (phi + random.integers(-4, 5)) % 64
                value[place] += random.exponential(energy / 8)
    masses = {"gluino_mass": np.full(events, 1400.0), "neutralino_mass": np.full(events, 850.0)}
    return Sample(values, masses if labels else {}, SPACE)


def make_pileup(events, mu, seed):
    random = np.random.default_rng(seed)
    values = random.exponential(1.0, (events, *SPACE.shape)) * (random.random((events, *SPACE.shape)) < mu / 400)
    return Sample(values, {"mu": np.full(events, mu)}, SPACE)


def other_mass(sample, gluino_mass=1800.0):
    return Sample(sample.values, {**sample.labels, "gluino_mass": np.full(len(sample), gluino_mass)}, SPACE)
