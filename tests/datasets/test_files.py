import contextlib
import dataclasses
import errno
import os
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calolab import Sample, datasets, files, spaces
from calolab.datasets import hdf5, readback
from calolab.spaces import Layer, Slab, Space

TINY = Space(
    "tiny",
    ("x", "y", "z"),
    ("mm", "mm", "mm"),
    (
        Layer(((0, 1, 3), (0, 1, 2, 4)), (0, 2), (Slab("W", 1.5), Slab("Si", 0.5, True))),
        Layer(((0, 1, 3), (0, 1, 2, 4)), (2, 3)),
    ),
)
floats = st.floats(0, 2.0**100, width=32)
labels = st.floats(-1e300, 1e300)


@st.composite
def samples(draw):
    n = draw(st.integers(1, 9))
    names = draw(st.lists(st.sampled_from(["theta", "mtheta", "phi", "latent"]), unique=True))
    columns = {name: draw(arrays(np.float64, n, elements=labels)) for name in names}
    columns["energy"] = draw(arrays(np.float64, n, elements=st.floats(1e-6, 1e6)))
    values = draw(arrays(np.float32, (n, *TINY.shape), elements=floats))
    words = st.text(st.characters(codec="utf-8"), max_size=20)
    origin = draw(st.dictionaries(words, words | st.integers() | st.booleans(), max_size=4))
    return Sample(values, columns, TINY, origin)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sample=samples(), layout=st.sampled_from(["3dgan", "3dgan-target"]))
def test_what_is_written_is_read_back(tmp_path, sample, layout):
    path = datasets.save(tmp_path / "events.h5", sample, layout=layout, overwrite=True)
    read = datasets.load(path)
    assert np.array_equal(read.values, sample.values)
    assert set(read.labels) == set(sample.labels)
    assert all(np.array_equal(read.labels[name], column) for name, column in sample.labels.items())
    assert read.space == sample.space
    assert read.origin == dict(sample.origin) | {"file": str(path)}


def test_a_factor_is_taken_off_to_float32_rounding(tmp_path, showers):
    sample = showers(10, space="clic-ecal-51", angles=True)
    path = datasets.save(tmp_path / "events.h5", sample, layout="3dgan-angle")
    with h5py.File(path) as file:
        assert file["ECAL"][:].sum() == pytest.approx(sample.labels["energy"].sum(), rel=1e-5)
        assert file["ECAL"].attrs["unit"] == "GeV x 50"
    np.testing.assert_allclose(datasets.load(path).values, sample.values, rtol=2e-7)


def test_other_tools_find_what_3dgan_calls_its_own(tmp_path, showers):
    sample = showers(10, angles=True)
    with h5py.File(datasets.save(tmp_path / "target.h5", sample, layout="3dgan-target")) as file:
        assert file["target"].shape == (10, 2)
        assert np.array_equal(file["target"][:, 1], sample.labels["energy"])
        assert np.array_equal(file["theta"], sample.labels["theta"])
    with h5py.File(datasets.save(tmp_path / "plain.h5", sample)) as file:
        assert np.array_equal(file["ECAL"], sample.values)
        assert np.array_equal(file["energy"], sample.labels["energy"])
        assert file["ECAL"].chunks == (8, 25, 25, 25)
        assert file["ECAL"].compression == "gzip"
        assert os.path.getsize(tmp_path / "plain.h5") < 0.2 * sample.values.nbytes


@pytest.mark.parametrize("axes", [(), (1,)])
def test_foreign_files_are_read_with_and_without_a_channel_axis(write, showers, axes):
    sample = showers(4)
    target = np.stack([np.full(4, 11.0), sample.labels["energy"], np.zeros(4)], axis=1)
    cells = sample.values.astype(np.float64).reshape(*sample.values.shape, *axes)
    path = write(ECAL=cells, HCAL=np.zeros((4, 5, 5, 60)), target=target)
    read = datasets.load(path)
    assert np.array_equal(read.values, sample.values)
    assert np.array_equal(read.labels["energy"], sample.labels["energy"])
    assert read.space == spaces.space("clic-ecal")
    assert read.origin["not read"] == "HCAL"


def test_energies_in_a_column_of_their_own(write, showers):
    sample = showers(4)
    read = datasets.load(write(ECAL=sample.values, energy=sample.labels["energy"][:, None]))
    assert np.array_equal(read.labels["energy"], sample.labels["energy"])


def test_the_hadronic_calorimeter(tmp_path, write, showers):
    sample = showers(4)
    cells = np.random.default_rng(0).exponential(1e-4, (4, 5, 6, 60)).astype(np.float32)
    path = write(ECAL=sample.values, HCAL=cells, energy=sample.labels["energy"])
    hcal = datasets.load(path, quantity="HCAL")
    assert np.array_equal(hcal.values, cells)
    assert hcal.space.units == ("cell", "cell", "cell")
    assert hcal.origin["not read"] == "ECAL"
    again = datasets.save(tmp_path / "again.h5", sample, hcal=hcal)
    assert np.array_equal(datasets.load(again, quantity="HCAL").values, cells)
    assert datasets.load(again, quantity="HCAL").space == hcal.space
    assert np.array_equal(datasets.load(again).values, sample.values)


