"""The style stays inside its block, and a figure shows itself in a real notebook, once."""

import subprocess
import sys

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

from calolab.plots import style

FIGURE = """
from calolab.plots import style

@style.hep()
def draw():
    figure = style.new_figure(4, 3)
    figure.subplots().plot([1, 2, 3])
    style.add_label(figure, "3 points")
    return figure
"""


def test_importing_and_drawing_change_no_setting():
    code = """
import matplotlib
before = dict(matplotlib.rcParams)
import calolab.plots, calolab.validation
from calolab.plots import style
with style.hep():
    assert matplotlib.rcParams["xtick.direction"] == "in"
figure = style.new_figure(3, 2)
figure.subplots().plot([1, 2])
figure._repr_png_()
assert {k: v for k, v in matplotlib.rcParams.items() if before[k] != v} == {}
import matplotlib.pyplot
assert matplotlib.pyplot.get_fignums() == []
print("unchanged")
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "unchanged\n"
    )


def test_settings_return_after_an_error():
    before = matplotlib.rcParams["font.size"]
    with pytest.raises(ZeroDivisionError), style.hep():
        assert matplotlib.rcParams["font.size"] == 12
        raise ZeroDivisionError
    assert matplotlib.rcParams["font.size"] == before


def test_a_figure_keeps_its_fonts_outside_of_the_style():
    with style.hep():
        figure = style.new_figure(4, 3)
        panel = figure.subplots()
        panel.set_xlabel("depth [mm]")
    assert isinstance(figure, Figure)
    assert panel.xaxis.label.get_fontfamily() == ["TeX Gyre Heros", "DejaVu Sans"]


def test_the_label_says_whose_figure_it_is():
    with style.hep():
        figure = style.new_figure(6, 4)
        panel = figure.subplots()
        style.add_label(figure, "clic-ecal")
        style.add_label(panel, "one panel", supplement="preliminary")
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert texts.count("calolab") == 2 and {"simulation", "preliminary", "clic-ecal", "one panel"} <= set(texts)


@pytest.mark.parametrize("setup", ["", "import matplotlib.pyplot as plt", "%matplotlib inline"])
def test_a_notebook_shows_a_figure_once(setup):
    """Whatever the user has set up: as the last expression once, not at all when it is assigned."""
    cells = [setup, FIGURE, "draw()", "kept = draw()", "kept"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    pictures = [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in notebook.cells]
    assert pictures == [0, 0, 1, 0, 1]
    assert [len(cell.outputs) for cell in notebook.cells] == pictures


def test_a_figure_of_noise_weighs_little_and_keeps_its_size():
    figure = style.new_figure(8, 8)
    panel = figure.subplots()
    panel.imshow(np.random.default_rng(1).normal(size=(256, 256)), interpolation="bilinear")
    picture, facts = figure._repr_png_()
    assert len(picture) < 0.25 * len(style._png(style._drawn(figure, 2)))
    assert (facts["width"], facts["height"]) == (800, 800)


def test_a_figure_is_described_by_its_panels():
    figure = style.new_figure(4, 3)
    first, second = figure.subplots(1, 2)
    first.set(xlabel="$\\eta$", ylabel="jets")
    first.set_title("W bosons", loc="left")
    second.text(0.5, 0.5, "no step done yet")
    assert style.alt_text(figure) == "Figure: W bosons: jets against eta; no step done yet."
    assert style.alt_text(style.new_figure(4, 3)) == "Figure: no labelled panels."
