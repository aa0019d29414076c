"""Towers in ROOT files: names and units of Delphes, round trips, and clear errors."""

import dataclasses

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import datasets
from calolab.datasets import layouts
from calolab.particles import Particles


def towers(n, seed=0, **labels):
    """Towers of an electromagnetic and a hadronic part; every fourth event has none."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 30, n) * (np.arange(n) % 4 > 0)
    ecal, hcal = random.exponential(3, (2, counts.sum()))
    eta = random.uniform(-4.9, 4.9, counts.sum())
    columns = {
        "pt": (ecal + hcal) / np.cosh(eta),
        "eta": eta,
        "phi": random.uniform(-np.pi, np.pi, counts.sum()),
        "mass": np.zeros(counts.sum()),
        "ecal": ecal,
        "hcal": hcal,
    }
    labels = {name: np.full(n, float(value)) for name, value in labels.items()}
    return Particles.from_flat(counts, columns, labels, {"simulation": "random towers", "seed": seed})


def same(read, written):
    assert np.array_equal(read.counts, written.counts)
    assert set(read.fields) == set(written.fields)
    for name in written.fields:
        np.testing.assert_allclose(read.flat(name), written.flat(name), rtol=2e-7, atol=1e-30)
    assert {k: v.tolist() for k, v in read.labels.items()} == {k: v.tolist() for k, v in written.labels.items()}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 40),
    seed=st.integers(0, 1000),
    labels=st.dictionaries(st.sampled_from(["gluino_mass", "mu"]), st.floats(-1e9, 1e9)),
)
def test_what_is_written_is_read_back(tmp_path, n, seed, labels):
    written = towers(n, seed, **labels)
    path = datasets.save(tmp_path / "towers.root", written, overwrite=True)
    if written.counts.sum() == 0:
        same(datasets.load(path), written)
        return
    median = np.median(written.flat("pt"))
    layout = None if 0.03 < median < 30 else "delphes"
    read = datasets.load(path, layout=layout)
    same(read, written)
    assert read.origin["seed"] == seed and read.origin["file"] == str(path)


def test_other_tools_find_delphes_branches(tmp_path):
    written = towers(9, gluino_mass=1400)
    with uproot.open(datasets.save(tmp_path / "towers.root", written)) as file:
        tree = file["Delphes"]
        types = tree.typenames()
        assert types.pop("Tower_size") == "int32_t" and types.pop("gluino_mass") == "double"
        assert types == {f"Tower.{name}": "float[]" for name in ("ET", "Eta", "Phi", "E", "Eem", "Ehad")}
        assert tree["Tower_size"].array().tolist() == written.counts.tolist()
        et, energy, eta = (ak.to_numpy(ak.flatten(tree[f"Tower.{name}"].array())) for name in ("ET", "E", "Eta"))
        np.testing.assert_allclose(energy, et * np.cosh(eta.astype(float)), rtol=1e-5)
        parts = sum(ak.flatten(tree[f"Tower.{name}"].array()) for name in ("Eem", "Ehad"))
        np.testing.assert_allclose(parts, energy, rtol=1e-5)


@pytest.fixture
def foreign(tmp_path):
    """Write a tree like another program."""

    def foreign(name="events.root", tree="Delphes", **branches):
        path = tmp_path / name
        with uproot.recreate(path) as file:
            file.mktree(
                tree,
                {key: f"var * {{{', '.join(f'{b}: float32' for b in columns)}}}" for key, columns in branches.items()},
                counter_name=lambda counted: f"{counted}_size",
                field_name=lambda outer, inner: f"{outer}.{inner}",
            ).extend({key: ak.Array(ak.zip(columns)) for key, columns in branches.items()})
        return path

    return foreign


def columns(*names):
    ragged = ak.Array([[20.0, 1.0, 3.0], [], [5.0]])
    return {name: ragged if name in ("ET", "E", "PT") else ragged / 100 for name in names}


def test_foreign_towers_without_their_parts_and_with_other_branches(foreign):
    path = foreign("RPV10_1400_850_01.root", Tower=columns("ET", "Eta", "Phi", "T"), Jet=columns("PT", "Eta"))
    read = datasets.load(path)
    assert set(read.fields) == {"pt", "eta", "phi", "mass"} and read.counts.tolist() == [3, 0, 1]
    assert read.flat("pt").tolist() == [20, 1, 3, 5] and read.flat("mass").sum() == 0
    assert set(read.labels) == {"gluino_mass", "neutralino_mass"}
    assert datasets.load(path, events=1).counts.tolist() == [3]
    twice = datasets.load([path, foreign("RPV10_1400_250_01.root", Tower=columns("ET", "Eta", "Phi"))])
    assert twice.counts.tolist() == [3, 0, 1] * 2 and twice.labels["neutralino_mass"].tolist() == [850] * 3 + [250] * 3
    assert len(datasets.load([path, path.with_name("RPV10_1400_250_01.root")], events=4)) == 4


def test_towers_of_another_name(foreign):
    path = foreign(CaloTower=columns("ET", "Eta", "Phi"))
    with pytest.raises(
        ValueError, match=r"has no towers: expected .*Tower\.ET.*it has CaloTower\. .*cells='CaloTower'"
    ):
        datasets.load(path)
    layout = dataclasses.replace(layouts.layout("delphes"), cells="CaloTower")
    assert datasets.load(path, layout=layout).counts.tolist() == [3, 0, 1]


def test_a_tree_of_another_name(foreign):
    with pytest.raises(ValueError, match="expected a tree 'Delphes', the file holds events"):
        datasets.load(foreign(tree="events", Tower=columns("ET", "Eta", "Phi")))


def test_a_root_file_without_events(tmp_path):
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mktree(
            "Delphes", {"Tower.ET": "var * float32", "Tower.Eta": "var * float32", "Tower.Phi": "var * float32"}
        )
    with pytest.raises(ValueError, match="zero events"):
        datasets.load(tmp_path / "empty.root")
    with uproot.recreate(tmp_path / "nothing.root"):
        pass
    with pytest.raises(ValueError, match="holds no tree"):
        datasets.load(tmp_path / "nothing.root")


def test_towers_in_mev(foreign):
    path = foreign(
        Tower={name: column * (1000 if name == "ET" else 1) for name, column in columns("ET", "Eta", "Phi").items()}
    )
    with pytest.raises(ValueError, match="towers read as GeV.*looks like MeV.*factor=1000.0"):
        datasets.load(path)
    in_mev = dataclasses.replace(layouts.layout("delphes"), factor=1000.0)
    assert datasets.load(path, layout=in_mev).flat("pt").tolist() == [20, 1, 3, 5]


def test_towers_that_cannot_be(foreign):
    branches = columns("ET", "Eta", "Phi")
    with pytest.raises(ValueError, match="events.root.*'pt' must not be negative"):
        datasets.load(foreign(Tower=branches | {"ET": -branches["ET"]}), layout="delphes")


@pytest.mark.parametrize("kept", np.linspace(0.02, 0.99, 10))
def test_a_truncated_file(tmp_path, kept):
    path = datasets.save(tmp_path / "towers.root", towers(200))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="truncated or corrupt ROOT file.*again") as caught:
        datasets.load(path)
    assert str(path) in str(caught.value)


def test_what_is_no_tower(tmp_path):
    one = Particles.from_flat([1], {"pt": [5.0], "eta": [0.0], "phi": [0.0], "mass": [0.14]})
    with pytest.raises(ValueError, match=r"heaviest of these particles has 0.14 GeV.*towers\.simulate"):
        datasets.save(tmp_path / "a.root", one)
    with pytest.raises(ValueError, match="zero events"):
        datasets.save(tmp_path / "a.root", towers(3).select(slice(0)))
    with pytest.raises(ValueError, match=r"name the file \*\.root"):
        datasets.save(tmp_path / "a.h5", towers(3))
    with pytest.raises(ValueError, match=r"labels \['Tower_size'\]"):
        datasets.save(tmp_path / "a.root", towers(3, Tower_size=1))
    assert not list(tmp_path.iterdir())
    path = datasets.save(tmp_path / "a.root", towers(3))
    with pytest.raises(FileExistsError):
        datasets.save(path, towers(3))
    with pytest.raises(ValueError, match=r"is a ROOT file, and only HDF5.*datasets\.load"):
        datasets.stream(path)


def genuine(path, cycles=(5,), towers=True):
    """A file as Delphes writes it, as far as uproot can write one.

    In a genuine file each class is a `TClonesArray` branch (`TBranchElement`), in which `Tower.ET` and the others are
    nested. Uproot reads the branch itself as `int32_t` (`AsDtype('>i4')`), the number of objects, as it does
    `Tower_size`, and the nested ones as `float[]`. Here the branches have the same names and types, but are not
    nested, and `Tower.Edges[4]` (`float[][4]`) is missing: uproot writes neither.
    """
    with uproot.recreate(path) as file:
        for events in cycles:
            counts = {
                "Event": np.ones(events, int),
                "Particle": np.arange(events) + 3,
                "Track": np.arange(events) % 2,
                "Tower": (np.arange(events) % 3) * towers,
                "Jet": np.zeros(events, int),
            }
            fields = {
                "Event": ("Number", "Weight"),
                "Particle": ("PT",),
                "Track": ("PT",),
                "Tower": ("ET", "Eta", "Phi", "E", "Eem", "Ehad", "T"),
                "Jet": ("PT",),
            }
            types = dict.fromkeys(fields, "int32")
            types |= {
                f"{name}#": f"var * {{{', '.join(f'{f}: float32' for f in columns)}}}"
                for name, columns in fields.items()
            }
            tree = file.mktree(
                "Delphes",
                types,
                counter_name=lambda counted: f"{counted.rstrip('#')}_size",
                field_name=lambda outer, inner: f"{outer.rstrip('#')}.{inner}",
            )
            content = {name: count.astype(np.int32) for name, count in counts.items()}
            for name, columns in fields.items():
                flat = {field: np.full(counts[name].sum(), 1.5, np.float32) for field in columns}
                if name == "Event":
                    flat["Weight"] = np.arange(events, dtype=np.float32) + 0.25
                content[f"{name}#"] = ak.unflatten(ak.zip(flat), counts[name])
            tree.extend(content)
    return path


def test_object_counters_of_delphes_are_no_labels(tmp_path):
    path = genuine(tmp_path / "delphes.root")
    with uproot.open(path) as file:
        assert file["Delphes"].typenames()["Tower"] == "int32_t" == file["Delphes"].typenames()["Tower_size"]
    read = datasets.load(path)
    assert read.counts.tolist() == [0, 1, 2, 0, 1]
    assert {name: column.tolist() for name, column in read.labels.items()} == {"weight": [0.25, 1.25, 2.25, 3.25, 4.25]}
    assert datasets.load(path, events=2).labels["weight"].tolist() == [0.25, 1.25]
    # Formerly lost: the towers of a file that is saved again.
    same(datasets.load(datasets.save(tmp_path / "again.root", read)), read)


def test_the_last_cycle_of_a_tree_is_the_complete_one(tmp_path):
    assert len(datasets.load(genuine(tmp_path / "two.root", cycles=(3, 5)))) == 5
    with pytest.warns(UserWarning, match=r"'Delphes;2' with 3 events, is read, although 'Delphes;1' has 5"):
        assert len(datasets.load(genuine(tmp_path / "odd.root", cycles=(5, 3)))) == 3


def test_events_without_a_single_tower_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="none of the 1000 events has a tower.*add Branch"):
        assert datasets.load(genuine(tmp_path / "none.root", cycles=(1000,), towers=False)).counts.sum() == 0


def test_counters_of_other_branches_are_no_labels(tmp_path):
    """A label may end in `_size`, but the counter of a jagged branch is not a label, whatever its name."""
    written = dataclasses.replace(towers(3), labels={"cone_size": [0.4, 0.4, 0.7]})
    path = datasets.save(tmp_path / "a.root", written)
    assert datasets.load(path).labels["cone_size"].tolist() == [0.4, 0.4, 0.7]
    with uproot.recreate(tmp_path / "b.root") as file:
        tree = file.mktree(
            "Delphes",
            {"Tower": "var * {ET: float32, Eta: float32, Phi: float32}", "hits": "var * float32", "mu": "float64"},
            counter_name=lambda counted: "howmany" if counted == "hits" else f"{counted}_size",
            field_name=lambda outer, inner: f"{outer}.{inner}",
        )
        tree.extend(
            {"Tower": ak.zip(columns("ET", "Eta", "Phi")), "hits": ak.Array([[1.0], [], [2.0]]), "mu": np.arange(3.0)}
        )
    assert set(datasets.load(tmp_path / "b.root").labels) == {"mu"}


@pytest.mark.parametrize("label", ["Tower", "Tower_size"])
def test_labels_that_would_take_the_place_of_the_towers(tmp_path, label):
    with pytest.raises(ValueError, match=rf"labels \['{label}'\] cannot be names of branches"):
        datasets.save(tmp_path / "a.root", towers(3, **{label: 1}))
    assert not list(tmp_path.iterdir())


def test_what_is_written_is_read_back_before_it_counts(tmp_path, monkeypatch):
    """A tree that loses its last events, as with a faulty disk or library: an error, and nothing is left."""
    path = datasets.save(tmp_path / "a.root", towers(5))

    def extend(tree, data, original=uproot.WritableTree.extend):
        original(tree, {name: column[:-1] for name, column in data.items()})

    monkeypatch.setattr(uproot.WritableTree, "extend", extend)
    with pytest.raises(OSError, match=r"a\.root: .* differs when it is read back; nothing was kept"):
        datasets.save(path, towers(9), overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.root"] and len(datasets.load(path)) == 5


def test_an_rntuple_is_called_by_its_name(tmp_path):
    with uproot.recreate(tmp_path / "new.root") as file:
        file.mkrntuple("Delphes", {"x": np.arange(3.0)})
    with pytest.raises(ValueError, match="expected a tree 'Delphes', the file holds an RNTuple 'Delphes'"):
        datasets.load(tmp_path / "new.root")


@pytest.mark.parametrize("text", ["[1, 2]", "7", "no JSON", '{"origin": 3}'])
def test_a_description_that_is_none(tmp_path, text):
    path = datasets.save(tmp_path / "a.root", towers(3))
    with uproot.update(path) as file:
        file["calolab"] = text
    with pytest.raises(ValueError, match=r"a\.root: 'calolab' should describe the file as a JSON object"):
        datasets.load(path)


def test_towers_that_no_calorimeter_has(foreign):
    branches = columns("ET", "Eta", "Phi")
    with pytest.raises(ValueError, match=r"events\.root: 4 towers have no finite energy.* at eta 1e\+09"):
        datasets.load(foreign(Tower=branches | {"Eta": branches["Eta"] * 0 + 1e9}))
    with pytest.warns(UserWarning, match="4 towers lie beyond eta 10, up to -12"):
        datasets.load(foreign(Tower=branches | {"Eta": branches["Eta"] * 0 - 12}))
    with pytest.warns(UserWarning, match="phi of 3 towers is beyond one turn, 2 pi rad, up to 100. Is it in degrees"):
        datasets.load(foreign(Tower=branches | {"Phi": ak.Array([[1.0, 100.0, 9.0], [], [7.0]])}))
    with pytest.warns(UserWarning, match="none of the 4 towers has any energy"):
        datasets.load(foreign(Tower=branches | {"ET": branches["ET"] * 0}))


def test_energies_beyond_the_precision_of_a_file(tmp_path):
    far = Particles.from_flat([1], {"pt": [5.0], "eta": [100.0], "phi": [0.0], "mass": [0.0]})
    with pytest.raises(ValueError, match=r"branch 'Tower\.E' overflows float32 between events 0 and 0"):
        datasets.save(tmp_path / "a.root", far)
    assert not list(tmp_path.iterdir())


def test_a_name_with_a_colon_is_no_name_of_a_tree(tmp_path):
    path = datasets.save(tmp_path / "run:1.root", towers(3))
    assert len(datasets.load(path)) == 3


def test_weights_that_are_not_one_per_event_are_named(tmp_path):
    path, energies = tmp_path / "weights.root", ak.Array([[5.0, 6.0], [7.0]])
    content = {"Tower": ak.zip({"ET": energies, "Eta": energies / 10, "Phi": energies / 10})}
    content["Event.Weight"] = ak.Array([[1.0, 2.0], [3.0]])
    types = {name: column.type.content for name, column in content.items()}
    with uproot.recreate(path) as file:
        file.mktree("Delphes", types, field_name=lambda outer, inner: f"{outer}.{inner}").extend(content)
    read = datasets.load(path)
    assert dict(read.labels) == {} and read.origin["not read"].startswith("Event.Weight, which")
