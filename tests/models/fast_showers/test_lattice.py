import numpy as np
import pytest

from calolab.models.fast_showers.lattice import CLASSES, PARTS, PASSES, Lattice, Part

sides = pytest.mark.parametrize("side", [5, 7, 25, 51])


@sides
def test_each_cell_is_in_one_class_and_the_core_cell_in_the_first(side):
    lattice = Lattice(side, 4)
    assert sorted(lattice.order) == list(range(side**2))
    assert side**2 // 2 in lattice.members(Part(0, 0))
    quarters = np.concatenate([lattice.members(Part(0, quarter)) for quarter in range(4)])
    np.testing.assert_array_equal(quarters[lattice.quarters], lattice.members(Part(0)))
    np.testing.assert_array_equal(lattice.order[lattice.place], np.arange(side**2))
    for which, parities in enumerate(CLASSES):
        for axis, parity in zip((lattice.x, lattice.y), parities):
            assert np.all(np.ravel(axis)[lattice.members(Part(which))] % 2 == parity)
        np.testing.assert_array_equal(lattice.order[lattice.slices(which)], lattice.members(Part(which)))
    for quarter, parities in enumerate(CLASSES):
        for axis, parity in zip((lattice.x, lattice.y), parities):
            assert np.all(np.ravel(axis)[lattice.members(Part(0, quarter))] // 2 % 2 == parity)


@sides
@pytest.mark.parametrize("margin", [0, 2])
def test_neighbours_are_where_planes_say(side, margin):
    lattice = Lattice(side, 4)
    values = np.random.default_rng(0).random((side, side))
    padded = np.pad(values, 2)
    planes = []
    for which in range(4):
        plane = lattice.of(Part(which), values).reshape(lattice.shape(Part(which)))
        planes.append(np.pad(plane, [(1, lattice.width - 1 - number) for number in plane.shape]))
    positions = np.arange(side**2).reshape(side, side)
    for part in {Part(part.which, part.quarter, margin) for _, part in PASSES}:
        if min(lattice.shape(part)) < 1:
            continue
        x, y = np.divmod(lattice.of(part, positions), side)
        found = lattice.neighbours(part.which, 2)
        assert sorted(one[:2] for one in found) == [(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3)]
        for dx, dy, other in found if part.quarter is None else lattice.known(part, 2):
            chosen = planes[other][lattice.within(other, part, (dx, dy))]
            np.testing.assert_array_equal(np.ravel(chosen), padded[x + 2 + dx, y + 2 + dy])


@sides
def test_known_neighbours_are_those_of_earlier_passes(side):
    lattice = Lattice(side, 4)
    for parts in PARTS:
        number = np.zeros(side**2, int)
        for place, part in enumerate(parts):
            number[lattice.members(part)] = place
        number = np.pad(number.reshape(side, side), 2, constant_values=-1)
        for place, part in enumerate(parts):
            known = lattice.known(part, 2)
            x, y = np.divmod(lattice.members(part), side)
            for dx, dy, _ in known:
                assert np.all(number[x + 2 + dx, y + 2 + dy] < place)
            assert len(known) == {0: 0, 1: 4, 2: 4, 3: 8}.get(part.quarter, len(known))


def test_means_are_those_of_a_window():
    lattice, values = Lattice(9, 4), np.random.default_rng(0).random((9, 9))
    expected = np.array(
        [[values[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].sum() for j in range(9)] for i in range(9)]
    )
    mean = lattice.mean(2)
    np.testing.assert_allclose(mean @ values @ mean.T, expected / 25, rtol=1e-5)
    for parts in PARTS:
        done = np.zeros((9, 9))
        for part in parts:
            found = np.zeros(len(lattice.members(part)))
            for other, along_x, along_y in lattice.means_of_planes(2, part):
                plane = lattice.of(Part(other), values).reshape(lattice.shape(Part(other)))
                plane = np.pad(plane, [(1, lattice.width - 1 - number) for number in plane.shape])
                found += np.ravel(along_x @ plane @ along_y.T)
            known = lattice.of(part, mean @ (values * done) @ mean.T)
            np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-9)
            done.flat[lattice.members(part)] = 1


def test_groups_hold_each_layer_once_and_zones_each_cell():
    lattice = Lattice(25, 25)
    assert sorted(layer for group in range(3) for layer in lattice.group(group)) == list(range(25))
    assert [int((lattice.zone == zone).sum()) for zone in range(3)] == [1, 8, 616]
    assert lattice.left(0, 0).tolist() == [8, 616] and lattice.left(0, 7).tolist() == [0, 0]
    assert [Lattice(side, 25).margin for side in (9, 17, 21, 25, 51)] == [0, 0, 2, 4, 16]
