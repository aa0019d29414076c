"""The data sets that are part of calolab, and the layout of small files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from calolab import Sample, datasets, spaces
from calolab.datasets import public_sets

NAME, EVENTS = "clic-electrons-demo", 1000
SOURCE = Path(__file__).parents[3] / "shared" / "data" / "clic_electrons_train.h5"


@pytest.fixture(scope="module")
def demo():
    return datasets.load(NAME)


def test_the_demo_sample_is_read_by_its_name_with_its_origin(demo):
    assert len(demo) == EVENTS and demo.space == spaces.space("clic-ecal")
    assert demo.labels["energy"].min() > 10 and demo.labels["energy"].max() < 100
    assert (demo.origin["simulation"], demo.origin["particle"]) == ("geant4", "e-")
    assert demo.origin["geant4"]["version"] == "11.4.1" and "last 1,000" in demo.origin["events"]
    # The visible fraction of Geant4's showers: 2.05 % at 10 GeV and 1.86 % at 100 GeV.
    visible = demo.values.sum(axis=(1, 2, 3), dtype=float) / demo.labels["energy"]
    assert 0.0186 < visible.mean() < 0.0205
    assert demo.values[demo.values > 0].min() >= 3e-5 * (1 - 2**-11)


def test_the_sample_of_the_changed_detector_is_read_by_its_name_with_its_origin():
    lead = datasets.load("clic-electrons-lead")
    changed = spaces.space("clic-ecal").replaced(material={"W": "Pb"}, scale={"W": 1.6}, name="clic-ecal-lead")
    assert len(lead) == EVENTS and lead.space == changed
    assert lead.labels["energy"].min() >= 10 and lead.labels["energy"].max() <= 100
    assert (lead.origin["simulation"], lead.origin["particle"]) == ("geant4", "e-")
    assert public_sets.packaged_file("clic-electrons-lead").stat().st_size <= 5e6


@pytest.mark.skipif(not SOURCE.exists(), reason="needs the real files in ../shared")
def test_its_cells_are_those_of_geant4_within_half_a_per_mille(demo):
    with h5py.File(SOURCE) as file:
        values, energies = file["ECAL"][-EVENTS:], file["energy"][-EVENTS:]
    np.testing.assert_array_equal(demo.labels["energy"], energies.astype(float))
    np.testing.assert_array_equal(demo.values > 0, values >= 3e-5)
    np.testing.assert_allclose(demo.values, np.where(values < 3e-5, 0, values), rtol=5e-4)


def test_it_is_small_streamed_and_listed(demo):
    stream = datasets.stream(NAME)
    np.testing.assert_array_equal(stream.head(3).values, demo.values[:3])
    assert datasets.catalogue()[NAME].size == public_sets.packaged_file(NAME).stat().st_size <= 5e6
    assert "2.0 MB" in repr(datasets.catalogue()) and "part of calolab" in datasets.catalogue()._repr_html_()
    with pytest.raises(ValueError, match=r"is part of calolab: datasets\.load\('clic-electrons-demo'\)"):
        datasets.fetch(NAME)


def test_a_file_of_that_name_has_precedence_and_a_folder_has_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert len(datasets.load(NAME, events=10)) == 10
    (tmp_path / NAME).rmdir()
    datasets.save(tmp_path / "own.h5", showers()).rename(tmp_path / NAME)
    assert len(datasets.load(NAME)) == 3
    with pytest.raises(FileNotFoundError, match="Nearest: clic-electrons-demo"):
        datasets.load("clic-electron-demo")


def showers(largest=1.0):
    """Three showers with cells over many orders of magnitude, up to the largest [GeV]."""
    random = np.random.default_rng(1)
    values = np.exp(random.uniform(np.log(6.2e-8), np.log(largest), (3, 25, 25, 25)))
    values[random.random(values.shape) < 0.9] = 0
    return Sample(values, {"energy": [10.0, 20.1, 1 / 3]}, spaces.space("clic-ecal"), {"seed": 1})


def test_small_files_are_rounded_by_at_most_half_a_per_mille(tmp_path):
    sample = showers()
    path, usual = (datasets.save(tmp_path / f"{name}.h5", sample, layout=name) for name in ("compact", "3dgan"))
    loaded = datasets.load(path)
    np.testing.assert_allclose(loaded.values, sample.values, rtol=5e-4)
    np.testing.assert_array_equal(loaded.labels["energy"], sample.labels["energy"])
    assert loaded.origin["seed"] == 1 and loaded.space == sample.space
    with h5py.File(path) as file:
        assert file["showers"].dtype == np.float16 and file["showers"].attrs["unit"] == "MeV"
    assert path.stat().st_size < 0.8 * usual.stat().st_size


def test_cells_too_large_for_half_precision_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"overflows float16 with the factor 1000"):
        datasets.save(tmp_path / "large.h5", showers(largest=1000.0), layout="compact")
    assert not list(tmp_path.iterdir())
