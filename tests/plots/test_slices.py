import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from calolab import spaces
from calolab.plots import slices
from calolab.samples import Sample


@pytest.fixture
def clic():
    space = spaces.space("clic-ecal")
    values = np.random.default_rng(1).gamma(0.3, 0.01, (2, *space.shape))
    return Sample(values, {"energy": [20.0, 30.0]}, space)


@pytest.mark.parametrize(("axis", "names"), [("z", ("x", "y")), ("x", ("z", "y")), ("y", ("z", "x"))])
def test_a_plane_holds_the_cells_of_its_slice(clic, axis, names):
    event = clic.values[0]
    cells, edges, found = slices.plane(clic.space, event, axis, 9)
    assert found == names
    along = clic.space.axes.index(axis)
    expected = event.take(9, axis=along)
    assert np.array_equal(cells, expected if axis == "z" else expected.T)
    assert [len(e) - 1 for e in edges] == list(cells.shape)
    summed, _, _ = slices.plane(clic.space, event, axis, None)
    assert summed.sum() == pytest.approx(event.sum(dtype=float))


def test_layers_of_different_cells_come_one_by_one():
    space = spaces.space("calogan")
    values = np.arange(space.n_cells, dtype=float)
    for k, layer in enumerate(space.layers):
        cells, edges, names = slices.plane(space, values, "z", k)
        assert cells.shape == layer.shape
        assert (edges, names) == (layer.edges, ("eta", "phi"))
        assert cells.ravel()[0] == space.layer_starts[k]
    with pytest.raises(ValueError, match="layers of 'calogan' differ"):
        slices.plane(space, values, "z", None)
    with pytest.raises(ValueError, match="layers of 'calogan' differ"):
        slices.plane(space, values, "eta", 0)


def test_an_unknown_axis_is_named(clic):
    with pytest.raises(ValueError, match="received axis='depth'"):
        slices.plane(clic.space, clic.values[0], "depth", 0)


@pytest.mark.parametrize("log", [True, False])
def test_both_panels_share_one_colour_scale(clic, log):
    other = Sample(2 * clic.values, clic.labels, clic.space)
    figure = slices.show({"reference": clic, "generated": other}, 1, axis="z", position=4, log=log)
    meshes = [mesh for axes in figure.axes for mesh in axes.collections if isinstance(mesh, QuadMesh)][:2]
    limits = {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes}
    assert len(limits) == 1
    assert limits.pop()[1] == pytest.approx(other.values[1].max())
    assert figure.axes[0].get_xlabel() == "x [mm]"


def test_an_empty_event_can_be_shown(clic):
    empty = Sample(np.zeros_like(clic.values), clic.labels, clic.space)
    assert slices.show({"generated": empty}, 0, axis="z", position=None)._repr_png_()[0].startswith(b"\x89PNG")
