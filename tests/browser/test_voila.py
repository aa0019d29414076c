"""The widgets in Voila, with calolab's template: painted, moved by their slider, and nothing fetched from elsewhere."""

import json
from pathlib import Path

CELL = """
import json
import numpy as np
from calolab import spaces, widgets
from calolab.samples import Sample

space = spaces.space("calogan")
values = np.random.default_rng(3).gamma(0.3, 0.05, (5, *space.shape))
viewer = widgets.SliceViewer(Sample(values, {"energy": np.full(5, 50.0)}, space))
viewer.observe(lambda change: open("moved.json", "w").write(json.dumps(change["new"])), "position")
viewer
"""


def test_slice_viewer_in_voila(open_in_voila, voila):
    opened = open_in_voila([CELL])
    page = opened.page
    panel = page.locator("canvas.calolab-panel")
    panel.wait_for(timeout=60_000)
    page.wait_for_function("document.querySelector('canvas.calolab-panel').width > 300")
    before = panel.screenshot()
    page.get_by_label("slice (keys").press("ArrowRight")
    page.get_by_text("z = 1: 90.0 to 437 mm").wait_for()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert panel.screenshot() != before
    page.wait_for_timeout(1000)
    assert json.loads(Path(voila.folder / "moved.json").read_text()) == 1
    opened.check_quiet()
