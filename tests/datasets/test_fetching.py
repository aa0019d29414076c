"""Downloads from a local server that supports byte ranges and can interrupt transfers, change files or fail."""

import errno
import hashlib
import json
import resource
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from calolab import datasets
from calolab.datasets import fetching
from calolab.datasets.public_sets import PublicSet, RemoteFile

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Server:
    """A file server: its files, its behaviour, and the requested ranges."""

    files: dict[str, bytes]
    address: str = ""
    ranges: bool = True  # whether it supports byte ranges
    breaks: list[int] = field(default_factory=list)  # number of bytes after which the next transfers are interrupted
    errors: list[int] = field(default_factory=list)  # status with which the next requests fail
    tag: str = '"v1"'
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(**files):
    server = Server({name.replace("_h5", ".h5"): content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/").partition("?")[0]
            wanted = self.headers.get("Range")
            server.asked.append((name, wanted))
            if server.errors:
                return self.send_error(server.errors.pop(0))
            if name not in server.files:
                return self.send_error(404)
            content, start = server.files[name], 0
            unchanged = self.headers.get("If-Range") in (None, server.tag)
            if wanted and server.ranges and unchanged:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if server.tag:
                self.send_header("ETag", server.tag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = server.breaks.pop(0) if server.breaks else len(content)
            return self.wfile.write(content[start : max(start, stop)])

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


SIZE = len(CONTENT)


def public_set(server, content=CONTENT, size=SIZE, checksum=True, **changes):
    digest = f"md5:{hashlib.md5(content).hexdigest()}" if checksum else None
    options = {"files": (RemoteFile("a.h5", size, digest),), "reader": "3dgan", **changes}
    return PublicSet(
        "set", "a set", "10.1234/a", "arXiv:1", download=f"{server.address}/{{file}}?download=1", **options
    )


@pytest.fixture
def server():
    with serving(a_h5=CONTENT) as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)


def fetch(tmp_path, held, **options):
    return datasets.fetch(held, tmp_path, progress=False, **options)


def test_a_file_comes_whole_and_once(server, tmp_path):
    (path,) = fetch(tmp_path, public_set(server))
    assert path == tmp_path / "a.h5"
    assert path.read_bytes() == CONTENT
    assert fetch(tmp_path, public_set(server)) == [path]
    assert server.asked == [("a.h5", None)]
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.breaks = [1_000_000, 2_500_000]
    (path,) = fetch(tmp_path, public_set(server))
    assert path.read_bytes() == CONTENT
    assert server.asked == [("a.h5", None), ("a.h5", "bytes=1000000-"), ("a.h5", "bytes=2500000-")]


def test_the_next_call_resumes_what_an_earlier_one_left(server, tmp_path):
    server.breaks = [1_000_000, 1_200_000, 1_400_000]
    with pytest.raises(ConnectionError, match=r"a\.h5\.part keeps what was received, call fetch again to resume"):
        fetch(tmp_path, public_set(server))
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:1_400_000]
    assert not (tmp_path / "a.h5").exists()
    (path,) = fetch(tmp_path, public_set(server))
    assert path.read_bytes() == CONTENT
    assert server.asked[-1] == ("a.h5", "bytes=1400000-")
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges, server.breaks = False, [1_000_000]
    (path,) = fetch(tmp_path, public_set(server))
    assert path.read_bytes() == CONTENT
    assert server.asked == [("a.h5", None), ("a.h5", "bytes=1000000-")]


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.filterwarnings("ignore:.*no checksum")
def test_a_file_that_changed_in_between_starts_again(server, tmp_path, checksum):
    server.breaks = [1_000_000] * 3
    changed = CONTENT[::-1]
    held = public_set(server, changed, checksum=checksum)
    with pytest.raises(ConnectionError):
        fetch(tmp_path, held)
    server.files["a.h5"], server.tag = changed, '"v2"'
    (path,) = fetch(tmp_path, held)
    assert path.read_bytes() == changed


@pytest.mark.filterwarnings("ignore:.*no checksum")
def test_without_checksum_and_version_old_and_new_bytes_are_not_mixed(server, tmp_path):
    server.tag, server.breaks = "", [1_000_000]
    (path,) = fetch(tmp_path, public_set(server, checksum=False))
    assert path.read_bytes() == CONTENT
    assert server.asked == [("a.h5", None), ("a.h5", None)]


def test_a_wrong_checksum_leaves_no_file(server, tmp_path):
    held = public_set(server, CONTENT[::-1])
    with pytest.raises(ValueError, match=r"md5 checksum [0-9a-f]{32}, expected"):
        fetch(tmp_path, held)
    assert not list(tmp_path.iterdir())


def test_a_wrong_size_leaves_no_file(server, tmp_path):
    with pytest.raises(ValueError, match=r"3000000 bytes, expected 2999999"):
        fetch(tmp_path, public_set(server, size=2_999_999))
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_that_is_there_is_not_taken_for_good(server, tmp_path):
    (tmp_path / "a.h5").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ValueError, match="Delete it and fetch again"):
        fetch(tmp_path, public_set(server))


