"""Dask on real engines: the same numbers as without it, no access from outside, and engines that are released."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from calolab import cluster, distributed
from calolab.cluster import processes
from calolab.cluster.machine import own_address
from calolab.distributed.meeting import check_idle


@pytest.fixture(scope="module", autouse=True)
def needs_dask():
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("Dask is not installed: pip install -e .[dask]")


@pytest.fixture(scope="module")
def remote():
    """An engine that listens where other machines could reach it."""
    with cluster.running(1, name="remote", address=own_address()) as engines:
        yield engines


def gflash(seed):
    from calolab import simulate

    return simulate.showers("clic-ecal", 40, (10, 50), seed=seed, method="gflash", progress=False).values


def hold_on(folder):
    """Report that it has started, and end on request."""
    import os
    import pathlib
    import time

    pathlib.Path(folder, f"begun-{os.getpid()}").touch()
    while not pathlib.Path(folder, "end").exists():
        time.sleep(0.05)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def mean_profile(values):
    return values.sum(axis=(1, 2)).mean(axis=0)


def processes_of(name):
    """All processes of a cluster, helpers included."""
    roots = processes.launched(processes.read(processes.path_of(name)), ("engines", "controller"))
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


async def knock(address, security):
    """What a Dask node says of itself to a guest."""
    from distributed.core import rpc

    guest = rpc(address, connection_args=security.get_connection_args("client"), timeout=2)
    try:
        return await asyncio.wait_for(guest.identity(), 5)
    finally:
        await guest.close_rpc()


def listeners():
    """Where this process listens."""
    return {c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}


def test_showers_simulated_on_workers_are_those_of_one_process(two, gan, make_electrons):
    import dask

    pids, before, seeds = set(two.client[:].apply_sync(os.getpid)), listeners(), range(4)
    with distributed.start_dask(two) as client:
        assert client.scheduler.address.startswith("tls://127.")
        assert {at.ip for at in listeners() - before} == {"127.0.0.1"}
        assert set(client.run(os.getpid).values()) == pids  # the engines themselves, no processes beside them
        assert dask.delayed(os.getpid)().compute() in pids  # without naming the client
        chunks = client.map(gflash, seeds)
        profiles = client.gather(client.map(mean_profile, chunks))
        showers = np.concatenate(client.gather(chunks))
        # While they are workers, no training starts on them, and they are not lent twice.
        assert {engine.state for engine in cluster.status("two").engines.values()} == {"busy"}
        with pytest.raises(RuntimeError, match="stop_dask"):
            distributed.fit(two, gan, make_electrons(8), epochs=1)
        with pytest.raises(RuntimeError, match="Dask workers already"):
            distributed.start_dask(two)
    expected = np.concatenate([gflash(seed) for seed in seeds])
    np.testing.assert_array_equal(showers, expected)
    np.testing.assert_allclose(np.mean(profiles, axis=0), mean_profile(expected), rtol=1e-6)
    check_idle(two, two.ids)
    assert listeners() <= before


def test_without_tls_on_loopback_and_a_task_that_runs_on(two, tmp_path):
    """What waits is dropped, what runs ends, and only then are the engines free."""
    client = distributed.start_dask(two, tls=False)
    assert client.scheduler.address.startswith("tcp://127.")
    assert client.submit(np.sum, np.arange(5)).result(timeout=60) == 10
    running = client.map(hold_on, [str(tmp_path)] * 2, pure=False)
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    waiting = client.submit(hold_on, str(tmp_path), pure=False)
    with pytest.raises(RuntimeError, match=r"A Dask task still runs on engines? [\d, ]+ after 0\.5 s"):
        distributed.stop_dask(two, timeout=0.5)
    (tmp_path / "end").touch()
    assert "are no longer Dask workers" in distributed.stop_dask(two)
    assert "No engine" in distributed.stop_dask(two)
    check_idle(two, two.ids)
    assert "finished" not in {future.status for future in (*running, waiting)}
    client.close()


def test_a_busy_engine_does_not_become_a_worker(two, tmp_path):
    pending = two.client[two.ids[0]].apply_async(hold_on, str(tmp_path))
    wait_until(lambda: cluster.status("two").engines[two.ids[0]].state == "busy")
    try:
        with pytest.raises(RuntimeError, match="still work"):
            distributed.start_dask(two)
    finally:
        (tmp_path / "end").touch()
        pending.get(timeout=60)


def test_engines_come_back_when_the_kernel_is_killed(two):
    code = """
import os
from calolab import cluster, distributed
client = distributed.start_dask(cluster.attach("two"))
print(client.submit(sum, [1, 2]).result(timeout=60), flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.returncode) == ("3\n", -signal.SIGKILL), done.stderr
    wait_until(lambda: "busy" not in [engine.state for engine in cluster.status("two").engines.values()])
    assert len(two) == two.size


def test_elsewhere_only_with_tls_and_with_the_certificate(remote):
    from distributed import Security

    with pytest.raises(ValueError, match=r"without TLS expects engines on loopback.*Leave out tls=False"):
        distributed.start_dask(remote, tls=False)
    before = listeners()
    with distributed.start_dask(remote) as client:
        address = client.scheduler.address
        (worker,) = client.scheduler_info()["workers"]
        assert [at.rpartition(":")[0] for at in (address, worker)] == [f"tls://{remote.address}"] * 2
        assert {at.ip for at in listeners() - before} <= {remote.address, "127.0.0.1"}
        assert "workers" in asyncio.run(knock(address, client.security))
        stranger, insecure = Security.temporary(), Security()
        for target in (address, worker):
            for guest, at in ((stranger, target), (insecure, target), (insecure, target.replace("tls", "tcp"))):
                with pytest.raises((OSError, TypeError)):
                    asyncio.run(knock(at, guest))
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
    key = client.security.tls_client_key.splitlines()
    assert "PRIVATE KEY" in key[0] and key[1] not in cluster.logs("remote", lines=10_000)


def test_nothing_is_left_of_a_cluster_that_stops_with_its_workers():
    with cluster.running(1, name="stopped") as engines:
        client = distributed.start_dask(engines)
        future = client.submit(time.sleep, 60)
        everything = processes_of("stopped")
    assert not [p for p in everything if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert future.status != "finished"
    assert {thread.name for thread in threading.enumerate()} & {"calolab-dask"} == set()
    client.close()


def test_what_is_missing_is_reported_with_what_to_do(two, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(RuntimeError, match=r"TLS needs the package cryptography.*calolab\[dask\].*tls=False"):
        distributed.start_dask(two)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeError, match=r"Dask needs distributed.*calolab\[dask\]"):
        distributed.start_dask(two, tls=False)
    with pytest.raises(ValueError, match="threads expects a number above 0"):
        distributed.start_dask(two, threads=0)
