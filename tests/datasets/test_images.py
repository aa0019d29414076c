"""Images of whole events and jets in the layouts of the field: GeV in memory, and errors with a remedy."""

import dataclasses
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calolab import datasets, particles, spaces
from calolab.datasets import images, layouts
from calolab.samples import Sample

WHOLE = spaces.space("whole-detector")
cells = st.floats(0, 2.0**60, width=32)


def both(path, **options):
    """The events read with `load`, which agree with those of `stream`."""
    loaded, streamed = datasets.load(path, **options), datasets.stream(path, **options).head()
    assert np.array_equal(loaded.values, streamed.values)
    assert loaded.labels.keys() == streamed.labels.keys()
    return loaded


def refused(paths, *words, **options):
    """`load` and `stream` reject the file, with its name and these words."""
    for read in (datasets.load, datasets.stream):
        with pytest.raises(ValueError) as caught:
            read(paths, **options)
        for word in (*([] if isinstance(paths, list) else [str(paths)]), *words):
            assert word in str(caught.value), f"{word!r} is missing in: {caught.value}"


def test_the_original_npz_layout(tmp_path, events):
    """MeV in `hist`, masses in the name, nothing else: the format of the authors of the RPV GANs."""
    sample = events(20)
    path = tmp_path / "RPV10_1400_850_01_train.npz"
    np.savez(path, hist=sample.values * 1000)
    read = both(path)
    np.testing.assert_allclose(read.values, sample.values, rtol=2e-7)
    assert read.space == WHOLE
    assert set(read.labels["gluino_mass"]) == {1400} and set(read.labels["neutralino_mass"]) == {850}
    assert not read.values[-1].any() and len(read) == 20  # events without energy are kept


def test_compressed_archives_and_other_types(tmp_path, events):
    sample = events(20)
    path = tmp_path / "RPV10_1600_850_01_test.npz"
    np.savez_compressed(path, hist=(sample.values * 1000).astype(np.float64)[..., None])
    np.testing.assert_allclose(both(path).values, sample.values, rtol=2e-7)
    batches = list(datasets.stream(path, window=5).batches(6, seed=1))
    assert sum(map(len, batches)) == 20
    np.testing.assert_allclose(sum(b.values.sum() for b in batches), sample.values.sum(), rtol=1e-5)


def test_a_name_without_masses_gives_no_labels_and_a_note(tmp_path, events):
    path = tmp_path / "events.npz"
    np.savez(path, hist=events(3).values * 1000)
    read = both(path)
    assert read.labels == {} and "no masses in the file name" in read.origin["labels"]
    given_masses = both(path, labels={"gluino_mass": 1500, "neutralino_mass": 250})
    assert given_masses.labels["gluino_mass"].tolist() == [1500] * 3 and "labels" not in given_masses.origin


def test_files_of_several_mass_points_are_one_stream(tmp_path, events):
    for gluino in (1400, 1800):
        np.savez(tmp_path / images.file_name(gluino, 850), hist=events(10, seed=gluino).values * 1000)
    stream = datasets.stream(tmp_path / "RPV10_*_train.npz", window=8)
    assert stream.labels["gluino_mass"].tolist() == [1400] * 10 + [1800] * 10
    for batch in stream.batches(7, seed=2):
        for value, mass in zip(batch.values, batch.labels["gluino_mass"]):
            assert any(np.allclose(value, other, rtol=1e-6) for other in events(10, seed=int(mass)).values)
    np.savez(tmp_path / "other.npz", hist=events(3).values * 1000)
    refused([tmp_path / "RPV10_1400_850_01_train.npz", tmp_path / "other.npz"][::-1], "Stream them separately")


