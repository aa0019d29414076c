"""Showers of the CaloChallenge, CaloGAN and Par04: files of other programs, and what is written is read back."""

import dataclasses
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calolab import Sample, datasets, spaces
from calolab.datasets import layouts
from calolab.spaces import Layer, Space

REAL = Path(__file__).parents[3] / "shared" / "data"
VOXELS = {"calochallenge-photons": 368, "calochallenge-pions": 533, "calochallenge-2": 6480, "calochallenge-3": 40500}


def calochallenge(n, voxels, seed=1):
    """Arrays as in the files of the CaloChallenge [MeV]."""
    random = np.random.default_rng(seed)
    energy = 2.0 ** random.integers(8, 23, (n, 1))
    showers = np.where(random.random((n, voxels)) < 0.3, random.exponential(1, (n, voxels)), 0)
    return {"incident_energies": energy, "showers": 0.9 * showers * energy / showers.sum(axis=1, keepdims=True)}


@pytest.mark.parametrize("name", VOXELS)
def test_the_number_of_voxels_tells_the_data_set_of_the_calochallenge(write, name):
    stored = calochallenge(3, VOXELS[name])
    sample = datasets.load(write("data.hdf5", **stored))
    assert sample.space is spaces.space(name)
    np.testing.assert_allclose(sample.labels["energy"], stored["incident_energies"][:, 0] / 1000, rtol=1e-15)
    start = 0
    for index, layer in enumerate(sample.space.layers):
        expected = stored["showers"][:, start : start + layer.n_cells].reshape(3, *layer.shape) / 1000
        np.testing.assert_allclose(sample.layer(index), expected, rtol=2e-7)
        start += layer.n_cells


def test_layers_are_slowest_and_r_is_fastest_in_files_of_the_calochallenge(write):
    stored = calochallenge(1, 6480)
    stored["showers"][:] = np.arange(6480)
    layer, alpha, r = 7, 5, 3
    stored["incident_energies"][:] = stored["showers"].sum()
    sample = datasets.load(write(**stored), layout="calochallenge", space="calochallenge-2")
    assert sample.values[0, alpha, r, layer] == pytest.approx((layer * 16 + alpha) * 9 / 1000 + r / 1000)


def test_cells_of_the_calochallenge_by_layer_and_energies_in_one_row_are_read(write):
    stored = calochallenge(2, 6480)
    flat = datasets.load(write("flat.h5", **stored))
    shaped = {
        "incident_energies": stored["incident_energies"][:, 0],
        "showers": stored["showers"].reshape(2, 45, 16, 9),
    }
    assert np.array_equal(datasets.load(write("shaped.h5", **shaped)).values, flat.values)


@pytest.mark.parametrize("shape", [(2, 500), (2, 45, 9, 16), (2, 6481)])
def test_another_number_of_voxels_asks_for_a_space(write, shape):
    path = write(showers=np.ones(shape), incident_energies=np.full((2, 1), 1000.0))
    with pytest.raises(
        ValueError, match=r"\(event, 368\) for space 'calochallenge-photons'.*Set space=.*spaces.from_xml"
    ):
        datasets.load(path)


def test_a_space_from_xml_reads_another_binning(tmp_path, write):
    (tmp_path / "own.xml").write_text(
        '<Bins><Bin name="e"><Layer id="0" r_edges="0,1,2" n_bin_alpha="3"/>'
        '<Layer id="1" r_edges="0,5" n_bin_alpha="4"/></Bin></Bins>'
    )
    space = spaces.from_xml(tmp_path / "own.xml")
    sample = datasets.load(write(**calochallenge(2, 10)), space=space)
    assert [sample.layer(i).shape for i in range(2)] == [(2, 3, 2), (2, 4, 1)]
    with pytest.raises(ValueError, match=r"expected \(event, 10\) for space 'own'"):
        datasets.load(write(**calochallenge(2, 12)), space=space)
    with pytest.raises(ValueError, match="is for the axes z, alpha, r.*clic-ecal"):
        datasets.load(write(**calochallenge(2, 15625)), space="clic-ecal")


def test_units_of_the_calochallenge_that_cannot_be_right(write):
    stored = calochallenge(4, 368)
    gev = {name: column / 1000 for name, column in stored.items()}
    with pytest.raises(ValueError, match="incident energies of the first events are .*energy_factor=1.0"):
        datasets.load(write(**gev))
    with pytest.raises(ValueError, match="'showers' sums to 900 of the incident energy; 0.02 to 2 is expected"):
        datasets.load(write(**stored | {"showers": 1000 * stored["showers"]}))
    own = dataclasses.replace(layouts.layout("calochallenge"), factor=1.0, energy_factor=1.0)
    np.testing.assert_allclose(
        datasets.load(write(**gev), layout=own).values, datasets.load(write(**stored)).values, rtol=2e-7
    )


