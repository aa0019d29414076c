"""The reference sets every scale: a bad generator leaves the panel, is counted there, and hides nothing."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import AsinhNorm
from matplotlib.text import Text

from calolab import spaces, validation
from calolab.plots import mean_profiles, scales, slices, texture
from calolab.samples import Sample


@pytest.fixture(scope="module")
def clic():
    space = spaces.space("clic-ecal")
    values = np.random.default_rng(1).gamma(0.3, 0.01, (40, *space.shape))
    return Sample(values, {"energy": np.linspace(20, 60, 40)}, space)


@pytest.fixture(scope="module")
def maps():
    space = spaces.space("convergence")
    values = np.random.default_rng(2).normal(0, 0.02, (3, *space.shape))
    values[:, 10, 200] = 0.3
    return Sample(values, {"redshift": [1.0, 1.0, 1.0]}, space)


def times(sample, factor):
    return Sample(factor * sample.values, sample.labels, sample.space)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def meshes(figure):
    return [mesh for axes in figure.axes for mesh in axes.collections if isinstance(mesh, QuadMesh)]


def test_others_extend_a_scale_to_at_most_twice_the_reference():
    assert [scales.top(2.0, others) for others in (1.0, 3.9, 200.0)] == [2.0, 3.9, 4.0]
    assert scales.top(0.0, 5.0) == 5.0 and scales.top(0.0) == 1.0


def test_values_below_zero_are_marked_at_the_lower_border(clic):
    figure = slices.show({"reference": clic, "GAN": times(clic, -1)}, 1, axis="z", position=4)
    lowest = -clic.values[1].sum(axis=(0, 1), dtype=float).max()
    assert f"GAN down to −{-lowest:.3g} GeV" in texts(figure)


@pytest.mark.parametrize(("factor", "end"), [(1.95, 1.95), (100, 2)])
def test_the_colours_belong_to_the_reference(clic, factor, end):
    figure = slices.show({"reference": clic, "generated": times(clic, factor)}, 1, axis="z", position=4)
    high = clic.values[1].max()
    assert [mesh.norm.vmax for mesh in meshes(figure)[:2]] == pytest.approx([end * high] * 2)
    outside = int(np.sum(factor * clic.values[1, :, :, 4] > end * high))
    counted = [text for text in texts(figure) if "above the scale" in text]
    assert counted == (
        [f"{outside} cells above the scale, up to {factor * clic.values[1, :, :, 4].max():.3g} GeV"] * bool(outside)
    )
    assert (outside > 0) == (factor == 100)
    # The strip of slice energies, too.
    strip = next(panel for panel in figure.axes if panel.get_ylabel() == "per slice [GeV]")
    assert strip.get_ylim()[1] == pytest.approx(1.08 * end * clic.values[1].sum(axis=(0, 1), dtype=float).max())


def test_negative_energies_are_shown_as_what_they_are(clic):
    values = clic.values.copy()
    values[0, :3, 0, 4] = -1.0
    figure = slices.show(
        {"reference": clic, "generated": Sample(values, clic.labels, clic.space)}, 0, axis="z", position=4
    )
    assert "3 cells below zero, down to −1 GeV" in texts(figure)


@pytest.mark.parametrize("log", [True, False])
def test_a_signed_quantity_has_a_two_sided_scale_with_zero_marked(maps, log):
    figure = slices.show({"maps": maps}, 0, axis="column", position=0, log=log)
    (mesh,) = meshes(figure)[:1]
    high = float(np.abs(maps.values[0]).max())
    assert (mesh.norm.vmin, mesh.norm.vmax) == pytest.approx((-high, high)) and mesh.norm(0.0) == pytest.approx(0.5)
    assert isinstance(mesh.norm, AsinhNorm) == log
    assert not np.ma.getmaskarray(mesh.get_array()).any() and mesh.get_array().min() < 0
    assert "convergence per cell" in texts(figure) and not any("[]" in text for text in texts(figure))
    bar = next(panel for panel in figure.axes if panel.get_ylabel() == "convergence per cell")
    assert any(np.allclose(line.get_ydata(), 0) for line in bar.lines) and 0 in bar.get_yticks()


def test_maps_lie_as_in_their_gallery(maps):
    shown, gallery = slices.show({"maps": maps}, 0, axis="column", position=0), texture.gallery({"maps": maps}, 1)
    panel, picture = shown.axes[0], gallery.axes[0]
    assert panel.get_xlabel() == picture.get_xlabel() == "column [deg]"
    assert panel.get_ylabel() == "row [deg]" and picture.get_ylabel() == "maps\nrow [deg]"
    assert panel.yaxis_inverted() and picture.yaxis_inverted()
    # Array rows are drawn along y, columns along x.
    assert np.array_equal(meshes(shown)[0].get_array().reshape(256, 256), picture.images[0].get_array())


@pytest.mark.parametrize("log", [False, True])
def test_profiles_of_a_bad_generator_leave_the_panel(clic, log):
    profiles = {"z": clic.values.sum(axis=(1, 2), dtype=float)}
    both = {"reference": profiles, "generated": {"z": 100 * profiles["z"]}}
    figure = mean_profiles.show(clic.space, both, log=log, spread=True)
    highest = (profiles["z"].mean(axis=0) + profiles["z"].std(axis=0, ddof=1)).max()
    assert figure.axes[0].get_ylim()[1] == pytest.approx((4 if log else 2 * 1.06) * highest)
    assert f"generated up to {100 * profiles['z'].mean(axis=0).max():.3g} GeV" in texts(figure)
    # The ratio is beyond its panel in all layers: an arrow for each.
    arrows = [line for line in figure.axes[1].lines if line.get_marker() == "^"]
    assert sum(len(line.get_xdata()) for line in arrows) == 25


def test_a_report_keeps_the_reference_in_sight_and_names_both(clic):
    report = validation.compare(clic, times(clic, 100), repetitions=2, names=("Geant4", "GFlash"))
    figure = report.plot(["visible_energy", "profile_z"])
    energy, profile = figure.axes[0], figure.axes[2]
    assert "100 % beyond ▸ " in texts(figure)
    highest = report["profile_z"].histogram("reference").contents.max()
    assert (
        profile.get_ylim()[1] < 3.2 * highest and energy.get_xlim()[1] < 2.1 * report["visible_energy"].reference.max()
    )
    assert {"Geant4", "GFlash", "ratio to Geant4"} <= set(texts(figure))
    assert "40 Geant4 and 40 GFlash events" in repr(report) and "<th" in report._repr_html_()
    assert report.to_dict()["names"] == ["Geant4", "GFlash"]
    assert "reference" not in " ".join(repr(report).splitlines()[:2])
    curves = report.plot_response()
    fraction = report.details.responses[0].fraction
    assert curves.axes[0].get_ylim()[1] < 3 * np.nanmax(fraction)
