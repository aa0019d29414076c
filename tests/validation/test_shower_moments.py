"""Moments of whole showers from the features of their layers."""

import numpy as np
import pytest

from calolab.samples import Sample
from calolab.spaces import Layer, Space
from calolab.validation.features import high_level, shower_features
from calolab.validation.observables import profiles
from calolab.validation.shower_moments import moment_names, shower_moments


def test_moments_are_those_of_the_profiles(showers, flat_showers):
    for sample in (showers[0], flat_showers):
        found, names = shower_moments(high_level(sample)), moment_names(sample.space)
        assert found.shape == (len(sample), len(names))
        for axis in sample.space.axes:
            for name, expected in zip(("first", "second"), profiles.moments(sample, axis)):
                column = found[:, names.index(f"{name}_moment_{axis}")]
                assert column == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_moments_in_r_are_those_of_all_cells(flat_showers):
    space, found = flat_showers.space, shower_moments(high_level(flat_showers))
    radii = []
    for layer in space.layers:
        x, y = ((np.array(edges[1:]) + edges[:-1]) / 2 for edges in layer.edges)
        radii.append(np.hypot(x[:, None], y).ravel())
    radii, cells = np.concatenate(radii), flat_showers.values.astype(np.float64)
    mean = cells @ radii / cells.sum(axis=1)
    assert found[:, 4] == pytest.approx(mean)
    assert found[:, 5] == pytest.approx(cells @ radii**2 / cells.sum(axis=1) - mean**2)


def test_empty_showers_and_other_features(showers):
    empty = high_level(showers[2]).select(slice(0, 3))
    assert not shower_moments(empty).any()
    with pytest.raises(ValueError, match="layer_energy"):
        shower_moments(shower_features(showers[0].select(slice(0, 3))))


def test_layers_without_cells_across_have_no_moment_there(make):
    sample = make(5, 1)
    column = sample.values.sum(axis=(1, 2), keepdims=True)
    layers = tuple(Layer(((-60.0, 60.0),) * 2, layer.depth) for layer in sample.space.layers)
    narrow = Sample(column, sample.labels, Space("column", sample.space.axes, sample.space.units, layers))
    found = shower_moments(high_level(narrow))
    assert not found[:, :6].any() and found[:, 6] == pytest.approx(profiles.moments(narrow, "z")[0])