def test_the_original_hdf5_layout(tmp_path, events):
    sample = events(12)
    path = tmp_path / "RPV10_1400_850_01.h5"
    with h5py.File(path, "w") as file:
        file["all_events/hist"] = sample.values * 1000
        file["all_events/weight"] = np.linspace(1, 2, 12)
        file["all_events/y"] = np.ones(12, int)
        file["all_events/passSR"] = np.arange(12) % 2 == 0
        for event in range(12):
            file[f"event_{event}/clusE"] = [1.0]
    read = both(path)
    np.testing.assert_allclose(read.values, sample.values, rtol=2e-7)
    assert read.labels["weight"][-1] == 2 and read.labels["signal"].all()
    assert read.labels["signal_region"].tolist() == [1, 0] * 6
    assert set(read.labels["gluino_mass"]) == {1400}
    assert read.origin["not read"].endswith("and 2 more")


def test_lagan_jet_images(tmp_path, events):
    sample = events(30, space="jet-image")
    columns = {"signal": np.arange(30) % 2, "jet_pt": np.full(30, 270.0), "jet_mass": np.full(30, 80.0)}
    path = tmp_path / "jet-images.hdf5"
    with h5py.File(path, "w") as file:
        file["image"] = sample.values.astype(np.float64)
        for name, column in (columns | {"jet_eta": np.zeros(30), "tau_21": np.linspace(0.1, 0.9, 30)}).items():
            file[name] = column
        file["jet_delta_R"] = np.zeros(30)
    read = both(path)
    assert np.array_equal(read.values, sample.values) and read.space == spaces.space("jet-image")
    assert set(read.labels) == {"signal", "pt", "eta", "mass", "tau_21"}
    assert read.labels["signal"].sum() == 15 and set(read.labels["pt"]) == {270}
    assert read.origin["not read"] == "jet_delta_R"
    assert datasets.catalogue()["jet-images"].reader == "lagan"


def test_a_label_that_is_undefined_for_some_jets_is_left_out_with_a_warning(tmp_path, events):
    path = tmp_path / "jet-images.hdf5"
    with h5py.File(path, "w") as file:
        file["image"] = events(4, space="jet-image").values
        file["signal"], file["tau_21"] = np.ones(4), [0.1, np.nan, 0.2, 0.3]
    with pytest.warns(UserWarning, match="'tau_21' holds NaN.*read without the label 'tau_21'"):
        read = datasets.load(path)
    assert set(read.labels) == {"signal"}
    with h5py.File(path, "a") as file:
        del file["signal"]
        file["signal"] = np.ones(3)
    refused(path, "'signal' has 3 events but 'image' has 4")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), n=st.integers(1, 4), name=st.sampled_from(["a.npz", "a.h5"]))
def test_what_is_written_is_read_back(tmp_path, data, n, name):
    values = np.zeros((n, 64, 64), np.float32)
    values[:, :3, :3] = data.draw(arrays(np.float32, (n, 3, 3), elements=cells))
    columns = st.sampled_from(["gluino_mass", "mu", "collisions", "weight", "signal", "energy"])
    labels = {
        one: data.draw(arrays(np.float64, n, elements=st.floats(-1e300, 1e300)))
        for one in data.draw(st.lists(columns, unique=True))
    }
    sample = Sample(values, labels, WHOLE, {"seed": 4, "text": "ä"})
    read = both(datasets.save(tmp_path / name, sample, overwrite=True))
    np.testing.assert_allclose(read.values, values, rtol=2.5e-7, atol=1e-38)
    assert {k: v.tolist() for k, v in read.labels.items()} == {k: v.tolist() for k, v in labels.items()}
    assert read.space == WHOLE and read.origin["seed"] == 4 and read.origin["text"] == "ä"


