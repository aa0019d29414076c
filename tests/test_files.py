"""Files appear completely or not at all: full disks, killed writers, folders, and files of other processes."""

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from calolab import files


@contextmanager
def largest_file(size):
    """Limit the size of files that this process can write, like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_a_folder_appear_when_they_are_complete(tmp_path):
    with files.complete(tmp_path / "a", durable=True) as partial:
        partial.write_text("new")
        assert names(tmp_path) == [partial.name] and partial.name.startswith(".a.")
    with files.complete(tmp_path / "b") as partial:
        partial.mkdir()
        (partial / "c").touch()
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "a").read_text() == "new" and names(tmp_path / "b") == ["c"]
    with files.complete(tmp_path / "b") as partial:  # another process was faster
        partial.mkdir()
    assert names(tmp_path / "b") == ["c"] and names(tmp_path) == ["a", "b"]
    with files.complete(tmp_path / ("ü" * 120)) as partial:
        partial.touch()
    with (
        pytest.raises(FileNotFoundError, match="nowhere: no such directory to save a in"),
        files.complete(tmp_path / "nowhere" / "a"),
    ):
        pass


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_writing_leaves_the_earlier_file_and_nothing_else(tmp_path, kind):
    (tmp_path / "a").write_text("old")
    with pytest.raises(kind), files.complete(tmp_path / "a") as partial:
        partial.write_text("new")
        raise kind
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "no space left on the disk"), (errno.EDQUOT, "the disk quota is used up"), (errno.EFBIG, "ulimit")],
)
def test_a_full_disk_is_an_error_with_its_number_the_sizes_and_the_remedy(tmp_path, number, reason):
    (tmp_path / "a").write_text("old")
    words = f"/a: .*{reason}.*needs up to 2.0 MB, .* free.*; nothing was"
    writing = files.complete(tmp_path / "a", 2_000_000, remedy="Do this.")
    with pytest.raises(OSError, match=words) as raised, writing as partial:
        partial.write_text("new")
        try:
            raise OSError(number, "full")
        finally:
            raise ValueError("closing it failed, too")
    assert raised.value.errno == number
    assert str(raised.value).endswith("nothing was written, a is unchanged. Do this.")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_an_error_elsewhere_after_a_full_disk_is_no_full_disk(tmp_path):
    """As when a program retries in another folder: Python chains the two errors."""
    with pytest.raises(ValueError, match="^of its own$"):
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            with files.complete(tmp_path / "a"):
                raise ValueError("of its own")  # noqa: B904 - Python chains them by itself
    with pytest.raises(ValueError, match="^of its own$"), files.complete(tmp_path / "a"):
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            raise ValueError("of its own") from None


def test_a_durable_file_and_its_name_are_on_the_disk(tmp_path, monkeypatch):
    synchronised, fsync = [], os.fsync

    def observe(descriptor):
        synchronised.append((os.readlink(f"/proc/self/fd/{descriptor}"), names(tmp_path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", observe)
    with files.complete(tmp_path / "a", durable=True) as partial:
        partial.touch()
    assert synchronised == [(str(partial), [partial.name]), (str(tmp_path), ["a"])]


def test_room_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        files.reserve(file.fileno(), 0, 1000)
        assert os.path.getsize(file.name) == 1000
        with largest_file(5000), pytest.raises(OSError) as raised:
            files.reserve(file.fileno(), 1000, 10_000)
        assert raised.value.errno == errno.EFBIG
        with pytest.raises(OSError) as raised:
            files.reserve(file.fileno(), 0, 10**18)
        assert raised.value.errno == errno.ENOSPC


def test_what_a_killed_process_left_goes_and_what_others_are_writing_stays(tmp_path):
    code = (
        f"import sys, time; from calolab import files\nwith files.complete({str(tmp_path / 'a')!r}) as partial:\n"
        "    partial.mkdir(); (partial / 'b').touch(); print(partial.name, flush=True); time.sleep(60)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, alive = [writer.stdout.readline().strip() for writer in writers]
    other_host = killed.replace(killed.split(".")[2].split("-")[0], "00000000")
    (tmp_path / other_host).touch()
    (tmp_path / ".mine.part").touch()
    try:
        writers[0].kill()
        writers[0].wait()
        with files.complete(tmp_path / "c") as first, files.complete(tmp_path / "c") as second:
            assert names(tmp_path) == sorted([alive, other_host, ".mine.part"])
            first.touch()
            second.touch()
            files.remove_abandoned(tmp_path)
            assert first.exists() and second.exists()
    finally:
        writers[1].send_signal(signal.SIGINT)
        writers[1].communicate()
    assert names(tmp_path) == sorted([other_host, ".mine.part", "c"])


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (KeyError("counts"), ValueError, "damaged: 'counts'"),
        (OSError("no errno: the content"), ValueError, "damaged: no errno"),
        (OSError(errno.EACCES, "Permission denied"), PermissionError, "a.npz: cannot be read now .Permission denied"),
        (MemoryError("1 GB"), MemoryError, "a.npz: not enough memory"),
    ],
)
def test_why_a_file_cannot_be_read(raised, expected, words):
    with pytest.raises(expected, match=words) as found, files.diagnosed("a.npz", lambda error: f"damaged: {error}"):
        raise raised
    assert found.value.__cause__ is raised


@pytest.mark.parametrize("raised", [ValueError("a.npz: no header"), MemoryError("a.npz: its maps need 3 GB")])
def test_a_diagnosis_is_not_diagnosed_again(raised):
    with pytest.raises(type(raised), match=f"^{raised}$"), files.diagnosed("a.npz", lambda error: "damaged"):
        raise raised


def test_other_exceptions_pass_through_a_diagnosis():
    with pytest.raises(KeyError), files.diagnosed("a.npz", str, (OSError, ValueError)):
        raise KeyError("counts")
