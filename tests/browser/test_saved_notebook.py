"""With our settings, a saved notebook displays its widgets when it is opened again without its kernel."""

import json
import secrets
from pathlib import Path

from calolab import widgets
from tests.browser.conftest import Notebook, running_lab, write_notebook

ROOT = Path(__file__).parents[2]
SETTINGS = Path(widgets.__file__).parent / "lab"
# A viewer of one event, whose saved state is measured.
VIEWER = """
import numpy as np
from calolab import Sample, spaces, widgets
space = spaces.space("jet-image")
values = np.random.default_rng(1).exponential(1, (3, *space.shape))
viewer = widgets.SliceViewer(Sample(values, {"pt": [1.0, 2.0, 3.0]}, space))
viewer
"""
SHOWN = """(name) => {
    const shown = window.jupyterapp?.shell.currentWidget;
    return shown?.context?.path === name && shown.context.isReady;
}"""


def test_widgets_come_back_without_the_kernel_that_made_them(playwright, browser, tmp_path):
    with running_lab(tmp_path, JUPYTER_CONFIG_PATH=str(SETTINGS)) as server:
        path = server.folder / "saved.ipynb"
        write_notebook(path, [VIEWER])
        address = server.url.format(path=f"/workspaces/{secrets.token_hex(4)}/tree/{path.name}")
        context = browser.new_context(viewport={"width": 1200, "height": 1000})
        first = Notebook(context.new_page(), path=path)
        first.page.goto(address)
        first.page.wait_for_function(SHOWN, arg=path.name, timeout=60_000)
        first.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=60_000
        )
        first.run_all()
        assert first.failures() == []
        first.page.locator("section.calolab canvas").first.wait_for()
        first.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        first.page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
        first.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        context.close()

        content = json.loads(path.read_text())
        state = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
        # The code and style of the widget, some 60 kB, and its data: nothing twice, and no other widget.
        assert len([one for one in state.values() if one["model_module"] == "anywidget"]) == 1
        assert 30_000 < len(json.dumps(state)) < 150_000
        # The kernel that made it has ended: the state is in the file only.
        context = browser.new_context(viewport={"width": 1200, "height": 1000})
        page = context.new_page()
        page.goto(server.url.format(path=f"/workspaces/{secrets.token_hex(4)}/tree/{path.name}"))
        page.wait_for_function(SHOWN, arg=path.name, timeout=60_000)
        section = page.locator("section.calolab[aria-label='Slice viewer']")
        section.wait_for(timeout=30_000)
        page.screenshot(path=tmp_path / "reopened.png")
        assert page.get_by_text("model not found").count() == 0
        canvas = section.locator("canvas").first
        assert canvas.evaluate("(canvas) => canvas.width") > 100
        context.close()


def test_make_lab_and_binder_use_these_settings():
    assert "calolab/widgets/lab" in (ROOT / "Makefile").read_text()
    assert "JUPYTER_CONFIG_PATH" in (ROOT / "binder" / "start").read_text()
