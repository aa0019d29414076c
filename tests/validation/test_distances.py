import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from calolab.validation import projection_error
from calolab.validation.distances import (
    Distance,
    kolmogorov_smirnov,
    separation_power,
    wasserstein,
    weighted_distances,
)
from calolab.validation.floors import draw_like

numbers = arrays(np.float64, st.integers(2, 60), elements=st.integers(-1000, 1000).map(lambda n: n / 8))
contents = arrays(np.float64, 12, elements=st.floats(0, 1e6)).filter(lambda h: h.sum() > 1e-3)


@given(numbers)
@settings(deadline=None)
def test_a_sample_has_no_distance_from_itself(values):
    assert kolmogorov_smirnov(values, values) == (0, 1)
    assert wasserstein(values, values) == 0


def test_the_p_value_of_few_events_is_exact_and_never_zero():
    assert kolmogorov_smirnov([1.0], [2.0]) == (1, 1)
    assert kolmogorov_smirnov([1.0], [2.0, 3.0]) == (1, pytest.approx(2 / 3))


@given(numbers, numbers)
@settings(deadline=None)
def test_ks_ignores_monotone_maps(a, b):
    assert kolmogorov_smirnov(a, b) == pytest.approx(kolmogorov_smirnov(a**3 + a, b**3 + b))


@given(numbers.filter(lambda v: v.std() > 0), numbers, st.floats(0.1, 100), st.floats(-50, 50))
@settings(deadline=None)
def test_wasserstein_does_not_depend_on_the_unit(a, b, scale, shift):
    assert wasserstein(scale * a + shift, scale * b + shift) == pytest.approx(wasserstein(a, b), rel=1e-6, abs=1e-9)


@given(contents, contents)
def test_separation_power_is_between_zero_and_one(a, b):
    assert 0 <= separation_power(a, b) <= 1 + 1e-12
    assert separation_power(a, b) == pytest.approx(separation_power(b, a))
    assert separation_power(a, 3 * a) == pytest.approx(0, abs=1e-12)


def test_separation_power_by_hand():
    assert separation_power([1, 1, 0, 0], [0, 0, 1, 1]) == pytest.approx(1)
    assert separation_power([3, 1], [1, 3]) == pytest.approx(0.5 * (0.25 + 0.25))
    with pytest.raises(ValueError, match="equal binning"):
        separation_power([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="non-negative"):
        separation_power([1, -2], [1, 2])


def test_wasserstein_counts_standard_deviations():
    values = np.random.default_rng(0).normal(40, 5, 1000)
    assert wasserstein(values, values + 2.5) == pytest.approx(2.5 / values.std())
    assert wasserstein([1, 1, 1], [1, 1]) == 0 and wasserstein([1, 1, 1], [1, 2]) == np.inf


def test_distances_refuse_what_is_not_a_number():
    with pytest.raises(ValueError, match="1 not finite"):
        kolmogorov_smirnov([1.0, np.nan], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        wasserstein([], [1.0])


@given(numbers, numbers)
@settings(deadline=None)
def test_weighted_distances_are_those_of_scipy(a, b):
    """The form on sorted, weighted entries gives what scipy gives on plain samples, ties included."""
    both = np.concatenate([a, b])
    order = np.argsort(both, kind="stable")
    member = order < len(a)
    found = weighted_distances(
        both[order], member.astype(float), (~member).astype(float), np.zeros(len(both), int), 1.0
    )
    assert found["ks"] == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    assert found["w1"] == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-9)


def test_projection_error_by_hand(showers):
    reference = showers[0]
    higher = reference.select(slice(None))
    assert projection_error(reference, higher) == {"x": 0, "y": 0, "z": 0, "sum": 0}
    scaled = type(reference)(1.1 * reference.values, reference.labels, reference.space)
    means = [reference.values.mean(axis=0, dtype=float).sum(axis=a) for a in ((1, 2), (0, 2), (0, 1))]
    expected = [np.mean((0.1 * mean) ** 2) for mean in means]
    found = projection_error(reference, scaled)
    assert [found[a] for a in "xyz"] == pytest.approx(expected, rel=1e-4)
    assert found["sum"] == pytest.approx(sum(expected), rel=1e-4)


def test_projections_of_unequal_layers(flat_showers, showers):
    assert set(projection_error(flat_showers, flat_showers)) == {"z", "sum"}
    with pytest.raises(ValueError, match="'calogan'"):
        projection_error(showers[0], flat_showers)


def test_draws_have_the_slots_energies():
    rng = np.random.default_rng(3)
    energy, slots = rng.uniform(10, 100, 2000), rng.uniform(60, 70, 500)
    counts = draw_like(energy, slots, 5, rng)
    assert counts.shape == (5, 2000) and counts.sum(axis=1).tolist() == [500] * 5
    drawn = np.repeat(energy, counts[0])
    assert abs(drawn.mean() - slots.mean()) < 0.5 and drawn.min() > 58 and drawn.max() < 72


def test_draws_at_one_energy_take_from_all_events_alike():
    counts = draw_like(np.full(100, 50.0), np.full(100, 50.0), 2000, np.random.default_rng(4)).sum(axis=0)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_times_floor_takes_the_root_of_squares():
    assert Distance(0.4, 0.1, 0.01, 0.2).times_floor == pytest.approx(4)
    assert Distance(0.4, 0.1, 0.01, 0.2, power=2).times_floor == pytest.approx(2)
    assert Distance(0.0, 0.0, 0.0, 0.0).times_floor == 1 and Distance(0.1, 0.0, 0.0, 0.0).times_floor == np.inf
    assert Distance(0.2, 0.1, 0.05, 0.2).within_floor and not Distance(0.21, 0.1, 0.05, 0.2).within_floor


def test_what_is_left_of_rounding_is_no_distance():
    """A maximum that lies in one layer in all showers: 0.1 thirty times is not three, but nothing differs."""
    weights = np.full(30, 0.1)
    found = weighted_distances(np.full(30, 7.0), weights, 3 * weights[::-1], np.zeros(30, int), 0.0)
    assert found == {"ks": 0.0, "w1": 0.0, "separation": 0.0}
