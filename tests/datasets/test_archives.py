"""npz archives read event by event agree with numpy, and damage is detected."""

import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import datasets
from calolab.datasets import archives

TYPES = ["<f4", "<f8", ">f4", "<i2", "|b1", "|u1"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 9), *[st.integers(1, 3)] * 2),
    kind=st.sampled_from(TYPES),
    compressed=st.booleans(),
    reads=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9)), max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_events_in_any_order_are_those_that_numpy_reads(tmp_path, shape, kind, compressed, reads, seed):
    content = np.random.default_rng(seed).integers(0, 2, shape).astype(kind)
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, hist=content, other=np.arange(5))
    archive = archives.Archive(path)
    stored = archive["hist"]
    assert stored.shape == shape and stored.dtype == content.dtype and stored.compressed == compressed
    assert "other" in archive and archive.get("missing") is None and sorted(archive) == ["hist", "other"]
    for start, stop in reads:
        assert np.array_equal(stored[start:stop], content[start:stop])
    out = np.empty(shape, np.float32)
    stored.read_direct(out, np.s_[:])
    assert np.array_equal(out, content)
    archive.close()


def test_an_archive_is_written_piece_by_piece_as_numpy_reads_it(tmp_path):
    content = np.random.default_rng(0).normal(size=(7, 4, 4)).astype(np.float32)
    with archives.written(tmp_path / "a.npz") as archive:
        archive.write("hist", content.shape, np.float32, (content[i : i + 3].astype(float) for i in range(0, 7, 3)))
        archive.write("mu", (7,), np.float64, [np.arange(7)])
    with np.load(tmp_path / "a.npz") as read:
        assert np.array_equal(read["hist"], content) and read["mu"].dtype == np.float64


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kept", np.linspace(0.01, 0.999, 8))
def test_a_truncated_archive(tmp_path, events, kept, compressed):
    path = tmp_path / "RPV10_1400_850_01_train.npz"
    (np.savez_compressed if compressed else np.savez)(path, hist=events(20).values * 1000)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    for read in (datasets.load, datasets.stream):
        with pytest.raises(ValueError, match="truncated or corrupt npz archive.*again") as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_goes_unnoticed(tmp_path, events, compressed):
    """Wherever bytes are changed, reading fails or returns the original values."""
    sample = events(6)
    path = tmp_path / "good.npz"
    (np.savez_compressed if compressed else np.savez)(path, hist=sample.values * 1000)
    content, whole = path.read_bytes(), datasets.load(path)
    random, path, refused = np.random.default_rng(1), tmp_path / "damaged.npz", 0
    places = [*random.integers(0, len(content), 60), *random.integers(0, 200, 30), *(len(content) - np.arange(1, 60))]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read = datasets.load(path)
        except (ValueError, MemoryError) as error:
            assert str(path) in str(error) or isinstance(error, MemoryError)
            refused += 1
        else:
            assert np.array_equal(read.values, whole.values)
    assert refused > 60


def test_a_zip_archive_of_something_else(tmp_path):
    path = tmp_path / "events.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not an array")
    with pytest.raises(ValueError, match="contains numpy arrays .*but this zip archive contains readme.txt. Unpack it"):
        datasets.load(path)


def crafted(path, shape, content, compressed):
    """An archive whose header declares another shape."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive, archive.open("hist.npy", "w") as file:
        header = {"descr": content.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(content.tobytes())
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(3, 64, 64), (5, 64, 64), (-4, 64, 64), (10**12, 64, 64), (4, -64, -64)])
def test_a_header_that_declares_what_is_not_there(tmp_path, events, shape, compressed):
    path = crafted(tmp_path / "events.npz", shape, events(4).values * 1000, compressed)
    for read in (datasets.load, datasets.stream):
        with pytest.raises(ValueError) as caught:
            read(path)
        for words in (str(path), f"hist.npy declares the shape {shape}", "again"):
            assert words in str(caught.value)
    assert len(datasets.load(crafted(path, (4, 64, 64), events(4).values * 1000, compressed))) == 4


def test_one_remedy_for_fortran_order(tmp_path, events):
    path = tmp_path / "events.npz"
    np.savez(path, hist=np.asfortranarray(events(4).values * 1000))
    with pytest.raises(ValueError) as caught:
        datasets.load(path)
    assert "'hist' is stored in Fortran order" in str(caught.value) and "ascontiguousarray" in str(caught.value)
    assert "corrupt" not in str(caught.value) and "fetch" not in str(caught.value)
    np.savez(path, hist=np.ascontiguousarray(np.load(path)["hist"]))
    np.testing.assert_allclose(datasets.load(path).values, events(4).values, rtol=2e-7)
