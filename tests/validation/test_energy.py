import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.observables.energy import energy_bins, response, visible_energy, visible_fraction

IMAGE = spaces.Space("pair", ("x",), ("mm",), (spaces.Layer(edges=((0, 1, 2),)),))


def test_visible_fraction_by_hand():
    sample = Sample([[1.0, 2.0], [0.0, 0.0]], {"energy": [150.0, 10.0]}, IMAGE)
    assert visible_energy(sample) == pytest.approx([3.0, 0.0])
    assert visible_fraction(sample) == pytest.approx([0.02, 0.0])


def test_visible_fraction_needs_positive_energies():
    with pytest.raises(ValueError, match="label 'energy'"):
        visible_fraction(Sample([[1.0, 2.0]], {"theta": [1.0]}, IMAGE))
    with pytest.raises(ValueError, match="positive"):
        visible_fraction(Sample([[1.0, 2.0]], {"energy": [0.0]}, IMAGE))


def test_response_finds_the_resolution_that_was_put_in():
    rng = np.random.default_rng(0)
    energy = rng.uniform(5, 200, 60_000)
    visible = 0.02 * energy * (1 + rng.normal(size=len(energy)) * np.sqrt(0.15**2 / energy + 0.01**2))
    sample = Sample(np.stack([visible / 2, visible / 2], axis=1), {"energy": energy}, IMAGE)
    curve = response(sample, energy_bins(energy, most=25))
    assert np.all(np.abs(curve.fraction - 0.02) < 5 * curve.fraction_error)
    assert curve.stochastic == pytest.approx(0.15, rel=0.03) and curve.constant == pytest.approx(0.01, rel=0.15)
    expected = np.sqrt(0.15**2 / curve.energy + 0.01**2)
    pulls = (curve.resolution - expected) / curve.resolution_error
    assert np.all(np.abs(pulls[2:]) < 4)  # in the lowest bins the resolution changes within the bin


def test_energy_bins_keep_single_energies_apart():
    edges = energy_bins(np.repeat([10.0, 50.0, 100.0], 20))
    assert np.histogram([10.0, 50.0, 100.0], edges)[0].tolist() == [1, 1, 1]
    energy = np.random.default_rng(1).uniform(10, 100, 1000)
    assert np.histogram(energy, energy_bins(energy))[0].tolist() == [100] * 10


def test_a_curve_without_enough_events_is_empty():
    sample = Sample(np.ones((4, 2)), {"energy": [1.0, 2.0, 3.0, 4.0]}, IMAGE)
    curve = response(sample, np.array([0.0, 10.0]))
    assert len(curve.energy) == 0 and np.isnan(curve.stochastic)
    assert curve.to_dict()["energy"] == []
