import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.observables import profiles
from calolab.validation.observables.energy import visible_energy

SMALL = spaces.Space(
    "small",
    ("x", "y", "z"),
    ("mm", "mm", "mm"),
    tuple(spaces.Layer(edges=((0, 1, 2, 4), (-1, 1)), depth=(10.0 * i, 10.0 * i + 10)) for i in range(4)),
)
cells = arrays(np.float32, (5, *SMALL.shape), elements=st.floats(0, 10, width=32))


def one(space, cells):
    values = np.zeros((1, *space.shape), dtype=np.float32)
    for place, energy in cells.items():
        values[(0, *place)] = energy
    return Sample(values, {}, space)


@given(cells)
@settings(max_examples=40, deadline=None)
def test_profiles_conserve_energy(values):
    sample = Sample(values, {}, SMALL)
    for axis in SMALL.axes:
        assert np.allclose(profiles.profile(sample, axis).sum(axis=1), visible_energy(sample), rtol=1e-6)


@given(cells, st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_moments_lie_inside_and_do_not_depend_on_the_scale(values, scale):
    sample, scaled = Sample(values, {}, SMALL), Sample(values * np.float32(scale), {}, SMALL)
    first, second = profiles.moments(sample, "z")
    filled = visible_energy(sample) > 1e-3
    assert np.all((first[filled] >= 5) & (first[filled] <= 35)) and np.all(second[filled] >= 0)
    assert np.allclose(profiles.moments(scaled, "z")[0][filled], first[filled], rtol=1e-4)


def test_moments_of_two_cells_by_hand():
    sample = one(SMALL, {(0, 0, 1): 3.0, (2, 0, 3): 1.0})
    first, second = profiles.moments(sample, "z")  # 15 mm three times, 35 mm once
    assert first == pytest.approx([20.0]) and second == pytest.approx([(3 * 25 + 225) / 4])
    first, second = profiles.moments(sample, "x")  # cell centres 0.5 and 3 mm
    assert first == pytest.approx([1.125]) and second == pytest.approx([(3 * 0.625**2 + 1.875**2) / 4])
    first, second = profiles.moments(sample, "x", cells=True)  # the 3DGAN convention: cells 0 and 2
    assert first == pytest.approx([0.5]) and second == pytest.approx([0.75])


def test_depth_is_that_of_the_sensitive_slab():
    sample = one(spaces.space("clic-ecal"), {(12, 12, 0): 1.0})
    assert profiles.moments(sample, "z")[0] == pytest.approx([2.4 + 0.25])
    assert profiles.moments(sample, "z", cells=True)[0] == pytest.approx([0.0])


def test_maximum_is_the_layer_with_most_energy_not_the_hottest_cell():
    sample = one(SMALL, {(0, 0, 1): 2.0, (1, 0, 3): 1.5, (2, 0, 3): 1.5})
    assert profiles.maximum(sample, "z") == pytest.approx([35.0])


def test_containment_radius_by_hand():
    space = spaces.space("clic-ecal")
    sample = one(space, {(12, 12, 5): 8.0, (12, 13, 5): 0.5, (12, 11, 9): 0.5, (12, 14, 5): 0.5, (12, 10, 9): 0.5})
    assert profiles.containment_radius(sample, 0.7) == pytest.approx([0.0], abs=1e-6)
    assert profiles.containment_radius(sample, 0.89) == pytest.approx([5.1])
    assert profiles.containment_radius(sample, 0.99) == pytest.approx([10.2])
    with pytest.raises(ValueError, match="between 0 and 1"):
        profiles.containment_radius(sample, 90)


def test_empty_showers_have_no_shape(showers):
    deeper = showers[2]
    for values in (
        *profiles.moments(deeper, "z"),
        *profiles.moments(deeper, "x"),
        profiles.maximum(deeper, "z"),
        profiles.containment_radius(deeper),
    ):
        assert np.array_equal(np.isnan(values), np.arange(len(deeper)) < 3)


def test_pieces_change_nothing(showers, monkeypatch):
    whole = [profiles.profile(showers[0], a) for a in "xyz"] + [profiles.containment_radius(showers[0])]
    monkeypatch.setattr(profiles, "PIECE_BYTES", 7 * 4 * showers[0].space.n_cells)
    assert [piece.stop - piece.start for piece in profiles.pieces(showers[0])][:3] == [7, 7, 7]
    pieced = [profiles.profile(showers[0], a) for a in "xyz"] + [profiles.containment_radius(showers[0])]
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieced))


def test_layers_that_differ(flat_showers):
    energies = profiles.profile(flat_showers, "z")
    assert np.allclose(energies[:, 1], flat_showers.layer(1).sum(axis=(1, 2)), rtol=1e-5)
    assert np.allclose(energies.sum(axis=1), visible_energy(flat_showers))
    with pytest.raises(ValueError, match="differ"):
        profiles.profile(flat_showers, "phi")
    with pytest.raises(ValueError, match="differ"):
        profiles.moments(flat_showers, "phi", cells=True)
    with pytest.raises(ValueError, match="axes"):
        profiles.moments(flat_showers, "x")
    # One cell in each of two layers, at its own layer's position: 2.5 mm of the first, 20 mm of the second.
    space = flat_showers.space
    values = np.zeros((1, *space.shape))
    values[0, 0 * 96 + 48] = 1.0
    values[0, 288 + 5 * 12 + 6] = 3.0
    sample = Sample(values, {}, space)
    assert profiles.moments(sample, "phi")[0] == pytest.approx([(2.5 + 3 * 20) / 4])
    assert profiles.moments(sample, "eta")[0] == pytest.approx([(-160 + 3 * -20) / 4])
    assert np.all(np.isfinite(profiles.containment_radius(flat_showers)))


def test_layer_correlations_match_numpy(showers):
    energies = profiles.profile(showers[0], "z")
    assert np.allclose(profiles.layer_correlations(energies), np.corrcoef(energies.T))
    assert np.allclose(
        profiles.layer_correlations(energies, np.arange(len(energies)) < 200), np.corrcoef(energies[:200].T)
    )
    energies[:, 3] = 7.0
    matrix = profiles.layer_correlations(energies)
    assert np.all(np.isnan(matrix[3])) and np.isfinite(np.delete(np.delete(matrix, 3, 0), 3, 1)).all()
