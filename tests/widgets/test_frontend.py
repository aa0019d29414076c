import json
import re
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calolab import spaces
from calolab.widgets import frontend

WIDGETS = ("slice_viewer", "profile_explorer", "energy_interpolation", "training_monitor")


@pytest.mark.parametrize("name", WIDGETS)
def test_module_needs_no_other_file_and_no_other_machine(name):
    text = frontend.module(name)
    assert re.search(r"^import\b|\bimport\(|https?://", text, re.MULTILINE) is None
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]
    functions = re.findall(r"^(?:async )?function (\w+)", text, re.MULTILINE)
    assert len(functions) == len(set(functions))
    assert {"surface", "element"} <= set(functions)


def test_style_asks_no_other_machine():
    assert re.search(r"@import|url\(", frontend.style()) is None


@given(st.lists(arrays(np.float32, (3, 2), elements=st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=4))
def test_what_is_packed_is_what_the_browser_unpacks(parts):
    received = np.frombuffer(zlib.decompress(frontend.pack(*parts)), dtype="<f4")
    assert np.array_equal(received, np.concatenate(parts).ravel())


@pytest.mark.parametrize("name", ["clic-ecal", "clic-ecal-51", "calogan"])
def test_space_reaches_the_browser_with_all_its_cells(name):
    space = spaces.space(name)
    received = json.loads(json.dumps(frontend.describe_space(space)))
    sizes = [np.prod([len(edges) - 1 for edges in layer]) for layer in received["layers"]]
    depths = len(received["depth"]) - 1
    assert sum(sizes) * (depths if received["regular"] else 1) == space.n_cells == received["starts"][-1]
    assert received["depth"] == space.edges("z").tolist()


def test_only_samples_of_one_space_stand_side_by_side(make_sample):
    one = make_sample()
    assert list(frontend.samples_of(one, one)) == ["reference", "generated"]
    with pytest.raises(ValueError, match="'clic-ecal' and generated in 'calogan'"):
        frontend.samples_of(one, make_sample("calogan"))
    with pytest.raises(ValueError, match="generated holds no events"):
        frontend.samples_of(one, one.select(slice(0)))
    with pytest.raises(TypeError, match="reference must be a Sample, received ndarray"):
        frontend.samples_of(one.values, None)