def test_several_files_are_one(numbered):
    paths = numbered(10, files=3)
    expected = np.arange(10) + 1.0
    for given_paths in (paths, [str(path) for path in paths], paths[0].parent / "part_*.h5"):
        assert np.array_equal(datasets.load(given_paths).labels["energy"], expected)
    backwards = datasets.load(paths[::-1]).labels["energy"]
    assert np.array_equal(backwards, np.concatenate([expected[6:], expected[3:6], expected[:3]]))
    assert np.array_equal(datasets.load(paths, events=4).labels["energy"], expected[:4])


def test_a_name_with_brackets_is_no_pattern(tmp_path, showers):
    path = datasets.save(tmp_path / "run[1].h5", showers(3))
    assert len(datasets.load(path)) == 3


def test_a_file_named_twice(numbered):
    paths = numbered(4)
    with pytest.raises(ValueError, match="count twice"):
        datasets.load([*paths, paths[0].parent / "*.h5"])


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="empty list"):
        datasets.load([])
    with pytest.raises(FileNotFoundError, match="No file matches"):
        datasets.load(tmp_path / "*.h5")
    with pytest.raises(ValueError, match=r"is a directory; give its files, e\.g\. '.*\*\.h5'"):
        datasets.load(tmp_path)


def test_files_that_do_not_fit_together(tmp_path, showers):
    for name, sample in {"a": showers(2), "b": showers(2, space="clic-ecal-51"), "c": showers(2, angles=True)}.items():
        datasets.save(tmp_path / f"{name}.h5", sample)
    with pytest.raises(ValueError, match=r"b\.h5.*clic-ecal-51.*a\.h5"):
        datasets.load([tmp_path / "a.h5", tmp_path / "b.h5"])
    with pytest.raises(ValueError, match=r"c\.h5: labels energy, theta, mtheta, but .*a\.h5 has energy"):
        datasets.load([tmp_path / "a.h5", tmp_path / "c.h5"])


def test_what_does_not_fit_into_memory_says_so(monkeypatch, numbered):
    paths = numbered(10)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 300_000})())
    with pytest.raises(MemoryError, match=r"datasets\.stream"):
        datasets.load(paths)
    assert len(datasets.load(paths, events=4)) == 4


def test_saving_a_stream(tmp_path, numbered):
    stream = datasets.stream(numbered(11, files=3))
    path = datasets.save(tmp_path / "all.h5", stream.shard(1, 2))
    assert np.array_equal(datasets.load(path).labels["energy"], np.arange(6, 11) + 1.0)
    assert np.array_equal(datasets.load(path).values, stream.head().values[6:])


