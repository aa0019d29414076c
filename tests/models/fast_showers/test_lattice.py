import numpy as np
import pytest

from calolab.models.fast_showers.lattice import CLASSES, PARTS, Lattice, Part

sides = pytest.mark.parametrize("side", [5, 7, 15, 17, 25, 51])


@sides
def test_each_cell_is_in_one_class_and_the_core_cell_in_the_first(side):
    lattice = Lattice(side, 4)
    assert sorted(lattice.order) == list(range(side**2))
    assert side**2 // 2 in lattice.members(Part(0, 0))
    quarters = [Part(0, quarter) for quarter in range(4)]
    drawn = np.concatenate([lattice.drawn(part) for part in quarters])
    np.testing.assert_array_equal(drawn[lattice.natural_order(*quarters)], lattice.members(Part(0)))
    np.testing.assert_array_equal(lattice.order[lattice.place], np.arange(side**2))
    for which, parities in enumerate(CLASSES):
        for axis, parity in zip((lattice.x, lattice.y), parities):
            assert np.all(np.ravel(axis)[lattice.members(Part(which))] % 2 == parity)
    for quarter, parities in enumerate(CLASSES):
        for axis, parity in zip((lattice.x, lattice.y), parities):
            assert np.all(np.ravel(axis)[lattice.members(Part(0, quarter))] // 2 % 2 == parity)


@sides
def test_near_cells_are_drawn_before_far_ones(side):
    lattice = Lattice(side, 4)
    far = np.ravel(np.maximum(abs(lattice.x), abs(lattice.y))) > 6
    for parts in PARTS:
        cells = np.concatenate([lattice.drawn(part) for part in parts])
        assert sorted(cells) == list(range(side**2))
        assert sum(len(lattice.regions(part)[0]) for part in parts) == (~far).sum()
        for part in parts:
            assert np.all(np.diff(far[lattice.drawn(part)].astype(int)) >= 0)
            assert len(lattice.regions(part)) == 1 + far[lattice.members(part)].any()


@sides
def test_known_neighbours_are_those_of_earlier_passes(side):
    lattice, values = Lattice(side, 4), np.random.default_rng(0).random((side, side))
    padded = np.pad(values, 2)
    for parts in PARTS:
        number = np.zeros(side**2, int)
        for place, part in enumerate(parts):
            number[lattice.members(part)] = place
        number = np.pad(number.reshape(side, side), 2, constant_values=-1)
        for place, part in enumerate(parts):
            cells = lattice.drawn(part)
            x, y = np.divmod(cells, side)
            known = np.zeros((5, 5, len(x)))
            for source in lattice.sources(part):
                shifts, there = lattice.shifts(part, source, 2), np.append(values.flat[lattice.members(source)], 0)
                found = there[lattice.around(cells, shifts, source)].reshape(len(shifts), -1)
                for (dx, dy), one in zip(shifts, found):
                    known[dx + 2, dy + 2] += one
            earlier = np.where((number >= 0) & (number < place), padded, 0)
            steps = np.stack(np.meshgrid(*2 * [np.arange(5)], indexing="ij"))[..., None]
            np.testing.assert_array_equal(known, earlier[x + steps[0], y + steps[1]])


@sides
def test_all_neighbours_are_found(side):
    lattice, values = Lattice(side, 4), np.random.default_rng(0).random((side, side))
    padded, flat, shifts = np.pad(values, 1), np.append(values, 0), [(1, 0), (0, 0), (-1, 1)]
    cells = lattice.drawn(Part(2))
    x, y = np.divmod(cells, side)
    found = flat[lattice.around(cells, shifts)]
    np.testing.assert_array_equal(found, np.concatenate([padded[x + 1 + dx, y + 1 + dy] for dx, dy in shifts]))


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
            for source in lattice.sources(part):
                along_x, along_y = lattice.means(2, part, source)
                there = values.flat[lattice.members(source)].reshape(len(along_x.T), len(along_y.T))
                found += np.ravel(along_x @ there @ along_y.T)
            known = np.ravel(mean @ (values * done) @ mean.T)[lattice.members(part)]
            np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-9)
            done.flat[lattice.members(part)] = 1


def test_groups_hold_each_layer_once_and_zones_each_cell():
    lattice = Lattice(25, 25)
    assert sorted(layer for group in range(3) for layer in lattice.group(group)) == list(range(25))
    assert [int((lattice.zone == zone).sum()) for zone in range(3)] == [1, 8, 616]
    assert lattice.left(0, 0).tolist() == [8, 616] and lattice.left(0, 7).tolist() == [0, 0]
