"""Showers as points become cells; no energy is lost except outside the cells, which is reported."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calolab import datasets
from calolab.datasets import layouts
from calolab.datasets.points import ild_ecal
from calolab.spaces import Layer, Space

REAL = Path(__file__).parents[3] / "shared" / "data" / "ild_caloclouds3"
EDGES = ((-2.0, -1.0, 0.5, 2.0), (0.0, 1.0, 3.0))
BOX = Space("box", ("x", "y", "z"), ("mm",) * 3, tuple(Layer(EDGES, (z, z + 2)) for z in range(0, 8, 2)))
# The second layer has other cells, and there is a gap before it.
UNEQUAL = Space("unequal", ("x", "y", "z"), ("mm",) * 3, (BOX.layers[0], Layer(((-2.0, 2.0), EDGES[1]), (4.0, 8.0))))


def points(n, count, seed=1):
    """Points (x, depth, y, energy) of events, some of them padding without energy, in and around BOX."""
    random = np.random.default_rng(seed)
    cloud = random.uniform((-3, -1, -1, 0), (3, 9, 4, 1), (n, count, 4)).astype(np.float32)
    cloud[:, :2, 3] = 0
    return cloud


def expected(cloud, space):
    """Cells from numpy's histogram, layer by layer."""
    x, z, y, energy = np.moveaxis(cloud.astype(float), -1, 0)
    return [
        np.stack(
            [
                np.histogram2d(
                    x[i], y[i], layer.edges, weights=energy[i] * ((z[i] >= layer.depth[0]) & (z[i] < layer.depth[1]))
                )[0]
                for i in range(len(cloud))
            ]
        )
        for layer in space.layers
    ]


def load(path, space, **options):
    own = layouts.Layout(
        "own", "energy", 0, 1.0, "points", cells="events", points=layouts.Points(("x", "z", "y", "energy"))
    )
    return datasets.load(path, space=space, layout=dataclasses.replace(own, **options))


@pytest.mark.parametrize("space", [BOX, UNEQUAL], ids=lambda space: space.name)
@pytest.mark.parametrize("swapped", [False, True])
def test_points_are_in_the_cells_that_contain_them(write, space, swapped):
    cloud = points(5, 60)
    path = write(events=cloud.swapaxes(1, 2) if swapped else cloud, energy=np.full((5, 1), 50.0))
    with pytest.warns(UserWarning, match="points outside the cells, with 0.[0-9]+ of the energy") as warned:
        sample = load(path, space)
    inside = expected(cloud, space)
    for index, values in enumerate(inside):
        np.testing.assert_allclose(sample.layer(index), values, rtol=1e-5)
    lost = 1 - sum(values.sum() for values in inside) / cloud[..., 3].sum()
    assert f"with {lost:.2g} of the energy" in str(warned[-1].message)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cloud=hnp.arrays(
        np.float32, (3, 7, 4), elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 1.9375, 2.0, 3.0, 5.0, 7.0])
    ),
    window=st.integers(1, 3),
)
def test_energy_is_conserved_also_on_borders_and_in_streams(write, cloud, window):
    cloud[..., 0] = np.clip(cloud[..., 0], -2, 1.9375)
    cloud[..., 1] = np.clip(cloud[..., 1], 0, 7)
    cloud[..., 2] = np.clip(cloud[..., 2], 0, 2)
    cloud[..., 3] = abs(cloud[..., 3])
    layout = dataclasses.replace(layouts.layout("ild"), response=None)
    path = write(events=cloud, energy=np.arange(1.0, 4))
    stream = datasets.stream(path, space=BOX, layout=layout, window=window)
    for batch in pickle.loads(pickle.dumps(stream)).batches(1, seed=2):
        event = int(batch.labels["energy"][0]) - 1
        assert batch.values.sum() == pytest.approx(cloud[event, :, 3].sum(), rel=1e-6)


