import warnings
import zlib

import numpy as np
import pytest
import traitlets
from matplotlib.text import Text

from calolab.plots import mean_profiles
from calolab.samples import Sample
from calolab.validation.observables import profiles
from calolab.widgets import ProfileExplorer


def test_profiles_and_moments_are_those_of_the_validation(make_sample):
    sample = make_sample(events=4)
    explorer = ProfileExplorer(sample)
    received = np.frombuffer(zlib.decompress(explorer.numbers), dtype="<f4")
    assert [one["axis"] for one in explorer.about["profiles"]] == ["z", "x", "y"]
    start = 0
    for axis in ("z", "x", "y"):
        first, second = profiles.moments(sample, axis)
        expected = np.concatenate([profiles.profile(sample, axis).ravel(), first, np.sqrt(second)])
        assert received[start : start + len(expected)] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        start += len(expected)
    assert received[start:] == pytest.approx(sample.values.sum(axis=(1, 2, 3)), rel=1e-5)


def test_if_layers_differ_only_the_depth_has_a_profile(make_sample):
    explorer = ProfileExplorer(make_sample("calogan"))
    assert [one["axis"] for one in explorer.about["profiles"]] == ["z"]
    assert explorer._repr_png_()[0].startswith(b"\x89PNG")


def test_the_range_initially_contains_all_showers(make_sample):
    reference, generated = make_sample(seed=1), make_sample(seed=2)
    explorer = ProfileExplorer(reference, generated)
    energies = np.concatenate([reference.labels["energy"], generated.labels["energy"]])
    assert explorer.energy_range == (energies.min(), energies.max())
    with pytest.raises(traitlets.TraitError, match=r"\(low, high\) in GeV, received \(50.0, 20.0\)"):
        explorer.energy_range = (50.0, 20.0)


def test_a_generator_with_negative_cells_causes_no_warning(make_sample):
    sample = make_sample()
    noise = np.random.default_rng(1).normal(size=sample.values.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ProfileExplorer(sample, Sample(noise, sample.labels, sample.space))


def test_its_picture_can_be_drawn_for_an_empty_range_and_a_single_shower(make_sample):
    sample = make_sample()
    explorer = ProfileExplorer(sample, sample)
    lowest = np.sort(sample.labels["energy"])[:2]
    for high in (lowest[0] - 1, (lowest[0] + lowest[1]) / 2):
        explorer.energy_range = (0.0, float(high))
        assert explorer._repr_png_()[0].startswith(b"\x89PNG")


def test_its_picture_has_the_same_contents_as_the_page(make_sample, monkeypatch):
    shown = {}

    def kept(*positional, **named):
        shown["figure"] = show(*positional, **named)
        return shown["figure"]

    show = mean_profiles.show
    monkeypatch.setattr(mean_profiles, "show", kept)
    samples = make_sample(events=20), make_sample(events=20, seed=2)
    explorer = ProfileExplorer(*samples, names=("Geant4", "GFlash"))
    explorer.spread, explorer.energy_range = True, (10.0, 90.0)
    explorer._repr_png_()
    texts = [text.get_text() for text in shown["figure"].findobj(Text)]
    chosen = [s.values[(s.labels["energy"] <= 90)].sum(axis=(1, 2, 3), dtype=float) for s in samples]
    assert {"Geant4", "GFlash", "significance", "visible energy [GeV]", "incident energy [GeV]"} <= set(texts)
    for visible in chosen:
        error = visible.std(ddof=1) / np.sqrt(len(visible))
        decimals = 1 - int(np.floor(np.log10(error)))
        assert f"{visible.mean():.{decimals}f} ± {error:.{decimals}f}" in texts
    # The band is the spread of showers, as selected.
    band = next(patch for patch in shown["figure"].axes[0].patches if patch.get_fill())
    profile = profiles.profile(samples[0], "z")[samples[0].labels["energy"] <= 90]
    values, _, baseline = band.get_data()
    assert (values - baseline) / 2 == pytest.approx(profile.std(axis=0, ddof=1))


def test_samples_without_energies_are_rejected(make_sample):
    sample = make_sample()
    with pytest.raises(ValueError, match=r"generated needs the label 'energy' \[GeV\], it has \['mass'\]"):
        ProfileExplorer(sample, Sample(sample.values, {"mass": np.ones(6)}, sample.space))


def test_a_note_says_how_many_events_are_sent(make_sample):
    assert ProfileExplorer(make_sample(events=5), events=2).about["note"] == "The first 2 of 5 events."
