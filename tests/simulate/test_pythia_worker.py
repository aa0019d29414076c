"""Pythia in this process: its output, its errors, and the window for the W boson."""

import os

import numpy as np
import pytest

from calolab.particles import images
from calolab.simulate import pythia, slha, towers
from calolab.simulate import pythia_worker as worker
from calolab.simulate.pythia import Setup, Task

RPV = (*pythia.COMMON, *pythia.GLUINO_PAIRS)


@pytest.fixture(scope="module")
def generator():
    return worker.generator(Setup(RPV, slha.spectrum(1400), decaying=(slha.GLUINO,)))


def test_the_batch_holds_what_a_loop_over_the_particles_finds(generator):
    made = worker.collisions(generator, Task("collisions", 0, 3, seed=17), "particles")
    generator.pythia.rndm.init(17)
    rows, counts = [], []
    for _ in range(3):
        generator.pythia.next()
        stable = [one for one in generator.pythia.event if one.isFinal()]
        rows += [(one.pT(), one.eta(), one.phi(), max(one.m(), 0), one.id()) for one in stable]
        counts.append(len(stable))
    assert made["counts"].tolist() == counts
    for name, column in zip(("pt", "eta", "phi", "mass", "identity"), zip(*rows)):
        np.testing.assert_allclose(made[name], column, rtol=1e-5, atol=1e-6)
    assert all(column.dtype in (np.float32, np.int32) for column in made.values())


def test_energy_and_momentum_are_those_of_the_beams(generator):
    generator.pythia.rndm.init(5)
    made = worker.final_state(generator.pythia.nextBatch(20))
    energy = np.sum(made.energy, axis=1)
    np.testing.assert_allclose(energy, pythia.BEAM_ENERGY, rtol=1e-6)
    for component in (np.cos, np.sin):
        total = np.sum(made.columns.pt * component(made.columns.phi), axis=1)
        np.testing.assert_allclose(total, 0, atol=0.01)


def test_stable_is_what_reaches_the_calorimeter(generator):
    generator.pythia.rndm.init(6)
    found = set(np.abs(worker.final_state(generator.pythia.nextBatch(50)).flat("identity")))
    assert {11, 13, 22, 130, 211, 310, 321, 2112, 2212, 3122} <= found
    # Neutral pions, tau leptons, charm, beauty, quarks, gluons and sparticles have all decayed.
    assert not found & {111, 15, 411, 421, 511, 521, 1, 2, 3, 4, 5, 21, slha.GLUINO, slha.NEUTRALINO}


def test_the_reductions_are_those_of_towers_and_images(generator):
    task = Task("collisions", 0, 4, seed=3, towers_seed=9)
    generator.pythia.rndm.init(3)
    expected = towers.simulate(worker.final_state(generator.pythia.nextBatch(4)), seed=9)
    made = worker.collisions(generator, task, "towers")
    assert made["counts"].tolist() == expected.counts.tolist()
    np.testing.assert_allclose(made["hcal"], expected.flat("hcal"), rtol=1e-6)
    pictures = worker.collisions(generator, task, "images")["values"]
    np.testing.assert_array_equal(pictures, images(expected).values)


def test_what_came_before_does_not_matter(generator):
    task = Task("collisions", 0, 10, seed=23)
    first = worker.collisions(generator, task, "particles")
    worker.collisions(generator, Task("collisions", 0, 25, seed=24), "particles")
    again = worker.collisions(generator, task, "particles")
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_the_cross_section_is_pythias():
    found = worker.cross_section(Setup(RPV, slha.spectrum(1400), decaying=(slha.GLUINO,)))
    # 13 fb at leading order.
    assert found["value"] == pytest.approx(0.0135, rel=0.1)
    assert 0 < found["error"] < 0.04 * found["value"]


def test_w_bosons_stay_in_their_window():
    (point,) = pythia._points("w-boson", 1, {"pt": (250, 300)})
    made = worker.generator(point.setup, worker.HARD_PROCESS_ONLY)
    found, neutrinos = [], []
    for _ in range(60):
        made.pythia.next()
        record = [made.pythia.process[number] for number in range(made.pythia.process.size())]
        found += [one.pT() for one in record if one.idAbs() == 24]
        neutrinos.append(sum(one.idAbs() in (12, 14, 16) for one in record))
    assert 250 <= min(found) < 260
    assert 290 < max(found) < 300
    assert neutrinos == [2] * 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (slha.spectrum(1400).replace("1000021  1400", "1000021  7000"), "all processes have vanishing cross sections"),
        ("nonsense\n", "no process switched on"),
        (slha.spectrum(1400).split("DECAY")[0], "1000021 cannot decay: DECAY 1000021 is missing"),
        (slha.spectrum(1400, 850).replace("1000022  850", "1000022  1500"), "1000021 cannot decay.*\n.*switched off"),
        (slha.spectrum(1400).replace("DECAY 1000021", "# 1000021"), "cannot read all lines.*\n.*line 99"),
    ],
)
def test_spectra_are_refused_with_pythias_last_words(text, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        worker.generator(Setup(RPV, text, decaying=(slha.GLUINO,)))


def test_blank_lines_and_foreign_blocks_are_no_reason_to_refuse():
    text = "\n# by hand\n" + slha.spectrum(1400) + "\nBLOCK QNUMBERS 5000001 # new\n 1  0\n"
    worker.generator(Setup(RPV, text, decaying=(slha.GLUINO,)))


def test_settings_are_refused_with_pythias_last_words():
    with pytest.raises(ValueError, match="'SoftQCD:everything = on'(?s:.*)not found in settings"):
        worker.generator(Setup((*pythia.COMMON, "SoftQCD:everything = on")))


def test_listening_hears_what_is_printed_and_gives_the_output_back(capfd):
    with worker.listening() as heard:
        os.write(1, b"PYTHIA Error: alas\n")
        assert heard() == "PYTHIA Error: alas\n"
    os.write(1, b"afterwards\n")
    out, err = capfd.readouterr()
    assert out == "afterwards\n"
    assert err == "PYTHIA Error: alas\n"


def test_last_words_are_the_telling_ones():
    said = " | Table\n | 1 2 3\n PYTHIA Warning in x: y\n | more\n PYTHIA Abort from z\n"
    assert worker.last_words(said) == "PYTHIA Warning in x: y\nPYTHIA Abort from z"
    assert worker.last_words(" one\n two\n", lines=1) == "two"
    assert worker.last_words("") == "(nothing)"
