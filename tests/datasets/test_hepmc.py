"""HepMC files of both versions: final states in GeV and mm; files that are truncated keep their complete events."""

import sys
from pathlib import Path

import numpy as np
import pyhepmc
import pytest
from pyhepmc import GenEvent, GenParticle, GenVertex, Units

from calolab import datasets, jets

REAL = Path(__file__).parents[3] / "shared" / "data" / "hepmc"


def write(path, events=4, version=3, momentum=Units.GEV, length=Units.MM, weights=True, along_beam=False):
    """Events of two colliding protons; event i has i + 2 pions from a vertex at (1, 2, 3) mm."""
    gev, mm = (1000 if momentum == Units.MEV else 1), (0.1 if length == Units.CM else 1)
    with pyhepmc.open(str(path), "w", format=f"HepMC{version}") as file:
        for number in range(events):
            event = GenEvent(momentum, length)
            event.event_number = number
            vertex = GenVertex((1 * mm, 2 * mm, 3 * mm, 0))
            for pz in (10, -10):
                vertex.add_particle_in(GenParticle((0, 0, pz * gev, 10 * gev), 2212, 4))
            for i in range(number + 2):
                px, pz = 0.5 + i, 2.0 - i
                energy = np.sqrt(px**2 + pz**2 + 0.1396**2)
                one = GenParticle((px * gev, 0, pz * gev, energy * gev), 211, 1)
                one.generated_mass = 0.1396 * gev
                vertex.add_particle_out(one)
            if along_beam:
                vertex.add_particle_out(GenParticle((0, 0, 5 * gev, 5 * gev), 22, 1))
            event.add_vertex(vertex)
            if weights:
                event.weights = [number - 0.5, 7.0]
            file.write(event)
    return path


def event_starts(content):
    return [place for place in range(len(content)) if content.startswith(b"\nE ", place)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("momentum", "length"), [(Units.GEV, Units.MM), (Units.MEV, Units.CM)])
def test_final_states_in_gev_and_mm(tmp_path, version, momentum, length):
    read = datasets.load(write(tmp_path / "a.hepmc", version=version, momentum=momentum, length=length))
    assert read.counts.tolist() == [2, 3, 4, 5] and set(read.flat("identity")) == {211}
    np.testing.assert_allclose(read.flat("pt")[:5], [0.5, 1.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(read.flat("mass"), 0.1396)
    np.testing.assert_allclose(np.sinh(read.flat("eta")[:2]) * read.flat("pt")[:2], [2, 1])
    assert [set(read.flat(name).round(9)) for name in "xyz"] == [{1}, {2}, {3}]
    assert read.labels["weight"].tolist() == [-0.5, 0.5, 1.5, 2.5]


def test_real_files():
    read = datasets.load([REAL / "pythia6.dat", REAL / "last_event_issue.hepmc"])
    assert read.counts.tolist() == [24, 556] and not read.labels  # the first file has no weights
    energy = np.split(read.flat("energy"), [24])
    assert energy[0].sum() == pytest.approx(15, rel=1e-9) and energy[1].sum() == pytest.approx(13000, rel=1e-9)
    weighted = datasets.load(REAL / "last_event_issue.hepmc")
    assert weighted.labels["weight"].tolist() == [507.24807] and weighted.origin["cross section [pb]"] == 507.24807
    assert len(jets.cluster(weighted, radius=0.4, minimum_pt=30).flat("pt")) > 2
    with pytest.raises(ValueError, match=r"broken\.dat: truncated or damaged in the first event, none is complete"):
        datasets.load(REAL / "broken.dat")


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_that_is_cut_off_keeps_its_complete_events(tmp_path, version):
    whole = write(tmp_path / "whole.hepmc", events=5, version=version)
    content, expected = whole.read_bytes(), datasets.load(whole)
    starts = [place for place in range(len(content)) if content.startswith(b"\nE ", place)] + [
        content.index(b"\nHepMC", 99)
    ]
    for event in range(1, 5):
        for kept in (starts[event] + 4, (starts[event] + starts[event + 1]) // 2, starts[event + 1] - 1):
            path = tmp_path / "cut.hepmc"
            path.write_bytes(content[:kept])
            with pytest.warns(
                UserWarning, match=rf"truncated .* in event {event + 1}: {event} complete events are read, 1 "
            ):
                read = datasets.load(path)
            assert np.array_equal(read.flat("pt"), expected.select(slice(event)).flat("pt"))
            assert len(datasets.load(path, events=1)) == 1
    # Between two events: nothing is lost.
    (tmp_path / "cut.hepmc").write_bytes(content[: starts[3] + 1])
    assert len(datasets.load(tmp_path / "cut.hepmc")) == 3


def test_damage_in_the_middle(tmp_path):
    path = write(tmp_path / "a.hepmc", events=5)
    content = path.read_bytes()
    pion = content.index(b"\nP ", event_starts(content)[2])
    path.write_bytes(content[:pion] + b"\nP x y z" + content[pion + 8 :])
    with pytest.warns(UserWarning, match="damaged in event 3: 2 complete events are read, 3 that begin later are not"):
        assert len(datasets.load(path)) == 2


def test_particles_along_the_beam_and_labels(tmp_path):
    read = datasets.load(write(tmp_path / "a.hepmc", along_beam=True, weights=False), labels={"mu": 20})
    assert read.counts.tolist() == [2, 3, 4, 5] and read.labels["mu"].tolist() == [20] * 4
    assert read.origin["not read"] == "4 particles along the beam, without eta"


def test_what_else_is_asked_of_these_files(tmp_path, monkeypatch):
    path = write(tmp_path / "a.hepmc")
    with pytest.raises(ValueError, match=r"a\.hepmc: is a HepMC file, and only HDF5.*datasets\.load"):
        datasets.stream(path)
    with pytest.raises(ValueError, match=r"HepMC files are only read\..*layout='nanoaod'"):
        datasets.save(tmp_path / "b.hepmc", datasets.load(path), layout="hepmc")
    monkeypatch.setitem(sys.modules, "pyhepmc", None)
    with pytest.raises(ImportError, match=r"need the package pyhepmc: pip install 'calolab\[hepmc\]'"):
        datasets.load(path)