@pytest.mark.parametrize(("size", "asked"), [(None, [("a.h5", f"bytes={SIZE}-")]), (SIZE, [])])
def test_a_part_that_is_complete_already_is_only_checked(server, tmp_path, size, asked):
    (tmp_path / "a.h5.part").write_bytes(CONTENT)
    (path,) = fetch(tmp_path, public_set(server, size=size))
    assert path.read_bytes() == CONTENT
    assert server.asked == asked


def test_a_part_that_is_too_long_starts_again(server, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(CONTENT + b"more")
    (path,) = fetch(tmp_path, public_set(server))
    assert path.read_bytes() == CONTENT


def test_an_overloaded_server_is_asked_again_and_a_refusal_is_final(server, tmp_path):
    server.errors = [503]
    assert fetch(tmp_path, public_set(server))[0].read_bytes() == CONTENT
    with pytest.raises(ConnectionError, match="the server responded 404"):
        fetch(tmp_path, public_set(server, files=(RemoteFile("gone.h5"),)))
    assert [name for name, _ in server.asked].count("gone.h5") == 1


def test_no_server(server, tmp_path):
    with pytest.raises(ConnectionError, match="no connection"):
        fetch(tmp_path, public_set(server), url="http://127.0.0.1:9")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small(server, tmp_path):
    with pytest.raises(OSError, match="GB free"):
        fetch(tmp_path, public_set(server, size=10**18))


def test_files_are_chosen_by_pattern_and_a_mirror_serves_them(tmp_path):
    with serving(a_h5=b"aa", b_h5=b"bb") as server:
        files = tuple(RemoteFile(f"{k}.h5", 2, f"md5:{hashlib.md5(k.encode() * 2).hexdigest()}") for k in "ab")
        held = public_set(server, files=files)
        assert [path.name for path in fetch(tmp_path / "1", held, files="b*")] == ["b.h5"]
        assert [path.name for path in fetch(tmp_path / "2", held, url=server.address + "/")] == ["a.h5", "b.h5"]
        with pytest.raises(ValueError, match=r"no file that matches c\.h5; it has a\.h5, b\.h5"):
            fetch(tmp_path, held, files=["c.h5"])


def test_a_record_lists_its_files_itself(server, tmp_path):
    listing = [{"key": "a.h5", "size": len(CONTENT), "checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}"}]
    server.files["record"] = json.dumps({"files": listing}).encode()
    held = public_set(server, files=(), listing=f"{server.address}/record")
    assert fetch(tmp_path, held)[0].read_bytes() == CONTENT
    server.files["record"] = json.dumps({"files": [{"name": "a.h5"}]}).encode()
    with pytest.raises(ValueError, match="missing 'key'"):
        fetch(tmp_path, held)
    server.files["record"] = json.dumps({"files": [{**listing[0], "key": "../a.h5"}]}).encode()
    with pytest.raises(ValueError, match=r"record: expected a list of files.*received '\.\./a\.h5'\. Fetch by hand"):
        fetch(tmp_path, held)
    with pytest.raises(ConnectionError, match="no list of files"):
        fetch(tmp_path, public_set(server, files=(), listing=f"{server.address}/nothing"))


def test_what_cannot_be_fetched_or_read_says_so(server, tmp_path):
    with pytest.raises(ValueError, match=r"by hand, from https://doi\.org/10\.17632/pvn3xc3wy5\.1"):
        datasets.fetch("calogan", tmp_path)
    with pytest.raises(ValueError, match="Nearest: jet-images"):
        datasets.fetch("jet-image", tmp_path)
    with pytest.warns(UserWarning, match="cannot read the files of 'set' yet"):
        fetch(tmp_path, public_set(server, reader=None))
    with pytest.warns(UserWarning, match="no checksum is known"):
        fetch(tmp_path / "other", public_set(server, checksum=False))


def test_the_cache_is_where_files_go_unless_told(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))
    assert datasets.fetch(public_set(server), progress=False) == [tmp_path / "datasets" / "set" / "a.h5"]


