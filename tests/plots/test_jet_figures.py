"""Figures of jets and event images hold what they promise: panels, ratios, numbers, circles that wrap."""

import dataclasses
import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import LogNorm
from matplotlib.patches import Ellipse

from calolab import jets, spaces
from calolab.plots import event_images, jet_board, training
from calolab.plots import jets as figures
from calolab.plots.ratios import number
from calolab.samples import Sample
from calolab.validation import compare_jets, pileup_overlay, pixel_spectra, share_binning
from calolab.validation.binning import histogram

SPACE = spaces.space("whole-detector")


def make_events(seed, events=80, energy=60.0):
    """Events of up to six clusters of energy, some of them without any."""
    random = np.random.default_rng(seed)
    values = np.zeros((events, *SPACE.shape), np.float32)
    for value in values:
        for _ in range(random.integers(0, 7)):
            eta, phi = random.integers(16, 48), random.integers(0, 64)
            place = eta + random.integers(-3, 4, 20), (phi + random.integers(-3, 4, 20)) % 64
            np.add.at(value, place, random.exponential(energy, 20))
    return Sample(values, {"gluino_mass": np.full(events, 1400.0)}, SPACE)


@pytest.fixture(scope="module")
def samples():
    return make_events(1), make_events(2, energy=75.0)


