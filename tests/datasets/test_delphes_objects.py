"""Files of Delphes made with different cards are joined; their jets, tracks and missing momentum are read."""

import awkward as ak
import numpy as np
import pytest
import uproot

from calolab import datasets, jets
from calolab.particles import Particles
from calolab.validation import compare_jets


def event_file(path, n=40, seed=0, omit=(), weight=True):
    """A tree with the branches of Delphes, unsorted jets of R = 0.4, and what they were made of as towers."""
    random = np.random.default_rng(seed)
    counts = random.integers(4, 12, n)
    size = counts.sum()
    # Each jet is three towers close to each other.
    axis = {"eta": random.uniform(-2, 2, size), "phi": random.uniform(-3, 3, size)}
    pt = random.uniform(5, 40, (size, 3))
    eta, phi = (axis[name][:, None] + random.uniform(-0.05, 0.05, (size, 3)) for name in ("eta", "phi"))
    tower = Particles.from_flat(
        3 * counts, {"pt": pt.ravel(), "eta": eta.ravel(), "phi": phi.ravel(), "mass": np.zeros(3 * size)}
    )
    found = jets.cluster(tower, radius=0.4, minimum_pt=15, maximum_eta=5)
    order = ak.argsort(ak.Array(found.columns.phi), axis=1)
    met, met_phi = random.uniform(0, 90, n), random.uniform(-3, 3, n)
    content = {
        "Tower": {"ET": tower.columns.pt, "Eta": tower.columns.eta, "Phi": tower.columns.phi},
        "Jet": {name: found.columns[field][order] for name, field in zip(("PT", "Eta", "Phi", "Mass"), jets.MOMENTUM)},
        "Track": {"PT": tower.columns.pt[:, :2], "Eta": tower.columns.eta[:, :2], "Phi": tower.columns.phi[:, :2]},
        "MissingET": {"MET": ak.Array(met[:, None].tolist()), "Phi": ak.Array(met_phi[:, None].tolist())},
    }
    content["Tower"] |= {"Eem": tower.columns.pt / 2, "Ehad": tower.columns.pt / 2}
    content["Track"]["PID"] = ak.values_astype(ak.ones_like(content["Track"]["PT"]) * 211, np.int32)
    if weight:
        content["Event"] = {"Weight": ak.Array(np.arange(n)[:, None].tolist())}
    content = {
        name: {end: column for end, column in columns.items() if f"{name}.{end}" not in omit and name not in omit}
        for name, columns in content.items()
    }
    kinds, other = {"PID": "int32"}, "float32"
    types = {
        name: f"var * {{{', '.join(f'{end}: {kinds.get(end, other)}' for end in columns)}}}"
        for name, columns in content.items()
        if columns
    }
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Delphes",
            types,
            counter_name=lambda name: f"{name}_size",
            field_name=lambda outer, inner: f"{outer}.{inner}",
        )
        tree.extend({name: ak.zip(columns) for name, columns in content.items() if columns})
    return path, tower, found, met


def test_files_of_different_cards_are_joined_on_what_they_share(tmp_path):
    one = event_file(tmp_path / "one.root", 5)[0]
    two = event_file(tmp_path / "two.root", 6, omit=("Tower.Ehad",), weight=False)[0]
    with pytest.warns(UserWarning, match=r"two\.root: lacks (columns|labels) of the other files, so ") as caught:
        read = datasets.load([one, two])
    assert len(read) == 11 and set(read.fields) == {"pt", "eta", "phi", "mass", "ecal"} and not read.labels
    left_out = [str(warning.message).partition(" so ")[2].partition(" of")[0] for warning in caught]
    assert sorted(left_out) == ["hcal", "weight"] and {warning.filename for warning in caught} == {__file__}
    alone = datasets.load(one)
    assert {"ecal", "hcal"} <= set(alone.fields) and alone.labels["weight"].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(read.flat("pt")[: alone.counts.sum()], alone.flat("pt"))


def test_the_objects_of_a_file_are_compared_with_those_of_its_towers(tmp_path):
    path, _, found, met = event_file(tmp_path / "events.root")
    cuts = {"radius": 0.4, "minimum_pt": 30, "maximum_eta": 1.5}
    read = datasets.reconstructed(path, **cuts)
    expected = found.within(30, 1.5)
    assert np.array_equal(read.jets.multiplicity, expected.multiplicity) and len(read.jets) == len(read.tracks) == 40
    for name in jets.MOMENTUM:
        np.testing.assert_allclose(read.jets.flat(name), expected.flat(name), rtol=1e-6, atol=1e-6)
    for labels in (read.labels, read.jets.labels, read.tracks.labels):
        assert set(labels) == {"missing_pt", "missing_phi", "weight"}
        np.testing.assert_allclose(labels["missing_pt"], met, rtol=1e-6)
    assert set(read.tracks.flat("identity")) == {211} and (read.tracks.counts == 2).all()
    ours = jets.cluster(datasets.load(path), **cuts)
    assert compare_jets(read.jets, ours, repetitions=2).observables["jet_pt"].distances["ks"].value < 0.03
    assert (
        datasets.reconstructed(path, radius=0.4, events=3).jets.multiplicity.tolist() == found.multiplicity[:3].tolist()
    )


def test_what_a_file_lacks_is_named(tmp_path):
    path = event_file(tmp_path / "events.root", 3, omit=("Jet", "Track.PID"))[0]
    with pytest.raises(ValueError, match=r"expected the branch 'Jet\.PT', tree 'Delphes' has Event, .*Track.*jets="):
        datasets.reconstructed(path, radius=0.4)
    read = datasets.reconstructed(path, radius=0.4, jets=None, missing=None)
    assert read.jets is None and "identity" not in read.tracks.fields and set(read.labels) == {"weight"}
    with pytest.raises(ValueError, match="expects the positive R of the jets, received 0"):
        datasets.reconstructed(path, radius=0)
    with pytest.raises(ValueError, match=r"Unknown jet algorithm 'anti-kt'\. Nearest: antikt"):
        datasets.reconstructed(path, radius=0.4, algorithm="anti-kt")
