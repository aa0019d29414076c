"""Flat trees such as NanoAOD, as TTree and RNTuple: by their usual names or a map of branches; round trips."""

import dataclasses
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import datasets, jets
from calolab.datasets import layouts
from calolab.particles import Particles

REAL = Path(__file__).parents[3] / "shared" / "data" / "particle_flow"
COLUMNS = {"pt": "cand_pt", "eta": "cand_eta", "phi": "cand_phi"}


def particles(n, seed=0, **labels):
    random = np.random.default_rng(seed)
    counts = random.poisson(5, n)
    size = counts.sum()
    columns = {
        "pt": random.exponential(2, size) + 0.1,
        "eta": random.uniform(-4.9, 4.9, size),
        "phi": random.uniform(-np.pi, np.pi, size),
        "mass": random.choice([0, 0.1396, 0.938], size),
        "identity": random.choice([22, -211, 2212], size),
        "x": random.normal(0, 1, size),
    }
    return Particles.from_flat(counts, columns, labels, {"simulation": "random particles", "seed": seed})


def test_real_pfnano_files():
    skim = datasets.load(REAL / "pfnano_skim.root")
    assert skim.counts.tolist() == [927, 1841, 1623] and skim.labels["weight"].tolist() == [1, 1, 1]
    with uproot.open(REAL / "pfnano_skim.root") as file:
        stored = file["Events/PFCands_pt"].array()
    assert np.array_equal(skim.flat("pt"), ak.to_numpy(ak.flatten(stored))) and {211, 22, 130} <= set(
        skim.flat("identity")
    )
    ntuple = datasets.load(REAL / "pfnano_rntuple.root", events=4)
    assert ntuple.counts.tolist() == [1900, 1819, 1626, 1344] and set(ntuple.fields) == set(skim.fields)
    found = datasets.load(sorted(REAL.glob("*.root"))[::-1])
    assert len(found) == 13 and found.counts[:3].tolist() == [927, 1841, 1623]


def test_jets_of_real_candidates_are_those_of_the_file():
    """The leading jet of CMS is near the leading anti-kt jet of its candidates, of a similar momentum."""
    path = REAL / "pfnano_skim.root"
    columns = {name: f"Jet_{name}" for name in ("pt", "eta", "phi", "mass")}
    theirs = datasets.load(path, columns={**columns, "missing_pt": "MET_pt"})
    ours = jets.cluster(datasets.load(path), radius=0.4, minimum_pt=30, maximum_eta=5, constituent_pt=0)
    first = ak.to_numpy(theirs.columns.pt[:, 0])
    np.testing.assert_allclose(ours.leading("pt")[:, 0], first, rtol=0.15)
    np.testing.assert_allclose(ours.leading("eta")[:, 0], ak.to_numpy(theirs.columns.eta[:, 0]), atol=0.05)
    assert set(theirs.labels) == {"missing_pt"} and (theirs.labels["missing_pt"] > 0).all()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 30), seed=st.integers(0, 1000), weight=st.floats(-1e9, 1e9), mass=st.floats(0, 1e4))
def test_what_is_written_is_read_back(tmp_path, n, seed, weight, mass):
    written = particles(n, seed, weight=np.full(n, weight), mass=np.full(n, mass))
    path = datasets.save(tmp_path / "particles.root", written, layout="nanoaod", overwrite=True)
    read = datasets.load(path, layout="nanoaod")
    assert np.array_equal(read.counts, written.counts) and set(read.fields) == set(written.fields)
    for name in written.fields:
        np.testing.assert_allclose(read.flat(name), written.flat(name), rtol=1e-7)
    assert {name: c.tolist() for name, c in read.labels.items()} == {n: c.tolist() for n, c in written.labels.items()}
    assert read.origin["seed"] == seed and read.origin["file"] == str(path)


def test_other_tools_find_the_branches_of_nanoaod(tmp_path):
    path = datasets.save(tmp_path / "particles.root", particles(7, weight=np.arange(7.0)), layout="nanoaod")
    with uproot.open(path) as file:
        types = file["Events"].typenames()
        assert file["Events/nPFCands"].array().tolist() == particles(7).counts.tolist()
    assert types["PFCands_pt"] == "float[]" and types["PFCands_pdgId"] == "int32_t[]" and types["genWeight"] == "double"
    in_mev = dataclasses.replace(layouts.layout("nanoaod"), factor=1000.0)
    path = datasets.save(tmp_path / "mev.root", particles(7), layout=in_mev)
    np.testing.assert_allclose(datasets.load(path, layout=in_mev).flat("pt"), particles(7).flat("pt"), rtol=1e-6)
    with pytest.raises(ValueError, match=r"mev\.root: labels \['nPFCands'\] cannot be names of branches"):
        datasets.save(path, particles(1, nPFCands=[1.0]), layout="nanoaod", overwrite=True)


