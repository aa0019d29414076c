"""Geant4 compared with reference values of CLIC's ECAL, and GFlash with Geant4, with the same simulated showers."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import psutil
import pytest

from calolab import materials, simulate, spaces
from calolab.simulate import geant4
from calolab.simulate.readout import in_cells, layer_of
from calolab.spaces import Slab, Space, pad_edges, stack

pytest.importorskip("xpecgen", reason="the extra 'geant4' is not installed")
if geant4.importlib.util.find_spec("geant4_pybind") is None:
    pytest.skip("the extra 'geant4' is not installed", allow_module_level=True)

EVENTS = 300
SPACE = spaces.space("clic-ecal-51")
# Energy in each silicon layer at 10 GeV as a fraction of the sum, for 1000 reference showers.
FRACTIONS = [
    0.0041,
    0.0114,
    0.0230,
    0.0379,
    0.0535,
    0.0680,
    0.0801,
    0.0832,
    0.0856,
    0.0832,
    0.0785,
    0.0722,
    0.0652,
    0.0568,
    0.0491,
    0.0417,
    0.0354,
    0.0248,
    0.0170,
    0.0114,
    0.0072,
    0.0046,
    0.0032,
    0.0020,
    0.0010,
]


@pytest.fixture(scope="module")
def hits():
    """Geant4 deposits of 300 electrons, or fewer at high energies, which fluctuate less; simulated on first use."""
    made = {}

    def at(energy):
        if energy not in made:
            made[energy] = simulate.hits(SPACE, EVENTS if energy <= 10 else 75, energy, seed=11, progress=False)
        return made[energy]

    return at


def in_window(hits):
    return in_cells(SPACE, EVENTS, hits.event, hits.x, hits.y, layer_of(SPACE, hits.z), hits.energy, follow=False)


def test_the_visible_fraction_meets_the_anchor(hits):
    fraction = in_window(hits(10)).sum((1, 2, 3), dtype=float) / 10
    error = fraction.std() / EVENTS**0.5
    assert fraction.mean() == pytest.approx(0.02054, abs=0.02 * 0.02054 + 2 * error)
    assert fraction.std() / fraction.mean() == pytest.approx(0.080, rel=0.15)


def test_depth_and_longitudinal_profile_meet_the_anchors(hits):
    layers = in_window(hits(10)).sum((1, 2), dtype=float)
    depths = layers @ SPACE.centres("z") / layers.sum(1)
    mean = layers.sum(0) @ SPACE.centres("z") / layers.sum()
    assert mean == pytest.approx(45.0, abs=0.02 * 45.0 + 2 * depths.std() / EVENTS**0.5)
    error = layers.std(0) / EVENTS**0.5 / layers.sum(1).mean()
    assert np.all(np.abs(layers.sum(0) / layers.sum() - FRACTIONS) < 0.004 + 2 * error)


@pytest.mark.parametrize("energy", [10, 50])
def test_gflash_has_geant4s_depth_and_radii(hits, energy):
    """Mean depth within 5 %, and the radii that contain 68 % and 90 % of the deposits within 12 %."""
    ours = simulate.hits(SPACE, 1500, energy, seed=12, method="gflash", progress=False)
    found = []
    for each in (ours, hits(energy)):
        order = np.argsort(radius := np.hypot(each.x, each.y))
        within = np.cumsum(each.energy[order], dtype=float) / each.energy.sum(dtype=float)
        radii = radius[order][np.searchsorted(within, [0.68, 0.90])]
        response = each.energy.sum(dtype=float) / len(each.labels["energy"]) / energy
        found.append((np.average(each.z, weights=each.energy), *radii, response))
    depth, r68, r90, response = np.array(found[0]) / found[1]
    assert depth == pytest.approx(1, abs=0.05)
    assert (r68, r90) == pytest.approx((1, 1), abs=0.12)
    assert response == pytest.approx(1, abs=0.05)


def test_the_same_seed_gives_the_same_showers_whatever_the_number_of_processes():
    settings = {"energy": (1, 5), "seed": 7, "progress": False}
    one = simulate.showers("clic-ecal", 40, **settings, processes=1)
    two = simulate.showers("clic-ecal", 40, **settings, processes=2)
    few = simulate.showers("clic-ecal", 10, **settings, processes=2)
    other = simulate.showers("clic-ecal", 10, **{**settings, "seed": 8}, processes=2)
    assert np.array_equal(one.values, two.values)
    assert np.array_equal(one.values[:10], few.values)
    assert not np.array_equal(few.values, other.values)
    assert one.origin["simulation"] == "geant4"
    assert one.origin["geant4"]["version"].startswith("11.")
    assert "xpecgen" in one.origin["geant4"]["tables"]
    # All showers must be different: their sums differ even after division by the energy.
    assert len(np.unique(one.values.sum((1, 2, 3)) / one.labels["energy"])) == 40


def test_it_never_prompts_nor_downloads(tmp_path, monkeypatch, capfd):
    """With CI=true the bindings would download gigabytes to the home folder, in a terminal they would ask."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path / "cache"))
    for variable in ("GEANT4_DATA_DIR", "G4LEDATA"):
        monkeypatch.delenv(variable, raising=False)
    sample = simulate.showers("clic-ecal", 2, 2.0, seed=1, progress=False, processes=1)
    assert np.all(sample.values.sum((1, 2, 3)) > 0)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("particle", ["e+", "gamma"])