def test_incident_energies_above_those_of_accelerators_are_warned_of(write):
    own = layouts.Layout("own", "incident_energies", 0, 1000.0, "energies said to be GeV", cells="showers")
    with pytest.warns(UserWarning, match="label 'energy' has values above 50 TeV.*MeV"):
        sample = datasets.load(write(**calochallenge(30, 368)), layout=own, space="calochallenge-photons")
    assert sample.labels["energy"].max() == 2.0**22


def test_files_of_the_calochallenge_are_written_as_other_programs_read_them(tmp_path, write):
    for name, voxels in VOXELS.items():
        stored = calochallenge(2, voxels)
        sample = datasets.load(write(**stored))
        with h5py.File(datasets.save(tmp_path / f"{name}.hdf5", sample)) as file:
            np.testing.assert_allclose(file["showers"][:], stored["showers"], rtol=3e-7)
            np.testing.assert_allclose(file["incident_energies"][:], stored["incident_energies"], rtol=1e-15)
            assert file["incident_energies"].attrs["unit"] == file["showers"].attrs["unit"] == "MeV"


def par04(n=2, shape=(9, 16, 45), seed=2):
    random = np.random.default_rng(seed)
    energy = random.uniform(1e3, 1e6, n)
    showers = random.exponential(1, (n, *shape))
    showers *= (0.033 * energy / showers.sum(axis=(1, 2, 3)))[:, None, None, None]
    angles = {"incident_theta": random.uniform(0.9, 2.2, n), "incident_phi": random.uniform(0, 6, n)}
    return {"incident_energy": energy, "showers": showers, **angles}


@pytest.mark.parametrize(("shape", "name"), [((9, 16, 45), "par04-low"), ((18, 50, 45), "par04")])
def test_files_of_par04_have_r_phi_and_z_in_mev(tmp_path, write, shape, name):
    stored = par04(2, shape)
    sample = datasets.load(write(**stored))
    assert sample.space is spaces.space(name)
    np.testing.assert_allclose(sample.values, stored["showers"].swapaxes(1, 2) / 1000, rtol=2e-7)
    assert np.array_equal(sample.labels["theta"], stored["incident_theta"])
    assert np.array_equal(sample.labels["phi"], stored["incident_phi"])
    with h5py.File(datasets.save(tmp_path / "again.h5", sample)) as file:
        for dataset, content in stored.items():
            np.testing.assert_allclose(file[dataset][:], content, rtol=3e-7)


def test_par04_divided_by_the_sampling_fraction_is_noticed(write):
    stored = par04()
    with pytest.raises(ValueError, match="sums to 1 of the incident energy; 0.003 to 0.3 is expected"):
        datasets.load(write(**stored | {"showers": stored["showers"] / 0.033}))


def calogan(n=3, seed=3):
    random = np.random.default_rng(seed)
    energy = random.uniform(1, 100, (n, 1))
    layers = {f"layer_{i}": random.exponential(1, (n, *shape)) for i, shape in enumerate([(3, 96), (12, 12), (12, 6)])}
    total = sum(layer.sum(axis=(1, 2)) for layer in layers.values())
    scale = (980 * energy[:, 0] / total)[:, None, None]
    return {
        "energy": energy,
        "overflow": random.exponential(10, (n, 3)),
        **{name: scale * values for name, values in layers.items()},
    }


def test_files_of_calogan_are_three_layers_in_mev_with_energies_in_gev(tmp_path, write):
    stored = calogan()
    sample = datasets.load(write(**stored))
    assert sample.space is spaces.space("calogan")
    assert np.array_equal(sample.labels["energy"], stored["energy"][:, 0])
    for i in range(3):
        np.testing.assert_allclose(sample.layer(i), stored[f"layer_{i}"] / 1000, rtol=2e-7)
        np.testing.assert_allclose(sample.labels[f"overflow_{i}"], stored["overflow"][:, i] / 1000, rtol=1e-15)
    with h5py.File(datasets.save(tmp_path / "again.h5", sample)) as file:
        for dataset, content in stored.items():
            np.testing.assert_allclose(file[dataset][:], content, rtol=3e-7)
        assert file["overflow"].attrs["unit"] == "MeV" and file["energy"].attrs["unit"] == "GeV"


