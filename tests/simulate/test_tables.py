import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

from calolab.simulate import tables

xraydb = pytest.importorskip("xraydb", reason="the extra 'geant4' is not installed")
pytest.importorskip("xpecgen", reason="the extra 'geant4' is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALOLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return tables.made_tables()


def test_the_photoelectric_table_is_xraydbs_and_falls_as_one_over_energy_above(folder):
    energy, scaled = np.loadtxt(folder / "epics2017" / "phot" / "pe-cs-74.dat", skiprows=2).T
    barn = scaled / energy**3
    assert np.all(np.diff(energy) > 0)
    for mega in (0.03, 0.1, 0.5):
        expected = xraydb.get_xraydb().cross_section_elam(74, mega * 1e6, kind="photo").item()
        expected *= xraydb.atomic_mass(74) / 0.602214076
        assert np.exp(np.interp(np.log(mega), np.log(energy), np.log(barn))) == pytest.approx(expected, rel=0.01)
    above = energy > 0.9
    assert barn[above] * energy[above] == pytest.approx(barn[above][0] * energy[above][0], rel=1e-5)


def test_the_absorption_edge_stays_sharp(folder):
    energy, scaled = np.loadtxt(folder / "epics2017" / "phot" / "pe-cs-82.dat", skiprows=2).T
    k_edge = xraydb.xray_edges(82)["K"].energy / 1e6
    below, above = np.searchsorted(energy, k_edge) + np.array([-1, 0])
    assert energy[above] / energy[below] < 1.001
    assert scaled[above] / scaled[below] > 3


def test_the_bremsstrahlung_table_has_geant4s_grid(folder):
    lines = (folder / "brem_SB" / "br74").read_text().splitlines()
    assert lines[0] == "0 32 57"
    assert len(lines) == 3 + 57
    fractions, energies = np.fromstring(lines[1], sep=" "), np.exp(np.fromstring(lines[2], sep=" "))
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert (energies[0], energies[-1]) == pytest.approx((1e-3, 1e4))
    spectra = np.array([np.fromstring(line, sep=" ") for line in lines[3:]])
    assert spectra.shape == (57, 32)
    assert np.all(spectra > 0)
    # Soft photons at 1 GeV in tungsten: 16 alpha r_e^2 / 3 ln(184 / Z^(1/3)) = 11.7 mb, before smaller terms.
    assert spectra[np.searchsorted(energies, 1e3), 0] == pytest.approx(11.7, rel=0.1)


def test_two_processes_at_once_leave_one_folder_and_no_draft(tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))
    code = "from calolab.simulate.tables import made_tables; print(made_tables())"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert said == {str(path) for path in (tmp_path / "geant4").iterdir()}
    assert len(said) == 1


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))

    def fail(folder):
        raise OSError("no space left on device")

    monkeypatch.setattr(tables, "_write_photoelectric", fail)
    with pytest.raises(OSError, match="no space left"):
        tables.made_tables()
    assert list((tmp_path / "geant4").iterdir()) == []


def test_official_data_are_left_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "official" / "G4EMLOW8.8").mkdir(parents=True)
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path / "official"))
    found = tables.tables()
    assert found.official
    assert "G4EMLOW8.8" in found.name
    assert found.environment == {"GEANT4_DATA_DIR": str(tmp_path / "official")}
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_official_data_counts_for_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(folder.parents[1]))
    monkeypatch.setenv("GEANT4_DATA_DIR", str(tmp_path))
    found = tables.tables()
    assert not found.official
    assert found.environment["GEANT4_DATA_DIR"] == found.environment["G4LEDATA"] == str(folder)
    assert "xpecgen" in found.name and "xraydb" in found.name


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))

    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ModuleNotFoundError, match=r"xpecgen.*calolab\[geant4\]"):
        tables.tables()
