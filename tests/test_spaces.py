import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.spaces import Layer, Slab, Space, names, pad_edges, space


def test_clic_ecal_is_seventeen_thin_and_eight_thick_absorbers():
    ecal = space("clic-ecal")
    tungsten = [layer.slabs[0].thickness for layer in ecal.layers]
    assert tungsten == [2.4] * 17 + [4.8] * 8
    assert ecal.shape == (25, 25, 25)
    assert ecal.regular
    assert ecal.edges("z")[-1] == pytest.approx(129.2)
    assert np.diff(ecal.edges("z")) == pytest.approx([4.4] * 17 + [6.8] * 8)
    assert ecal.centres("z")[0] == pytest.approx(2.65)
    assert ecal.edges("x")[[0, -1]] == pytest.approx([-63.75, 63.75])
    assert sum(tungsten) / 3.5042 == pytest.approx(22.6, abs=0.05)


def test_calogan_has_three_layers_of_different_cells():
    calogan = space("calogan")
    assert [layer.shape for layer in calogan.layers] == [(3, 96), (12, 12), (12, 6)]
    assert not calogan.regular
    assert calogan.shape == (504,)
    assert calogan.layer_starts == (0, 288, 432, 504)
    with pytest.raises(ValueError, match="layers of 'calogan' differ"):
        calogan.edges("eta")


@pytest.mark.parametrize("name", names())
def test_every_named_space_survives_json(name):
    original = space(name)
    assert Space.from_dict(json.loads(json.dumps(original.to_dict()))) == original
    assert name in original._repr_html_()


def test_an_image_is_a_space_without_depth():
    edges = tuple(np.linspace(-2.5, 2.5, 65)), tuple(np.linspace(-np.pi, np.pi, 65))
    image = Space("rpv", ("eta", "phi"), ("", "rad"), (Layer(edges),), "transverse energy", "GeV")
    assert image.shape == (64, 64)
    assert image.axis_label("eta") == "η"
    assert image.axis_label("phi") == "φ [rad]"
    with pytest.raises(ValueError, match="axes"):
        image.edges("z")


def test_unknown_name_lists_the_nearest():
    with pytest.raises(ValueError, match="Nearest: clic-ecal"):
        space("clic-ekal")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Slab("W", 0.0), "positive"),
        (lambda: Layer(((0.0, 0.0),)), "edges must be finite and increasing"),
        (lambda: Layer(((0.0, 1.0),), depth=(0.0, 3.0), slabs=(Slab("W", 2.0),)), "fill 2.0 mm"),
        (lambda: Space("s", ("x", "y"), ("mm",), (Layer(((0.0, 1.0),) * 2),)), "one unit per axis"),
        (lambda: Space("s", ("x", "y"), ("mm", "mm"), (Layer(((0.0, 1.0),)),)), "2 edge arrays"),
        (lambda: Space("s", ("x",), ("mm",), ()), "at least one layer"),
    ],
)
def test_inconsistent_spaces_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@given(st.integers(1, 60), st.floats(0.1, 100))
def test_pads_are_equal_and_centred(n_cells, size):
    edges = np.array(pad_edges(n_cells, size))
    assert np.allclose(np.diff(edges), size)
    assert edges + edges[::-1] == pytest.approx(0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Layer(((0.0, np.nan),)), "edges must be finite"),
        (lambda: Layer(((0.0, np.inf),)), "edges must be finite"),
        (lambda: Layer(((0.0, 1.0),), depth=(0.0, np.nan)), "depth must be"),
        (lambda: Layer(((0.0, 1.0),), depth=(2.0, 1.0)), "depth must be"),
        (lambda: Slab("Pb", np.inf), "positive and finite"),
        (lambda: Space("", ("x",), ("mm",), (Layer(((0.0, 1.0),)),)), "needs strings"),
        (lambda: Space("row", ("x",), (None,), (Layer(((0.0, 1.0),)),)), "needs strings"),
    ],
)
def test_values_that_are_not_finite_or_not_strings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
