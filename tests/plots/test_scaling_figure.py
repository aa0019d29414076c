import pytest

from calolab.plots import scaling
from calolab.scaling.efficiency import ScalingPoint, ScalingReport
from calolab.scaling.network import FABRIC, Network


def made_up():
    times = {
        "alone": (0.20, 0.0, 0.0),
        "independent": (0.21, 0.0, 0.0),
        "weak": (0.21, 0.01, 0.005),
        "strong": (0.11, 0.01, 0.005),
    }
    points = [
        ScalingPoint(
            kind, 1 if kind == "alone" else 2, 8, sum(parts), 0.2, *parts, 80.0, 0.2 / sum(parts), 0.01, 1e6, 10**9
        )
        for kind, parts in times.items()
    ]
    network = Network("measured", 1e-5, 1e9, 1e-3)
    return ScalingReport("made up", tuple(points), network, ((4, 1e-3),), ("real",), (10**6,), (0.01,))


def test_the_figure_tells_measurement_model_and_published_points_apart():
    figure = made_up().plot()
    bars, curve = figure.axes
    # Three parts of four kinds of step.
    assert len(bars.patches) == 12
    assert bars.patches[0].get_width() == 200
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label for label in labels if "published" in label and "P100" in label]
    assert f"model, {FABRIC.name}" in labels and "model, measured" in labels
    assert "extrapolated" in [text.get_text() for text in curve.texts]
    models = [line for line in curve.get_lines() if line.get_label().startswith("model")]
    assert [line.get_xdata()[-1] for line in models] == [1024, 1024]


def test_without_a_model_only_what_was_measured_is_drawn():
    figure = scaling.show(made_up(), published=())
    assert not figure.axes[1].texts


def test_scores_of_several_trainings_stand_beside_their_floor():
    figure = scaling.scores({"batch 32": [90.0, 50.0, 40.0], "batch 128": [95.0, 80.0]}, floor=(2.5, 1.0))
    (panel,) = figure.axes
    assert [text.get_text() for text in panel.get_legend().get_texts()] == [
        "batch 32",
        "batch 128",
        "real against real: 2.5 ± 1",
    ]
    assert list(panel.get_lines()[0].get_ydata()) == [90, 50, 40] and panel.get_yscale() == "log"
    with pytest.raises(ValueError, match="an epoch or more"):
        scaling.scores({"none": []})
