"""Saving to a full disk: one clear error in every format, no crash, and no incomplete files."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from calolab import Particles, Sample, datasets, spaces

# Run in a separate process, because HDF5 itself crashes on a full disk.
SAVE = """
import resource, sys
import numpy as np
from calolab import Sample, datasets, spaces
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
values = np.random.default_rng(0).random((200, 25, 25, 25), dtype=np.float32)
try:
    datasets.save(path, Sample(values, {"energy": np.ones(200)}, spaces.space("clic-ecal")))
except OSError as error:
    print(error.errno, error)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A folder with 2 MB of space and 0; if none can be mounted, a folder and the maximum size of a file."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    yield folder, 0 if mounted.returncode == 0 else 2_000_000
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)


def test_hdf5_onto_a_full_disk(small_disk):
    folder, limit = small_disk
    code = [sys.executable, "-c", SAVE, folder / "a.h5", str(limit)]
    ended = subprocess.run(code, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    expected = errno.EFBIG if limit else errno.ENOSPC
    assert ended.stdout.startswith(f"{expected} [Errno {expected}] {folder / 'a.h5'}: ")
    assert "needs up to 12.5 MB" in ended.stdout and "nothing was written" in ended.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 1_000, 1_499_999, 1_600_000, 2_500_000, 4_000_000])
def test_hdf5_wherever_the_disk_ends(tmp_path, limit):
    ended = subprocess.run([sys.executable, "-c", SAVE, tmp_path / "a.h5", str(limit or 1)], capture_output=True)
    assert ended.returncode == 0 and ended.stdout.startswith(b"27 ")
    assert list(tmp_path.iterdir()) == []


def images(name, events=60):
    space = spaces.space(name)
    values = np.random.default_rng(0).random((events, *space.shape), dtype=np.float32)
    return Sample(values, {} if name == "whole-detector" else {"redshift": np.ones(events)}, space)


def towers(events=500):
    counts = np.full(events, 100)
    columns = dict.fromkeys(("pt", "eta", "phi"), np.random.default_rng(0).random(counts.sum(), np.float32) + 0.1)
    return Particles.from_flat(counts, {**columns, "mass": np.zeros(counts.sum(), np.float32)})


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.npz", lambda: images("whole-detector")),
        ("a.root", towers),
        ("a.fits", lambda: images("convergence")),
    ],
)
def test_other_formats_onto_a_full_disk(tmp_path, name, made):
    sample, before = made(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(OSError, match=rf"{name}: .*needs up to .* MB.*nothing was written") as raised:
            datasets.save(tmp_path / name, sample)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG and list(tmp_path.iterdir()) == []
    datasets.save(tmp_path / name, sample)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("events", [1, 7, 40, 200])
def test_the_room_allocated_ahead_is_given_back(tmp_path, showers, events):
    import h5py

    datasets.save(tmp_path / "a.h5", showers(events))
    with h5py.File(tmp_path / "a.h5") as file:
        stored = sum(file[name].id.get_storage_size() for name in file)
    assert stored < (tmp_path / "a.h5").stat().st_size < stored + 50_000
