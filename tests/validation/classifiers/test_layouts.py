"""Cells as images, with the symmetries of their space."""

import numpy as np
import pytest

from calolab import spaces
from calolab.spaces import Layer, Space
from calolab.validation.classifiers.layouts import branches


def cylinder(alphas=(4, 8, 1), rings=3):
    layers = [
        Layer((tuple(np.linspace(-np.pi, np.pi, n + 1)), tuple(range(rings + 1))), (float(i), i + 1.0))
        for i, n in enumerate(alphas)
    ]
    return Space("rings", ("alpha", "r", "z"), ("rad", "mm", "mm"), tuple(layers))


@pytest.mark.parametrize(
    ("name", "augment", "symmetries", "shapes"),
    [
        ("clic-ecal", True, 8, [(25, 25, 25)]),
        ("clic-ecal", False, 1, [(25, 25, 25)]),
        ("calogan", True, 4, [(3, 96, 1), (12, 12, 1), (12, 6, 1)]),
        ("convergence", True, 8, [(256, 256, 1)]),
        # 64 rotations in phi, reflections in eta and in phi.
        ("whole-detector", True, 256, [(64, 64, 1)]),
    ],
)
def test_shapes_and_numbers_of_symmetries(name, augment, symmetries, shapes):
    found = branches(spaces.space(name), augment)
    assert [one.shape for one in found] == shapes
    assert {len(one.index) for one in found} == {symmetries}
    assert [one.periodic for one in found] == [name == "whole-detector"] * len(found)


@pytest.mark.parametrize("space", [spaces.space("calogan"), cylinder(), cylinder((4, 4, 4)), spaces.space("clic-ecal")])
def test_each_symmetry_has_every_cell_once_and_no_two_are_equal(space):
    found = branches(space, True)
    for symmetry in range(len(found[0].index)):
        cells = np.concatenate([one.index[symmetry].ravel() for one in found])
        assert sorted(cells) == list(range(space.n_cells))
    together = {np.concatenate([one.index[k].ravel() for one in found]).tobytes() for k in range(len(found[0].index))}
    assert len(together) == len(found[0].index)


def test_the_first_image_is_the_layers_themselves():
    space = spaces.space("clic-ecal")
    values = np.arange(space.n_cells, dtype=float).reshape(space.shape)
    assert np.array_equal(values.ravel()[branches(space, True)[0].index[0]], values)


def test_a_cylinder_is_rotated_in_all_layers_by_the_same_angle_and_never_mirrored_in_r():
    space = cylinder()
    found = branches(space, True)
    # The angle is along the columns.
    assert [one.shape for one in found] == [(3, 4, 1), (3, 8, 1), (3, 1, 1)]
    assert [one.periodic for one in found] == [True, True, False]
    assert len(found[0].index) == 4 * 2
    coarse, fine = (one.index[..., 0] for one in found[:2])
    for number in range(8):
        # Both cells of the fine layer that lie in the first cell of the coarse one are still there.
        first = np.argwhere(coarse[number] == coarse[0][0, 0])[0]
        twins = {tuple(np.argwhere(fine[number] == fine[0][0, k])[0]) for k in (0, 1)}
        assert twins == {(first[0], 2 * first[1]), (first[0], 2 * first[1] + 1)}


def test_images_of_more_than_two_axes_are_rejected():
    space = Space("block", ("x", "y", "t"), ("mm", "mm", "ns"), (Layer(((0, 1, 2),) * 3),))
    with pytest.raises(ValueError, match="one or two axes"):
        branches(space, True)
