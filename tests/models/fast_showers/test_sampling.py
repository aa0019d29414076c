"""Sampled showers have the requested hits and energies, and the frequencies that are predicted."""

import numpy as np
import pytest

from calolab.models.fast_showers import losses, sampling
from calolab.models.fast_showers.lattice import PARTS, PASSES, Lattice, Part
from calolab.models.fast_showers.quantities import measured
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_hits_have_their_predicted_frequencies_and_spread_where_their_number_is_free(spread):
    lattice, random = Lattice(9, 5), np.random.default_rng(1)
    zones, events = lattice.zones(Part(1)), 4000
    odds = random.normal(0, 1.5, (zones.shape[1], 1, 1)) + np.zeros((1, 1, events))
    left, normal = np.full((1, events), 40, np.float32), random.standard_normal(odds.shape).astype(np.float32)
    hits, allowed = np.ones((2, 1, events), np.float32), np.ones((2, 1, events), np.float32)
    given = (odds.astype(np.float32), normal, zones, left, hits, allowed, lattice.left(1, 2), spread)
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
        normal = random.standard_normal(odds.shape).astype(np.float32)
        later = lattice.left(0, number + 1)
        found = np.asarray(sampling._hits(odds, normal, zones, left, hits, allowed, later, 0.7))
        hits = hits + np.einsum("kc,cle->kle", zones, found)
        left = wanted - hits.sum(axis=0)
    np.testing.assert_array_equal(hits.sum(axis=0), wanted)
    np.testing.assert_array_equal(hits > 0, allowed > 0)
    assert (wanted == most).sum() > 10 and (wanted == least).sum() > 10


def test_showers_have_the_requested_hits_and_energies():
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
        some = aim > 0
        assert np.median(abs(np.log(energy[some] / aim[some]))) < 0.01


def test_cells_are_drawn_from_the_inputs_with_which_they_are_trained(monkeypatch):
    """If the draws are the cells of real showers: neighbours, what is left, and conditions, in all passes."""
    gan, events = small(21, 5, hidden=4, context=3), 6
    cells = randomised(gan.networks["cells"].get_layer("cells"), size=0.1)
    lattice, showers = cells.lattice, sample(events, 21, 5).values.astype(np.float32)
    real = showers.reshape(events, -1, 5).transpose(1, 2, 0)
    seen, states, passes = [], cells.states, iter(PASSES)

    def record(group, part, known, neighbours, rest, context, near_only=False):
        seen.append([np.asarray(one) for one in (*known, *(neighbours or ()), rest, context)])
        return states(group, part, known, neighbours, rest, context, near_only)

    def drawn(group, part):
        here = real[lattice.drawn(part)][:, lattice.group(group)]
        return np.where(lattice.of(part, lattice.zone)[:, None, None] > 0, here, 0)

    def real_logs(cells, group, number, states, is_hit, normal):
        values = np.maximum(drawn(group, PARTS[group][number]), THRESHOLD)
        return np.stack([np.log(values / THRESHOLD), 0 * values, 0 * values])

    monkeypatch.setattr(cells, "states", record)
    monkeypatch.setattr(sampling, "_hits", lambda *inputs: (drawn(*next(passes)) > 0).astype(np.float32))
    monkeypatch.setattr(sampling, "_logs", real_logs)
    monkeypatch.setattr(sampling, "adjusted", lambda energies, *others: energies)
    wanted = measured(showers[..., None], lattice)
    conditions = np.random.default_rng(4).standard_normal((events, 5, 8)).astype(np.float32)
    noise = np.zeros((events, 2 * 21**2 * 5), np.float32)
    made = sampling.showers(cells, wanted.stacked(), conditions, noise)
    np.testing.assert_allclose(made[..., 0], showers, rtol=1e-4)
    generated, seen[:] = list(seen), []
    list(losses.predictions(cells, showers[..., None], conditions))
    assert len(generated) == len(seen) == len(PASSES) and sum(map(len, seen)) == 6 + 3 * 6 + 2 * 8 + 2 * 15
    for inputs, others in zip(generated, seen, strict=True):
        for one, other in zip(inputs, others, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)
            assert np.std(other) > 0


def test_a_threshold_counts_exactly():
    scores = np.random.default_rng(5).normal(0, 5, (60, 4, 200)).astype(np.float32)
    number = np.random.default_rng(6).integers(0, 61, (4, 200)).astype(np.float32)
    threshold = np.asarray(sampling._threshold(scores, number))
    np.testing.assert_array_equal((scores >= threshold).sum(axis=0), number)
