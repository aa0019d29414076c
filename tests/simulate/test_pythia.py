"""Collisions with Pythia in worker processes: reproducible, labelled, and with early errors."""

import numpy as np
import pytest

from calolab import simulate
from calolab.simulate import slha
from calolab.simulate.pythia import CHUNK, SEEDS, STRIDE

EVENTS = 2 * CHUNK
# The heavier mass in two chunks, the lighter one in one.
MASSES = np.where(np.arange(EVENTS) % 4 == 0, 1400.0, 1800.0)


def collisions(process="rpv", events=EVENTS, seed=7, **settings):
    return simulate.collisions(process, events, seed=seed, progress=False, **settings)


@pytest.fixture(scope="module")
def one_process():
    return collisions(gluino_mass=MASSES, neutralino_mass=850, processes=1)


def same(one, other):
    return np.array_equal(one.counts, other.counts) and all(
        np.array_equal(one.flat(name), other.flat(name)) for name in one.fields
    )


def test_the_same_seed_gives_the_same_collisions_whatever_the_number_of_processes(one_process):
    two = collisions(gluino_mass=MASSES, neutralino_mass=850, processes=2)
    assert same(one_process, two)
    assert one_process.origin == two.origin
    assert np.array_equal(two.labels["gluino_mass"], MASSES)
    assert np.all(two.labels["neutralino_mass"] == 850)


def test_a_point_alone_has_the_events_that_it_has_among_others(one_process):
    heavy = one_process.select(np.flatnonzero(MASSES == 1800)[: CHUNK + 5])
    alone = collisions(events=len(heavy), gluino_mass=1800, neutralino_mass=850)
    assert same(heavy, alone)
    other = collisions(events=5, gluino_mass=1800, neutralino_mass=850, seed=8)
    assert not same(alone.select(slice(5)), other)
    # All events are different.
    assert len(np.unique(np.sum(one_process.columns.pt, axis=1))) == EVENTS


def test_heavier_gluinos_leave_more(one_process):
    scalar_sum = np.asarray(np.sum(one_process.columns.pt, axis=1))
    assert scalar_sum[MASSES == 1800].mean() > scalar_sum[MASSES == 1400].mean() + 300
    light, heavy = one_process.origin["cross_section"].values()
    assert 5 < light / heavy < 20


def test_images_and_labels_of_the_direct_decay():
    made = collisions(events=20, gluino_mass=1400, output="images")
    assert made.space.name == "whole-detector"
    assert list(made.labels) == ["gluino_mass"]
    assert made.values.sum((1, 2)).mean() == pytest.approx(4000, rel=0.25)
    assert made.origin["process"] == "rpv"
    assert made.origin["pythia"].startswith("8.")
    assert made.origin["cross_section"] == pytest.approx(0.0135, rel=0.1)


def test_jet_processes_are_labelled_and_lie_in_their_window():
    jets = collisions("qcd", 30, pt=(250, 300), output="particles")
    bosons = collisions("w-boson", 30, pt=(250, 300), pythia=["PartonLevel:MPI = off"])
    assert np.all(jets.labels["signal"] == 0)
    assert np.all(bosons.labels["signal"] == 1)
    central = np.abs(jets.columns.eta) < 4
    assert np.median(np.sum(jets.columns.pt[central], axis=1)) == pytest.approx(650, abs=150)
    # The Z boson's neutrinos recoil against the W.
    invisible = np.isin(np.abs(bosons.flat("identity")), [12, 14, 16]) & (bosons.flat("pt") > 1)
    event = np.repeat(np.arange(30), bosons.counts)[invisible]
    missing = [
        np.bincount(event, bosons.flat("pt")[invisible] * component(bosons.flat("phi")[invisible]), 30)
        for component in (np.cos, np.sin)
    ]
    assert np.median(np.hypot(*missing)) == pytest.approx(275, abs=25)
    assert bosons.origin["pythia_settings"] == "PartonLevel:MPI = off"


def test_a_spectrum_of_ones_own(tmp_path, one_process):
    file = tmp_path / "own.slha"
    file.write_text(slha.spectrum(1800, 850))
    own = collisions(events=10, slha=file)
    assert same(own, one_process.select(np.flatnonzero(MASSES == 1800)[:10]))
    assert own.labels["neutralino_mass"].tolist() == [850] * 10


def test_a_warning_about_a_spectrum_names_the_line_of_the_user():
    stable = slha.spectrum(1400, 850).split(f"DECAY {slha.NEUTRALINO}")[0]
    with pytest.warns(UserWarning, match="no decays of neutralinos") as told:
        simulate.collisions("rpv", 1, seed=7, progress=False, slha=stable)
    assert [one.filename for one in told] == [__file__]


def test_pythias_refusal_is_told():
    text = slha.spectrum(1400).replace("1000021  1400", "1000021  7000")
    with pytest.raises(ValueError, match="vanishing cross sections"):
        collisions(slha=text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"process": "rvp", "gluino_mass": 1400}, "Unknown process 'rvp'.*Nearest: rpv"),
        ({"process": "min-bias"}, "Nearest: minimum-bias"),
        ({"gluino_mas": 1400}, "Unknown setting of 'rpv' 'gluino_mas'.*Nearest: gluino_mass"),
        ({"process": "minimum-bias", "pt": (1, 2)}, "Unknown setting of 'minimum-bias' 'pt'.*Known: pythia"),
        ({"gluino_mass": 1400, "output": "tower"}, "Unknown output 'tower'.*Nearest: towers"),
        ({}, "expects gluino_mass="),
        ({"neutralino_mass": 850}, "expects gluino_mass="),
        ({"gluino_mass": "heavy"}, "expects one mass.*received 'heavy'"),
        ({"gluino_mass": [1400, 1600]}, r"one per event, shape \(100,\)"),
        ({"gluino_mass": np.inf}, "expects one mass"),
        ({"gluino_mass": 1400, "neutralino_mass": 1500}, "1500 GeV.*lighter than the gluino .1400 GeV"),
        ({"gluino_mass": 1400, "neutralino_mass": 1399}, "at least 10 GeV lighter"),
        ({"gluino_mass": 9000}, "received 9000"),
        ({"gluino_mass": 1400, "slha": "x.slha"}, "slha= or the masses, not both"),
        ({"slha": "missing.slha"}, "missing.slha"),
        ({"process": "qcd", "pt": (300, 250)}, "expects .low, high.*received .300, 250"),
        ({"process": "qcd", "pt": (1, 250)}, "10 <= low"),
        ({"process": "w-boson", "pt": 250}, "expects .low, high"),
        ({"process": "qcd", "pt": (np.nan, 250)}, "expects .low, high"),
        ({"gluino_mass": 1400, "events": 0}, r"collisions\(events=\).*at least 1, received 0"),
        ({"gluino_mass": 1400, "events": 1.5}, "whole number"),
        ({"gluino_mass": 1400, "seed": -1}, r"collisions\(seed=\)"),
        ({"gluino_mass": 1400, "processes": 0}, r"collisions\(processes=\)"),
        ({"gluino_mass": 1400, "pythia": "PartonLevel:MPI = off"}, "expects a list of settings"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(arguments, words):
    with pytest.raises(ValueError, match=words):
        collisions(**arguments)


def test_chunks_of_a_run_never_share_a_seed():
    assert np.gcd(SEEDS, STRIDE) == 1
