"""Trainings whose client has ended: they stop, `%ipcluster list` reports them, and other work continues."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from calolab import cluster, search
from calolab.cluster import machine, processes, unattended
from calolab.distributed import meeting
from calolab.files import host_id
from calolab.training import checkpoints
from tests.helpers import alive, interrupted, wait_for

FIT = """
import sys
import calolab as cl
from tests.tiny import tiny_gan, tiny_sample
sample, gan = tiny_sample(8), tiny_gan()
"""
TRAIN = "epochs=100_000, batch_size=2, checkpoints=sys.argv[1], progress=False"
WITH = (
    FIT
    + f"""
with cl.cluster.running(2, name="of-script", cores=1) as engines:
    cl.distributed.fit(engines, gan, sample, {TRAIN}).wait()
"""
)
LEFT = (
    FIT
    + f"""
run = cl.distributed.fit(cl.cluster.attach("left"), gan, sample, {TRAIN}, ranks=1)
run.wait()
"""
)
SEARCH = """
import sys, time
from calolab import cluster, search
def train(trial):
    for epoch in range(6000):
        trial.report(epoch, ks_comb=1.0)
        time.sleep(0.05)
        if trial.should_stop():
            return
engines = cluster.attach("left")
space = {"x": search.Real(0, 1)}
search.start(engines, train, space, folder=sys.argv[1], trials=3).wait()
"""


@pytest.fixture(scope="module")
def left():
    """Two engines with an idle time of 6 s, which this process, a client, keeps."""
    with cluster.running(2, name="left", cores=1, idle=0.1) as engines:
        yield engines


def states():
    return {engine.state for engine in cluster.status("left").engines.values()}


def of_cluster(name):
    processes = psutil.process_iter(["environ"])
    return alive([one for one in processes if (one.info["environ"] or {}).get("IPP_CLUSTER_ID") == name])


def test_ctrl_c_in_a_script_stops_its_training_and_its_engines(tmp_path):
    if "gloo" not in machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    code, printed, said = interrupted(["-c", WITH, tmp_path], (tmp_path / checkpoints.FILE).exists)
    assert code == 130 and printed == "" and "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("Stopped: the training on 2 ranks, epoch ")
    assert line.endswith(f"; checkpoint in {tmp_path}, resume=True continues from it.")
    assert not of_cluster("of-script") and cluster.status("of-script").state == "not running"
    assert checkpoints.read_header(tmp_path)["state"]["epoch"] > 0


def test_ctrl_c_in_a_script_stops_its_search_which_continues_when_reattached(left, tmp_path):
    log = tmp_path / "trials" / "0000.jsonl"
    code, printed, said = interrupted(
        ["-c", SEARCH, tmp_path], lambda: log.exists() and len(log.read_text().splitlines()) > 3
    )
    assert (code, printed) == (130, "")
    assert said == f"Stopped: the search after 0 of 3 trials; all trials in {tmp_path}: search.reattach continues.\n"
    wait_for(lambda: states() == {"idle"})
    running = search.reattach(tmp_path)
    assert {trial.status for trial in running.trials} == {"queued"} and running.status == "interrupted"
    again = search.reattach(tmp_path, left)
    wait_for(lambda: any(trial.attempts == 2 and trial.status == "running" for trial in again.trials))
    again.stop()
    again.wait(20)


def test_a_training_whose_client_was_killed_stops_at_its_checkpoint(left, tmp_path):
    client = subprocess.Popen([sys.executable, "-c", LEFT, tmp_path], stderr=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / checkpoints.FILE).exists, 120)
        assert "without a client" not in cluster.status("left").note  # while there is one
    finally:
        client.kill()
        client.wait()
    wait_for(lambda: states() == {"idle"})
    standing = checkpoints.read_header(tmp_path)["state"]
    assert standing["epoch"] > 0 and (standing["step"], standing["passes"]) == (0, 0)
    wait_for(lambda: not unattended.files(processes.path_of("left")))


def until_requested():
    """A training's work, as far as signals are concerned."""
    import time

    from calolab.cluster import on_engine

    while not (on_engine.stop_requested.is_set() or on_engine.pause_requested.is_set()):
        time.sleep(0.05)
    return on_engine.stop_requested.is_set(), on_engine.pause_requested.is_set()


@pytest.mark.parametrize(
    ("folder", "elastic", "outlook", "requests"),
    [
        (None, False, r"training without a client on engine \d+, stops in [1-6] s", (True, False)),
        ("/run", False, r"training without a client on engine \d+, stops after its epoch; .* from /run", (False, True)),
        ("/run", True, r"elastic training without a client on engine \d+, runs to its end; .* from /run", None),
    ],
)
def test_what_happens_to_a_training_without_a_client(left, folder, elastic, outlook, requests):
    path, engine, other = processes.path_of("left"), *left.ids
    left.client[:].apply_sync(meeting.describe, left.address)
    ours, others = (left.client[number].apply_async(until_requested) for number in (engine, other))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file = unattended.register(path, [engine], ours.msg_ids, folder, elastic)
    unattended._write(file, replace(unattended.UnattendedTraining(**json.loads(file.read_text())), client=ended.pid))
    try:
        (found,) = [status for status in cluster.clusters() if status.name == "left"]
        assert found.state == "running" and re.search(outlook, found.note)
        if requests is None:
            time.sleep(8)  # longer than the idle time
            assert not ours.ready() and file.exists()
        else:
            assert ours.get(timeout=30) == requests
            wait_for(lambda: not file.exists())
        assert not others.ready()  # other work on other engines is left alone
    finally:
        left.client.send_signal(int(signal.SIGUSR1), targets=[engine, other], block=False)
        others.get(timeout=30)
        ours.get(timeout=30)
        file.unlink(missing_ok=True)


def test_a_record_that_cannot_be_read_just_now_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "cluster-any.json"
    kept = unattended.register(path, [0], ["message"], None, False)
    damaged = tmp_path / f"calolab-any-run-{16 * '0'}.json"
    damaged.write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(unattended.Path, "read_text", lambda file: (_ for _ in ()).throw(OSError(5, "I/O error")))
        assert unattended.trainings(path) == {} and set(unattended.files(path)) == {kept, damaged}
    assert unattended.trainings(path) == {} and unattended.files(path) == [kept]  # its client, this process, is there


def test_a_training_stops_in_time_also_where_its_record_cannot_be_rewritten(left, monkeypatch):
    path, engine = processes.path_of("left"), left.ids[0]
    left.client[engine].apply_sync(meeting.describe, left.address)
    work = left.client[engine].apply_async(until_requested)
    training = unattended.UnattendedTraining((engine,), tuple(work.msg_ids), None, False, host_id(), 1, -1.0)
    file = path.with_name("no record")
    monkeypatch.setattr(unattended, "trainings", lambda path: {file: training})
    monkeypatch.setattr(unattended, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    found = {}
    unattended.tend(path, 60.0, found)
    time.sleep(0.5)
    assert not work.ready() and list(found) == [file]
    unattended.tend(path, 0.0, found)
    assert work.get(timeout=30) == (True, False)


def test_a_client_on_another_machine_counts_as_there():
    training = unattended.UnattendedTraining((0,), ("message",), None, False, host_id(), 1, -1.0)
    assert not training.attended and replace(training, host="elsewhere").attended