def test_positrons_and_photons_shower_too(hits, particle):
    sample = simulate.showers("clic-ecal", 60, 10, particle=particle, seed=3, progress=False)
    layers = sample.values.sum((1, 2), dtype=float)
    depth = layers @ sample.space.centres("z") / layers.sum(1)
    fraction = layers.sum(1).mean() / 10
    assert fraction == pytest.approx(0.0195, rel=0.1)
    electrons = np.average(hits(10).z, weights=hits(10).energy)
    # A photon converts after 9/7 radiation lengths, 8.2 mm of this calorimeter, on average.
    expected = electrons + (8.2 if particle == "gamma" else 0)
    assert depth.mean() == pytest.approx(expected, abs=3 * depth.std() / 60**0.5 + 1)


def measured_angle(values, x, y, z):
    """The angle [rad] of 3DGAN's angle files: the slopes of the layers' barycentres, weighted by depth."""
    total, layers = values.sum((1, 2, 3)), values.sum((1, 2))
    middle = [np.einsum("exyz,xyz->e", values, grid) / total for grid in np.meshgrid(x, y, z, indexing="ij")]
    filled = np.where(layers > 0, layers, 1)
    x_layer, y_layer = (np.einsum(f"exyz,{a}->ez", values, c) / filled for a, c in (("x", x), ("y", y)))
    across = np.hypot(x_layer - middle[0][:, None], z - middle[2][:, None])
    slope = (y_layer - middle[1][:, None]) / across * np.sign(z - middle[2][:, None])
    weight = (layers > 0) * np.arange(1, len(z) + 1)
    return ((np.pi / 2 - np.arctan(slope)) * weight).sum(1) / weight.sum(1)


@pytest.mark.parametrize("degrees", [60, 100])
def test_tilted_showers_show_their_angle(degrees):
    sample = simulate.showers(SPACE, 30, 20, angle=np.radians(degrees), seed=5, progress=False)
    values = sample.values.astype(float)
    angles = np.degrees(measured_angle(values, *(SPACE.centres(axis) for axis in "xyz")))
    # The formula resolves 3 degrees, and wide-angle deposits draw it towards 90 by an eighth of the tilt.
    expected = 90 + (degrees - 90) * 7 / 8
    assert angles.mean() == pytest.approx(expected, abs=2)
    assert angles.std() < 5
    assert np.allclose(sample.labels["theta"], np.radians(degrees))
    # The window follows the shower: its middle cell contains the barycentre.
    for axis in (1, 2):
        profile = values.sum(tuple({1, 2, 3} - {axis}))
        barycentre = profile @ np.arange(51) / profile.sum(1)
        assert np.all(np.abs(barycentre - 25) < 0.8)


