"""The binning of the CaloChallenge: published numbers of voxels, and XML files, also malicious ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab import spaces
from calolab.calochallenge import LayerBinning, read_xml
from calolab.spaces import from_xml, space

PHOTON = """<Bins>
  <Bin pid="22" etaMin="0" etaMax="130" name="photon">
    <Layer id="0" r_edges="0,5,10,30" n_bin_alpha="1" />
    <Layer id="1" r_edges="0" n_bin_alpha="1" />
    <Layer id="2" r_edges="0, 2,5" n_bin_alpha="10"/>
  </Bin>
  <Bin pid="211" name="pion"><Layer id="3" r_edges="0,7" n_bin_alpha="4"/></Bin>
</Bins>"""


@pytest.mark.parametrize(
    ("name", "voxels", "layers"),
    [
        ("calochallenge-photons", 368, [(1, 8), (10, 16), (10, 19), (1, 5), (1, 5)]),
        ("calochallenge-pions", 533, [(1, 8), (10, 10), (10, 10), (1, 5), (10, 15), (10, 16), (1, 10)]),
        ("calochallenge-2", 6480, [(16, 9)] * 45),
        ("calochallenge-3", 40500, [(50, 18)] * 45),
    ],
)
def test_the_spaces_have_the_published_numbers_of_voxels(name, voxels, layers):
    found = space(name)
    assert found.n_cells == voxels
    assert [layer.shape for layer in found.layers] == layers
    assert found.axes == ("alpha", "r", "z")
    assert found.units[:2] == ("rad", "mm")


def test_data_sets_2_and_3_are_45_layers_of_3_4_mm_within_a_radius_of_41_85_mm():
    for name in ("calochallenge-2", "calochallenge-3", "par04", "par04-low"):
        found = space(name)
        assert found.edges("z") == pytest.approx(np.arange(46) * 3.4)
        assert found.edges("r")[-1] == pytest.approx(41.85)
        assert found.edges("alpha")[[0, -1]] == pytest.approx([-np.pi, np.pi])
    assert space("calochallenge-2").shape == (16, 9, 45)
    assert space("par04").shape == (50, 18, 45)


def test_the_depths_of_data_set_1_are_in_layers():
    assert space("calochallenge-photons").units[-1] == "layer"
    assert space("calochallenge-photons").edges("z").tolist() == [0, 1, 2, 3, 4, 5]


def test_an_xml_binning_is_read_and_layers_without_cells_are_left_out(tmp_path):
    path = tmp_path / "mine.xml"
    path.write_text(PHOTON)
    found = from_xml(path, "photon")
    assert found.name == "mine"
    assert [layer.shape for layer in found.layers] == [(1, 3), (10, 2)]
    assert found.layers[1].edges[1] == (0.0, 2.0, 5.0)
    assert found.units[-1] == "layer"
    assert [layer.number for layer in read_xml(path, "photon")] == [0, 2]


@pytest.mark.parametrize("name", ["photons", "pions", "2", "3"])
def test_the_xml_of_a_data_set_gives_its_named_space(name, tmp_path):
    binning = spaces.calochallenge.BINNINGS[name]
    assert from_xml(_write(tmp_path / "binning.xml", binning)) is space(f"calochallenge-{name}")


def _write(path, binning):
    layers = [
        f'<Layer id="{layer.number}" r_edges="{",".join(f"{r:g}" for r in layer.r)}" n_bin_alpha="{layer.n_alpha}"/>'
        for layer in binning
    ]
    path.write_text(f'<Bins><Bin pid="11" name="electron">{"".join(layers)}</Bin></Bins>')
    return path


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 500), min_size=2, max_size=6, unique=True).map(sorted).map(tuple),
            st.integers(1, 60),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_binning_survives_xml(tmp_path_factory, layers):
    binning = tuple(LayerBinning(2 * i, tuple(map(float, r)), n) for i, (r, n) in enumerate(layers))
    assert read_xml(_write(tmp_path_factory.mktemp("xml") / "binning.xml", binning)) == binning


LAUGHS = """<!DOCTYPE Bins [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Bins><Bin name="&b;"/></Bins>"""
OUTSIDE = '<!DOCTYPE Bins [<!ENTITY a SYSTEM "file:///etc/passwd">]><Bins><Bin name="&a;"/></Bins>'


@pytest.mark.parametrize(
    ("text", "particle", "message"),
    [
        (LAUGHS, None, "document type declaration"),
        (OUTSIDE, None, "document type declaration"),
        (LAUGHS.encode("utf-16"), None, "document type declaration"),
        ('<?xml version="1.0" encoding="klingon"?><Bins/>', None, "expected an XML file"),
        ("<Bins><Bin>", None, "expected an XML file"),
        (b"\x89HDF\r\n\x1a\n", None, "expected an XML file"),
        ("", None, "expected an XML file"),
        ("<Bins/>", None, "elements <Bin>"),
        (PHOTON, None, "choose one of them with particle="),
        (PHOTON, "electron", "describes 'photon', 'pion', but particle= asks for 'electron'"),
        (PHOTON.replace("pion", "photon"), "photon", "2 times"),
        (PHOTON.replace('id="2"', 'id="0"'), "photon", "more than once"),
        (PHOTON.replace("0,5,10,30", "0,5,5,30"), "photon", "layer 0: r edges must increase"),
        (PHOTON.replace("0,5,10,30", "-5,5,10"), "photon", "layer 0: r edges must increase"),
        (PHOTON.replace("0,5,10,30", "0,nan"), "photon", "layer 0: r edges must increase"),
        (PHOTON.replace("0,5,10,30", "0,five"), "photon", "numbers .mm. separated by commas, received '0,five'"),
        (PHOTON.replace('n_bin_alpha="10"', 'n_bin_alpha="0"'), "photon", "layer 2: expected 1 to 10000 bins"),
        (PHOTON.replace('n_bin_alpha="10"', 'n_bin_alpha="999999"'), "photon", "layer 2: expected 1 to 10000 bins"),
        (PHOTON.replace('n_bin_alpha="10"', 'n_bin_alpha="ten"'), "photon", "whole number, received 'ten'"),
        (PHOTON.replace('n_bin_alpha="10"', ""), "photon", "lacks the attribute 'n_bin_alpha'"),
        (PHOTON.replace("0,7", "0"), "pion", "no layer has cells"),
    ],
)
def test_other_xml_is_a_clear_error(tmp_path, text, particle, message):
    path = tmp_path / "binning.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as caught:
        from_xml(path, particle)
    assert str(path) in str(caught.value)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    path = tmp_path / "binning.xml"
    path.write_text(PHOTON + " " * 10_000_000)
    with pytest.raises(ValueError, match="at most 10000000 bytes"):
        from_xml(path, "photon")
