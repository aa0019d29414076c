from types import SimpleNamespace

import numpy as np
import pytest

from calolab.plots import trials as figures

SPACE = {
    "filters": SimpleNamespace(values=(8, 16, 32)),
    "learning_rate": SimpleNamespace(low=1e-4, high=1e-2, log=True),
    "flip": SimpleNamespace(low=0.0, high=0.2, log=False),
}


def trial(number, values, **parameters):
    epochs = tuple({"epoch": epoch, "ks_comb": value} for epoch, value in enumerate(values))
    parameters = {"filters": 8, "learning_rate": 1e-3, "flip": 0.05, **parameters}
    return SimpleNamespace(number=number, epochs=epochs, value=min(values, default=None), parameters=parameters)


TRIALS = [trial(0, [900.0, 40.0, 60.0]), trial(1, [300.0, 90.0], filters=32, flip=0.2), trial(2, [])]


def test_every_trial_with_an_epoch_has_a_curve_and_the_best_is_named():
    panel = figures.learning_curves(TRIALS, "ks_comb", floor=(2.0, 3.0)).axes[0]
    assert [list(line.get_ydata()) for line in panel.lines] == [[300, 90], [900, 40, 60]]  # the best on top
    assert list(panel.lines[0].get_xdata()) == [1, 2]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["trial 0", "real against real"]
    highest = figures.learning_curves(TRIALS, "ks_comb", "maximize").axes[0]
    assert highest.get_legend().get_texts()[0].get_text() == "trial 1"


def test_a_line_of_parallel_coordinates_meets_each_axis_at_its_value():
    panel = figures.parallel_coordinates(TRIALS, SPACE, "ks_comb").axes[0]
    worse, better = (line.get_ydata() for line in panel.lines if len(line.get_xdata()) == len(SPACE) + 1)
    assert better == pytest.approx([1 / 6, 0.5, 0.25, 0.0])
    assert worse == pytest.approx([5 / 6, 0.5, 1.0, 1.0])
    names = [text.get_text() for text in panel.texts]
    assert {"8", "32", "0.0001", "0.01", "0.2", "40", "90"} <= set(names)


@pytest.mark.parametrize("judged", [[], [trial(0, [5.0])], [trial(0, [5.0]), trial(1, [5.0])]])
def test_few_trials_are_drawn_too(judged):
    for figure in (
        figures.learning_curves(judged, "ks_comb"),
        figures.parallel_coordinates(judged, SPACE, "ks_comb"),
    ):
        figure.canvas.draw()
        assert np.isfinite(figure.axes[0].get_ylim()).all()
        assert bool(judged) != any("yet" in text.get_text() for text in figure.axes[0].texts)
