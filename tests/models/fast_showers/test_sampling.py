"""Sampled showers have the requested hits, energies and centres, and the frequencies that are predicted."""

from dataclasses import replace

import numpy as np
import pytest

from calolab.models.fast_showers import losses, sampling
from calolab.models.fast_showers.lattice import PARTS, PASSES, Lattice, Part
from calolab.models.fast_showers.layer_quantities import LayerQuantities
from calolab.models.fast_showers.quantities import measured
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_hits_have_their_predicted_frequencies_and_spread_where_their_number_is_free(spread):
    lattice, random = Lattice(9, 5), np.random.default_rng(1)
    zones, events = lattice.zones(Part(1)), 4000
    odds = random.normal(0, 1.5, (zones.shape[1], 1, 1)) + np.zeros((1, 1, events))
    left, uniform = np.full((1, events), 40, np.float32), random.random(odds.shape).astype(np.float32)
    hits, allowed = np.ones((2, 1, events), np.float32), np.ones((2, 1, events), np.float32)
    given = (odds.astype(np.float32), uniform, zones, left, hits, allowed, lattice.left(1, 2), spread)
    found = np.asarray(sampling._hits(*given))
    expected = 1 / (1 + np.exp(-odds[:, 0, 0]))
    tolerance = 4 * 0.5 / np.sqrt(events) + 0.02 * (spread < 1)  # the most likely cells are chosen more often
    assert abs(found.mean(axis=(1, 2)) - expected).max() < tolerance
    width = np.sqrt(np.sum(expected * (1 - expected)))
    rounding = 1 / 12 * (spread < 1)
    assert found.sum(axis=0).std() == pytest.approx(np.hypot(spread * width, rounding**0.5), rel=0.05)


@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_correlated_numbers_are_normal_and_their_sums_have_the_spread(spread):
    random, groups = np.random.default_rng(1), 20_000
    sizes = np.array([1, 2, 6])
    places = np.repeat(np.arange(3 * groups), np.tile(sizes, groups)).astype(np.int32)
    normal = random.standard_normal(len(places)).astype(np.float32)
    weights = np.tile(np.array([1, 1, 3, *range(1, 7)], np.float32), groups)
    found = np.asarray(sampling.correlated(normal, weights, places, 3 * groups, spread)).reshape(groups, 9)
    np.testing.assert_allclose(found.std(axis=0), 1.0, atol=0.02)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose(found[:, 0], normal.reshape(groups, 9)[:, 0], atol=1e-5)  # alone
    sums = found[:, 3:] @ np.arange(1, 7) / np.sqrt(np.sum(np.arange(1, 7) ** 2))
    assert sums.std() == pytest.approx(spread, abs=0.12 * (spread < 1) + 0.02)


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
    for number, part in enumerate(PARTS[0]):
        zones = lattice.zones(part)
        odds = random.normal(random.normal(-2, 2), 2, (zones.shape[1], 1, events)).astype(np.float32)
        uniform = random.random(odds.shape).astype(np.float32)
        later = lattice.left(0, number + 1)
        found = np.asarray(sampling._hits(odds, uniform, zones, left, hits, allowed, later, 0.7))
        hits = hits + np.einsum("kc,cle->kle", zones, found)
        left = wanted - hits.sum(axis=0)
    np.testing.assert_array_equal(hits.sum(axis=0), wanted)
    np.testing.assert_array_equal(hits > 0, allowed > 0)
    assert (wanted == most).sum() > 10 and (wanted == least).sum() > 10


def test_showers_have_the_requested_quantities():
    gan, lattice = small(), Lattice(9, 5)
    cells = randomised(gan.networks["cells"].get_layer("cells"), size=0.1)
    showers = sample(300).values[..., None]
    showers[0] = 0
    wanted = measured(showers, lattice)
    noise = np.random.default_rng(3).standard_normal((300, 2 * 81 * 5)).astype(np.float32)
    conditions = np.random.default_rng(4).standard_normal((300, 5, 8)).astype(np.float32)
    found = measured(np.asarray(sampling.showers(cells, wanted.stacked(), conditions, noise)), lattice)
    np.testing.assert_array_equal(found.hits, wanted.hits)
    np.testing.assert_allclose(found.core, wanted.core, rtol=1e-4, atol=1e-9)
    for zone in ("ring", "outside"):
        energy, aim = np.asarray(getattr(found, zone)), np.asarray(getattr(wanted, zone))
        np.testing.assert_array_equal(energy > 0, aim > 0)
        # Where all hits have little energy, they keep it.
        energetic = aim > 1e-3
        assert energetic.sum() > 20
        assert np.median(abs(np.log(energy[energetic] / aim[energetic]))) < 0.5
    many = np.asarray(wanted.hits) > 12
    for axis in ("x", "y"):
        centres = [np.asarray(getattr(one, axis))[many] for one in (found, wanted)]
        # The places of the hits are random here, and most hits have little energy: without correction 0.00 ± 0.05.
        assert np.corrcoef(*centres)[0, 1] > 0.15


