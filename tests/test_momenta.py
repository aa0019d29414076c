"""Momenta in all combinations of components are the same particles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calolab.momenta import cartesian, check_components, cylindrical, from_components
from calolab.particles import Particles

COLUMNS = arrays.arrays(float, (4, 5), elements=st.floats(0.25, 4))


@given(COLUMNS, st.sampled_from(["mass", "energy"]), st.booleans())
def test_every_set_of_components_gives_the_same_particles(values, fourth, in_cartesian):
    pt, eta, phi, mass = values
    px, py, pz, energy = cartesian(pt, eta, phi, mass)
    given_columns = {"px": px, "py": py, "pz": pz} if in_cartesian else {"pt": pt, "eta": eta, "phi": phi}
    found, kept = from_components(given_columns | {fourth: energy if fourth == "energy" else mass, "other": pt})
    assert kept.all() and found.pop("other").tolist() == pt.tolist()
    phi = np.where(phi > np.pi, phi - 2 * np.pi, phi) if in_cartesian else phi
    for name, expected in zip(("pt", "eta", "phi", "mass"), (pt, eta, phi, mass)):
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, err_msg=name)
    if in_cartesian:
        for name, expected in cylindrical(px, py, pz, energy).items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-6)


@given(arrays.arrays(float, (3, 4, 3), elements=st.floats(-3, 3)), st.integers(0, 5))
def test_padding_is_left_out_and_put_back(values, length):
    values[..., 0] = np.where(np.abs(values[..., 0]) < 1, 0, np.abs(values[..., 0]))
    particles = Particles.from_padded(values)
    assert particles.counts.tolist() == (values[..., 0] > 0).sum(axis=1).tolist()
    padded = particles.padded(length=length)
    for event, row in zip(values, padded):
        filled = event[event[:, 0] > 0][:length]
        assert np.array_equal(row[: len(filled)], filled) and not row[len(filled) :].any()


def test_masses_below_zero_by_rounding_are_zero():
    one = {"pt": [1.0, 1.0], "eta": [0.0, 0.0], "phi": [0.0, 0.0], "mass": [-0.01, -0.5]}
    assert from_components(one)[0]["mass"].tolist() == [0, -0.5]


@pytest.mark.parametrize("names", [("pt", "eta"), ("pt", "eta", "phi", "px"), ("px", "py", "pz", "mass", "energy"), ()])
def test_sets_that_define_no_momentum(names):
    with pytest.raises(ValueError, match="A momentum consists of pt, eta and phi, or of px, py and pz"):
        check_components(names)


def test_arrays_that_do_not_fit_their_columns():
    with pytest.raises(ValueError, match=r"shape \(event, constituent, 3\) .* received shape \(2, 3\)"):
        Particles.from_padded(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="each once"):
        Particles.from_padded(np.zeros((2, 3, 4)), ("pt", "eta", "phi", "pt"))