@pytest.fixture(scope="module")
def report(samples):
    return compare_jets(*samples, repetitions=15)


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def ink(figure):
    """The drawn picture as an array: fails where drawing fails."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=40)
    picture.seek(0)
    return matplotlib.image.imread(picture)


def steps(panel):
    return [patch.get_data() for patch in panel.patches if hasattr(patch, "get_data")]


def test_the_main_figure_has_a_ratio_under_each_variable(report):
    figure = figures.comparison(report)
    assert ink(figure).std() > 0.05
    uppers, lowers = figure.axes[::2], figure.axes[1::2]
    labels = [panel.get_xlabel() for panel in lowers]
    assert labels[:5] == ["jets per event", "summed jet mass [GeV]", "jet pt [GeV]", "jet η", "jet φ [rad]"]
    assert labels[5].startswith("mass of jet 1") and len(uppers) == len(lowers) >= 6
    ks = report["multiplicity"].distances["ks"]
    assert any(t.startswith(f"KS {number(ks.value)} (floor {number(ks.floor)} ±") for t in texts(figure))
    assert any("antikt R = 1" in t and "N = 80 reference, 80 generated" in t for t in texts(figure))


def test_multiplicity_begins_with_no_jet(report, samples):
    upper = figures.comparison(report, ["multiplicity"]).axes[0]
    multiplicity = jets.cluster(samples[0]).multiplicity
    assert (multiplicity == 0).any()
    assert any(
        np.isclose(data.values[0], np.mean(multiplicity == 0)) and data.edges[0] == -0.5 for data in steps(upper)
    )


def test_an_unknown_variable_is_named(report):
    with pytest.raises(ValueError, match="summed_mass"):
        figures.comparison(report, ["sumed_mass"])
    with pytest.raises(ValueError, match="Known: multiplicity, summed_mass, jet_pt"):
        pileup_overlay(report, names=["jet_eta"])
    for draw in (report.plot, lambda names: share_binning({"1400": report}, names)):
        with pytest.raises(ValueError, match="Unknown observable 'ks_comb'.*Known: multiplicity"):
            draw(["ks_comb"])


def test_pileup_shows_three_histograms_in_one_binning(report, samples):
    alone = jets.cluster(make_events(3, energy=40.0))
    figure = figures.pileup(*pileup_overlay(report, alone), mu=20)
    assert ink(figure).std() > 0.05 and len(figure.axes) == 6
    upper, lower = figure.axes[2:4]
    drawn = steps(upper)
    assert len({tuple(data.edges) for data in drawn}) == 1 and drawn[0].edges[0] == 0
    assert any(np.allclose(d.values, histogram(alone.summed_mass, drawn[0].edges).contents) for d in drawn)
    assert lower.get_ylabel() == "ratio to real"
    assert {"with real pile-up, μ = 20", "with generated pile-up", "without pile-up"} <= set(texts(figure))
    assert "without pile-up" not in texts(figures.pileup(*pileup_overlay(report)))


def test_masses_mark_the_held_out_point_and_share_their_axes(report):
    figure = figures.masses(share_binning({"1400": report, "1600": report}), ["1600"])
    assert ink(figure).std() > 0.05 and len(figure.axes) == 8
    assert "1600, held out" in texts(figure) and "1400" in texts(figure)
    borders = [matplotlib.colors.to_hex(panel.spines["left"].get_edgecolor()) for panel in figure.axes[0:4:2]]
    assert borders[1] == figures.HELD_OUT != borders[0]
    assert len({panel.get_xlim() for panel in figure.axes[4:]}) == 1
    with pytest.raises(ValueError, match="Unknown held-out mass point '1700'"):
        figures.masses(share_binning({"1400": report}), ["1700"])
    for draw in (share_binning, figures.masses):
        with pytest.raises(ValueError, match=f"{draw.__name__} expects the report of at least one mass point"):
            draw({})
    shared = share_binning({"1400": report})["1400"]
    other = {name: dataclasses.replace(one, edges=np.arange(4.0)) for name, one in shared.observables.items()}
    with pytest.raises(ValueError, match="share_binning"):
        figures.masses({"1400": shared, "1600": dataclasses.replace(shared, observables=other)})


def test_selection_shows_scores_floor_and_the_epoch_that_was_kept():
    figure = figures.selection([900.0, 40.0, 12.0, 15.0], (8.0, 2.0), parts={"ks_jet_pt": [300, 20, 6, 9]})
    panel = figure.axes[0]
    assert ink(figure).std() > 0.02 and panel.get_yscale() == "log"
    assert {"kept: epoch 3, 12", "real against real: 8 ± 2", "ks jet pt"} <= set(texts(figure))
    (star,) = (line for line in panel.lines if line.get_marker() == "*")
    assert star.get_xydata().tolist() == [[3, 12]]
    (star,) = (line for line in figures.selection([3, 2, 1], chosen=0).axes[0].lines if line.get_marker() == "*")
    assert star.get_xydata().tolist() == [[1, 3]]
    for wrong in ({"parts": {"a": [1.0]}}, {"chosen": 4}):
        with pytest.raises(ValueError, match="selection expects|chosen="):
            figures.selection([1.0, 2.0], **wrong)


def test_the_gallery_has_one_scale_and_circles(samples):
    found = {name: jets.cluster(sample) for name, sample in zip(("real", "generated"), samples)}
    figure = event_images.gallery(dict(zip(found, samples)), found, events=[2, 5, 7])
    assert ink(figure).std() > 0.05
    panels = [panel for panel in figure.axes if panel.collections and panel.get_title(loc="left")]
    assert len(panels) == 6
    norms = [panel.collections[0].norm for panel in panels]
    assert len({(norm.vmin, norm.vmax) for norm in norms}) == 1 and isinstance(norms[0], LogNorm)
    assert norms[0].vmax == pytest.approx(max(sample.values[[2, 5, 7]].max() for sample in samples))
    numbers = found["real"].multiplicity[[2, 5, 7]]
    for panel, expected in zip(panels, numbers):
        shown = {text.get_text() for text in panel.texts} & set("123456789")
        assert len(shown) == expected and f"{expected} jet" in panel.get_title(loc="left")


def test_circles_wrap_at_the_ends_of_phi():
    panel = event_images.new_figure(4, 4).subplots()
    event_images.draw(panel, np.ones(SPACE.shape), SPACE, 1.0)
    event_images.circles(panel, np.array([0.0, 1.0]), np.array([3.0, 0.0]), 1.0)
    centres = sorted(tuple(patch.center) for patch in panel.patches if isinstance(patch, Ellipse))
    assert np.allclose(centres, [(0, 3 - 2 * np.pi), (0, 3), (1, 0)])
    assert {(patch.width, patch.height) for patch in panel.patches if isinstance(patch, Ellipse)} == {(2, 2)}


def test_averages_tell_the_difference_in_standard_deviations(samples):
    reference = samples[0]
    half = reference.select(slice(0, 40)), reference.select(slice(40, 80))
    figure = event_images.averages(*half)
    assert ink(figure).std() > 0.05
    (title,) = (text for text in texts(figure) if text.startswith("generated − real"))
    assert float(title.split("rms ")[1].split()[0]) == pytest.approx(1.0, abs=0.1)
    hot = Sample(reference.values + 5, reference.labels, SPACE)
    assert isinstance(event_images.averages(reference, hot).axes[2].collections[0].norm, matplotlib.colors.SymLogNorm)
    panel = figure.axes[0].collections[0]
    expected = half[0].values.mean(axis=0, dtype=float)
    shown = np.ma.filled(np.asarray(panel.get_array()).reshape(64, 64).T, 0)
    assert np.allclose(shown[expected > 0], expected[expected > 0])


def test_the_pixel_spectrum_counts_every_filled_pixel(samples):
    figure = event_images.pixel_spectrum(pixel_spectra(*samples), notes=["KS 0.1 (floor 0.01)"])
    assert ink(figure).std() > 0.02
    upper, lower = figure.axes
    assert upper.get_xscale() == upper.get_yscale() == "log" and lower.get_xlabel() == "tower energy per pixel [GeV]"
    for sample in samples:
        per_event = np.count_nonzero(sample.values) / len(sample)
        assert any(data.values.sum() == pytest.approx(per_event) for data in steps(upper))
    empty = 100 * np.mean(samples[0].values == 0)
    assert f"real: {empty:.3g} % of pixels empty" in texts(figure) and "KS 0.1 (floor 0.01)" in texts(figure)


def test_images_that_do_not_fit_are_refused(samples):
    space = spaces.space("jet-image")
    other = Sample(np.ones((3, *space.shape)), {}, space)
    with pytest.raises(ValueError, match="one plain space"):
        event_images.gallery({"a": samples[0], "b": other})
    with pytest.raises(ValueError, match="Event 3 of each sample"):
        event_images.gallery({"b": other})
    with pytest.raises(ValueError, match="at least one sample"):
        event_images.gallery({})
    with pytest.raises(ValueError, match="belong to no sample"):
        event_images.gallery({"a": samples[0]}, {"b": jets.cluster(samples[0])})
    with pytest.raises(ValueError, match="jets of {'a': 80} events|those of their sample"):
        event_images.gallery({"a": samples[0].select(slice(9))}, {"a": jets.cluster(samples[0])})
    with pytest.raises(ValueError, match="of one space"):
        pixel_spectra(samples[0], other)
    with pytest.raises(ValueError, match="No pixel above zero in"):
        pixel_spectra(other, Sample(np.zeros_like(other.values), {}, space))


def test_empty_images_can_be_shown():
    empty = Sample(np.zeros((2, *SPACE.shape)), {}, SPACE)
    assert ink(event_images.gallery({"empty": empty}, {"empty": jets.cluster(empty)}, events=2)).std() > 0.02
    assert ink(event_images.averages(empty, empty)).std() > 0.02


def test_the_board_has_images_and_histograms(samples):
    one = {"contents": [0.5, 0.5], "errors": [0.1, 0.1], "beyond": [0.0, 0.0]}
    far = {**one, "beyond": [0.0, 0.5]}
    variable = {"name": "summed_mass", "label": "summed jet mass", "unit": "GeV", "per": "events", "edges": [0, 1, 2]}
    images = {"reference": (samples[0].values[0], []), "generated": (samples[1].values[1], [[300.0, 0, 3.0, 90.0]])}
    figure = jet_board.show(
        SPACE,
        images,
        [{**variable, "reference": one, "generated": far, "ks": 0.1, "floor": 0.05}],
        radius=1.0,
        colours={"high": 50.0, "decades": 2.0},
        names={"reference": "Pythia", "generated": "GAN", "alone": "Pythia, no pile-up"},
        events={"reference": 80, "generated": 60},
    )
    assert ink(figure).std() > 0.05
    assert {"KS 0.100 (floor 0.050)", "1 jet, Σm 90 GeV", "0 jets, Σm 0 GeV"} <= set(texts(figure))
    assert {"Pythia", "GAN", "Pythia, 80 events", "GAN, 60 events", "50 % beyond ▸ "} <= set(texts(figure))
    assert {"η", "φ [rad]"} <= {text for panel in figure.axes for text in (panel.get_xlabel(), panel.get_ylabel())}
    assert "summed jet mass [GeV]" in [panel.get_xlabel() for panel in figure.axes]


def test_losses_of_the_first_epochs_stand_beside_all():
    epochs = np.arange(1, 41)
    calm = np.column_stack([epochs, -3 - np.exp(-epochs / 5.0), np.ones(40)])
    figure = training.beginning(calm, ["discriminator", "generator"])
    assert ink(figure).std() > 0.02
    assert [len(panel.lines[0].get_xdata()) for panel in figure.axes] == [10, 40]
    assert [panel.get_yscale() for panel in figure.axes] == ["linear", "linear"]
    calm[30:, 1] = -(10.0 ** np.arange(1, 11))
    assert training.beginning(calm, ["discriminator", "generator"]).axes[1].get_yscale() == "symlog"
    with pytest.raises(ValueError, match="1 \\+ 1 numbers"):
        training.beginning(calm, ["discriminator"])
