"""Two real ranks connect, average and broadcast, disconnect, and connect again."""

import _thread
import importlib
import importlib.metadata
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from calolab import distributed
from calolab.cluster import machine, processes
from calolab.distributed import horovod, meeting, rendezvous
from calolab.training import Recipe


def conversation(meeting):
    """What a rank receives from the others, and its rank."""
    import numpy as np
    import tensorflow as tf

    from calolab.distributed import horovod

    ranks = horovod.Communicator(meeting)
    try:
        mine = float(ranks.rank)
        average = tf.function(lambda x: ranks.average([x, tf.ones((2, 3)) * mine, tf.constant(1.0)]))
        return {
            "rank": (ranks.rank, ranks.size),
            "graph": [mean.numpy() for mean in average(tf.constant([mine, 4.0]))],
            "eager": [np.asarray(mean) for mean in ranks.average([np.float64(mine), np.float32([mine, mine])])],
            "broadcast": ranks.broadcast([np.uint32([7, 8]) + ranks.rank, np.float32(ranks.rank), np.zeros((0, 2))]),
        }
    finally:
        ranks.shutdown()


def test_ranks_meet_average_broadcast_and_meet_again(two, on_all, meetings):
    for _ in range(2):
        appointed = meetings(two)
        answers = on_all(two, conversation, per_rank=(appointed,))
        assert [answer["rank"] for answer in answers] == [(0, 2), (1, 2)]
        for answer in answers:
            np.testing.assert_array_equal(answer["graph"][0], np.float32([0.5, 4.0]))
            np.testing.assert_array_equal(answer["graph"][1], np.full((2, 3), 0.5, np.float32))
            assert answer["eager"][0] == 0.5 and answer["eager"][0].dtype == np.float64
            np.testing.assert_array_equal(answer["eager"][1], np.float32([0.5, 0.5]))
            seeds, number, empty = answer["broadcast"]
            np.testing.assert_array_equal(seeds, np.uint32([7, 8]))
            assert seeds.dtype == np.uint32 and number == 0 and empty.shape == (0, 2)
        # The rendezvous was on loopback, and has closed once all had met.
        assert appointed[0].address == "127.0.0.1"
        for port in appointed[0].ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=2)


def wake_ups(meeting):
    """How often the threads of a rank with nothing to average wake up in two seconds."""
    import contextlib
    import re
    import time
    from pathlib import Path

    from calolab.distributed import horovod

    def so_far():
        counts = 0
        for file in Path("/proc/self/task").glob("*/status"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                counts += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read_text(), re.MULTILINE)[1])
        return counts

    parallel = horovod.Communicator(meeting)
    try:
        before = so_far()
        time.sleep(2)
        return so_far() - before
    finally:
        parallel.shutdown()


def test_ranks_with_nothing_to_average_leave_the_cores_alone(two, on_all, meetings):
    if not importlib.metadata.distribution("horovod").read_text("direct_url.json"):
        pytest.skip("this Horovod was built elsewhere (conda)")
    # Horovod as published asks a thousand times a second: 10,000 wake-ups; with the wheel's change some 1,200.
    assert sum(on_all(two, wake_ups, per_rank=(meetings(two),))) < 5000


def test_meetings_say_where_each_rank_is():
    joined = meeting.Meeting("gloo", 2, 4, ("a", "a", "b", "a"), "10.0.0.1", (5,))
    assert joined.local_rank == 0
    last = meeting.Meeting("gloo", 3, 4, ("a", "a", "b", "a"), "127.0.0.1", (5,))
    variables = horovod._gloo_variables(last)
    names = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE", "HOSTNAME", "GLOO_IFACE")
    assert [variables[f"HOROVOD_{name}"] for name in names] == ["3", "4", "2", "3", "0", "1", "a", "lo"]


def test_an_interrupt_while_ranks_meet_leaves_no_trace(monkeypatch):
    if not machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    importlib.import_module("horovod.tensorflow")  # takes seconds, in which no interrupt may arrive

    monkeypatch.setenv("HOROVOD_STALL_CHECK_TIME_SECONDS", "7")  # the user's own
    before = dict(os.environ)
    ports = rendezvous.open_all(["here"] * 2, ["127.0.0.1"] * 2)
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(1.0, _thread.interrupt_main).start()
        horovod.Communicator(meeting.Meeting("gloo", 0, 2, ("here", "here"), "127.0.0.1", ports))
    assert dict(os.environ) == before
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


