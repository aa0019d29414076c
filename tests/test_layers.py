"""Changed detectors: materials, thicknesses and cells."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.spaces import Layer, Slab, Space, pad_edges, space, stack

ECAL = space("clic-ecal")


def absorbers(changed, material):
    return [slab.thickness for layer in changed.layers for slab in layer.slabs if slab.material == material]


def test_a_slab_stores_the_one_name_of_its_material():
    assert Slab("lead", 2.0) == Slab("Pb", 2.0)
    assert Slab("liquid argon", 4.0, sensitive=True).material == "lAr"


def test_other_absorbers_keep_everything_else():
    lead = ECAL.replaced(material={"tungsten": "lead"})
    assert lead.name == "clic-ecal, W -> Pb"
    assert absorbers(lead, "Pb") == absorbers(ECAL, "W") and absorbers(lead, "W") == []
    assert lead.edges("z") == pytest.approx(ECAL.edges("z"))
    assert lead.layers[0].edges == ECAL.layers[0].edges
    assert Space.from_dict(json.loads(json.dumps(lead.to_dict()))) == lead


def test_a_thickness_is_set_and_a_scale_multiplies():
    assert absorbers(ECAL.replaced(thickness={"W": 2.0}), "W") == [2.0] * 25
    thicker = ECAL.replaced(material={"W": "Pb"}, scale={"W": 1.25})
    assert absorbers(thicker, "Pb") == pytest.approx([3.0] * 17 + [6.0] * 8)
    assert thicker.edges("z")[-1] == pytest.approx(17 * 5 + 8 * 8)
    assert thicker.name == "clic-ecal, W -> Pb x 1.25"
    assert thicker.replaced(pads=3, name="mine").name == "mine"


def test_pads_change_their_size_and_not_their_number():
    fine = ECAL.replaced(pads=3)
    assert fine.shape == ECAL.shape and np.diff(fine.edges("x")) == pytest.approx([3.0] * 25)
    oblong = ECAL.replaced(pads=(3, 4))
    assert oblong.edges("x")[-1] == pytest.approx(37.5) and oblong.edges("y")[-1] == pytest.approx(50)
    off = Space("off", ("x", "y", "z"), ("mm",) * 3, (Layer(((0, 5, 10), (0, 5)), (0, 2)),))
    assert off.replaced(pads=2).edges("x").tolist() == [3, 5, 7], "centred where the cells were"


@given(st.floats(0.1, 10), st.floats(0.1, 3), st.lists(st.floats(0, 5), min_size=3, max_size=3))
def test_layers_stay_in_order_with_the_gaps_between_them(thickness, factor, gaps):
    edges, begin, layers = (pad_edges(3, 5.0),) * 2, 7.0, []
    for gap in gaps:
        layers += stack([[Slab("W", 1.0), Slab("Si", 0.5, sensitive=True)]], [edges], start=begin + gap)
        begin = layers[-1].depth[1]
    changed = Space("s", ("x", "y", "z"), ("mm",) * 3, layers).replaced(
        thickness={"W": thickness}, scale={"Si": factor}, name="changed"
    )
    depths = [7.0, *(border for layer in changed.layers for border in layer.depth)]
    assert [b - a for a, b in list(pairwise(depths))[::2]] == pytest.approx(gaps)
    assert [b - a for a, b in list(pairwise(depths))[1::2]] == pytest.approx([thickness + 0.5 * factor] * 3)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("clic-ecal", {"material": {"Pb": "W"}}, "no slab of 'Pb'; the materials are W, Si, Air"),
        ("clic-ecal", {"thickness": {"W": -1.0}}, "thickness must be positive and finite, received -1"),
        ("clic-ecal", {"scale": {"W": np.nan}}, "scale must be positive"),
        ("clic-ecal", {"thickness": {"W": 1.0}, "scale": {"tungsten": 2.0}}, "either the thickness or the scale of W"),
        ("clic-ecal", {"pads": 0}, "pads must be positive"),
        ("clic-ecal", {"pads": (1, 2, 3)}, "one number or one along each axis"),
        ("clic-ecal", {}, "changes nothing"),
        ("clic-ecal", {"material": {"W": "tungsten"}}, "changes nothing"),
        ("clic-ecal", {"pads": 3, "name": "clic-ecal"}, "that of another space"),
        ("clic-ecal", {"pads": 3, "name": "calogan"}, "that of another space"),
        ("jet-image", {"pads": 0.2}, "is an image"),
        ("calogan", {"material": {"Pb": "W"}}, "the materials are not defined"),
        ("par04", {"pads": 3}, "needs cells in mm"),
    ],
)
def test_impossible_changes_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        space(name).replaced(**changes)
