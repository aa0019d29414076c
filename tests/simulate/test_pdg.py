"""Charges from PDG codes, compared with the particle listings."""

import numpy as np
import pytest

from calolab.simulate.pdg import charges

LISTED = {
    "e-": (11, -1), "mu-": (13, -1), "nu_e": (12, 0), "gamma": (22, 0), "W+": (24, 1),
    "d": (1, -1 / 3), "u": (2, 2 / 3), "ud diquark": (2101, 1 / 3),
    "pi0": (111, 0), "pi+": (211, 1), "rho+": (213, 1), "a1+": (20213, 1), "f0": (9010221, 0),
    "K0S": (310, 0), "K0L": (130, 0), "K0": (311, 0), "K+": (321, 1),
    "D+": (411, 1), "D0": (421, 0), "Ds+": (431, 1), "B0": (511, 0), "B+": (521, 1), "Bs": (531, 0), "Bc+": (541, 1),
    "n": (2112, 0), "p": (2212, 1), "Delta++": (2224, 2), "Lambda": (3122, 0), "Sigma-": (3112, -1),
    "Sigma+": (3222, 1), "Xi-": (3312, -1), "Omega-": (3334, -1), "Lambda_c+": (4122, 1), "Xi_cc++": (4422, 2),
    "deuteron": (1000010020, 1), "alpha": (1000020040, 2), "C12": (1000060120, 6),
    "neutralino": (1000022, 0), "chargino": (1000024, 1), "selectron": (2000011, -1), "gluino": (1000021, 0),
    "R+ (gluino, u, dbar)": (1009213, 1), "pomeron": (990, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_charge_of_particle_and_antiparticle(name):
    code, charge = LISTED[name]
    np.testing.assert_allclose(charges(np.array([code, -code])), [charge, -charge])


def test_mixed_column_and_no_particle():
    np.testing.assert_allclose(charges(np.array([211, -1000020040, 22, 9010221, -11])), [1, -2, 0, 0, 1])
    assert charges(np.array([], int)).shape == (0,)
