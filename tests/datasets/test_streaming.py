import pickle
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import Sample, datasets, spaces
from calolab.samples import global_batch_size, steps_per_epoch


def energies(batches):
    return np.concatenate([batch.labels["energy"] for batch in batches])


def consistent(batch):
    """Cells and label of an event are consistent: `numbered` files contain energy / 50 in one cell."""
    return np.allclose(batch.values.sum(axis=(1, 2, 3)) * 50, batch.labels["energy"], rtol=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 60),
    files=st.integers(1, 4),
    chunk=st.integers(1, 9),
    window=st.integers(1, 80),
    ranks=st.integers(1, 4),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_every_event_is_seen_once_an_epoch_in_equal_steps(numbered, n, files, chunk, window, ranks, batch_size, seed):
    files, ranks = min(files, n), min(ranks, n)
    stream = datasets.stream(numbered(n, files, chunk), window=window)
    steps = steps_per_epoch(n, batch_size, ranks)
    shards = [stream.shard(rank, ranks) for rank in range(ranks)]
    taken = [list(shard.batches(batch_size, seed, steps)) for shard in shards]
    assert np.array_equal(np.sort(energies(batch for batches in taken for batch in batches)), np.arange(n) + 1.0)
    assert {len(batches) for batches in taken} == {steps}
    for step, together in enumerate(zip(*taken)):
        assert sum(map(len, together)) == global_batch_size(n, batch_size, ranks, step)
        assert all(map(consistent, together))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_the_first_empty_shower_is_that_of_the_first_file_as_named(write, showers):
    sample = showers(6)
    values = sample.values.copy()
    values[[2, 4]] = 0
    paths = [write(name, ECAL=values, energy=sample.labels["energy"]) for name in ("b.h5", "a.h5")]
    with pytest.warns(UserWarning, match="4 of 12 showers contain no energy; the first is event 2 of b.h5"):
        list(datasets.stream(paths).batches(4, seed=1))


@pytest.mark.parametrize("space", ["calogan", "calochallenge-2"])
def test_empty_showers_in_any_space_are_reported(tmp_path, space):
    values = np.ones((6, *spaces.space(space).shape), np.float32)
    values[3] = 0
    path = datasets.save(tmp_path / "a.h5", Sample(values, {"energy": np.full(6, 1e4)}, spaces.space(space)))
    with pytest.warns(UserWarning, match="1 of 6 showers contain no energy; the first is event 3") as warned:
        loaded = datasets.load(path)
    remedy = str(warned[0].message).rpartition("others: ")[2].rstrip(".")
    assert len(eval(remedy, {"sample": loaded})) == 5, "the remedy of the message"