def test_other_tools_find_what_the_original_code_reads(tmp_path, events):
    sample = events(8, gluino_mass=1400, neutralino_mass=850, weight=0.5)
    path = datasets.save(tmp_path / images.file_name(1400, 850), sample)
    assert path.name == "RPV10_1400_850_01_train.npz"
    with np.load(path) as archive:  # no pickle is needed
        np.testing.assert_allclose(archive["hist"], sample.values * 1000, rtol=1e-6)
        assert archive["hist"].dtype == np.float32 and archive["weight"].tolist() == [0.5] * 8
    with h5py.File(datasets.save(tmp_path / "RPV10_1400_850_01.h5", sample)) as file:
        np.testing.assert_allclose(file["all_events/hist"], sample.values * 1000, rtol=1e-6)
        assert file["all_events/weight"].shape == (8,) and file["all_events/hist"].attrs["unit"] == "MeV"
        assert file["all_events/hist"].attrs["axes"] == "event, eta, phi"
    jets = events(5, space="jet-image", signal=1, pt=270)
    with h5py.File(datasets.save(tmp_path / "jets.h5", jets)) as file:
        assert np.array_equal(file["image"], jets.values) and file["jet_pt"].attrs["unit"] == "GeV"


def test_maps_and_other_images_in_hdf5(tmp_path):
    space = images.binned("convergence", (16, 16))
    sample = Sample(np.random.default_rng(0).normal(0, 0.01, (6, 16, 16)), {"redshift": np.ones(6)}, space)
    read = both(datasets.save(tmp_path / "maps.h5", sample))
    assert np.array_equal(read.values, sample.values) and read.space == space
    with h5py.File(tmp_path / "maps.h5", "a") as file:
        file["image"][3, 2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite value in event 3"):
        datasets.load(tmp_path / "maps.h5")


def test_streams_are_written_without_loading_them(tmp_path, events):
    whole = events(30, mu=20)
    stream = datasets.stream(datasets.save(tmp_path / "all.npz", whole))
    train, _ = stream.split(0.5, seed=1)
    again = datasets.load(datasets.save(tmp_path / "part.h5", train))
    assert np.array_equal(again.values, train.head().values) and set(again.labels["mu"]) == {20}


# Errors with a remedy.


def test_images_of_another_binning(tmp_path, events):
    path = tmp_path / "RPV10_1400_850_01_train.npz"
    fine = np.zeros((3, 224, 224), np.float32)
    fine[:, 100:104, 50:54] = 4000.0
    np.savez(path, hist=fine)
    refused(path, "(3, 224, 224)", "(event, 64, 64)", "32 x 32 only", "images.binned('whole-detector', (224, 224))")
    # The remedy in the message works.
    sample = datasets.load(path, space=datasets.images.binned("whole-detector", (224, 224)))
    rebinned = particles.images(particles.from_images(sample, minimum_pt=0))
    assert rebinned.space == WHOLE
    assert rebinned.values.sum() == pytest.approx(sample.values.sum(), rel=1e-6)
    np.savez(path, hist=np.ones((3, 128, 192)))
    refused(path, "cells.reshape(-1, 64, 2, 64, 3).sum((2, 4))")
    np.savez(path, hist=np.ones((3, 64, 64, 3)))
    refused(path, "(3, 64, 64, 3)", "one image per event")
    np.savez(path, hist=np.ones(3))
    refused(path, "shape (3,)")


@pytest.mark.parametrize("name", ["RPV10_1400_850_01_train.npz", "events.h5"])
def test_gev_where_mev_are_expected(tmp_path, events, name):
    sample = events(5)
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, hist=sample.values)
    else:
        with h5py.File(path, "w") as file:
            file["all_events/hist"] = sample.values
    refused(path, "read as MeV", "looks like GeV", "factor=1.0")
    chosen = layouts.layout("rpv" if name.endswith("npz") else "rpv-h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = datasets.load(path, layout=dataclasses.replace(chosen, factor=1.0))
    assert np.array_equal(read.values, sample.values)
    with pytest.warns(UserWarning, match="looks like GeV"):
        assert datasets.load(path, layout=chosen).values.max() < 1


def test_jet_images_in_mev(tmp_path, events):
    path = tmp_path / "jets.h5"
    with h5py.File(path, "w") as file:
        file["image"] = events(5, space="jet-image").values * 1000
    refused(path, "read as GeV", "looks like MeV", "factor=1000.0")


def test_only_empty_events_are_no_sign_of_a_unit(tmp_path):
    np.savez(tmp_path / "empty.npz", hist=np.zeros((4, 64, 64)))
    assert not both(tmp_path / "empty.npz").values.any()


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_cells_that_no_energy_can_be(tmp_path, events, value):
    hist = events(90).values * 1000
    hist[70, 3, 2] = value
    np.savez(tmp_path / "events.npz", hist=hist)
    with pytest.raises(ValueError, match="'hist' holds a NaN, infinite or negative energy.*event 70"):
        datasets.load(tmp_path / "events.npz")


def test_what_an_archive_may_lack(tmp_path):
    path = tmp_path / "events.npz"
    np.savez(path, images=np.ones((2, 64, 64)))
    refused(path, "the file holds 'images'", "'hist'")
    np.savez(path, hist=np.empty((0, 64, 64)))
    refused(path, "zero events")
    np.savez(path, hist=np.array([{}, {}]))
    refused(path, "expected numbers")
    np.savez(path, hist=np.asfortranarray(np.ones((2, 64, 64))))
    refused(path, "Fortran order")


def test_masses_in_names():
    assert images.masses("/data/RPV10_1400_250_01_valid.npz") == {"gluino_mass": 1400, "neutralino_mass": 250}
    assert images.masses("QCD_JZ5.npz") == {}
    with pytest.raises(ValueError, match="heavier neutralino"):
        images.masses("RPV10_850_1400_01_train.npz")


def test_names_and_labels_that_disagree(tmp_path, events):
    with pytest.raises(ValueError, match="the name gives gluino_mass 1400 GeV, but the label ranges from 1600"):
        datasets.save(tmp_path / "RPV10_1400_850_01_train.npz", events(3, gluino_mass=1600))
    path = datasets.save(tmp_path / "a.npz", events(3, gluino_mass=1600))
    refused(path, "already holds the labels ['gluino_mass']", labels={"gluino_mass": 1400})


def test_layouts_names_and_contents_that_do_not_fit(tmp_path, events, showers):
    def refuse(name, sample, message, **options):
        with pytest.raises(ValueError, match=message):
            datasets.save(tmp_path / name, sample, **options)
        assert not list(tmp_path.iterdir())

    refuse("a.npz", showers(2), r"layout '3dgan' is an HDF5 file; name the file \*\.h5")
    refuse("a.h5", events(2), r"layout 'rpv' is an npz archive; name the file \*\.npz", layout="rpv")
    refuse("a.h5", showers(2), "is for images without layers", layout="lagan")
    maps = Sample(np.zeros((2, 256, 256)), {}, spaces.space("convergence"))
    refuse("a.npz", maps, r"is for energies or momenta \[GeV\]", layout="rpv")
    refuse("a.root", events(2), "cannot store Sample", layout="delphes")
    refuse("a.h5", events(2), "cannot store hcal=", hcal=events(2))
    path = datasets.save(tmp_path / "a.npz", events(2))
    with pytest.raises(ValueError, match="is an npz archive, but layout 'rpv-h5' is for an HDF5 file"):
        datasets.load(path, layout="rpv-h5")


def test_symmetries_are_eight_different_maps_with_the_same_pixels():
    space = images.binned("convergence", (8, 8))
    sample = Sample(np.random.default_rng(0).normal(size=(3, 8, 8)), {"redshift": np.arange(3.0)}, space)
    turned = datasets.symmetries(sample)
    assert len(turned) == 24 and np.array_equal(turned.values[:3], sample.values)
    assert turned.labels["redshift"].tolist() == [0, 1, 2] * 8
    for event in range(3):
        versions = turned.values[event::3]
        assert len({version.tobytes() for version in versions}) == 8
        assert all(np.array_equal(np.sort(v, axis=None), np.sort(versions[0], axis=None)) for v in versions)
    with pytest.raises(ValueError, match="square maps"):
        datasets.symmetries(Sample(np.zeros((1, 8, 4)), {}, images.binned("convergence", (8, 4))))
