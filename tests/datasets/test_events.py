"""Errors contain the file, the dataset and the remedy; damaged files are never read silently."""

import dataclasses
import errno
import os

import h5py
import numpy as np
import pytest

from calolab import datasets, spaces
from calolab.datasets import events as event_files
from calolab.datasets import hdf5, layouts


@pytest.fixture
def plain(showers):
    sample = showers(6)
    return {"ECAL": sample.values, "energy": sample.labels["energy"]}


def refuses(path, *words, error=ValueError, **options):
    """`load` and `stream` reject the file, with its name and these words."""
    for read in (datasets.load, lambda p, **o: list(datasets.stream(p, **o).batches(4, seed=0))):
        with pytest.raises(error) as caught:
            read(path, **options)
        for word in (str(path), *words):
            assert word in str(caught.value), f"{word!r} is missing in: {caught.value}"


def test_missing_file(tmp_path):
    (tmp_path / "showers_1.h5").touch()
    refuses(tmp_path / "shower_1.h5", "Nearest: showers_1.h5", error=FileNotFoundError)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00", "unpack it first"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"just text", "begins with b'just tex'"),
    ],
)
def test_a_file_of_no_known_kind(tmp_path, content, what):
    path = tmp_path / "events.h5"
    path.write_bytes(content)
    refuses(path, "expected an HDF5 file or an npz archive or a ROOT file or a FITS file", what)


@pytest.mark.parametrize("missing", ["ECAL", "energy"])
def test_missing_dataset(write, plain, missing):
    held = "ECAL" if missing == "energy" else "energy"
    refuses(write(**{held: plain[held]}), "missing dataset", missing, f"holds {held!r}", "layout=")


def test_a_group_is_no_dataset(tmp_path):
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        file["ECAL/inner"] = [1.0]
        file["energy"] = [1.0]
    refuses(path, "missing dataset 'ECAL'")


@pytest.mark.parametrize("shape", [(6, 25, 25), (6, 24, 25, 25), (6, 25, 25, 25, 2), (6,)])
def test_wrong_shape(write, plain, shape):
    refuses(write(ECAL=np.ones(shape), energy=plain["energy"]), "'ECAL'", str(shape), "expected")


def test_wrong_shape_for_the_space_asked_for(write, plain):
    refuses(write(**plain), "(event, 51, 51, 25) for space 'clic-ecal-51'", "space=", space="clic-ecal-51")


def test_text_is_no_number(write, plain):
    refuses(write(ECAL=plain["ECAL"], energy=np.array([b"ten"] * 6)), "'energy'", "expected numbers")


@pytest.mark.parametrize("length", [5, 7])
def test_lengths_that_differ(write, plain, length):
    energy = np.full(length, 50.0)
    refuses(write(ECAL=plain["ECAL"], energy=energy), f"'energy' has {length} events but 'ECAL' has 6", "same length")


def test_zero_events(write):
    refuses(write(ECAL=np.empty((0, 25, 25, 25)), energy=np.empty(0)), "'ECAL' holds zero events", "Omit the file")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-6])
def test_a_cell_that_no_energy_can_be(write, plain, value):
    plain["ECAL"][4, 3, 2, 1] = value
    refuses(write(**plain), "'ECAL'", "NaN, infinite or negative", "event 4", "write the file again")


