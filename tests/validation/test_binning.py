"""Binning: the reference sets the edges, and what is beyond them is counted."""

import numpy as np
import pytest

from calolab.validation.binning import histogram, jet_edges, shared_edges


def test_a_binning_holds_nearly_everything_and_begins_at_zero():
    random = np.random.default_rng(0)
    values = [random.gamma(4, 150, 2000), np.append(random.gamma(4, 180, 500), [np.nan, 90_000])]
    edges = shared_edges("summed_mass", values[:1], values[1:])
    assert edges[0] == 0 and np.ptp(np.diff(edges)) < 1e-9 and 15 <= len(edges) <= 40 and edges[-1] < 5000
    found = histogram(values[1], edges)
    assert found.contents.sum() == pytest.approx(1) and found.errors[-1] > 0 and found.entries == 501
    assert shared_edges("multiplicity", [np.array([0, 3])]).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert shared_edges("jet_pt", [np.zeros(0)]).tolist() == [0, 1]
    # Events without jets have mass 0: one number does not define a width.
    assert shared_edges("summed_mass", [np.zeros(3)], [np.zeros(2)])[1] >= 0.01
    assert shared_edges("summed_mass", [np.zeros(3)], [np.array([0.0, 500.0])])[-1] > 400


def test_bins_belong_to_the_reference():
    reference = np.random.default_rng(3).gamma(4, 100, 2000)
    alone, near, far = (shared_edges("summed_mass", [reference], [f * reference]) for f in (0.5, 1.95, 100))
    assert np.diff(near) == pytest.approx(np.diff(alone)[0]) and np.diff(far) == pytest.approx(np.diff(alone)[0])
    assert near[-1] >= np.quantile(1.95 * reference, 0.995) and near[-1] <= far[-1] <= 2 * alone[-1]
    assert histogram(near[-1] + np.array([-1.0, 1.0]), near).beyond == (0.0, 0.5)
    # What is beyond is counted in the last bin.
    assert histogram(100 * reference, far).contents[-1] > 0.99 and histogram(100 * reference, far).beyond[1] > 0.99
    assert histogram(reference, far).contents.max() < 0.2


@pytest.mark.parametrize(
    "make", [lambda a, b: shared_edges("multiplicity", [a], [b]), lambda a, b: jet_edges("multiplicity", a, b)]
)
def test_thousands_of_jets_do_not_hide_the_reference(make):
    found = make(np.array([2.0, 4.0, 6.0]), np.array([5.0, 900.0]))
    assert found.tolist() == (np.arange(16) - 0.5).tolist()
    assert make(np.array([2.0, 6.0]), np.array([9.0])).tolist() == (np.arange(11) - 0.5).tolist()
