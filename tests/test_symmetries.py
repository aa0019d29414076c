import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.samples import Sample
from calolab.spaces import Layer, Space, pad_edges, space
from calolab.symmetries import symmetries, transform


def box(first, second, axes=("x", "y", "z"), layers=2):
    return Space("box", axes, ("mm",) * 3, [Layer((first, second), (2.0 * i, 2.0 * i + 1)) for i in range(layers)])


def cylinder(*bins, starts=None, unit="mm"):
    starts = [-np.pi] * len(bins) if starts is None else starts
    edges = [(np.linspace(start, start + 2 * np.pi, n + 1), (0, 5, 20)) for n, start in zip(bins, starts)]
    layers = [Layer(one, (3.0 * i, 3.0 * i + 3)) for i, one in enumerate(edges)]
    return Space("cylinder", ("alpha", "r", "z"), ("rad", "mm", unit), layers)


def image(eta, phi, axes=("eta", "phi"), units=("", "rad")):
    return Space("image", axes, units, (Layer((eta, phi)),), "tower energy")


PADS, ROUND = pad_edges(4, 5.0), np.linspace(-np.pi, np.pi, 7)
MIXED = Space(
    "mixed", ("x", "y", "z"), ("mm",) * 3, [Layer((pad_edges(n, 12 / n),) * 2, (n, n + 1.0)) for n in (3, 4, 6)]
)
SPACES = {
    "square": (box(PADS, PADS), 8),
    "odd square": (box(pad_edges(5, 2.0), pad_edges(5, 2.0)), 8),
    "layers of different squares": (MIXED, 8),
    "oblong pads": (box(PADS, pad_edges(4, 6.0)), 4),
    "oblong window": (box(PADS, pad_edges(6, 5.0)), 4),
    "off centre in y": (box(PADS, (-5, 0, 5, 10, 15)), 2),
    "off centre": (box((-5, 0, 5, 10, 15), (-5, 0, 5, 10, 15)), 1),
    "unequal mirrored cells": (box((-9, -1, 1, 9), (-9, -1, 1, 9)), 8),
    "unequal cells": (box((-9, -1, 2, 9), PADS), 2),
    "CaloGAN": (space("calogan"), 4),
    "cylinder": (cylinder(6, 6), 12),
    "alpha from 0": (cylinder(6, 6, starts=[0, 0]), 12),
    "different alpha": (cylinder(1, 4, 6, 1), 4),
    "alpha in one bin": (cylinder(1, 1), 1),
    "alpha turned between layers": (cylinder(4, 4, starts=[0, 0.3]), 1),
    "unknown depths": (cylinder(6, 6, unit="layer"), 1),
    "whole detector": (image((-2, -1, 1, 2), ROUND), 24),
    "one-sided eta": (image((0, 1, 2), ROUND), 12),
    "part of phi": (image((-2, 0, 2), (-1, 0, 1)), 1),
    "jet image": (space("jet-image"), 1),
    "sky": (image((0, 1, 2), (5, 6, 7), ("row", "column"), ("deg", "deg")), 8),
    "oblong sky": (image((0, 1, 2), (5, 6, 7, 8), ("row", "column"), ("deg", "deg")), 4),
}
SYMMETRIC = [name for name, (_, number) in SPACES.items() if number > 1]


def permutations(one, group):
    """The cells at each position after each symmetry, shape `(symmetry, cell)`."""
    cells = np.broadcast_to(np.arange(one.n_cells).reshape(one.shape), (len(group), *one.shape))
    return transform(one, cells, group, np.arange(len(group))).reshape(len(group), -1)


@pytest.mark.parametrize("name", SPACES)
def test_a_space_has_the_symmetries_of_its_cells(name):
    one, number = SPACES[name]
    group = symmetries(one)
    assert len(group) == len({symmetry.name for symmetry in group}) == number
    assert group[0].name == "identity"


@pytest.mark.parametrize("name", SYMMETRIC)
def test_they_are_a_group_of_permutations(name):
    one, _ = SPACES[name]
    found = permutations(one, symmetries(one))
    np.testing.assert_array_equal(found[0], np.arange(one.n_cells))
    np.testing.assert_array_equal(np.sort(found, axis=1), found[:1].repeat(len(found), axis=0))
    members = {row.tobytes() for row in found}
    assert len(members) == len(found)
    assert {first[second].tobytes() for first in found for second in found} == members
    assert {np.argsort(row).astype(row.dtype).tobytes() for row in found} == members


