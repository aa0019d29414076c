"""The scorecard: features of showers, and the distances between two samples of them."""

import numpy as np
from figures import Figure, doing, peak_memory, seconds

EVENTS, REPEATED = 5000, 10
THRESHOLD = 0.5e-6 / 0.033  # of a cell in the CaloChallenge's datasets 2 and 3 [GeV]


class Repeated:
    """A stream of `REPEATED` times the same events, so that the memory shows whether it grows with the sample."""

    def __init__(self, sample):
        self.sample, self.space = sample, sample.space
        self.labels = {name: np.tile(column, REPEATED) for name, column in sample.labels.items()}

    def __len__(self):
        return REPEATED * len(self.sample)

    def in_order(self):
        """The events, in `REPEATED` blocks."""
        for _ in range(REPEATED):
            yield self.sample


def cells():
    """Showers in the cells of dataset 2, a fifth of them above the threshold, with energies over five decades."""
    from calolab import spaces
    from calolab.samples import Sample

    space, rng = spaces.space("calochallenge-2"), np.random.default_rng(1)
    values = rng.random((EVENTS, *space.shape), dtype=np.float32)
    values = np.where(values < 0.2, 10 ** (25 * values - 5), 0)
    return Sample(values, {"energy": rng.uniform(1, 1000, EVENTS)}, space)


def features():
    """High-level features and the features for classifiers, from a stream, on all cores."""
    from calolab.validation.features import high_level, shower_features

    stream = Repeated(cells())
    before, size = peak_memory(), len(stream)
    doing("high-level features")
    found = []
    taken = seconds(lambda: found.append(high_level(stream, THRESHOLD)), repeats=2)
    note = f"100,000 showers of 45 x 16 x 9 cells in {1e5 * taken / size:.0f} s"
    yield Figure("high-level features of the CaloChallenge's dataset 2", size / taken, "showers/s", note)
    result = (found[0].values.nbytes + found[0].spectrum.nbytes) / 1e6
    note = f"{result:.0f} MB of features from {4e-6 * size * stream.space.n_cells:.0f} MB of cells"
    yield Figure("additional peak memory of these features", peak_memory() - before, "MB", note)
    doing("features for classifiers")
    taken = seconds(lambda: shower_features(stream.sample, THRESHOLD), repeats=2)
    yield Figure("features for classifiers, dataset 2", EVENTS / taken, "showers/s")


def distances():
    """FPD, KPD and nearest neighbours of features, 10,000 events in each sample, on all cores."""
    from calolab.validation.frechet import frechet_physics_distance, kernel_physics_distance
    from calolab.validation.neighbours import manifold_overlap

    events, size = 10_000, 200
    both = np.random.default_rng(1).normal(size=(2, events, size))
    note = f"{events} events in each sample, {size} features"
    for name, function in (
        ("FPD", frechet_physics_distance),
        ("KPD", kernel_physics_distance),
        ("precision, recall, density and coverage", manifold_overlap),
    ):
        doing(name)
        yield Figure(name, seconds(lambda: function(*both), repeats=2), "s", note)  # noqa: B023
    yield Figure("peak memory of these distances", peak_memory(), "MB")