def test_cells_are_drawn_from_the_neighbours_with_which_they_are_trained(monkeypatch):
    """In all orders of cells: near and far ones, quarters, classes and layers. Energies are moved afterwards."""
    gan, events = small(21, 5, hidden=4, context=3), 6
    cells = randomised(gan.networks["cells"].get_layer("cells"), size=0.1)
    seen, states = [], cells.states

    def record(group, part, known, neighbours, *others):
        seen.append([np.asarray(one) for one in known] + [np.asarray(one) for one in neighbours or ()])
        return states(group, part, known, neighbours, *others)

    monkeypatch.setattr(cells, "states", record)
    wanted = measured(sample(events, 21, 5).values[..., None], cells.lattice)
    noise = np.random.default_rng(3).standard_normal((events, 2 * 21**2 * 5)).astype(np.float32)
    conditions = np.zeros((events, 5, 8), np.float32)
    showers = sampling.showers(cells, wanted.stacked(), conditions, noise)
    drawn, seen[:] = list(seen), []
    list(losses.predictions(cells, showers, conditions, np.zeros((2, 5, events), np.float32)))
    assert len(drawn) == len(seen) == len(PASSES) and sum(map(len, drawn)) == 6 + 3 * 6 + 2 * 8
    for (_, part), generated, trained in zip(PASSES, drawn, seen, strict=True):
        sources = len(cells.lattice.sources(part))
        for one, other in zip(generated[:sources], trained[:sources], strict=True):
            np.testing.assert_array_equal(one[::2], other[::2])  # hits; their energies are the odd ones
        for one, other in zip(generated[sources:], trained[sources:], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_energies_are_moved_to_the_requested_centre_and_spread():
    """Independent energies of many hits, whose centre and spread are to be a little different."""
    lattice, random = Lattice(9, 5), np.random.default_rng(7)
    values = (random.random((200, 9, 9, 5)) < 0.6) * random.exponential(3e-3, (200, 9, 9, 5))
    values = np.where(values > 0, values + THRESHOLD, 0).astype(np.float32)
    found = measured(values[..., None], lattice)
    aim = replace(found, x=found.x + 0.15, spread=1.1 * found.spread)
    wanted = LayerQuantities.of(np.transpose(np.asarray(aim.stacked()), (1, 0, 2)))
    excess = np.where(values > 0, values - THRESHOLD, -1).reshape(200, 81, 5)[:, lattice.order].transpose(1, 2, 0)
    zone = np.ravel(lattice.zone)[lattice.order]
    hits = np.stack([(excess[zone == which] >= 0).sum(axis=0) for which in (1, 2)]).astype(np.float32)
    made = np.asarray(sampling.finished(lattice, THRESHOLD, excess, wanted, hits))
    after = measured(made[lattice.place].transpose(2, 0, 1).reshape(200, 9, 9, 5, 1), lattice)
    for name, change in (("x", 0.15), ("y", 0.0), ("spread", 0.1 * np.mean(found.spread))):
        error = np.asarray(getattr(after, name)) - np.asarray(getattr(aim, name))
        assert abs(error).mean() < max(0.15 * change, 0.03), name
    assert np.quantile(abs(np.asarray(after.outside) / np.asarray(aim.outside) - 1), 0.95) < 0.02


def test_a_threshold_counts_exactly():
    scores = np.random.default_rng(5).normal(0, 5, (60, 4, 200)).astype(np.float32)
    number = np.random.default_rng(6).integers(0, 61, (4, 200)).astype(np.float32)
    threshold = np.asarray(sampling._threshold(scores, number))
    np.testing.assert_array_equal((scores >= threshold).sum(axis=0), number)


def test_energetic_hits_take_the_energy_of_a_zone_and_others_keep_theirs():
    lattice = Lattice(9, 5)
    ring = np.flatnonzero(np.ravel(lattice.zone)[lattice.order] == 1)
    excess = np.full((81, 5, 1), -1.0, np.float32)
    excess[ring[:3]] = np.array([1e-4, 1.5e-4, 5e-3], np.float32)[:, None, None]
    zero = np.zeros((5, 1), np.float32)
    x, y = (np.float32(np.ravel(one)[lattice.order][ring[2]]) for one in (lattice.x, lattice.y))  # of the energetic hit
    wanted = LayerQuantities(zero + 3, zero, zero + 8e-3, zero, zero + x, zero + y, zero)
    made = np.asarray(sampling.finished(lattice, THRESHOLD, excess, wanted, np.stack([zero + 3, zero])))
    np.testing.assert_allclose(made.sum(axis=0), 8e-3, rtol=0.02)
    np.testing.assert_allclose(made[ring[:2]] - THRESHOLD, excess[ring[:2]], rtol=0.15)


def test_energies_of_a_zone_with_too_little_energy_are_lower_but_above_the_threshold():
    cells = small().networks["cells"].get_layer("cells")
    excess = np.full((81, 5, 1), -1.0, np.float32)
    ring = np.flatnonzero(np.ravel(cells.lattice.zone)[cells.lattice.order] == 1)
    excess[ring[:3]] = 1e-3
    zero = np.zeros((5, 1), np.float32)
    wanted = LayerQuantities(zero + 3, zero, zero + 2 * THRESHOLD, zero, zero, zero, zero)
    hits = np.stack([zero + 3, zero])
    made = np.asarray(sampling.finished(cells.lattice, THRESHOLD, excess, wanted, hits))
    assert np.all(made[ring[:3]] > THRESHOLD) and np.all(made[ring[:3]] < THRESHOLD + 5e-4)
    assert (made > 0).sum() == 15