def test_a_file_of_calogan_that_is_incomplete_or_has_another_unit(write):
    stored = calogan()
    with pytest.raises(ValueError, match="'layer_1' has 2 events but 'layer_0' has 3"):
        datasets.load(write(**stored | {"layer_1": stored["layer_1"][:2]}))
    with pytest.raises(ValueError, match="'layer_2' has shape .3, 6, 12., expected .* for space 'calogan'"):
        datasets.load(write(**stored | {"layer_2": stored["layer_2"].swapaxes(1, 2)}))
    with pytest.raises(ValueError, match="missing dataset 'layer_2'"):
        datasets.load(write(**stored | {"layer_2": None}), layout="calogan")
    with pytest.raises(ValueError, match="sums to 980 of the incident energy"):
        datasets.load(write(**stored | {"energy": stored["energy"] / 1000}))
    without = datasets.load(write(**stored | {"overflow": None}))
    assert set(without.labels) == {"energy"}


@pytest.mark.skipif(not REAL.exists(), reason="needs the real files in ../shared")
def test_real_showers_of_calogan():
    sample = datasets.load(REAL / "calogan_cargicar" / "calogan_10showers.h5")
    energy = sample.labels["energy"]
    layers = np.stack([sample.layer(i).sum(axis=(1, 2)) for i in range(3)], axis=1)
    response = layers.sum(axis=1) / energy
    assert response.min() > 0.9765 and response.max() < 0.999 and response.mean() == pytest.approx(0.994, abs=0.003)
    fractions = layers / layers.sum(axis=1, keepdims=True)
    hard = fractions[energy > 60].mean(axis=0)
    assert hard == pytest.approx([0.139, 0.859, 0.002], abs=0.05)
    filled = [(sample.layer(i)[energy > 60] > 0).mean() for i in range(3)]
    assert filled == pytest.approx([0.564, 0.917, 0.408], abs=0.05)
    depth = fractions @ [0, 1, 2]
    assert depth.min() > 0.6 and depth[energy > 60].mean() == pytest.approx(0.86, abs=0.05)


@st.composite
def _any_space(draw):
    """A calorimeter of any axes whose layers may differ."""
    axes = draw(st.sampled_from([("x", "y", "z"), ("eta", "phi", "z"), ("alpha", "r", "z")]))
    shape = st.tuples(st.integers(1, 4), st.integers(1, 4))
    shapes = draw(st.one_of(st.lists(shape, min_size=1, max_size=4), shape.map(lambda one: [one] * 3)))
    layers = [Layer((range(rows + 1), range(columns + 1)), (z, z + 1)) for z, (rows, columns) in enumerate(shapes)]
    return Space("drawn", axes, ("", "", "mm"), tuple(layers))


@st.composite
def _showers(draw, some_space):
    space, n = draw(some_space), draw(st.integers(1, 5))
    cells = st.floats(0, 100, width=32, allow_subnormal=False)
    labels = {"energy": draw(hnp.arrays(float, n, elements=st.floats(0.5, 1e4)))} if draw(st.booleans()) else {}
    return Sample(draw(hnp.arrays(np.float32, (n, *space.shape), elements=cells)), labels, space, {"seed": 1})


once = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@once
@given(sample=_showers(_any_space()), window=st.integers(1, 6))
def test_showers_in_any_space_are_saved_and_read_with_the_same_space(tmp_path, sample, window):
    layout = "showers" if "energy" not in sample.labels else None
    path = datasets.save(tmp_path / "any.h5", sample, layout=layout, overwrite=True)
    read = datasets.load(path)
    assert read.space == sample.space
    assert np.array_equal(read.values, sample.values)
    assert {name: column.tolist() for name, column in read.labels.items()} == {
        name: column.tolist() for name, column in sample.labels.items()
    }
    stream = pickle.loads(pickle.dumps(datasets.stream(path, window=window)))
    events = np.concatenate([batch.values for batch in stream.batches(2 if len(sample) > 1 else 1, seed=1)])
    assert sorted(map(bytes, events)) == sorted(map(bytes, sample.values))


@once
@given(sample=_showers(_any_space().filter(lambda space: "alpha" in space.axes)))
def test_cylinders_in_the_layout_of_the_calochallenge_are_read_back(tmp_path, sample):
    if not sample.labels:
        sample = dataclasses.replace(sample, labels={"energy": np.full(len(sample), 5.0)})
    read = datasets.load(datasets.save(tmp_path / "any.h5", sample, layout="calochallenge", overwrite=True))
    assert read.space == sample.space
    np.testing.assert_allclose(read.values, sample.values, rtol=3e-7)
    np.testing.assert_allclose(read.labels["energy"], sample.labels["energy"], rtol=1e-15)


def test_a_stream_of_the_calochallenge_is_saved_without_loading_it(tmp_path, write):
    stream = datasets.stream(write(**calochallenge(50, 6480)))
    again = datasets.load(datasets.save(tmp_path / "again.h5", stream))
    assert np.array_equal(again.values, stream.head().values)


