import numpy as np
import pytest

from calolab.plots import training


def test_the_chosen_losses_are_drawn():
    curve = np.array([[1, 5.0, 9.0], [2, 4.0, 8.0]])
    figure = training.show(curve, ["discriminator", "generator"], ["generator"], "finished")
    (line,) = figure.axes[0].lines
    assert np.array_equal(line.get_xydata(), [[1, 9], [2, 8]])
    assert figure.axes[0].get_legend().get_title().get_text() == "training finished"


def test_before_the_first_step_it_says_so():
    figure = training.show(np.empty((0, 1)), [], [], "running")
    assert [text.get_text() for text in figure.axes[0].texts] == ["training running: no step done yet"]


THIRTEEN = [
    *("discriminator", "generator", "real_generation", "real_auxiliary", "real_ecal", "fake_empty", "fake_generation"),
    *("fake_auxiliary", "fake_ecal", "generator_generation", "generator_auxiliary", "generator_ecal"),
    "generator_empty",
]


@pytest.mark.parametrize("names", [THIRTEEN, [f"loss {k}" for k in range(16)], ["critic", "generator", "real_penalty"]])
def test_no_two_losses_look_alike(names):
    styles = training.styles(names)
    assert [style.name for style in styles] == names
    assert len({(style.colour, style.dash) for style in styles}) == len(names)
    curve = np.column_stack([np.arange(1.0, 4.0), np.ones((3, len(names)))])
    lines = training.show(curve, names, names).axes[0].lines
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}) == len(names)


def test_a_head_has_one_colour_and_a_group_one_dash():
    styles = {style.name: style for style in training.styles(THIRTEEN)}
    heads = [styles[f"{group}_auxiliary"] for group in ("real", "fake", "generator")]
    assert len({style.colour for style in heads}) == 1 and len({style.dash for style in heads}) == 3
    assert len({style.dash for style in styles.values() if style.group == "on real events"}) == 1
    assert styles["real_auxiliary"].text == "auxiliary"


def test_one_step_is_a_marker():
    (line,) = training.show(np.array([[1, 5.0]]), ["generator"], ["generator"]).axes[0].lines
    assert line.get_marker() == "o"


def test_a_training_shows_its_score_with_the_floor_and_the_best_epoch():
    scores = {"name": "ks_comb", "epochs": [1, 2, 3], "values": [9.0, 4.0, 5.0], "floor": [2.0] * 3, "best": 2}
    events = {"reference": np.ones((2, 3)), "generated after epoch 3": np.full((2, 3), 0.5)}
    edges = ((0, 1, 2), (0, 1, 2, 3))
    curve = np.array([[1, 5.0], [2, 4.0]])
    figure = training.show(curve, ["generator"], ["generator"], scores=scores, events=events, edges=edges)
    _, judged, *images = figure.axes
    assert [line.get_label() for line in judged.lines] == ["ks comb", "floor: real against real", "best: epoch 2"]
    assert judged.lines[2].get_xydata().tolist() == [[2, 4]]
    # All scores are positive; in the first epochs they may be many times the floor.
    assert judged.get_yscale() == "log" and judged.get_ylim()[0] < 2
    assert [panel.get_title(loc="left") for panel in images] == ["reference", "generated after epoch 3"]


def test_the_floor_of_one_epoch_is_a_line():
    scores = {"name": "ks_comb", "epochs": [1], "values": [9.0], "floor": [2.0], "best": 1}
    judged = training.show(np.array([[1, 5.0]]), ["generator"], ["generator"], scores=scores).axes[1]
    assert judged.lines[1].get_ydata() == [2, 2]
