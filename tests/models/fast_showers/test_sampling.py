"""Sampled showers have the requested hits, energies and centres, and the frequencies that are predicted."""

import numpy as np

from calolab.models.fast_showers import sampling
from calolab.models.fast_showers.lattice import Lattice
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.quantities import measured
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


def logistic(shape, seed=0):
    uniform = np.random.default_rng(seed).random(shape)
    return np.log(uniform / (1 - uniform))


def test_hits_have_their_predicted_frequencies_where_their_number_is_free():
    lattice = Lattice(9, 5)
    zones, events = lattice.zones(1), 4000
    odds = np.random.default_rng(1).normal(0, 1.5, (zones.shape[1], 1, 1))
    left = np.full((1, events), 40, np.float32)
    noisy = (odds + logistic((len(odds), 1, events))).astype(np.float32)
    hits, allowed = np.ones((2, 1, events), np.float32), np.ones((2, 1, events), np.float32)
    found = np.asarray(sampling._hits(noisy, zones, left, hits, allowed, lattice.left(2)))
    expected = 1 / (1 + np.exp(-odds[:, 0, 0]))
    assert abs(found.mean(axis=(1, 2)) - expected).max() < 4 * 0.5 / np.sqrt(events)


def test_numbers_of_hits_are_exact_and_each_zone_with_energy_gets_one():
    lattice, random, events = Lattice(9, 5), np.random.default_rng(2), 3000
    allowed = (random.random((2, 1, events)) < 0.8).astype(np.float32)
    most = allowed[0] * 8 + allowed[1] * 72
    least = allowed.sum(axis=0)
    wanted = np.minimum(
        np.maximum(
            np.where(
                random.random((1, events)) < 0.5,
                random.integers(0, 4, (1, events)),
                random.integers(0, 81, (1, events)),
            ),
            least,
        ),
        most,
    ).astype(np.float32)
    hits, left = np.zeros_like(allowed), wanted.copy()
    for which in range(4):
        zones = lattice.zones(which)
        odds = random.normal(random.normal(-2, 2), 3, (zones.shape[1], 1, events)).astype(np.float32)
        found = np.asarray(sampling._hits(odds, zones, left, hits, allowed, lattice.left(which + 1)))
        hits = hits + np.einsum("kc,cle->kle", zones, found)
        left = wanted - hits.sum(axis=0)
    np.testing.assert_array_equal(hits.sum(axis=0), wanted)
    np.testing.assert_array_equal(hits > 0, allowed > 0)
    assert (wanted == most).sum() > 10 and (wanted == least).sum() > 10


def test_showers_have_the_requested_quantities():
    gan, lattice = small(), Lattice(9, 5)
    cells = randomised(gan.networks["cells"].get_layer("cells"), size=0.1)
    showers = 20 * sample(50).values[..., None]  # enough energy for the threshold of all hits
    showers[0] = 0
    wanted = measured(showers, lattice)
    noise = np.random.default_rng(3).standard_normal((50, 2 * 81 * 5)).astype(np.float32)
    conditions = np.random.default_rng(4).standard_normal((50, 5, 8)).astype(np.float32)
    found = measured(np.asarray(sampling.showers(cells, wanted.stacked(), conditions, noise)), lattice)
    np.testing.assert_array_equal(found.hits, wanted.hits)
    for zone in ("core", "ring", "outside"):
        energy, aim = np.asarray(getattr(found, zone)), np.asarray(getattr(wanted, zone))
        np.testing.assert_allclose(energy, aim, rtol=1e-4, atol=1e-9)
        np.testing.assert_array_equal(energy > 0, aim > 0)
    many = np.asarray(wanted.hits) > 12
    for axis in ("x", "y"):
        centres = [np.asarray(getattr(one, axis))[many] for one in (found, wanted)]
        assert np.corrcoef(*centres)[0, 1] > 0.6


def test_a_threshold_counts_exactly():
    scores = np.random.default_rng(5).normal(0, 5, (60, 4, 200)).astype(np.float32)
    number = np.random.default_rng(6).integers(0, 61, (4, 200)).astype(np.float32)
    threshold = np.asarray(sampling._threshold(scores, number))
    np.testing.assert_array_equal((scores >= threshold).sum(axis=0), number)


def test_energies_of_a_zone_with_too_little_energy_are_the_threshold():
    cells = small().networks["cells"].get_layer("cells")
    excess = np.full((81, 5, 1), -1.0, np.float32)
    ring = np.flatnonzero(np.ravel(cells.lattice.zone)[cells.lattice.order] == 1)
    excess[ring[:3]] = 1e-3
    zero = np.zeros((5, 1), np.float32)
    wanted = LayerQuantities(zero + 3, zero, zero + 2 * THRESHOLD, zero, zero, zero, zero)
    hits = np.stack([zero + 3, zero])
    made = np.asarray(sampling._finished(cells, excess, wanted, hits))
    np.testing.assert_allclose(made[ring[:3]], THRESHOLD, rtol=1e-5)
    assert (made > 0).sum() == 15
