"""Scorecards of files from the command line, in the layout of the CaloChallenge."""

import h5py
import numpy as np
import pytest

from calolab.spaces import space
from calolab.validation import Scorecard
from calolab.validation.scorecards.command import main


def write(path, events, seed, factor=1.0):
    """Photons of data set 1 as in the CaloChallenge's files: energies in MeV, showers flat."""
    random = np.random.default_rng(seed)
    energy = 2.0 ** random.integers(13, 17, (events, 1))
    photons = space("calochallenge-photons")
    share = random.gamma(2.0, 0.5, (events, photons.n_cells)) * (random.random((events, photons.n_cells)) < 0.3)
    with h5py.File(path, "w") as file:
        file["incident_energies"] = energy
        file["showers"] = factor * energy * share / share.sum(axis=1, keepdims=True)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("files")
    write(made / "reference.hdf5", 260, seed=1)
    write(made / "good.hdf5", 150, seed=2)
    write(made / "high.hdf5", 150, seed=3, factor=1.05)
    return made


def run(folder, *arguments, out="scores"):
    files = [folder / name for name in ("reference.hdf5", "good.hdf5", "high.hdf5")]
    return main([*map(str, files), "--out", str(folder / out), "--metrics", "energy", "separation", *arguments])


@pytest.mark.parametrize("binning", ["reference", "calochallenge"])
def test_files_are_scored_and_the_results_written(folder, binning, capsys):
    assert run(folder, "--binning", binning, "--reference-name", "Geant4", out=binning) == 0
    card = Scorecard.from_json((folder / binning / "scorecard.json").read_text())
    assert card.space.name == "calochallenge-photons" and card.settings["threshold"] == 1e-3
    assert card.ranking("response") == ("good", "high")
    assert card["high"]["response"].value == pytest.approx(0.05, abs=0.005)
    assert (folder / binning / "scorecard.png").read_bytes().startswith(b"\x89PNG")
    assert "<table" in (folder / binning / "scorecard.html").read_text()
    printed = capsys.readouterr().out
    assert (folder / binning / "scorecard.txt").read_text().strip() in printed
    assert "of Geant4" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--names", "one"], "one different name for each of 2"),
        (["--names", "one", "one"], "one different name"),
        (["--train", "nowhere.hdf5"], "nowhere.hdf5"),
        (["--events", "120"], "expects 200 reference events"),
        (["--metrics", "fdp"], "fpd"),
    ],
)
def test_wrong_arguments_end_with_one_line_and_without_files(folder, arguments, message, capsys):
    assert run(folder, *arguments, out="wrong") == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed
    assert not (folder / "wrong").exists()


def test_a_damaged_file_is_named(folder, capsys):
    damaged = folder / "damaged.hdf5"
    damaged.write_bytes((folder / "good.hdf5").read_bytes()[:3000])
    assert main([str(folder / "reference.hdf5"), str(damaged), "--out", str(folder / "none")]) == 2
    assert "damaged.hdf5" in capsys.readouterr().err
    assert not (folder / "none").exists()
