import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.training.heads import Response, fit_response, pooled_response

# The published polynomial for electrons: deposit = E * P(E) with E in units of 100 GeV.
PUBLISHED = (0.0018, -0.023, 0.11, -0.28, 2.21)


def published(energy):
    return energy / 100 * np.polyval(PUBLISHED, energy / 100)


def test_the_published_polynomial_is_found_again():
    energy = np.random.default_rng(0).uniform(10, 500, 6000)
    response = fit_response(energy, published(energy))
    np.testing.assert_allclose(response.coefficients, PUBLISHED, rtol=1e-6)
    assert (response.low, response.high) == (energy.min(), energy.max())


@pytest.mark.parametrize(("events", "degree"), [(5, 0), (50, 1), (500, 2), (2000, 3), (6000, 4)])
def test_the_degree_follows_the_sample(events, degree):
    energy = np.linspace(10, 500, events)
    assert len(fit_response(energy, published(energy)).coefficients) == degree + 1


@given(st.lists(st.sampled_from([10.0, 50.0, 100.0]), min_size=1, max_size=300))
def test_few_different_energies_fit_exactly(energies):
    energy = np.array(energies)
    np.testing.assert_allclose(fit_response(energy, 0.02 * energy)(energy), 0.02 * energy, rtol=1e-6)


def test_outside_the_fitted_energies_the_ratio_is_constant():
    response = Response((1.0, 1.0), low=100.0, high=200.0, events=1)
    assert response(np.array([50.0])) == pytest.approx(0.5 * 2)
    assert response(np.array([400.0])) == pytest.approx(4 * 3)


def test_noisy_samples_give_positive_energies():
    random = np.random.default_rng(1)
    energy = random.uniform(1, 500, 1500)
    response = fit_response(energy, random.exponential(0.02 * energy))
    assert np.all(response(np.linspace(1, 500, 100)) > 0)


def test_a_sample_without_energy_is_refused():
    with pytest.raises(ValueError, match="no energy"):
        fit_response(np.array([10.0, 20.0]), np.zeros(2))


def test_ranks_fit_all_their_events_together(tiny_sample, on_ranks):
    sample = tiny_sample(40)
    both = on_ranks(2, lambda rank: pooled_response(sample.shard(rank.rank, rank.size), rank, seed=0))
    assert both[0] == both[1]
    assert both[0].events == 40
    assert both[0].low == pytest.approx(sample.labels["energy"].min())
