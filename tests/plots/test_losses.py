import numpy as np

from calolab.plots import losses


def test_the_chosen_losses_are_drawn():
    curve = np.array([[1, 5.0, 9.0], [2, 4.0, 8.0]])
    figure = losses.show(curve, ["discriminator", "generator"], ["generator"], "finished")
    (line,) = figure.axes[0].lines
    assert np.array_equal(line.get_xydata(), [[1, 9], [2, 8]])
    assert figure.axes[0].get_legend().get_title().get_text() == "training finished"


def test_before_the_first_step_it_says_so():
    figure = losses.show(np.empty((0, 1)), [], [], "running")
    assert [text.get_text() for text in figure.axes[0].texts] == ["training running: no step done yet"]
