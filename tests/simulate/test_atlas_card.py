"""The parameters of the ATLAS card, compared with the card and with known facts."""

import numpy as np
import pytest

from calolab.simulate import atlas_card

ECAL, HCAL = atlas_card.ecal(), atlas_card.hcal()


def test_numbers_of_towers():
    assert ECAL.n_cells == 123_192
    assert HCAL.n_cells == 2_340


@pytest.mark.parametrize("calorimeter", [ECAL, HCAL], ids=lambda c: c.name)
def test_edges_rise_and_cover_both_sides_alike(calorimeter):
    assert np.all(np.diff(calorimeter.eta) > 1e-6)
    np.testing.assert_allclose(calorimeter.eta, -calorimeter.eta[::-1], atol=1e-9)


def test_ecal_rings():
    assert (ECAL.eta[0], ECAL.eta[-1]) == (-5, 5)
    central = np.abs(ECAL.eta[1:] + ECAL.eta[:-1]) / 2 < 2.958
    np.testing.assert_allclose(np.diff(ECAL.eta)[central], 0.0174)
    assert np.all(ECAL.phi_cells[central] == 360)
    assert np.all(ECAL.phi_cells[~central] == 36)
    assert central.sum() == 340
    assert (~central).sum() == 22


def test_hcal_rings_have_the_phi_cells_of_their_upper_edge():
    assert (HCAL.eta[0], HCAL.eta[-1]) == (-4.9, 4.9)
    cells = dict(zip(zip(HCAL.eta[:-1].tolist(), HCAL.eta[1:].tolist()), HCAL.phi_cells.tolist()))
    assert cells[(-0.1, 0.0)] == cells[(2.4, 2.5)] == cells[(2.5, 2.6)] == 36
    assert cells[(-2.6, -2.5)] == 36  # not symmetric: the lower ring has the number of the edge -2.5,
    assert cells[(2.6, 2.8)] == 18  # the upper ones that of their upper edge
    assert cells[(-3.3, -3.2)] == 36
    assert cells[(-3.2, -3.0)] == 18
    assert cells[(3.2, 3.3)] == 36
    assert cells[(3.3, 3.5)] == cells[(-3.5, -3.3)] == 18


@pytest.mark.parametrize(
    "code, ecal, hcal",
    [(22, 1, 0), (-11, 1, 0), (111, 1, 0), (211, 0, 1), (-2212, 0, 1), (130, 0, 1), (1000020040, 0, 1)]
    + [(310, 0.3, 0.7), (-3122, 0.3, 0.7)]
    + [(code, 0, 0) for code in (13, -13, 12, -14, 16, 1000022, 1000023, -1000025, 1000035, 1000045)],
)
def test_energy_fractions(code, ecal, hcal):
    assert ECAL.fraction(np.array([code])) == ecal
    assert HCAL.fraction(np.array([code])) == hcal


@pytest.mark.parametrize(
    "calorimeter, eta, terms",
    [
        (ECAL, 0.0, (0.0017, 0.101, 0)),
        (ECAL, -3.05, (0.0017, 0.101, 0)),
        (ECAL, 3.21, (0.035, 0.285, 0)),  # in the ring from 3.125 to 3.3, whose centre is above 3.2
        (ECAL, -4.85, (0.035, 0.285, 0)),
        (HCAL, 1.65, (0.0302, 0.5205, 1.59)),
        (HCAL, -1.65, (0.0302, 0.5205, 1.59)),
        (HCAL, 1.75, (0.05, 0.706, 0)),
        (HCAL, -3.15, (0.05, 0.706, 0)),
        (HCAL, 3.25, (0.0942, 1.0, 0)),
        (HCAL, -4.8, (0.0942, 1.0, 0)),
    ],
)
def test_resolution_of_the_ring_at(calorimeter, eta, terms):
    ring = np.searchsorted(calorimeter.eta, eta) - 1
    np.testing.assert_array_equal(calorimeter.resolution_terms[:, ring], terms)
