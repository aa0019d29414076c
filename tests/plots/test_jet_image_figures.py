"""Figures of jet images hold what they promise: panels, labels, the very numbers, both scales."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import LogNorm, SymLogNorm

from calolab import spaces
from calolab.plots import jet_images as figures
from calolab.plots import ratios
from calolab.samples import Sample
from calolab.validation import compare_jet_images, distributions

SPACE = spaces.space("jet-image")


def sample(seed, events=80):
    rng = np.random.default_rng(seed)
    values = rng.exponential(5, (events, *SPACE.shape)) * (rng.random((events, *SPACE.shape)) < 0.03)
    return Sample(values, {"signal": np.arange(events) % 2}, SPACE)


@pytest.fixture(scope="module")
def report():
    return compare_jet_images(sample(1), sample(2), repetitions=5)


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def ink(figure):
    """The drawn picture as an array: fails where drawing fails."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    picture.seek(0)
    return matplotlib.image.imread(picture)


def test_means_show_both_images_and_the_second_less_the_first():
    first, second = sample(1).values.mean(axis=0), sample(2).values.mean(axis=0)
    figure = figures.means({"jets": {"QCD": first, "W boson": second}}, SPACE)
    assert ink(figure).std() > 0.05
    meshes = [panel.collections[0] for panel in figure.axes[:3]]
    assert [type(mesh.norm) for mesh in meshes] == [LogNorm, LogNorm, SymLogNorm]
    np.testing.assert_allclose(meshes[2].get_array(), (second - first).T)
    np.testing.assert_allclose(np.ma.filled(meshes[0].get_array(), 0), first.T)
    assert (meshes[0].norm.vmin, meshes[0].norm.vmax) == (meshes[1].norm.vmin, meshes[1].norm.vmax)
    assert meshes[2].norm.vmin == -meshes[2].norm.vmax
    written = texts(figure)
    assert {"jets: QCD", "jets: W boson", "jets: W boson − QCD", "η", "φ [rad]"} <= set(written)
    assert "difference [GeV]" in written and "mean transverse momentum [GeV]" in written


def test_means_of_equal_and_of_empty_images_are_drawn():
    mean = sample(1).values.mean(axis=0)
    assert ink(figures.means({"": {"a": mean, "b": mean}}, SPACE)).std() > 0
    assert ink(figures.means({"": {"a": 0 * mean, "b": 0 * mean}}, SPACE)).std() > 0


def test_means_refuse_other_shapes():
    with pytest.raises(ValueError, match=r"two images of shape \(25, 25\).*row 'x'"):
        figures.means({"x": {"a": np.zeros((25, 25))}}, SPACE)


def test_the_comparison_has_a_row_per_class_with_its_numbers(report):
    figure = report.plot()
    assert ink(figure).std() > 0.03
    uppers, lowers = figure.axes[::2], figure.axes[1::2]
    labels = ["image mass [GeV]", "image pt [GeV]", "τ₂₁ of the pixels", "pt per pixel [GeV]"]
    assert [panel.get_xlabel() for panel in lowers] == 2 * labels
    assert [panel.get_xscale() for panel in uppers[:4]] == ["linear", "linear", "linear", "log"]
    written = texts(figure)
    for kind, panel in (("W boson", uppers[0]), ("QCD", uppers[4])):
        ks = report[kind]["mass"].distances["ks"]
        assert f"KS {ratios.number(ks.value)} (floor {ratios.number(ks.floor)})" in written
        contents = report[kind]["mass"].histogram("generated").contents
        steps = [patch.get_data() for patch in panel.patches]
        assert any(len(step.values) == len(contents) and np.allclose(step.values, contents) for step in steps)
    assert any("W boson: 40 reference, 40 generated" in text for text in written)


def test_mean_images_of_a_comparison(report):
    figure = report.plot_means()
    titles = [text for text in texts(figure) if ": " in text]
    assert {"W boson: reference", "W boson: generated", "QCD: generated − reference"} <= set(titles)


def test_distributions_are_fractions_in_the_given_limits():
    rng = np.random.default_rng(0)
    values = {
        "QCD": rng.normal(size=500),
        "QCD (jet)": rng.normal(size=400),
        "W boson": np.append(np.full(9, 2), np.nan),
    }
    figure = figures.distributions(
        distributions({"x [GeV]": values, "P": {"real": rng.random(50)}}, limits={"P": (0, 1)})
    )
    assert ink(figure).std() > 0.03
    left, right = figure.axes
    assert left.get_xlabel() == "x [GeV]" and right.get_xlim() == (0, 1)
    assert [patch.get_data().values.sum() for patch in left.patches] == pytest.approx([1, 1, 1])
    colours = [matplotlib.colors.to_hex(patch.get_edgecolor()) for patch in left.patches]
    assert colours[0] == colours[1] != colours[2]
    assert left.patches[1].get_linestyle() == "--"
    assert "W boson, 9" in texts(figure)


def test_distributions_need_values():
    with pytest.raises(ValueError, match="finite values of every sample"):
        distributions({"x": {"a": np.array([np.nan])}})
    with pytest.raises(ValueError, match="at least one variable"):
        distributions({})