def test_a_negative_zero_is_a_zero(write, plain):
    plain["ECAL"][4, plain["ECAL"][4] == 0] = -0.0
    assert np.array_equal(datasets.load(write(**plain)).values, plain["ECAL"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_an_incident_energy_that_cannot_be(write, plain, value):
    plain["energy"][2] = value
    refuses(write(**plain), "'energy'", "event 2", "Remove these events")


def test_an_angle_that_is_not_finite(write, plain):
    refuses(write(**plain, theta=[1, 1, np.nan, 1, 1, 1]), "'theta'", "event 2", layout="3dgan")


def test_a_target_without_a_column_of_energies(write, plain):
    refuses(write(ECAL=plain["ECAL"], target=plain["energy"]), "'target'", "expected (event, n)", "layout=")


@pytest.mark.parametrize("kept", np.linspace(0.02, 0.999, 12))
def test_a_truncated_file(tmp_path, showers, kept):
    path = datasets.save(tmp_path / "events.h5", showers(20))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refuses(path, "truncated or corrupt", "again")


def test_damage_inside_the_cells(tmp_path, showers):
    path = datasets.save(tmp_path / "events.h5", showers(40))
    with h5py.File(path) as file:
        chunk = file["ECAL"].id.get_chunk_info(2)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        file.write(b"damage")
    refuses(path, "'ECAL'", "between events 0 and 32", "truncated or corrupt")


def test_no_damage_goes_unnoticed(tmp_path, showers):
    """Wherever bytes are changed, reading fails or returns the original values."""
    sample = showers(20, angles=True)
    content = datasets.save(tmp_path / "good.h5", sample).read_bytes()
    random, path, refused = np.random.default_rng(1), tmp_path / "damaged.h5", 0
    for _ in range(120):
        damaged = bytearray(content)
        place, length = random.integers(0, len(content) - 64), random.choice([1, 8, 64])
        damaged[place : place + length] = random.bytes(length)
        path.write_bytes(damaged)
        try:
            read = datasets.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert np.array_equal(read.values, sample.values)
            assert all(np.array_equal(read.labels[name], column) for name, column in sample.labels.items())
            assert read.space == sample.space
    assert refused > 60


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_a_disk_that_fails_is_not_a_damaged_file(tmp_path, monkeypatch, events, kind):
    path = datasets.save(tmp_path / f"a.{kind}", events(3))

    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(*{"h5": (hdf5, "open_hdf5"), "npz": (event_files, "Archive")}[kind], fails)
    with pytest.raises(OSError, match=f"a.{kind}: cannot be read now .Input/output error") as raised:
        datasets.load(path)
    assert raised.value.errno == errno.EIO


def test_a_file_that_changes_while_it_is_streamed(write, plain, showers):
    stream = datasets.stream(write(**plain))
    other = showers(5)
    write(ECAL=other.values, energy=other.labels["energy"])
    with pytest.raises(ValueError, match="changed while in use"):
        stream.head()


def test_huge_chunks_are_warned_of(tmp_path, monkeypatch, numbered):
    monkeypatch.setattr("calolab.datasets.inspection.LARGE_CHUNK_BYTES", 1_000_000)
    (path,) = numbered(40, chunk=20)
    with pytest.warns(UserWarning, match=r"chunks of 20 events.*datasets\.save"):
        stream = datasets.stream(path)
    rewritten = datasets.save(tmp_path / "rewritten.h5", stream)
    assert np.array_equal(datasets.load(rewritten).values, stream.head().values)


def test_quantities_are_two(write, plain):
    with pytest.raises(ValueError, match="received 'TRACKER'"):
        datasets.load(write(**plain), quantity="TRACKER")


# The factor on the cells: GeV for every file, or an error.


def test_angle_files_hold_fifty_times_the_energy(write, showers):
    sample = showers(6, space="clic-ecal-51", angles=True)
    path = write(ECAL=sample.values * 50, eta=np.zeros(6), **sample.labels)
    read = datasets.load(path)
    np.testing.assert_allclose(read.values, sample.values, rtol=2e-7)
    assert read.space == spaces.space("clic-ecal-51")
    assert set(read.labels) == {"energy", "theta", "mtheta"}
    assert read.origin["not read"] == "eta"


def test_angle_files_in_plain_gev_are_noticed(write, showers):
    """The RandomAngle files of 3DGAN have the same names, but no factor."""
    sample = showers(6, angles=True)
    path = write(ECAL=sample.values, **sample.labels)
    refuses(path, "'ECAL' sums to 0.0004 of the incident energy", "looks like layout='3dgan'")
    assert np.array_equal(datasets.load(path, layout="3dgan").values, sample.values)


def test_a_factor_of_fifty_is_noticed_where_the_names_promise_gev(write, plain):
    path = write(ECAL=plain["ECAL"] * 50, energy=plain["energy"])
    refuses(path, "'ECAL' sums to 1 of the incident energy", "looks like layout='3dgan-angle'")
    np.testing.assert_allclose(datasets.load(path, layout="3dgan-angle").values, plain["ECAL"], rtol=2e-7)


def test_a_layout_that_is_asked_for_but_does_not_fit_warns(write, plain):
    with pytest.warns(UserWarning, match="looks like layout='3dgan'"):
        datasets.load(write(**plain), layout="3dgan-angle")


def test_cells_in_another_unit(write, plain):
    path = write(ECAL=plain["ECAL"] * 1000, energy=plain["energy"])
    refuses(path, "factor=1000.0")
    in_mev = dataclasses.replace(layouts.layout("3dgan"), factor=1000.0)
    np.testing.assert_allclose(datasets.load(path, layout=in_mev).values, plain["ECAL"], rtol=2e-7)


def test_a_space_of_ones_own_is_not_held_to_clic(write, plain):
    own = dataclasses.replace(spaces.space("clic-ecal"), name="crystals")
    path = write(ECAL=plain["ECAL"] * 50, energy=plain["energy"])
    assert np.array_equal(datasets.load(path, space=own).values, plain["ECAL"] * 50)
