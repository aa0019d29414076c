"""The figures of a comparison hold what they promise: panels, ratios, units, numbers."""

import io

import matplotlib
import numpy as np
import pytest

from calolab import spaces
from calolab.plots import comparison as figures
from calolab.plots import ratios, showers
from calolab.samples import Sample
from calolab.validation import compare
from calolab.validation.binning import histogram


def clouds(seed, shift=0.0):
    """Gaussian clouds of energy in the 25 x 25 x 25 cells."""
    space = spaces.space("clic-ecal")
    rng = np.random.default_rng(seed)
    x, z = space.centres("x"), space.centres("z")
    centre = 50 + shift + 6 * rng.normal(size=(120, 1))
    along, across = np.exp(-(((z - centre) / 25) ** 2)), np.exp(-np.abs(x) / 6)
    values = np.einsum("x,y,ez->exyz", across, across, along) * rng.gamma(2, 0.005, (120, *space.shape))
    return Sample(np.where(values > 1e-4, values, 0), {"energy": rng.uniform(10, 100, 120)}, space)


@pytest.fixture(scope="module")
def samples():
    return clouds(1), clouds(2, shift=5.0)


@pytest.fixture(scope="module")
def report(samples):
    return compare(*samples, repetitions=20)


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def ink(figure):
    """The drawn picture as an array: fails where drawing fails."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    picture.seek(0)
    return matplotlib.image.imread(picture)


def test_the_main_figure_has_nine_panels_with_ratios_units_and_numbers(report):
    figure = report.plot()
    assert ink(figure).std() > 0.05
    uppers, lowers = figure.axes[::2], figure.axes[1::2]
    assert len(uppers) == len(lowers) == 9
    assert [panel.get_xlabel() for panel in lowers] == [
        "visible fraction", "depth z [mm]", "x [mm]", "mean depth [mm]", "second moment of depth [mm²]",
        "second moment of x [mm²]", "cell energy [GeV]", "cells above 0.0003 GeV", "fraction of empty cells",
    ]  # fmt: skip
    assert uppers[1].get_ylabel() == "energy per layer [GeV]" and {p.get_ylabel() for p in lowers} == {"gen. / ref."}
    written = texts(figure)
    for observable in (report[name] for name in figures.MAIN):
        ks = observable.distances["ks"]
        assert f"KS {ratios.number(ks.value)} (floor {ratios.number(ks.floor)})" in written, observable.name
    assert "calolab" in written and "simulation" in written
    assert any("clic-ecal" in t and "N = 120 reference, 120 generated" in t and "0.0003 GeV" in t for t in written)


def test_drawn_steps_are_the_histograms(report):
    upper = report.plot(["profile_z"]).axes[0]
    steps = [patch.get_data() for patch in upper.patches]
    for which in ("reference", "generated"):
        contents = report["profile_z"].histogram(which).contents
        assert any(np.allclose(data.values, contents) and np.allclose(data.edges[-1], 129.2) for data in steps), which


def test_each_histogram_is_computed_once(report, monkeypatch):
    computed = []

    def counted(values, edges, weights=None):
        computed.append(len(values))
        return histogram(values, edges, weights)

    monkeypatch.setattr("calolab.validation.observables.observable.histogram", counted)
    report.plot(["hits"])
    assert computed == [120, 120]


def test_ratios_beyond_the_panel_are_not_lost(report):
    lower = report.plot(["first_moment_z"]).axes[1]
    low, high = lower.get_ylim()
    reference, generated = (report["first_moment_z"].histogram(w).contents for w in ("reference", "generated"))
    outside = np.sum(generated[reference > 0] / reference[reference > 0] > high)
    arrows = [line for line in lower.lines if line.get_marker() == "^"]
    assert outside > 0 and len(arrows) == 1 and len(arrows[0].get_xdata()) == outside
    assert low <= arrows[0].get_ydata().max() <= high


def test_any_observables_can_be_chosen(report):
    figure = report.plot(["maximum", "containment_radius"])
    assert len(figure.axes) == 4 and ink(figure).std() > 0.05
    assert len(report.plot(list(report.observables)).axes) == 2 * len(report.observables)
    with pytest.raises(ValueError, match="Unknown observable 'hit'"):
        report.plot(["hit"])
    with pytest.raises(ValueError, match="at least one observable"):
        report.plot([])


@pytest.mark.parametrize("total", ["projection_error", "correlations"])
def test_a_total_cannot_be_drawn(report, total):
    assert report[total].value > 0
    with pytest.raises(ValueError, match=f"Unknown observable '{total}'"):
        report.plot([total])


def test_correlation_figure_shows_three_matrices(report):
    figure = report.plot_correlations()
    assert ink(figure).std() > 0.05
    images = [np.asarray(panel.images[0].get_array()) for panel in figure.axes[:3]]
    assert np.allclose(images[0], report.details.correlations[0], equal_nan=True)
    assert np.allclose(images[2], images[1] - images[0], equal_nan=True)
    assert any("mean |Δρ|" in text and "floor" in text for text in texts(figure))


def test_response_figure_shows_linearity_and_resolution(report):
    figure = report.plot_response()
    assert ink(figure).std() > 0.02
    assert [panel.get_ylabel() for panel in figure.axes[::2]] == ["mean visible fraction", "resolution σ / mean"]
    assert {panel.get_xlabel() for panel in figure.axes[1::2]} == {"incident energy [GeV]"}


def test_views_show_the_mean_from_three_sides(samples):
    reference, generated = samples
    figure = showers.views({"reference": reference, "generated": generated})
    assert ink(figure).std() > 0.05
    panels = [panel for panel in figure.axes if panel.get_xlabel()]
    assert len(panels) == 9
    front = np.asarray(panels[0].collections[0].get_array()).reshape(25, 25)
    assert np.allclose(front, reference.values.mean(axis=0, dtype=float).sum(axis=2).T)
    ratio = np.asarray(panels[7].collections[0].get_array()).reshape(25, 25)
    means = [s.values.mean(axis=0, dtype=float).sum(axis=1) for s in samples]
    filled = means[0][12] > 1e-6 * means[0].max()
    assert filled.sum() >= 23
    assert np.allclose(ratio[12][filled], means[1][12][filled] / means[0][12][filled])


def test_views_of_one_event_unequal_layers_and_an_image(samples):
    assert ink(showers.views(samples[0], event=3)).std() > 0.05
    space = spaces.space("calogan")
    layers = Sample(np.random.default_rng(0).exponential(1, (4, *space.shape)), {}, space)
    assert len([p for p in showers.views({"a": layers, "b": layers}).axes if p.get_xlabel()]) == 9
    with pytest.raises(ValueError, match="one space"):
        showers.views({"reference": samples[0], "generated": layers})
    with pytest.raises(ValueError, match="at least one"):
        showers.views({})
    image = spaces.Space("image", ("eta", "phi"), ("", ""), (spaces.Layer(edges=((0, 1, 2, 3), (0, 1, 2))),))
    assert ink(showers.views(Sample(np.ones((2, 3, 2)), {}, image))).std() > 0.02
