"""Notebook 00 from top to bottom in JupyterLab in Chromium: with engines, Horovod, Geant4 and all widgets."""

import re
from pathlib import Path

import nbformat
import pytest

from notebooks.pages import page
from tests.test_notebooks import check_page

PATH = Path(__file__).parents[2] / "notebooks" / "00_from_engines_to_showers.ipynb"
WIDGETS = ("Slice viewer", "Energy interpolation", "Training monitor")


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook(PATH)
    opened.run_all(timeout=600)
    yield opened
    opened.run("get_ipython().run_line_magic('ipcluster', 'stop --all')")


def test_every_cell_runs_and_nothing_leaves_the_machine(notebook):
    assert notebook.failures() == []
    notebook.check_quiet()


def test_the_summary_has_nine_measured_lines(notebook):
    (summary,) = [cell for cell in notebook.cells() if "summary" in cell.metadata.get("tags", [])]
    lines = "".join(output.text for output in summary.outputs).strip().splitlines()
    assert len(lines) == 9
    assert all(re.search(r"\d", line) for line in lines)
    assert "nan" not in "".join(lines)


def test_every_widget_has_a_picture(notebook):
    outputs = [output.data for cell in notebook.cells() for output in cell.get("outputs", []) if "data" in output]
    shown = [data for data in outputs if "application/vnd.jupyter.widget-view+json" in data]
    assert len(shown) == len(WIDGETS) + 2  # the monitor at the end of the training, and the adapted showers
    assert all(data.get("image/png") for data in shown)


def test_its_page_is_light_and_described_and_nothing_is_shown_in_red(notebook):
    cells = notebook.cells()
    check_page(page(nbformat.v4.new_notebook(cells=cells), "notebook 00"))
    streams = [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []


@pytest.mark.parametrize("name", WIDGETS)
def test_the_widget_is_drawn(notebook, name):
    section = notebook.page.locator(f"section.calolab[aria-label='{name}']").first
    section.scroll_into_view_if_needed()
    canvas = section.locator("canvas").first
    painted = canvas.evaluate(
        """(canvas) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const pixels = new Uint32Array(data.buffer);
            return new Set(pixels).size;
        }"""
    )
    assert painted > 5


def test_the_monitor_followed_the_training_to_its_end(notebook):
    said = notebook.run("print(monitor.status, len(monitor.ranks), run.status, len(run.losses) == history.steps > 0)")
    # At its last step or at its time limit, depending on the machine.
    assert said in ("finished 2 finished True", "stopped 2 stopped True")


def test_no_engine_is_left(notebook):
    assert "not running" in notebook.run("print(repr(cl.cluster.status()))")
