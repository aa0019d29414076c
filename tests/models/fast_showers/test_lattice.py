import numpy as np
import pytest

from calolab.models.fast_showers.lattice import CLASSES, Lattice

sides = pytest.mark.parametrize("side", [5, 7, 25, 51])


@sides
def test_each_cell_is_in_one_class_and_the_core_cell_in_the_first(side):
    lattice = Lattice(side, 4)
    assert sorted(lattice.order) == list(range(side**2))
    assert side**2 // 2 in lattice.members(0)
    np.testing.assert_array_equal(lattice.order[lattice.place], np.arange(side**2))
    for which, parities in enumerate(CLASSES):
        for axis, parity in zip((lattice.x, lattice.y), parities):
            assert np.all(np.ravel(axis)[lattice.members(which)] % 2 == parity)
        np.testing.assert_array_equal(lattice.order[lattice.slices(which)], lattice.members(which))


@sides
@pytest.mark.parametrize("margin", [0, 2])
def test_neighbours_are_where_planes_say(side, margin):
    lattice = Lattice(side, 4)
    values = np.random.default_rng(0).random((side, side))
    padded = np.pad(values, 2)
    planes = []
    for which in range(4):
        plane = lattice.of(which, values).reshape(lattice.shape(which))
        planes.append(np.pad(plane, [(1, lattice.width - 1 - number) for number in plane.shape]))
    positions = np.arange(side**2).reshape(side, side)
    for which in range(4):
        if min(lattice.shape(which, margin)) < 1:
            continue
        x, y = np.divmod(lattice.of(which, positions, margin), side)
        found = lattice.neighbours(which, 2)
        assert sorted(one[:2] for one in found) == [(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3)]
        for dx, dy, other in found:
            part = planes[other][lattice.within(other, which, (dx, dy), margin)]
            np.testing.assert_array_equal(np.ravel(part), padded[x + 2 + dx, y + 2 + dy])


def test_means_are_those_of_a_window():
    lattice, values = Lattice(9, 4), np.random.default_rng(0).random((9, 9))
    expected = np.array(
        [[values[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].sum() for j in range(9)] for i in range(9)]
    )
    mean = lattice.mean(2)
    np.testing.assert_allclose(mean @ values @ mean.T, expected / 25, rtol=1e-5)
    found = np.zeros(len(lattice.members(1)))
    for other in range(4):
        plane = lattice.of(other, values).reshape(lattice.shape(other))
        plane = np.pad(plane, [(1, lattice.width - 1 - number) for number in plane.shape])
        along_x, along_y = lattice.mean_of_plane(2, 1, other)
        found += np.ravel(along_x @ plane @ along_y.T)
    np.testing.assert_allclose(found, lattice.of(1, expected / 25), rtol=1e-5)


def test_groups_hold_each_layer_once_and_zones_each_cell():
    lattice = Lattice(25, 25)
    assert sorted(layer for group in range(3) for layer in lattice.group(group)) == list(range(25))
    assert [int((lattice.zone == zone).sum()) for zone in range(3)] == [1, 8, 616]
    assert lattice.left(0).tolist() == [8, 616] and lattice.left(4).tolist() == [0, 0]
    assert [Lattice(side, 25).margin for side in (9, 17, 21, 25, 51)] == [0, 0, 2, 4, 16]
