"""Comparisons and views of showers in every calorimeter, also cylinders and layers that differ."""

import numpy as np
import pytest

from calolab import Sample, spaces, validation
from calolab.widgets import ProfileExplorer, SliceViewer


def showers(space, seed, n=30):
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 100, n)
    values = np.where(random.random((n, space.n_cells)) < 0.2, random.exponential(1, (n, space.n_cells)), 0)
    values *= (0.9 * energy / values.sum(axis=1))[:, None]
    return Sample(values.reshape(n, *space.shape), {"energy": energy}, space)


@pytest.mark.parametrize(
    "name", ["calogan", "calochallenge-photons", "calochallenge-pions", "calochallenge-2", "par04-low"]
)
def test_showers_are_compared_and_shown(name):
    reference, generated = (showers(spaces.space(name), seed) for seed in (1, 2))
    report = validation.compare(reference, generated)
    assert report.space is reference.space and report.events == (30, 30)
    assert report.scores and all(np.isfinite(score.value) for score in report.scores.values())
    report.plot()
    ProfileExplorer(reference, generated)
    viewer = SliceViewer(reference, generated)
    assert viewer.slices[reference.space.axes[-1]] == len(reference.space.layers)
    assert viewer._repr_png_()
