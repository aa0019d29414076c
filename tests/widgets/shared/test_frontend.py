import inspect
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calolab import spaces, widgets
from calolab.widgets.shared import frontend

WIDGETS = [getattr(widgets, name) for name in widgets.__all__]
FOLDER = Path(widgets.__file__).parent


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A function that loads JavaScript as a module, as the browser does, and returns what its default export holds."""
    if not shutil.which("node"):
        pytest.skip("needs node, which is not installed")
    folder = tmp_path_factory.mktemp("bundles")

    def load(text):
        (folder / "bundle.mjs").write_text(text)
        (folder / "load.mjs").write_text(
            "import exported from './bundle.mjs';\n"
            "console.log(JSON.stringify([Object.keys(exported), typeof exported.render]));\n"
        )
        done = subprocess.run(["node", "load.mjs"], cwd=folder, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return load


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget.__name__)
def test_bundle_needs_no_other_file_and_exports_render(widget, exports):
    text = frontend.module(inspect.getfile(widget))
    assert re.search(r"^import\b|\bimport\(|https?://", text, re.MULTILINE) is None
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]
    # A name that two files declare is a SyntaxError here.
    assert exports(text) == [["render"], "function"]
    assert widget._esm == text


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget.__name__)
def test_style_is_the_shared_one_and_the_widgets_own(widget):
    text = frontend.style(inspect.getfile(widget))
    shared = (FOLDER / "shared" / "style.css").read_text()
    own = Path(inspect.getfile(widget)).with_suffix(".css")
    assert text == shared + (own.read_text() if own.exists() else "")
    assert re.search(r"@import|url\(", text) is None


def test_every_javascript_file_reaches_the_browser():
    bundles = "\n".join(frontend.module(inspect.getfile(widget)) for widget in WIDGETS)
    declarations = {
        path.name: re.findall(r"^(?:export )?((?:async )?(?:function|const) \w+)", path.read_text(), re.MULTILINE)
        for path in FOLDER.rglob("*.js")
    }
    assert {name for name, found in declarations.items() if not found} == set()
    assert {name for name, found in declarations.items() if not all(one in bundles for one in found)} == set()


def test_comments_are_not_sent(tmp_path):
    (tmp_path / "one.js").write_text('// What it is.\nimport { two } from "./two.js";\n\nexport default { two };\n')
    (tmp_path / "two.js").write_text(
        "/** Doc.\n *\n * @type {string}\n */\nexport const two = /** @type {string} */ (read());\n"
        "/** @type {number} */\nconst three = 3; // kept\nconst url = `\n  http://four`;\n"
    )
    assert frontend.module(tmp_path / "one.py") == (
        "const two = /** @type {string} */ (read());\nconst three = 3; // kept\nconst url = `\n  http://four`;\n"
        "\nexport default { two };\n"
    )


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
