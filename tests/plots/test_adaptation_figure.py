import pytest

from calolab.plots import adaptation


def test_each_score_has_a_panel_with_all_kinds_the_untrained_one_and_the_floor():
    curves = {"adapted": {100: (0.7, 0.02), 1000: (0.6, None)}, "from scratch": {100: (0.99, 0.01), 1000: (0.9, 0.01)}}
    first = adaptation.ScoresByNumber("AUC trees", curves, (0.95, 0.01), (0.5, 0.02))
    second = adaptation.ScoresByNumber(
        "FPD", {"adapted": {100: (3.0, 0.1)}, "from scratch": {}}, None, (0.1, 0.2), log=True
    )
    figure = adaptation.show([first, second], "lead")
    auc, fpd = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("without training", "real against real", "adapted", "from scratch"),
    ]
    lines = {line.get_label(): line for line in auc.get_lines()}
    assert set(lines["without training"].get_ydata()) == {0.95} and set(lines["real against real"].get_ydata()) == {0.5}
    (adapted, scratch) = auc.containers
    assert list(adapted[0].get_xdata()) == [100, 1000] and list(scratch[0].get_ydata()) == [0.99, 0.9]
    assert [text.get_text() for text in auc.get_xticklabels()] == ["100", "1,000"] and auc.get_xscale() == "log"
    assert (auc.get_yscale(), fpd.get_yscale()) == ("linear", "log") and fpd.get_ylabel() == "FPD"
    (band,) = fpd.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.05, 0.3))
    with pytest.raises(ValueError, match="one score or more"):
        adaptation.show([])