@pytest.mark.parametrize("read", ["in_order", "batches", "head"])
def test_empty_showers_are_reported_once_all_events_have_been_read(write, showers, read):
    sample = showers(40)
    sample.values[30:] = 0
    stream = datasets.stream(write(ECAL=sample.values, energy=sample.labels["energy"]), window=16)
    calls = {
        "in_order": lambda: list(stream.in_order()),
        "batches": lambda: list(stream.batches(8, seed=1)),
        "head": lambda: [stream.head()],
    }
    words = r"events\.h5: 10 of 40 showers contain no energy; the first is event 30 of events\.h5 with an incident"
    with pytest.warns(UserWarning, match=words) as warned:
        parts = calls[read]()
    assert sum(map(len, parts)) == 40
    assert [one.filename for one in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.head(30)


def test_101_events_on_2_ranks(numbered):
    stream = datasets.stream(numbered(101, files=3), window=24)
    steps = steps_per_epoch(101, 16, ranks=2)
    first, second = (stream.shard(rank, 2) for rank in (0, 1))
    assert (len(first), len(second), steps) == (51, 50, 4)
    sizes = [[len(batch) for batch in shard.batches(16, 0, steps)] for shard in (first, second)]
    assert sizes == [[16, 16, 16, 3], [16, 16, 16, 2]]
    seen = energies([*first.batches(16, 0, steps), *second.batches(16, 0, steps)])
    assert np.array_equal(np.sort(seen), np.arange(101) + 1.0)


def test_shards_are_contiguous_and_shards_of_shards_too(numbered):
    stream = datasets.stream(numbered(23, files=4))
    parts = [stream.shard(rank, 3) for rank in range(3)]
    assert np.array_equal(np.concatenate([part.labels["energy"] for part in parts]), np.arange(23) + 1.0)
    assert np.array_equal(parts[1].shard(1, 2).labels["energy"], parts[1].labels["energy"][4:])
    with pytest.raises(ValueError, match="rank 3 of 3"):
        stream.shard(3, 3)
    with pytest.raises(ValueError, match="cannot be shared by 24 ranks"):
        stream.shard(0, 24)


def test_the_seed_fixes_the_order_and_another_seed_another(numbered):
    stream = datasets.stream(numbered(80, files=2), window=32)
    first, again, other = (energies(stream.batches(16, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_events_are_shuffled_within_the_window_and_blocks_over_the_file(numbered, monkeypatch):
    monkeypatch.setattr("calolab.datasets.files._BLOCK_BYTES", 4 * 15625 * 8)  # 8 events
    order = energies(datasets.stream(numbered(400, chunk=8), window=80).batches(80, seed=3)) - 1
    blocks = order // 8
    assert len(set(blocks[:80])) == 10  # the first window holds whole blocks
    assert blocks[:80].max() > 30  # from far away in the file
    assert np.mean(np.diff(blocks[:80]) == 0) < 0.4  # and their events are mixed
    assert abs(np.corrcoef(order, np.arange(400))[0, 1]) < 0.3


def test_batches_are_those_that_a_sample_gives(numbered):
    """Streams and samples have the same batches, labels, space and values, so that `fit` accepts both."""
    paths = numbered(50)
    stream, sample = datasets.stream(paths), datasets.load(paths)
    for size, steps in ((8, None), (16, 3), (50, 1), (64, None)):
        ours, theirs = list(stream.batches(size, 0, steps)), list(sample.batches(size, 0, steps))
        assert [len(batch) for batch in ours] == [len(batch) for batch in theirs]
        assert {batch.space for batch in ours} == {sample.space}
        assert sorted(energies(ours)) == sorted(energies(theirs))
    with pytest.raises(ValueError, match="do not fill 9 batches"):
        stream.batches(8, 0, steps=9)


def test_labels_are_read_by_name(tmp_path, showers):
    sample = showers(30, angles=True)
    for part in range(3):
        datasets.save(tmp_path / f"{part}.h5", sample.select(slice(10 * part, 10 * part + 10)))
    stream = datasets.stream(tmp_path / "*.h5")
    assert list(stream.labels) == ["energy", "theta", "mtheta"]
    for name, column in sample.labels.items():
        assert np.array_equal(stream.labels[name], column)
        assert np.array_equal(stream.shard(1, 2).labels[name], column[15:])
    assert list(stream.labels(("theta", "energy"))) == ["theta", "energy"]
    with pytest.raises(KeyError, match="this stream has energy, theta, mtheta"):
        stream.labels["eta"]


def test_head_and_split(numbered):
    stream = datasets.stream(numbered(200, files=3, chunk=8))
    assert np.array_equal(stream.head(5).labels["energy"], np.arange(5) + 1.0)
    assert consistent(stream.head())
    with pytest.raises(ValueError, match="at least one event"):
        stream.head(0)
    train, test = stream.split(test=0.2, seed=1)
    assert (len(train), len(test)) == (160, 40)
    together = np.concatenate([train.labels["energy"], test.labels["energy"]])
    assert np.array_equal(np.sort(together), np.arange(200) + 1.0)
    assert np.array_equal(np.sort(energies(train.batches(32, seed=0))), train.labels["energy"])
    assert np.array_equal(train.head().labels["energy"], train.labels["energy"])
    assert stream.split(test=0.2, seed=1)[1].ranges == test.ranges != stream.split(test=0.2, seed=2)[1].ranges
    with pytest.raises(ValueError, match="between 0 and 1"):
        stream.split(test=20, seed=1)
    with pytest.raises(ValueError, match="leaves one part empty"):
        stream.split(test=0.001, seed=1)


def test_a_stream_travels_to_engines(tmp_path, numbered, monkeypatch):
    paths = numbered(20, files=4)
    monkeypatch.chdir(tmp_path)
    stream = datasets.stream("part_*.h5").shard(0, 2)
    content = pickle.dumps(stream)
    assert len(content) < 40_000
    monkeypatch.chdir("/")
    assert np.array_equal(energies(pickle.loads(content).batches(4, 0)), energies(stream.batches(4, 0)))
    assert len(paths) == 4


def test_leaving_an_epoch_early_leaves_no_thread_and_no_open_file(numbered):
    stream = datasets.stream(numbered(60), window=8)
    before = threading.active_count()
    for _ in stream.batches(4, seed=0):
        break
    batches = stream.batches(4, seed=0)
    next(batches)
    batches.close()
    assert threading.active_count() == before
    opened = {str(link.resolve()) for link in __import__("pathlib").Path("/proc/self/fd").iterdir() if link.exists()}
    assert not opened & {file.path for file in stream.files}


def test_the_next_window_is_read_while_this_one_is_used(numbered, monkeypatch):
    reads = []

    def read(self, *arguments, original=datasets.EventStream._read):
        reads.append(threading.current_thread().name)
        return original(self, *arguments)

    monkeypatch.setattr(datasets.EventStream, "_read", read)
    batches = datasets.stream(numbered(60, chunk=4), window=32).batches(4, seed=0)
    next(batches)
    deadline = time.monotonic() + 20
    while len(reads) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(reads) == 2
    assert all(name.startswith("calolab-stream") for name in reads)
    batches.close()


def test_bad_cells_are_found_on_the_way(numbered):
    import h5py

    paths = numbered(60, files=3)
    with h5py.File(paths[1], "r+") as file:
        file["ECAL"][17, 1, 1, 1] = np.nan
    stream = datasets.stream(paths, window=8)
    with pytest.raises(ValueError, match=r"part_01\.h5: dataset 'ECAL' .* in event 17"):
        list(stream.batches(4, seed=0))


def test_a_window_holds_an_event(numbered):
    with pytest.raises(ValueError, match="window expects a positive number"):
        datasets.stream(numbered(4), window=0)


def test_a_notebook_shows_what_it_is(numbered):
    stream = datasets.stream(numbered(40, files=2))
    html = stream._repr_html_()
    for text in ("40 events on disk", "part_01.h5", "20 events", "energy [GeV]", "layout 3dgan"):
        assert text in html
    assert repr(stream) == "EventStream(40 events of 2 files in 'clic-ecal')"


def test_a_label_without_a_unit_has_no_brackets(write):
    file = write(image=np.ones((6, 25, 25)), signal=np.ones(6), jet_pt=np.full(6, 260.0))
    assert "labels: signal, pt [GeV];" in datasets.stream(file)._repr_html_()


def test_memory_stays_small_whatever_the_files_hold(tmp_path):
    """An epoch of 1.25 GB of showers needs at most 300 MB more than one of a file of 16 events."""
    program = textwrap.dedent(
        """
        import resource, sys, zlib
        import h5py, numpy as np
        from calolab import datasets

        # One compressed chunk of 8 showers, repeated: fast to write, and read like any other.
        n, path = int(sys.argv[1]), sys.argv[2]
        random = np.random.default_rng(0)
        chunk = np.zeros((8, 25, 25, 25), np.float32)
        chunk[:, 8:16, 8:16, :10] = random.exponential(1 / 640, (8, 8, 8, 10))
        packed = zlib.compress(chunk.tobytes(), 1)
        with h5py.File(path, "w") as file:
            cells = file.create_dataset(
                "ECAL", (n, 25, 25, 25), np.float32, chunks=(8, 25, 25, 25), compression="gzip"
            )
            for start in range(0, n, 8):
                cells.id.write_direct_chunk((start, 0, 0, 0), packed)
            file["energy"] = np.arange(n) + 50.0
        stream = datasets.stream(path, layout="3dgan", window=None)
        total, energies = 0.0, []
        for batch in stream.batches(128, seed=0):
            total += batch.values.sum(dtype=np.float64)
            energies.append(batch.labels["energy"])
        np.testing.assert_array_equal(np.sort(np.concatenate(energies)), np.arange(n) + 50.0)
        np.testing.assert_allclose(total, n / 8 * chunk.sum(dtype=np.float64), rtol=1e-6)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        """
    )

    def peak(n_events):
        command = [sys.executable, "-W", "ignore", "-c", program, str(n_events), str(tmp_path / f"{n_events}.h5")]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return int(result.stdout)

    added = peak(20_000) - peak(16)
    print(f"added {added / 1e6:.0f} MB")
    assert added < 300e6
