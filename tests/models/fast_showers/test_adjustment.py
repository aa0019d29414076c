"""Energies of hits are moved along their own distributions until zones have what was requested."""

import numpy as np
import pytest

from calolab.models.fast_showers.adjustment import adjusted
from tests.models.fast_showers.showers import THRESHOLD

WIDTH, CELLS = 0.6, 20  # standard deviation of the log energies; number of cells, the first five of which are a zone
ZONES = np.stack([np.arange(CELLS) < 5, np.arange(CELLS) >= 5]).astype(np.float32)


def drawn(events, seed=7, chance=1.0):
    """Energies of hits, `(cell, layer, event)` [GeV]."""
    random = np.random.default_rng(seed)
    logs = 4 + WIDTH * random.standard_normal((CELLS, 3, events))
    return (np.where(random.random(logs.shape) < chance, THRESHOLD * np.exp(logs), 0)).astype(np.float32)


def sums(energies):
    return np.einsum("zc,cle->zle", ZONES, energies)


def moved(energies, wanted, width=WIDTH):
    widths = np.full(energies.shape, width, np.float32)
    return np.asarray(adjusted(energies, THRESHOLD, widths, widths, ZONES, wanted.astype(np.float32)))


def test_energies_are_moved_to_the_requested_sums():
    energies = drawn(200, chance=0.7)
    wanted = sums(energies) * np.array([1.3, 0.8])[:, None, None]
    made = moved(energies, wanted)
    np.testing.assert_array_equal(made > 0, energies > 0)
    some = sums(energies) > 0
    assert np.quantile(abs(np.log(sums(made)[some] / wanted[some])), 0.9) < 0.01


@pytest.mark.parametrize("number", [1, 2])
def test_zones_with_few_hits_get_what_is_requested(number):
    energies = np.zeros((CELLS, 3, 1), np.float32)
    energies[:number] = 1e-3
    for factor in (0.1, 0.5, 2.0, 5.0):
        wanted = factor * sums(energies)
        np.testing.assert_allclose(sums(moved(energies, wanted, width=1.5))[0], wanted[0], rtol=0.01)


def test_requests_that_are_distributed_as_the_draws_leave_the_distribution_of_energies_as_it_is():
    """Normal numbers that are conditioned on sums like theirs remain standard normal numbers."""
    wanted = sums(drawn(4000, seed=8))
    made = moved(drawn(4000), wanted)
    logs = np.log(made / THRESHOLD)
    assert logs.std() == pytest.approx(WIDTH, rel=0.02) and logs.mean() == pytest.approx(4.0, abs=0.02)
    expected = 4 + WIDTH * np.array([-2.326, -1.282, 1.282, 2.326])
    np.testing.assert_allclose(np.quantile(logs, [0.01, 0.1, 0.9, 0.99]), expected, atol=0.15)  # zones of five hits
    assert np.quantile(abs(np.log(sums(made) / wanted)), 0.95) < 0.005


def test_energies_rise_and_fall_as_their_distributions_allow():
    energies = np.zeros((CELLS, 1, 1), np.float32)
    energies[:2] = 1e-3
    rises, falls = np.zeros((2, *energies.shape), np.float32)
    rises[0], falls[1] = 0.5, 0.5  # the first energy can only be higher, the second one only lower
    for wanted, expected in ((2.5e-3, [1.5e-3, 1e-3]), (1.6e-3, [1e-3, 6e-4])):
        request = np.array([wanted, 0.0], np.float32)[:, None, None]
        made = np.asarray(adjusted(energies, THRESHOLD, rises, falls, ZONES, request))
        np.testing.assert_allclose(made[:2, 0, 0], expected, rtol=0.03)


def test_an_impossible_request_leaves_energies_within_their_distributions():
    """Both hits have nearly the same energy, like single particles: they keep it."""
    energies = np.zeros((CELLS, 3, 1), np.float32)
    energies[:2] = 1.5e-4
    for factor in (0.1, 30.0):
        made = moved(energies, factor * sums(energies), width=0.05)
        assert (made > 0).sum() == 6 and abs(np.log(made[:2] / energies[:2])).max() < 0.13
    assert moved(energies, 1e-3 * sums(energies), width=5.0)[:2].min() == np.float32(THRESHOLD)
