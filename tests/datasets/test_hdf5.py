"""HDF5 content that is missing, outside the file or cannot be decompressed is an error, and not read as empty."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from calolab import datasets
from calolab.datasets import events

CELLS = (25, 25, 25)


@pytest.fixture
def sample(showers):
    return showers(8)


def refuses(path, *words, error=ValueError):
    for read in (datasets.load, datasets.stream):
        with pytest.raises(error) as caught:
            read(path)
        for word in (str(path), *words):
            assert word in str(caught.value), f"{word!r} is missing in: {caught.value}"


def test_opening_a_file_checks_the_content_of_each_dataset_once(tmp_path, showers, monkeypatch):
    path = datasets.save(tmp_path / "a.h5", showers(8, angles=True))
    checked = []

    def check_content(held, path, name, original=events.hdf5.check_content):
        checked.append(name)
        original(held, path, name)

    monkeypatch.setattr(events.hdf5, "check_content", check_content)
    stream = datasets.stream(path)
    assert sorted(checked) == ["ECAL", "calolab", "energy", "mtheta", "theta"] and len(stream) == 8


def test_chunks_that_were_never_written(tmp_path, sample):
    path = tmp_path / "half.h5"
    with h5py.File(path, "w") as file:
        cells = file.create_dataset("ECAL", (8, *CELLS), "f4", chunks=(2, *CELLS))
        cells[:2], cells[6:] = sample.values[:2], sample.values[6:]
        file["energy"] = sample.labels["energy"]
    refuses(path, "'ECAL' declares 8 events, but the content of 4 of them was never written, events 2 to 5")
    with h5py.File(path, "r+") as file:
        file["ECAL"][2:6] = sample.values[2:6]
    assert np.array_equal(datasets.load(path).values, sample.values)


def test_chunks_that_cut_an_event(tmp_path, sample):
    path = tmp_path / "half.h5"
    with h5py.File(path, "w") as file:
        cells = file.create_dataset("ECAL", (8, *CELLS), "f4", chunks=(3, 25, 25, 10))
        cells[:6], cells[6:, :, :, :10] = sample.values[:6], sample.values[6:, :, :, :10]
        file["energy"] = sample.labels["energy"]
    refuses(path, "content of 2 of them was never written, events 6 to 7")


@pytest.mark.parametrize("missing", ["ECAL", "energy"])
def test_datasets_that_were_never_written(tmp_path, sample, missing):
    path = tmp_path / "declared.h5"
    with h5py.File(path, "w") as file:
        for name, content in {"ECAL": sample.values, "energy": sample.labels["energy"]}.items():
            file.create_dataset(name, content.shape, content.dtype)
            if name != missing:
                file[name][:] = content
    refuses(path, f"{missing!r} declares 8 events, but the content of 8 of them was never written, events 0 to 7")


def test_a_compact_dataset_is_all_there(tmp_path, sample):
    path = tmp_path / "compact.h5"
    with h5py.File(path, "w") as file:
        file["ECAL"] = sample.values
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_layout(h5py.h5d.COMPACT)
        energy = h5py.h5d.create(file.id, b"energy", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((8,)), dcpl=created)
        energy.write(h5py.h5s.ALL, h5py.h5s.ALL, sample.labels["energy"])
    assert np.array_equal(datasets.load(path).labels["energy"], sample.labels["energy"])


@pytest.fixture
def virtual(tmp_path, sample):
    """A file whose cells are in two other files, half in each."""
    path, layout = tmp_path / "all.h5", h5py.VirtualLayout((8, *CELLS), "f4")
    for part in range(2):
        events = slice(4 * part, 4 * part + 4)
        with h5py.File(tmp_path / f"part_{part}.h5", "w") as file:
            file["ECAL"] = sample.values[events]
        layout[events] = h5py.VirtualSource(f"part_{part}.h5", "ECAL", (4, *CELLS))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("ECAL", layout)
        file["energy"] = sample.labels["energy"]
    return path


def test_virtual_datasets(virtual, sample):
    assert np.array_equal(datasets.load(virtual).values, sample.values)
    stream = datasets.stream(virtual)
    virtual.with_name("part_1.h5").rename(virtual.with_name("moved.h5"))
    missing = "content of 4 of them is missing ('part_1.h5' does not exist), events 4 to 7"
    refuses(virtual, missing)
    for read in (stream.head, lambda: stream.labels["energy"], lambda: list(stream.batches(4, seed=0))):
        with pytest.raises(ValueError, match="'part_1.h5' does not exist"):
            read()


def test_virtual_sources_that_have_changed(virtual, sample):
    with h5py.File(virtual.with_name("part_0.h5"), "w") as file:
        file["ECAL"] = sample.values[:3]
    refuses(virtual, "which is too small", "events 0 to 3")
    with h5py.File(virtual.with_name("part_0.h5"), "w") as file:
        file["cells"] = sample.values[:4]
    refuses(virtual, "part_0.h5 has no dataset 'ECAL'", "events 0 to 3")
    with h5py.File(virtual.with_name("part_0.h5"), "w") as file:
        file.create_dataset("ECAL", (4, *CELLS), "f4")
    refuses(virtual, "part_0.h5: dataset 'ECAL' declares 4 events, but the content of 4 of them was never written")


def test_a_virtual_dataset_with_a_gap(tmp_path, virtual, sample):
    layout = h5py.VirtualLayout((8, *CELLS), "f4")
    layout[:4] = h5py.VirtualSource("part_0.h5", "ECAL", (4, *CELLS))
    with h5py.File(tmp_path / "gap.h5", "w") as file:
        file.create_virtual_dataset("ECAL", layout)
        file["energy"] = sample.labels["energy"]
    refuses(tmp_path / "gap.h5", "is missing (no source is given), events 4 to 7")


def test_links_to_other_files_are_not_followed(tmp_path, sample):
    other = datasets.save(tmp_path / "other.h5", sample)
    for target in (other.name, "gone.h5"):
        path = tmp_path / "links.h5"
        with h5py.File(path, "w") as file:
            file["energy"] = sample.labels["energy"]
            file["ECAL"] = h5py.ExternalLink(target, "ECAL")
        refuses(path, f"'ECAL' is a link to 'ECAL' in another file, '{target}'", "load that file itself")
    with h5py.File(path, "w") as file:
        file["ECAL"] = sample.values
        file["energy"] = h5py.SoftLink("/away/energy")
        file["away"] = h5py.ExternalLink(other.name, "/")
    refuses(path, "'energy' is a link to '/' in another file, 'other.h5'")


def test_links_inside_a_file(tmp_path, sample):
    path = tmp_path / "links.h5"
    with h5py.File(path, "w") as file:
        file["run/cells"], file["energy"] = sample.values, sample.labels["energy"]
        file["ECAL"] = h5py.SoftLink("run/cells")
    assert np.array_equal(datasets.load(path).values, sample.values)
    with h5py.File(path, "r+") as file:
        del file["run/cells"]
    refuses(path, "'ECAL' is a link to 'run/cells', which is not in the file")
    with h5py.File(path, "r+") as file:
        del file["ECAL"]
        file["ECAL"] = h5py.SoftLink("/ECAL")
    refuses(path, "'ECAL' is a link to '/ECAL'")


def test_numbers_in_files_of_the_system_are_not_read(tmp_path, sample):
    raw, path = tmp_path / "secret", tmp_path / "events.h5"
    raw.write_bytes(np.full(8, 50.0).tobytes())
    with h5py.File(path, "w") as file:
        file["ECAL"] = sample.values
        file.create_dataset("energy", (8,), "f8", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(path) as file:
        assert file["energy"][0] == 50
    refuses(path, "'energy' stores its numbers outside the file", str(raw), "not read")


def test_descriptions_in_files_of_the_system_are_not_read(tmp_path, sample):
    secret, path = tmp_path / "secret", tmp_path / "events.h5"
    secret.write_bytes(b'{"origin": {"read": "a secret"}}')
    with h5py.File(path, "w") as file:
        file["ECAL"], file["energy"] = sample.values, sample.labels["energy"]
        size = secret.stat().st_size
        file.create_dataset("calolab", (1,), f"S{size}", external=[(str(secret), 0, size)])
    refuses(path, "'calolab' stores its numbers outside the file", str(secret), "not read")


def test_a_filter_that_is_not_installed(tmp_path, sample):
    path, blosc = tmp_path / "events.h5", 32001
    if h5py.h5z.filter_avail(blosc):
        h5py.h5z.unregister_filter(blosc)
    with h5py.File(path, "w") as file:
        file["energy"] = sample.labels["energy"]
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((8, *CELLS))
        created.set_filter(blosc, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((8, *CELLS))
        cells = h5py.h5d.create(file.id, b"ECAL", h5py.h5t.IEEE_F32LE, space, dcpl=created)
        cells.write_direct_chunk((0, 0, 0, 0), b"packed by Blosc")
    refuses(path, "'ECAL' is compressed with Blosc (HDF5 filter 32001)", "import hdf5plugin")


def test_a_file_that_another_process_writes(tmp_path, sample):
    path = datasets.save(tmp_path / "events.h5", sample)
    writer = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", writer, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        refuses(path, "another process has this HDF5 file open for writing", "Wait until it is closed")
        process.stdin.close()
    assert len(datasets.load(path)) == 8


def test_a_file_whose_writer_was_killed(tmp_path, sample):
    """HDF5 marks files of the newest format while they are written."""
    path = tmp_path / "events.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["ECAL"], file["energy"] = sample.values, sample.labels["energy"]
    writer = "import h5py, os, sys; file = h5py.File(sys.argv[1], 'r+', libver='latest'); file.flush(); os._exit(1)"
    subprocess.run([sys.executable, "-c", writer, path])
    refuses(path, "is marked as being written", "h5clear -s")


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b"7",
        b"{",
        b'{"layout": {"name": "own"}}',
        b'{"layout": 3}',
        b'{"labels": [1]}',
        b'{"spaces": {"ECAL": {}}}',
        b'{"spaces": {"ECAL": 3}}',
        b'{"origin": []}',
    ],
)
def test_descriptions_that_are_none(write, sample, content):
    path = write(ECAL=sample.values, energy=sample.labels["energy"], calolab=np.array([content]))
    refuses(path, "'calolab' should describe the file as a JSON object", "Write the file again")


@pytest.mark.parametrize("content", [h5py.Empty("S4"), np.array([], "S4"), np.array(b"{}"), 3.0, np.arange(3)])
def test_descriptions_without_a_text(write, sample, content):
    refuses(write(ECAL=sample.values, energy=sample.labels["energy"], calolab=content), "'calolab' should describe")


@pytest.mark.parametrize("name", ["ECAL", "energy"])
def test_an_empty_dataset(write, sample, name):
    content = {"ECAL": sample.values, "energy": sample.labels["energy"]} | {name: h5py.Empty("f4")}
    refuses(write(**content), f"dataset {name!r} is declared but empty")


def test_a_stream_whose_file_gets_another_shape(write, sample):
    stream = datasets.stream(write(ECAL=sample.values, energy=sample.labels["energy"]))
    path = write(ECAL=np.ones((8, 20, 20, 20)), energy=sample.labels["energy"])
    with pytest.raises(ValueError, match="changed while in use.* 8 events of 8000 cells instead of 8 of 15625"):
        stream.head()
    assert str(path) == stream.files[0].path


def test_many_declared_events_cost_nothing(tmp_path):
    """Sizes are compared before anything is read: 1e12 labels would be 8 TB."""
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("ECAL", (10**12, *CELLS), "f4", chunks=(1, *CELLS))
        file.create_dataset("energy", (10**12,), "f8", chunks=(1000,))
    refuses(path, "'ECAL' declares 1000000000000 events", "was never written, events 0 to 999999999999")


def test_labels_are_looked_at_in_pieces(tmp_path, monkeypatch, numbered):
    monkeypatch.setattr("calolab.datasets.inspection._LABEL_EVENTS", 3)
    (path,) = numbered(10)
    assert datasets.load(path).labels["energy"].tolist() == list(range(1, 11))
    with h5py.File(path, "r+") as file:
        file["energy"][8] = -1
    refuses(path, "the first is event 8 with -1.0")


def test_more_than_the_shell_allows_is_refused_before_it_is_read(tmp_path):
    """A process with `ulimit -v` rejects 6 GB of showers, which all share the same stored chunk."""
    program = textwrap.dedent(
        """
        import resource, sys, zlib
        import h5py, numpy as np
        from calolab import datasets

        n, path = 100_000, sys.argv[1]
        packed = zlib.compress(np.full((1000, 25, 25, 25), 1e-4, np.float32).tobytes(), 1)
        with h5py.File(path, "w") as file:
            cells = file.create_dataset(
                "ECAL", (n, 25, 25, 25), np.float32, chunks=(1000, 25, 25, 25), compression="gzip"
            )
            for start in range(0, n, 1000):
                cells.id.write_direct_chunk((start, 0, 0, 0), packed)
            file["energy"] = np.full(n, 50.0)
        resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, resource.RLIM_INFINITY))
        try:
            datasets.load(path, layout="3dgan")
        except MemoryError as error:
            assert path in str(error) and "6.3 GB of events do not fit into" in str(error), error
            assert "ulimit -v is 3906250 kB" in str(error) and "datasets.stream" in str(error), error
            print("refused", len(datasets.load(path, layout="3dgan", events=10)))
        """
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "events.h5")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "refused 10\n", result.stderr
