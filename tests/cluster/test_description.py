"""Cluster files: those that are damaged or not calolab's are named, and touch no other cluster."""

import json

import pytest

from calolab import cluster
from calolab.cluster import clients, description, processes


@pytest.fixture
def one():
    """A cluster of one engine."""
    engines = cluster.start(1, name="one")
    yield engines
    cluster.stop("one")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[]", "a JSON list"),
        ("3", "a JSON int"),
        ("{}", "without the entry 'cluster'"),
        ('{"cluster": []}', "without the entry 'cluster'"),
        ('{"cluster": {"launcher": "local"}}', "'cluster_id' is 'missing'"),
        ("", "no JSON"),
        ("\udcff", "codec"),
        ("[" * 100_000, "recursion"),
        ("engines", "'controller' or 'engines'"),
        ("n", "'n' is 'two'"),
    ],
)
def test_a_file_that_describes_no_cluster_is_named_and_the_others_are_listed(one, text, wrong, monkeypatch):
    monkeypatch.setattr(description.time, "sleep", lambda _: None)
    path = processes.path_of("damaged")
    if text in ("engines", "n"):
        content = json.loads(processes.path_of("one").read_text())
        content["cluster"]["cluster_id"] = "damaged"
        content |= {"engines": {"sets": [1]}} if text == "engines" else {}
        content["cluster"] |= {"n": "two"} if text == "n" else {}
        text = json.dumps(content)
    path.write_bytes(text.encode(errors="surrogateescape"))
    try:
        found = {status.name: status for status in cluster.clusters()}
        assert found["one"].state == "running" and found["damaged"].state == "unreadable"
        assert str(path) in found["damaged"].note and wrong in found["damaged"].note
        assert "Remove this file" in repr(found["damaged"])
        for call in (cluster.start, cluster.attach, cluster.stop):
            with pytest.raises(RuntimeError, match="does not describe a cluster"):
                call(name="damaged")
        answer, _, running = cluster.stop("other").removesuffix(".").partition(" Running: ")
        assert answer == "No cluster 'other' is running." and "one" in running.split(", ")
    finally:
        path.unlink()


def test_a_cluster_of_ipyparallels_own_is_left_alone():
    path = processes.path_of("foreign")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"cluster": {"cluster_id": "foreign"}, "engines": {"sets": {}}}')
    try:
        assert "foreign" not in [status.name for status in cluster.clusters()]
        with pytest.raises(RuntimeError, match="calolab did not start: choose another name"):
            cluster.start(1, name="foreign")
    finally:
        path.unlink()


def test_the_remains_of_one_cluster_are_not_those_of_another():
    folder, logs = processes.path_of("a").parent, processes.path_of("a").parents[1] / "log"
    for place in (folder, logs):
        place.mkdir(parents=True, exist_ok=True)
    others = [folder / "ipcontroller-a-b-client.json", folder / f"calolab-a-b-run-{16 * '0'}.json"]
    (logs / "ipengine-a-1-1764450000-0000.log").touch()
    processes.path_of("a-1").touch()
    assert processes.log_files(processes.path_of("a")) == [] and len(processes.log_files(processes.path_of("a-1"))) == 1
    processes.path_of("a-1").unlink()
    for file in (clients.lock_file(processes.path_of("a")), folder / "ipcontroller-a-client.json", *others):
        file.touch()
    assert "No cluster 'a' is running" in cluster.stop("a")
    processes.stop(processes.path_of("a"))
    assert sorted(folder.glob("*-a*")) == sorted(others)
    for file in others:
        file.unlink()


def test_the_file_of_a_stopped_cluster_does_not_come_back(one):
    path = processes.path_of("one")
    followed = processes.load(path)  # as JupyterLab's server does, which hears later that engines have ended
    cluster.stop("one")
    followed.update_cluster_file()
    assert not path.exists() and "not running" in repr(cluster.status("one"))