LONELY = """
import numpy as np
from calolab.cluster import time_limits
from calolab.distributed import horovod, meeting, rendezvous

time_limits.GLOO_ANSWERS_WITHIN = 2
ports = rendezvous.open_all(["here"] * 2, ["127.0.0.1"] * 2)[:1]
rendezvous._ask("127.0.0.1", ports[0], "PUT", f"/{rendezvous.HERE}/1")  # rank 1 says that it is here, and vanishes
try:
    horovod.Communicator(meeting.Meeting("gloo", 0, 2, ("here", "here"), "127.0.0.1", ports))
except RuntimeError as error:
    print(error)
ports = rendezvous.open_all(["here"], ["127.0.0.1"])
alone = horovod.Communicator(meeting.Meeting("gloo", 0, 1, ("here",), "127.0.0.1", ports))
print("alone", alone.broadcast([np.arange(3)])[0])
alone.shutdown()
"""


def test_a_rank_that_vanishes_while_the_others_meet_ends_no_process_but_its_own():
    if "gloo" not in machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    done = subprocess.run([sys.executable, "-c", LONELY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Rank 0 of 2 did not connect to the others" in done.stdout
    assert "alone [0 1 2]" in done.stdout


def spoil_the_first_attempt():
    """Run on rank 0's engine: the first rendezvous refuses what the ranks ask after they have all come."""
    from calolab.distributed import rendezvous

    rendezvous._open[0].scopes = frozenset([rendezvous.HERE, "global"])


def test_ranks_whose_first_attempt_fails_meet_in_the_second(two, on_all, meetings):
    appointed = meetings(two)
    two.client[two.ids[0]].apply_sync(spoil_the_first_attempt)
    answers = on_all(two, conversation, per_rank=(appointed,))
    assert [answer["rank"] for answer in answers] == [(0, 2), (1, 2)]
    assert all(answer["graph"][0].tolist() == [0.5, 4.0] for answer in answers)


def test_horovod_with_only_mpi_trains_on_all_engines_or_one():
    engine = meeting.EngineFacts("host", "127.0.0.1", {}, frozenset({"mpi"}), mpi_rank=0, mpi_size=3)
    assert meeting.choose_controller([engine] * 3) == "mpi"
    with pytest.raises(RuntimeError, match="Leave out ranks="):
        meeting.choose_controller([engine] * 2)


def test_how_gradients_are_sent_between_gpus_is_reported():
    plain = meeting.EngineFacts("host", "127.0.0.1", {}, frozenset({"gloo"}))
    by_cpu, by_nccl = replace(plain, gpus=2), replace(plain, gpus=2, nccl=True)
    assert meeting.gradient_route([plain, plain]) == ""
    assert "through the CPU" in meeting.gradient_route([by_cpu, by_cpu])
    assert "through the CPU" in meeting.gradient_route([by_nccl, by_cpu])
    assert "by NCCL" in meeting.gradient_route([by_nccl, by_nccl])
    with pytest.raises(RuntimeError, match="2 for 3: use fewer"):
        meeting.gradient_route([by_nccl] * 3)


@pytest.mark.parametrize(
    ("visible", "there", "gpus"),
    [
        (None, 4, 4),
        ("", 4, 0),
        ("-1", 4, 0),
        ("2", 4, 1),
        ("0, 3", 4, 2),
        ("0,7,1", 4, 1),
        ("GPU-5f", 1, 1),
        ("0", 0, 0),
    ],
)
def test_gpus_are_counted_as_cuda_does(visible, there, gpus):
    assert machine.count_gpus(visible, there) == gpus


def wait_until_it_moves(run, epoch=0, seconds=300):
    deadline = time.monotonic() + seconds
    while not (run.progress and run.progress[0].epoch >= epoch):
        assert time.monotonic() < deadline and run.status == "running"
        time.sleep(0.05)


def test_training_over_mpi(by_mpi, gan, make_electrons, tmp_path):
    gentle = {"recipe": Recipe(learning_rate=1e-7), "progress": False}
    run = distributed.fit(by_mpi, gan, make_electrons(4), epochs=1, batch_size=2, progress=False)
    assert "MPI" in run.note
    assert run.wait(timeout=300).ranks == 2
    run = distributed.fit(by_mpi, gan, make_electrons(4), epochs=100_000, batch_size=2, **gentle)
    wait_until_it_moves(run)
    run.stop()
    assert run.wait(timeout=60).stopped
    kept = {"checkpoints": tmp_path, "elastic": True, **gentle}
    run = distributed.fit(by_mpi, gan, make_electrons(4), epochs=100_000, batch_size=2, **kept)
    wait_until_it_moves(run, epoch=1)
    by_mpi.client[:].apply_async(lambda: None)  # waits behind the training; must not disturb
    content = processes.read(processes.path_of(by_mpi.name))
    rank = processes.launched(content, ("engines",))[0].children()[0]
    rank.kill()  # MPI ends all: they restart from the checkpoint
    while not run.interruptions:
        assert run.status == "running", run.wait(timeout=0)
        time.sleep(0.05)
    (broken,) = run.interruptions
    assert broken.lost and broken.ranks_after == 2 and broken.epoch >= 1
    assert "MPI" in run.note
    wait_until_it_moves(run, epoch=broken.epoch)
    run.stop()
    assert run.wait(timeout=60).ranks == 2