def test_any_regular_calorimeter_with_slabs_can_be_simulated():
    slabs, edges = (Slab("Pb", 2.0), Slab("lAr", 4.0, sensitive=True)), pad_edges(11, 30.0)
    space = Space("lead-argon", ("x", "y", "z"), ("mm",) * 3, stack([slabs] * 80, [(edges, edges)] * 80))
    thorough = simulate.showers(space, 40, 10, seed=1, progress=False)
    quick = simulate.showers(space, 400, 10, seed=1, method="gflash", progress=False)
    fractions = [sample.values.sum((1, 2, 3), dtype=float).mean() / 10 for sample in (thorough, quick)]
    assert 0.15 < fractions[0] < 0.30
    assert fractions[1] == pytest.approx(fractions[0], rel=0.2)


def test_changed_detectors_give_their_own_showers():
    """A radiation length of lead is 1.6 times as long as one of tungsten, and the Moliere radius is larger."""
    ecal = spaces.space("clic-ecal-51")
    lead = ecal.replaced(material={"W": "lead"}, scale={"W": 1.6})
    thin = ecal.replaced(thickness={"W": 2.0})
    showers = [simulate.showers(one, 30, 10, seed=3, progress=False).values for one in (ecal, lead, thin)]
    # The statistical errors of the sampling fractions are 0.0003.
    fractions = np.array([values.sum((1, 2, 3), dtype=float).mean() for values in showers]) / 10
    assert fractions == pytest.approx([0.0204, 0.0212, 0.0252], abs=0.0012)
    assert fractions[2] / fractions[0] == pytest.approx(2.4 / 2.0, rel=0.07)
    depths = [values.sum((0, 1, 2), dtype=float) @ np.arange(25) / values.sum(dtype=float) for values in showers]
    assert depths[1] == pytest.approx(depths[0], abs=0.5) and depths[2] > depths[0] + 0.5
    radius = np.hypot(*np.meshgrid(ecal.centres("x"), ecal.centres("y")))
    widths = [(values.sum((0, 3), dtype=float) * radius).sum() / values.sum(dtype=float) for values in showers]
    assert widths[1] > 1.05 * widths[0]


def test_geant4_has_every_material_that_has_a_name():
    edges = pad_edges(3, 5.0)
    slabs = [[Slab(name, 0.1), Slab("Si", 1.0, sensitive=True)] for name in materials.NAMES]
    space = Space("all", ("x", "y", "z"), ("mm",) * 3, stack(slabs, [(edges, edges)] * len(slabs)))
    assert simulate.showers(space, 1, 10, seed=1, progress=False).values.sum() > 0


def test_a_material_that_geant4_lacks_is_an_error():
    edges = pad_edges(3, 5.0)
    slabs = (Slab("Tungstn", 1.0), Slab("Si", 1.0, sensitive=True))
    space = Space("odd", ("x", "y", "z"), ("mm",) * 3, stack([slabs], [(edges, edges)]))
    with pytest.raises(ValueError, match="no material 'G4_Tungstn'.* Nearest: tungsten"):
        simulate.showers(space, 2, 10, seed=1, progress=False)


def test_official_physics_needs_the_official_data(monkeypatch):
    monkeypatch.delenv("GEANT4_DATA_DIR", raising=False)
    with pytest.raises(ValueError, match=r"'FTFP_BERT' needs the official data.*GEANT4_DATA_DIR"):
        simulate.showers("clic-ecal", 2, 10, seed=1, physics="FTFP_BERT")


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr(geant4.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"calolab\[geant4\]"):
        simulate.showers("clic-ecal", 2, 10, seed=1)


def test_ctrl_c_leaves_no_process_and_no_partial_file(tmp_path):
    code = """
        from calolab import simulate
        simulate.showers("clic-ecal", 500, 200, seed=1, processes=2)
    """
    environment = {**os.environ, "CALOLAB_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    session = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
        text=True,
    )
    deadline, workers = time.monotonic() + 60, []
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        workers = psutil.Process(session.pid).children(recursive=True)
    time.sleep(2)
    session.send_signal(signal.SIGINT)
    said = session.communicate(timeout=30)[1]
    assert said.splitlines()[-1] == "Stopped: the simulation of showers; nothing was kept." and "Traceback" not in said
    assert session.returncode == 130
    assert len(workers) == 2
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "tables-" not in str(path)]
    assert left == []
