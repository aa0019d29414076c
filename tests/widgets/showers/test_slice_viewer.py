import zlib
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from calolab import spaces
from calolab.samples import Sample
from calolab.spaces import Layer, Space, pad_edges
from calolab.widgets import SliceViewer


def test_all_showers_are_sent_exactly_and_once(make_sample):
    reference, generated = make_sample(seed=1), make_sample(seed=2)
    viewer = SliceViewer(reference, generated)
    received = np.frombuffer(zlib.decompress(viewer.showers), dtype="<f4").reshape(2, 6, *reference.space.shape)
    assert np.array_equal(received, [reference.values, generated.values])
    assert [name for name, value in viewer.get_state().items() if isinstance(value, bytes)] == ["showers"]
    assert len(viewer.showers) < 0.2 * (reference.values.nbytes + generated.values.nbytes)


def test_a_note_says_how_many_events_are_sent(make_sample):
    viewer = SliceViewer(make_sample(events=6), make_sample(events=5), events=3)
    assert viewer.about["note"] == "The first 3 of 5 events."
    assert [len(sample["visible"]) for sample in viewer.about["samples"]] == [3, 3]
    assert SliceViewer(make_sample(events=6)).about["note"] == ""


def test_it_opens_at_the_brightest_layer(make_sample):
    sample = make_sample()
    sample.values[:, 12, 12, 7] += 10
    viewer = SliceViewer(sample)
    assert (viewer.axis, viewer.position) == ("z", 7)


@pytest.mark.parametrize("name", ["clic-ecal", "clic-ecal-51", "calogan"])
def test_traits_are_validated_against_the_space(make_sample, name):
    sample = make_sample(name, events=2)
    viewer = SliceViewer(sample)
    last = len(sample.space.layers) - 1
    viewer.position = last
    with pytest.raises(traitlets.TraitError, match=f"between 0 and {last}, received {last + 1}"):
        viewer.position = last + 1
    with pytest.raises(traitlets.TraitError, match="event must be between 0 and 1"):
        viewer.event = 2
    with pytest.raises(traitlets.TraitError, match="axis must be one of"):
        viewer.axis = "depth"
    assert viewer._repr_png_()[0].startswith(b"\x89PNG")


def test_a_position_beyond_the_new_axis_moves_to_its_end(make_sample):
    viewer = SliceViewer(make_sample("clic-ecal-51", events=1))
    viewer.axis, viewer.position = "x", 50
    viewer.axis = "z"
    assert viewer.position == 24


def test_layers_of_different_cells_are_not_summed(make_sample):
    viewer = SliceViewer(make_sample("calogan", events=1))
    with pytest.raises(traitlets.TraitError, match="slices of the same shape"):
        viewer.total = True
    viewer = SliceViewer(make_sample(events=1))
    viewer.total = True
    assert viewer._repr_png_()[0].startswith(b"\x89PNG")


def test_images_without_depth_are_one_slice():
    edges = pad_edges(5, 0.1)
    space = Space("jets", ("eta", "phi"), ("", ""), (Layer((edges, edges)),), quantity="transverse momentum")
    viewer = SliceViewer(Sample(np.eye(5)[None], {"mass": [80.0]}, space))
    assert viewer.slices == {"phi": 1}
    assert viewer._repr_png_()[0].startswith(b"\x89PNG")


def test_maps_are_signed_and_have_rows_first():
    space = spaces.space("convergence")
    values = np.random.default_rng(1).normal(0, 0.02, (2, *space.shape))
    viewer = SliceViewer(Sample(values, {"redshift": [1.0, 1.0]}, space))
    assert viewer.about["signed"] and viewer.about["space"]["rowsFirst"] and not viewer.log
    assert viewer._repr_png_()[0].startswith(b"\x89PNG")


def test_energies_are_not_signed_even_if_generated_ones_are_negative(make_sample):
    reference = make_sample()
    below = Sample(reference.values - 1e-3, reference.labels, reference.space)
    assert not SliceViewer(reference, below).about["signed"]


def test_samples_have_names_of_their_own(make_sample):
    first, second = make_sample(), make_sample(seed=2)
    assert [one["name"] for one in SliceViewer(first, second).about["samples"]] == ["reference", "generated"]
    viewer = SliceViewer(first, second, names=("full", "fast"))
    assert [one["name"] for one in viewer.about["samples"]] == ["full", "fast"]
    simulated = [replace(s, origin={"simulation": n}) for s, n in ((first, "geant4"), (second, "gflash"))]
    assert [one["name"] for one in SliceViewer(*simulated).about["samples"]] == ["Geant4", "GFlash"]


def test_axes_have_symbols(make_sample):
    space = SliceViewer(make_sample("calogan", events=1)).about["space"]
    assert (space["axes"], space["symbols"]) == (["eta", "phi", "z"], ["η", "φ", "z"])


def test_at_least_one_event_is_required(make_sample):
    with pytest.raises(ValueError, match="events must be at least 1, received 0"):
        SliceViewer(make_sample(), events=0)