def test_an_origin_depths_in_layers_and_cylinders(write):
    cloud = np.array([[[11.0, 0.5, 22.0, 1.0], [9.0, 1.5, 20.0, 2.0], [10.0, 2.5, 19.0, 4.0]]], np.float32)
    path = write(events=cloud, energy=[[50.0]])
    edges = (np.linspace(-np.pi, np.pi, 5), (0.0, 1.5, 3.0))
    space = Space("ring", ("alpha", "r", "z"), ("rad", "mm", "mm"), tuple(Layer(edges, (z, z + 1)) for z in range(3)))
    meaning = layouts.Points(("x", "z", "y", "energy"), origin=(10.0, 20.0, 0.0))
    sample = load(path, space, points=meaning)
    # (1, 2): angle 63 degrees, r 2.2; (-1, 0): 180 degrees, the first cell; (0, -1): -90 degrees, the second cell.
    assert np.argwhere(sample.values[0]).tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 0]]
    tall = dataclasses.replace(space, layers=tuple(Layer(edges, (10 * z, 10 * z + 1)) for z in range(1, 4)))
    same = load(path, tall, points=dataclasses.replace(meaning, depth_in_layers=True))
    assert np.array_equal(same.values, sample.values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({(0, 3, 3): np.nan}, "1 points hold NaN, infinite or negative numbers"),
        ({(0, 3, 3): -0.5}, "the first with the energy -0.5"),
        ({(0, 3, 0): np.inf}, "1 points hold NaN"),
        (
            {(..., 1): 100.0},
            "all points are outside the cells of 'box'; their depths are 100 to 100",
        ),
    ],
)
def test_points_that_cannot_be_right(write, changed, message):
    cloud = points(2, 9)
    for place, value in changed.items():
        cloud[place] = value
    with pytest.raises(ValueError, match=f"events.h5: dataset 'events', events 0 to 1: .*{message}"):
        load(write(events=cloud, energy=[50.0, 60.0]), BOX)


def test_other_shapes_and_spaces_and_writing(write, tmp_path):
    path = write(events=points(2, 9)[..., :3], energy=[50.0, 60.0])
    with pytest.raises(ValueError, match=r"shape \(2, 9, 3\), expected \(event, point, 4\) for space 'ild-ecal'"):
        datasets.load(path)
    with pytest.raises(ValueError, match="has points .*, received Space.'calogan'"):
        datasets.load(write(events=points(2, 9), energy=[50.0, 60.0]), space="calogan", layout="ild")
    sample = load(write(events=points(2, 300) * 0 + 0.5, energy=[50.0, 60.0]), BOX)
    with pytest.raises(ValueError, match="layout 'ild' is only read"):
        datasets.save(tmp_path / "a.h5", sample, layout="ild")
    assert np.array_equal(datasets.load(datasets.save(tmp_path / "a.h5", sample)).values, sample.values)


def test_ild_has_twenty_thin_and_ten_thick_layers():
    space = ild_ecal()
    assert space.shape == (90, 90, 30)
    depths = np.array([layer.depth for layer in space.layers])
    assert (depths[1:, 0] == depths[:-1, 1]).all()
    assert np.diff(depths[2:19:2, 0]) == pytest.approx(12.47) and np.diff(depths[22::2, 0]) == pytest.approx(16.67)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real files in ../shared")
def test_real_showers_of_ild():
    sample = datasets.load(REAL / "mini_data_sample_50GeV.h5")
    assert sample.labels["energy"].tolist() == [50.0, 50.0]
    assert sample.values.sum(axis=(1, 2, 3)) == pytest.approx([1.1009, 1.1337], rel=1e-4)
    profile = sample.values.sum(axis=(0, 1, 2))
    assert 8 <= profile.argmax() <= 20, "the shower maximum is inside the calorimeter"
    thinned = datasets.load(REAL / "mini_data_sample_10-90GeV.h5", layout="ild-layers")
    assert thinned.values.sum(axis=(1, 2, 3)) == pytest.approx([0.04729, 0.09776], rel=1e-4)
    with pytest.raises(ValueError, match="If depths are numbers of layers, use layout='ild-layers'"):
        datasets.load(REAL / "mini_data_sample_10-90GeV.h5")