@pytest.mark.parametrize(("stored", "name"), [(calochallenge(2, 368), "showers"), (calogan(), "layer_1")])
def test_cells_and_labels_outside_the_file_are_refused(write, tmp_path, stored, name):
    other = write("other.h5", **stored)
    path = write("linked.h5", **stored | {name: None})
    with h5py.File(path, "a") as file:
        file[name] = h5py.ExternalLink(str(other), name)
    with pytest.raises(ValueError, match=f"linked.h5: '{name}' is a link to .* in another file"):
        datasets.load(path)
    path.unlink()
    with h5py.File(write("linked.h5", **stored | {name: None}), "a") as file:
        shape = stored[name].shape
        file.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, int(4 * np.prod(shape)))])
    with pytest.raises(ValueError, match=f"dataset '{name}' stores its numbers outside the file"):
        datasets.load(path)


@pytest.fixture
def ntuple(tmp_path):
    """Write a tree as CaloGAN's simulation does; None omits a branch."""

    def ntuple(name="t.root", tree="fancy_tree", **changed):
        stored = calogan()
        cells = np.concatenate([stored[f"layer_{i}"].reshape(3, -1) for i in range(3)] + [stored["overflow"]], axis=1)
        branches = {f"cell_{i}": cells[:, i] for i in range(507)} | {"TotalEnergy": stored["energy"][:, 0]} | changed
        with uproot.recreate(tmp_path / name) as file:
            held = {branch: column for branch, column in branches.items() if column is not None}
            types = {branch: (column.dtype, column.shape[1:]) for branch, column in held.items()}
            file.mktree(tree, {branch: np.dtype(kind) for branch, kind in types.items()}).extend(held)
        return tmp_path / name

    return ntuple


def test_ntuples_of_calogan_hold_the_cells_of_its_hdf5_files(ntuple, write):
    sample, expected = datasets.load(ntuple()), datasets.load(write(**calogan()))
    assert sample.space is expected.space
    np.testing.assert_allclose(sample.values, expected.values, rtol=2e-7)
    assert set(sample.labels) == set(expected.labels)
    for name, column in expected.labels.items():
        np.testing.assert_allclose(sample.labels[name], column, rtol=2e-7)
    both = datasets.load([ntuple(), ntuple("b.root")], events=5, labels={"eta": 0.0})
    assert len(both) == 5 and np.array_equal(both.values[3:], sample.values[:2]) and not both.labels["eta"].any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell_3": None, "cell_9": None}, "lacks the branches cell_3, cell_9; expected cell_0 to cell_506"),
        ({"cell_3": np.array([1.0, np.nan, 2.0])}, "'cell_3' holds nan in event 1"),
        ({"cell_3": np.array([1.0, 1.0, -2.0])}, "'cell_3' holds -2.0 in event 2, expected an energy of zero or more"),
        ({"TotalEnergy": np.zeros(3)}, "'TotalEnergy' holds 0.0 in event 0, expected an energy above zero"),
        ({"TotalEnergy": np.full(3, 5e4)}, "sums to .* of the incident energy; 0.1 to 1.5 is expected"),
        ({"cell_3": np.ones((3, 2))}, "'cell_3' holds float64 of shape .3, 2., expected numbers"),
    ],
)
def test_ntuples_of_calogan_that_are_damaged(ntuple, changed, message):
    with pytest.raises(ValueError, match=f"t.root: .*{message}"):
        datasets.load(ntuple(**changed))


def test_other_trees_and_writing_of_ntuples_are_clear_errors(ntuple, tmp_path):
    with pytest.raises(ValueError, match="expected tree 'fancy_tree' of CaloGAN's simulation, the file holds other"):
        datasets.load(ntuple(tree="other"), layout="calogan-root")
    with pytest.raises(ValueError, match="are only read. Save showers with layout='calogan'"):
        datasets.save(tmp_path / "a.root", datasets.load(ntuple()), layout="calogan-root")


@pytest.mark.skipif(not REAL.exists(), reason="needs the real files in ../shared")
def test_real_ntuples_of_calogan_are_the_events_of_the_real_hdf5_file():
    folder = REAL / "calogan_cargicar"
    trees = datasets.load([folder / f"plz_work_kthxbai_t{i}.root" for i in range(2)])
    hdf5 = datasets.load(folder / "calogan_10showers.h5")
    order, expected = np.argsort(trees.labels["energy"]), np.argsort(hdf5.labels["energy"])
    np.testing.assert_allclose(trees.values[order], hdf5.values[expected], rtol=1e-6)
    for name in hdf5.labels:
        np.testing.assert_allclose(trees.labels[name][order], hdf5.labels[name][expected], rtol=1e-6)