def foreign(path, trees=("ntuple/events",), rntuple=False, **more):
    pt = ak.Array([[20.0, 1.0, 0.0], [], [5.0]])
    content = {"cand_pt": pt, "cand_eta": pt / 100, "cand_phi": pt / 50, "w": np.array([1.0, -2.0, 3.0]), **more}
    with uproot.recreate(path) as file:
        for name in trees:
            if rntuple:
                file.mkrntuple(name, content)
            else:
                file.mktree(name, {key: ak.type(ak.Array(column)).content for key, column in content.items()})
                file[name].extend(content)
    return path


@pytest.mark.parametrize("rntuple", [False, True])
def test_any_tree_by_a_map_of_branches(tmp_path, rntuple):
    path = foreign(tmp_path / "a.root", ("events",) if rntuple else ("ntuple/events",), rntuple)
    read = datasets.load(path, columns={**COLUMNS, "weight": "w"}, labels={"mu": 20})
    assert read.counts.tolist() == [2, 0, 1] and read.flat("pt").tolist() == [20, 1, 5]  # one without momentum
    assert read.labels["weight"].tolist() == [1, -2, 3] and read.labels["mu"].tolist() == [20] * 3
    assert read.flat("mass").tolist() == [0, 0, 0] and read.origin["tree"] == ("events" if rntuple else "ntuple/events")
    assert len(datasets.load(path, columns=COLUMNS, events=1)) == 1


def test_records_of_an_rntuple_and_cartesian_momenta(tmp_path):
    four = [(3.0, 4.0, 0.0, 13.0), (0.0, 1.0, 1.0, 2.0)]
    records = ak.Array([[dict(zip(("px", "py", "pz", "e"), one)) for one in four], []])
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("events", {"cand": records})
    map_of = {"px": "cand.px", "py": "cand.py", "pz": "cand.pz", "energy": "cand.e"}
    read = datasets.load(tmp_path / "a.root", columns=map_of)
    assert read.counts.tolist() == [2, 0] and read.flat("pt").tolist() == [5, 1]
    np.testing.assert_allclose(read.flat("energy"), [13, 2])
    np.testing.assert_allclose(read.flat("mass"), [12, np.sqrt(2)])


def test_trees_that_do_not_fit_the_map(tmp_path):
    path = foreign(tmp_path / "a.root", trees=("one", "two"))
    with pytest.raises(ValueError, match=r"2 trees have these branches, one, two\. Choose one with tree="):
        datasets.load(path, columns=COLUMNS)
    assert datasets.load(path, columns=COLUMNS, tree="two").origin["tree"] == "two"
    with pytest.raises(ValueError, match="expected a tree 'three', the file holds one, two"):
        datasets.load(path, columns=COLUMNS, tree="three")
    with pytest.raises(
        ValueError, match=r"lacks the branches cand_Pt\. Nearest: cand_pt.* pt and eta of .*cand\. Name"
    ):
        datasets.load(path, columns=COLUMNS | {"pt": "cand_Pt"}, tree="one")
    with pytest.raises(ValueError, match=r"consists of pt, eta and phi, or .*received pt, eta\."):
        datasets.load(path, columns={"pt": "cand_pt", "eta": "cand_eta"})
    with pytest.raises(ValueError, match=r"'cand_pt' does not have one number per event, as the label 'weight' needs"):
        datasets.load(path, columns=COLUMNS | {"weight": "cand_pt"}, tree="one")
    with pytest.raises(ValueError, match="'w' has the type float64, expected a list of numbers for each event"):
        datasets.load(path, columns=COLUMNS | {"pt": "w"}, tree="one")
    with pytest.raises(ValueError, match=r"already contains the labels \['weight'\]"):
        datasets.load(path, columns=COLUMNS | {"weight": "w"}, tree="one", labels={"weight": 1})
    with pytest.raises(ValueError, match="branches cand_pt, other, cand_phi have different lengths"):
        shorter = foreign(tmp_path / "b.root", other=ak.Array([[1.0], [], []]))
        datasets.load(shorter, columns=COLUMNS | {"eta": "other"})


def test_an_implausible_unit_is_reported(tmp_path):
    path = foreign(tmp_path / "a.root", cand_mev=ak.Array([[20e3, 1e3, 0.0], [], [5e3]]))
    with pytest.warns(UserWarning, match=r"particles read as GeV .*looks like MeV.*factor=1000\.0"):
        datasets.load(path, columns=COLUMNS | {"pt": "cand_mev"})
    in_mev = dataclasses.replace(layouts.layout("nanoaod"), factor=1000.0)
    assert datasets.load(path, columns=COLUMNS | {"pt": "cand_mev"}, layout=in_mev).flat("pt").tolist() == [20, 1, 5]


def test_a_truncated_tree(tmp_path):
    path = datasets.save(tmp_path / "particles.root", particles(200), layout="nanoaod")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"particles\.root: truncated or corrupt ROOT file"):
        datasets.load(path)


def test_too_many_particles_for_the_memory(tmp_path, monkeypatch):
    path = datasets.save(tmp_path / "particles.root", particles(50), layout="nanoaod")
    monkeypatch.setattr(
        "calolab.memory.available", lambda: type("Little", (), {"bytes": 10, "__str__": lambda s: "10"})()
    )
    with pytest.raises(MemoryError, match=r"particles\.root: reading its particles .* Use events=n"):
        datasets.load(path)