@given(st.sampled_from(SYMMETRIC), st.integers(0, 2**32 - 1))
def test_each_event_keeps_the_energies_of_its_layers_and_gets_its_own_symmetry(name, seed):
    one, _ = SPACES[name]
    random, group = np.random.default_rng(seed), symmetries(one)
    events = Sample(random.random((5, *one.shape)), {}, one)
    chosen = random.integers(len(group), size=5)
    made = Sample(transform(one, events.values, group, chosen), {}, one)
    for layer in range(len(one.layers)):
        before, after = (np.sort(sample.layer(layer).reshape(5, -1)) for sample in (events, made))
        np.testing.assert_array_equal(before, after)
    for event, number in enumerate(chosen):
        alone = transform(one, events.values[event : event + 1], group, [number])
        np.testing.assert_array_equal(made.values[event], alone[0])


@pytest.mark.parametrize("name", ["square", "layers of different squares", "oblong pads", "off centre in y", "CaloGAN"])
def test_no_cell_changes_its_distance_from_the_axis(name):
    """So radial profiles, widths and maxima do not change, either."""
    one, _ = SPACES[name]
    for number in range(len(one.layers)):
        x, y = ((np.array(edges[1:]) + edges[:-1]) / 2 for edges in one.layers[number].edges)
        radius = np.hypot(x[:, None], y[None, :])
        for symmetry in symmetries(one):
            np.testing.assert_allclose(symmetry(radius[None])[0], radius)


def test_distances_in_phi_and_sizes_of_eta_do_not_change():
    one, _ = SPACES["whole detector"]
    eta, phi = one.centres("eta"), one.centres("phi")
    values = np.zeros((1, *one.shape))
    values[0, 2, 1], values[0, 1, 5] = 1.0, 2.0
    for symmetry in symmetries(one):
        moved = symmetry(values)[0]
        places = [np.argwhere(moved == energy)[0] for energy in (1.0, 2.0)]
        assert [abs(eta[place[0]]) for place in places] == pytest.approx([abs(eta[2]), abs(eta[1])])
        assert np.cos(np.subtract(*(phi[place[1]] for place in places))) == pytest.approx(np.cos(phi[1] - phi[5]))


def test_a_rotation_moves_layers_of_different_bins_by_the_same_angle():
    one = cylinder(1, 4, 6)
    half = next(symmetry for symmetry in symmetries(one) if symmetry.name == "rotate alpha by 1/2 turn")
    values = np.zeros((1, one.n_cells))
    sample = Sample(values, {}, one)
    for layer in (0, 1, 2):
        sample.layer(layer)[0, 0, 1] = 1.0
    moved = Sample(transform(one, sample.values, [half], [0]), {}, one)
    assert [int(np.argmax(moved.layer(layer)[0, :, 1])) for layer in (0, 1, 2)] == [0, 2, 3]


@pytest.mark.parametrize(
    ("name", "labels", "left"),
    [
        ("clic-ecal", ["energy"], 8),
        ("clic-ecal-51", ["energy", "theta"], ["identity", "reflect x"]),
        ("clic-ecal-51", ["mtheta"], ["identity", "reflect x"]),
        ("clic-ecal", ["phi"], 1),
        ("clic-ecal", ["theta", "phi"], 1),
        ("clic-ecal", ["x"], ["identity", "reflect y"]),
        ("calogan", ["eta"], ["identity", "reflect phi"]),
        ("calogan", ["theta"], 1),
        ("par04-low", ["energy"], 32),
        ("par04-low", ["theta"], 1),
        ("par04-low", ["alpha"], 1),
        ("calochallenge-photons", ["energy"], 1),
        ("whole-detector", ["gluino_mass", "mu"], 256),
        ("whole-detector", ["eta"], 128),
        ("whole-detector", ["phi"], ["identity", "reflect eta"]),
        ("jet-image", ["signal"], 1),
        ("convergence", ["redshift"], 8),
    ],
)
def test_symmetries_that_would_make_a_label_wrong_are_left_out(name, labels, left):
    group = symmetries(space(name), labels)
    assert len(group) == left if isinstance(left, int) else [one.name for one in group] == left