def test_nothing_is_overwritten_unasked(tmp_path, showers):
    path = datasets.save(tmp_path / "events.h5", showers(2))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        datasets.save(path, showers(3))
    assert len(datasets.load(path)) == 2
    datasets.save(path, showers(3), overwrite=True)
    assert len(datasets.load(path)) == 3


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, showers):
    path = datasets.save(tmp_path / "events.h5", showers(2))
    negative = showers(3)
    negative.values[1, 0, 0, 0] = -1
    with pytest.raises(ValueError, match="'ECAL' would contain negative energies, the first in event 1"):
        datasets.save(path, negative, overwrite=True)
    with pytest.raises(ValueError, match="plain numbers and strings"):
        datasets.save(path, dataclasses.replace(showers(3), origin={"file": open}), overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["events.h5"]
    assert len(datasets.load(path)) == 2


def test_what_a_layout_cannot_hold(tmp_path, showers):
    path, sample = tmp_path / "events.h5", showers(2)

    def refused(message, changed, **options):
        with pytest.raises(ValueError, match=message):
            datasets.save(path, changed, **options)
        assert not list(tmp_path.iterdir())

    refused("zero events", sample.select(slice(0)))
    refused("needs the label 'energy'", dataclasses.replace(sample, labels={}))
    refused("must be positive", dataclasses.replace(sample, labels={"energy": [0.0, 1.0]}))
    refused(r"labels \['ECAL'\]", dataclasses.replace(sample, labels={"energy": [1.0, 1.0], "ECAL": [1.0, 1.0]}))
    refused("HCAL has 1 events", sample, hcal=sample.select(slice(1)))
    refused("overflows", dataclasses.replace(sample, values=np.full_like(sample.values, 1e38)), layout="3dgan-angle")
    flat = spaces.space("calogan")
    refused("boxes of cells", Sample(np.zeros((2, flat.n_cells)), {"energy": [1, 1]}, flat), layout="3dgan")
    refused("needs the label 'energy'", Sample(np.zeros((2, flat.n_cells)), {}, flat))
    refused("is for the axes z, alpha, r", sample, layout="calochallenge")
    refused("stores 3 layers that differ", sample, layout="calogan")
    refused("Unknown layout", sample, layout="3dgan-tarket")


def test_a_directory_that_is_missing(tmp_path, showers):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        datasets.save(tmp_path / "missing" / "events.h5", showers(2))


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_what_is_written_is_read_back_before_it_counts(tmp_path, monkeypatch, events, name):
    """A library that mixes up events: an error, the old file is kept, and nothing else is left."""
    path = datasets.save(tmp_path / name, events(3))
    written = readback.Tally.counted

    def counted(tally, pieces):
        """The library receives other data than those in the checksum."""
        for piece in written(tally, pieces):
            yield piece[::-1]

    monkeypatch.setattr(readback.Tally, "counted", counted)
    with pytest.raises(OSError, match=rf"{name}: dataset '.*hist' of shape .* differs when it is read back"):
        datasets.save(path, events(5), overwrite=True)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == [name] and len(datasets.load(path)) == 3


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (lambda path: hdf5.LockError(f"{path}: no support for locks"), ValueError, "no support for locks$"),
        (lambda path: ValueError(f"{path}: truncated"), OSError, "truncated.*differs when it is read back"),
        (lambda path: OSError("no end"), OSError, "truncated or corrupt.*differs when it is read back"),
        (lambda path: OSError(errno.EACCES, "Permission denied", str(path)), OSError, "cannot be read now .Permission"),
        (lambda path: MemoryError(f"{path}: one chunk takes 3 GB"), MemoryError, "one chunk takes 3 GB"),
    ],
)
def test_why_a_written_file_cannot_be_read_back(tmp_path, monkeypatch, events, name, fault, kind, words):
    """A lock or a missing permission is not blamed on the disk, and no message shows a temporary name."""

    @contextlib.contextmanager
    def open_file(path):
        with files.diagnosed(path, lambda error: f"{path}: truncated or corrupt", OSError):
            raise fault(path)
        yield

    monkeypatch.setattr(readback, "open_file", open_file)
    with pytest.raises(kind, match=words) as raised:
        datasets.save(tmp_path / name, events(3))
    assert f"{tmp_path / name}: " in str(raised.value) and ".part" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("layout", "labels"),
    [
        ("rpv", ["hist"]),
        ("rpv", ["calolab"]),
        ("rpv", ["a/b"]),
        ("rpv-h5", ["all_events"]),
        ("rpv-h5", ["weight", "all_events/weight"]),
        ("lagan", ["image"]),
        ("lagan", ["pt", "jet_pt"]),
        ("lagan", ["."]),
    ],
)
def test_labels_that_clash_with_datasets_of_the_layout(tmp_path, events, layout, labels):
    space = "jet-image" if layout == "lagan" else "whole-detector"
    sample = events(3, space=space, **dict.fromkeys(labels, 1.0))
    with pytest.raises(ValueError, match="(have the names of datasets of layout|cannot be names of datasets)"):
        datasets.save(tmp_path / ("a.npz" if layout == "rpv" else "a.h5"), sample, layout=layout)
    assert not list(tmp_path.iterdir())


def test_showers_without_any_energy_are_warned_of(write, showers):
    """A contiguous file whose writer was interrupted contains zeros, which a check of the storage does not detect."""
    sample = showers(40)
    sample.values[20:] = 0
    path = write(ECAL=sample.values, energy=sample.labels["energy"])
    with pytest.warns(UserWarning, match=r"events\.h5: 20 of 40 showers contain no energy; the first is event 20"):
        read = datasets.load(path)
    assert len(read.select(read.values.any(axis=(1, 2, 3)))) == 20


def test_images_without_any_energy_are_warned_of(tmp_path):
    np.savez(tmp_path / "a.npz", hist=np.zeros((4, 64, 64)))
    with pytest.warns(UserWarning, match="all cells of all 4 events are zero"):
        datasets.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("gluino_mass", -1400, "below zero, the first is -1400 in event 2. It cannot be negative"),
        ("redshift", -0.1, "below zero"),
        ("phi", 180, "beyond one turn, 2 pi rad, the first is 180 in event 2. Are they in degrees"),
        ("eta", 1e9, "beyond 10, the first is 1e.09 in event 2. No detector"),
    ],
)
def test_labels_that_can_hardly_be_right_are_warned_of(tmp_path, events, label, value, words):
    column = np.array([0.5, 0.5, 0.5, 0.5])
    path = datasets.save(tmp_path / "a.h5", events(4, **{label: column}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load(path)
    column[2] = value
    path = datasets.save(path, events(4, **{label: column}), overwrite=True)
    for read in (datasets.load, datasets.stream):
        with pytest.warns(UserWarning, match=rf"a\.h5: label '{label}' has values {words}"):
            read(path)
    with pytest.warns(UserWarning, match=rf"label '{label}' has values"):
        datasets.load(datasets.save(tmp_path / "b.h5", events(4)), labels={label: value})