def test_what_was_fetched_is_loaded(tmp_path, showers):
    sample = showers(5)
    content = datasets.save(tmp_path / "a.h5", sample).read_bytes()
    with serving(a_h5=content) as server:
        paths = fetch(tmp_path / "fetched", public_set(server, content, len(content)))
    assert np.array_equal(datasets.load(paths).values, sample.values)


def test_the_bar_counts_the_bytes(server, tmp_path, capsys):
    datasets.fetch(public_set(server), tmp_path)
    assert "a.h5: 100%" in capsys.readouterr().err


BAD_NAMES = ["../x", "/etc/x", "a/b", "a\\b", "..", ".", "", "C:x", "a\0b", "a\nb", ".hidden", "x" * 300, None, 3]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match="name of a file of a public set must be that of a file in a folder"):
        RemoteFile(name)
    with pytest.raises(ValueError, match="name of a public set must be"):
        PublicSet(name, "title", "10.1234/a", "arXiv:1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": -1}, "number of bytes"),
        ({"size": "12"}, "number of bytes"),
        ({"size": True}, "number of bytes"),
        ({"checksum": "md5:123"}, "hexadecimal digits"),
        ({"checksum": "md6:" + 32 * "0"}, "hexadecimal digits"),
        ({"checksum": 32 * "0"}, "hexadecimal digits"),
        ({"checksum": ""}, "hexadecimal digits"),
    ],
)
def test_sizes_and_checksums_that_cannot_be_right_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        RemoteFile("a.h5", **options)


def test_an_address_must_say_where_the_name_belongs_and_may_hold_braces(server, tmp_path):
    with pytest.raises(ValueError, match=r"set: download must contain \{file\}"):
        PublicSet("set", "a set", "10.1234/a", "arXiv:1", download="http://127.0.0.1/a.h5")
    held = replace(public_set(server), download=f"{server.address}/{{file}}?token={{x}}")
    assert fetch(tmp_path, held)[0].read_bytes() == CONTENT


def test_capital_letters_in_a_checksum_do_not_matter(server, tmp_path):
    file = RemoteFile("a.h5", SIZE, f"md5:{hashlib.md5(CONTENT).hexdigest().upper()}")
    assert fetch(tmp_path, public_set(server, files=(file,)))[0].read_bytes() == CONTENT


def test_a_list_that_is_no_json_is_refused_with_its_address(server, tmp_path):
    server.files["record"] = b"<html>"
    with pytest.raises(ValueError, match="record: expected a list of files .*by hand from"):
        fetch(tmp_path, public_set(server, files=(), listing=f"{server.address}/record"))


def test_a_disk_that_fills_up_keeps_what_came(server, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        words = r"a\.h5: .*needs up to .* MB.*a\.h5\.part keeps what was received.*fetch again"
        with pytest.raises(OSError, match=words) as raised:
            fetch(tmp_path, public_set(server))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG and 0 < (tmp_path / "a.h5.part").stat().st_size <= 2_000_000
    assert fetch(tmp_path, public_set(server))[0].read_bytes() == CONTENT
