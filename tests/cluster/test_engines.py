"""Clusters: what the verbs do and return, that clusters outlive kernels, and that nothing of them is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from ipyparallel import RemoteError

from calolab import cluster, cpu
from calolab.cluster import clients, hub, processes, time_limits
from tests.helpers import alive, allow_root, wait_for


def processes_of(name):
    """All processes of a cluster, helpers and watchdog included."""
    content = processes.read(processes.path_of(name))
    roots = processes.launched(content, ("engines", "controller"))
    guard = psutil.Process(content["cluster"]["watchdog"])
    return [guard, *roots, *(child for root in roots for child in root.children(recursive=True))]


def states(status):
    return {number: engine.state for number, engine in status.engines.items()}


def in_another_kernel(code):
    """What another Python prints; it ends afterwards, as a kernel does."""
    command = [sys.executable, "-c", f"from calolab import cluster\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def one():
    """A cluster of one engine."""
    engines = cluster.start(1, name="one")
    yield engines
    cluster.stop("one")


def test_a_life_from_start_to_stop(capsys):
    assert "No cluster 'life' is running" in cluster.stop("life")
    assert cluster.status("life").state == "not running"
    with pytest.raises(RuntimeError, match="No cluster 'life' is running"):
        cluster.attach("life")
    engines = cluster.start(2, name="life", cores=1)
    try:
        assert len(engines) == 2 and engines.ids == (0, 1) and "started in" in repr(engines)
        threads = engines.client[:].apply_sync(lambda: __import__("os").environ["TF_NUM_INTRAOP_THREADS"])
        assert threads == ["1", "1"]
        again = cluster.start(name="life")
        assert again.ids == engines.ids and "already running" in again.note and again.client is engines.client
        with pytest.raises(ValueError, match=r"already runs with 2 engines.*%ipcluster stop"):
            cluster.start(3, name="life")
        found = cluster.status("life")
        assert (found.state, states(found)) == ("running", {0: "idle", 1: "idle"})
        assert "life" in [status.name for status in cluster.clusters()]
        assert "Registering with controller" in cluster.logs("life", lines=100)

        processes.launched(processes.read(processes.path_of("life")), ("engines",))[0].kill()
        wait_for(lambda: len(engines) == 1)
        assert cluster.status("life").state == "damaged"
        assert "restart" in cluster.start(name="life").note
        engines.client[:].apply_sync(exec, "import builtins; builtins.memory = 1")
        fresh = cluster.restart("life")
        assert len(fresh) == 2 and not set(fresh.ids) & {0, 1}
        assert fresh.client[:].apply_sync(lambda: hasattr(__import__("builtins"), "memory")) == [False, False]

        everything = processes_of("life")
        assert len(everything) > 5
    finally:
        said = cluster.stop("life")
    assert said == "Stopped cluster 'life': 2 engines and their controller."
    assert not alive(everything)
    assert not list(processes.path_of("life").parents[1].rglob("*life*"))
    assert "No cluster 'life' is running" in cluster.stop("life")
    assert capsys.readouterr().out == ""  # what there is to say is returned


def test_a_cluster_outlives_its_kernel_until_it_is_idle():
    """Started by one kernel, found by the next, kept while it works, and stopped some time after its last use."""
    said = in_another_kernel("print(cluster.start(1, name='long', idle=0.1))")
    assert "1 of 1 engines" in said
    everything = processes_of("long")
    said = in_another_kernel("e = cluster.start(name='long'); print(e.note, e.client[:].apply_sync(lambda: 7 * 6))")
    assert said == "was already running, attached to it [42]"
    # Work without a client, for longer than the idle time of 6 s.
    in_another_kernel("import time; cluster.attach('long').client[:].apply_async(time.sleep, 9); time.sleep(0.5)")
    time.sleep(7.5)
    assert len(alive(everything)) == len(everything)
    # A client without work.
    assert cluster.attach("long").ids == (0,)
    time.sleep(9)
    assert len(alive(everything)) == len(everything)
    assert states(cluster.status("long")) == {0: "idle"}
    clients.release(processes.path_of("long"))  # as the end of this process would
    wait_for(lambda: not alive(everything))
    assert processes.read(processes.path_of("long")) is None


def test_engines_end_when_their_controller_is_killed(one):
    everything = processes_of("one")
    controller = processes.launched(processes.read(processes.path_of("one")), ("controller",))[0]
    helpers = controller.children(recursive=True)
    assert len(helpers) > 3  # its schedulers and heartbeat, which do not end with it
    controller.kill()
    wait_for(lambda: not alive([*everything, *helpers]))
    assert cluster.status("one").state == "not running"


def test_start_replaces_a_cluster_with_a_killed_controller(one):
    content = processes.read(processes.path_of("one"))
    psutil.Process(content["cluster"]["watchdog"]).kill()  # nothing cleans up
    controller = processes.launched(content, ("controller",))[0]
    helpers = controller.children(recursive=True)
    controller.kill()
    wait_for(lambda: not alive([controller]))
    assert cluster.status("one").state == "broken"
    mended = cluster.start(1, name="one")
    assert "lost its controller" in mended.note and len(mended) == 1
    assert mended.client[:].apply_sync(lambda: 1) == [1]
    assert not alive(helpers)


def test_a_cluster_that_another_kernel_replaced_is_found(one):
    in_another_kernel("cluster.stop('one'); cluster.start(1, name='one')")
    found = cluster.start(name="one")
    assert found.client is not one.client and found.note == "was already running, attached to it"
    assert found.client[:].apply_sync(lambda: 6 * 7) == [42]
    with clients.without_clients(processes.path_of("one")) as alone:
        assert not alone  # the new cluster's watchdog sees this client
    in_another_kernel("cluster.stop('one')")
    with pytest.raises(RuntimeError, match="No cluster 'one' is running"):
        cluster.restart("one")


def test_a_controller_that_fails_at_once_leaves_nothing(monkeypatch):
    def fail(*_):
        raise OSError("no controller")

    monkeypatch.setattr(processes, "start_controller", fail)
    with pytest.raises(RuntimeError, match="'none' did not start: no controller"):
        cluster.start(1, name="none")
    path = processes.path_of("none")
    assert path not in clients._held and not clients.lock_file(path).exists()


def test_a_controller_that_cannot_be_started_leaves_no_folder(monkeypatch, tmp_path):
    async def fail(cluster):
        raise OSError("no process")

    monkeypatch.setattr(processes.EngineCluster, "start_controller", fail)
    monkeypatch.setattr(processes.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match="'none' did not start: no process"):
        cluster.start(1, name="none")
    assert list(tmp_path.iterdir()) == []


def test_a_with_block_stops_its_own():
    with cluster.running(1) as engines:
        name, everything = engines.name, processes_of(engines.name)
        assert len(engines) == 1
    assert not alive(everything) and processes.read(processes.path_of(name)) is None
    with pytest.raises(ZeroDivisionError), cluster.running(1, name="fails") as engines:
        everything = processes_of("fails")
        raise ZeroDivisionError
    assert not alive(everything)


@pytest.mark.parametrize("slow", [False, True], ids=["idle machine", "busy machine"])
def test_engines_that_do_not_start_are_reported_with_their_log(monkeypatch, slow):
    monkeypatch.setattr(cpu, "THREAD_VARIABLES", ("PYTHONHOME",))  # no Python starts with such a home
    update = processes.EngineCluster.update_cluster_file

    def late(started):  # the engine ends before its start is recorded
        if slow and started.engines:
            time.sleep(1.5)
        update(started)

    monkeypatch.setattr(processes.EngineCluster, "update_cluster_file", late)
    with pytest.raises(RuntimeError, match=r"(?s)did not start: the engines have ended.*No module named .encodings"):
        cluster.start(1, name="lost")
    assert cluster.status("lost").state == "not running"


@pytest.mark.parametrize("after", ["controller", "engines"])
def test_an_interrupt_during_start_leaves_nothing(after):
    """Ctrl-C, twice in a row, as people do it, while the controller and while the engines come up."""
    code = "from calolab import cluster; cluster.start(2, name='broken-off')"
    kernel = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, start_new_session=True)
    path = processes.path_of("broken-off")
    begun = clients.lock_file(path).exists if after == "controller" else lambda: _has_engines(path)
    wait_for(begun, 60)
    everything = processes_of("broken-off") if after == "engines" else []
    for _ in range(2):
        kernel.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert kernel.communicate(timeout=60)[1] == "Stopped: the start of a cluster; everything was removed.\n"
    assert kernel.returncode in (130, -signal.SIGINT)  # the second one may come while Python ends
    assert not alive(everything) and not list(path.parents[1].rglob("*broken-off*"))
    ours = [
        p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("IPP_CLUSTER_ID") == "broken-off"
    ]
    assert not alive(ours)


def _has_engines(path):
    content = processes.read(path)
    return content is not None and bool(content["engines"]["sets"])


def test_waiting_for_engines_is_bounded():
    with pytest.raises(RuntimeError, match=r"0 of 1 engines registered within 0.05 s"):
        cluster.start(1, name="slow", timeout=0.05)
    assert cluster.status("slow").state == "not running"


@pytest.mark.parametrize(
    ("launcher", "missing"), [("mpi", "mpi4py|mpiexec"), ("srun", "mpi4py|srun"), ("slurm", "sbatch")]
)
def test_a_missing_launcher_is_named(monkeypatch, launcher, missing):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(processes.sys, "executable", "/nowhere/python")
    with pytest.raises(RuntimeError, match=missing):
        cluster.start(1, launcher, name="missing")
    assert processes.read(processes.path_of("missing")) is None


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"'locl'. Nearest: local"):
        cluster.start(1, "locl", name="x")
    with pytest.raises(ValueError, match="n expects a number above 0, received 0"):
        cluster.start(0, name="x")
    with pytest.raises(ValueError, match="address expects an IP address or a host name, received '--ip=0'"):
        cluster.start(1, name="x", address="--ip=0")
    for name in ("../x", "", "-n", "--all", "a b", "x\n", 7):
        with pytest.raises(ValueError, match="letters, digits.*does not begin with '-'"):
            cluster.status(name)
    with pytest.raises(ValueError, match="at most 64 characters.* of 300 characters"):
        cluster.start(1, name="n" * 300)


def test_a_stale_file_ends_no_stranger(one):
    """After a crash and a reboot, the numbers in a cluster's file belong to other processes."""
    path = processes.path_of("one")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stale = path.with_name("cluster-stale.json")
    text = path.read_text().replace('"one"', '"stale"')
    for process in processes.launched(processes.read(path), ("engines", "controller")):
        text = text.replace(f'"pid": {process.pid}', f'"pid": {stranger.pid}')
    guard = processes.read(path)["cluster"]["watchdog"]
    stale.write_text(text.replace(f'"watchdog": {guard}', f'"watchdog": {stranger.pid}'))
    try:
        assert cluster.status("stale").state == "broken"
        cluster.stop("stale")
        assert stranger.poll() is None and psutil.pid_exists(guard)
        assert not stale.exists() and len(one) == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stale_file_ends_no_other_cluster(one):
    """The numbers may belong to another cluster of the same user by now."""
    path = processes.path_of("one")
    stale = path.with_name("cluster-stale.json")
    stale.write_text(path.read_text().replace('"one"', '"stale"'))
    everything = processes_of("one")
    assert cluster.status("stale").state == "broken"
    cluster.stop("stale")
    assert not stale.exists() and len(alive(everything)) == len(everything)
    assert one.client[:].apply_sync(abs, -1) == [1] * len(one)


def test_a_controller_that_does_not_answer_is_reported(one, monkeypatch):
    monkeypatch.setattr(time_limits, "HUB_ANSWERS_WITHIN", 1.0)
    path = processes.path_of("one")
    controller = processes.launched(processes.read(path), ("controller",))[0]
    with hub.observer(path) as client:
        assert hub.tasks(client) == dict.fromkeys(one.ids, 0)
        controller.suspend()
        try:
            with pytest.raises(TimeoutError, match="does not answer"):
                hub.tasks(client)
        finally:
            controller.resume()
        with pytest.raises(IndexError, match="Engines 999 have gone"):
            hub.tasks(client, [999])


def test_restart_does_not_wait_for_the_heartbeat_of_busy_engines(one):
    """A killed nanny does not report to the hub, which notices only after 30 s."""
    work = one.client[:].apply_async(sleep_deaf, 600)
    wait_for(lambda: states(cluster.status("one")) == {0: "busy"})
    fresh = cluster.restart("one", timeout=20)
    assert fresh.ids == (1,) and fresh.client[:].apply_sync(lambda: 6 * 7) == [42]
    with pytest.raises(RemoteError, match="died"):
        work.get(timeout=10)


def sleep_deaf(seconds):
    """Work that ignores SIGTERM."""
    import signal
    import time

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(seconds)


def test_a_clusters_name_may_contain_the_prefix_of_its_file():
    with cluster.running(1, name="my-cluster-2", cores=1) as engines:
        assert cluster.status("my-cluster-2").state == "running"
        assert len(cluster.scale(2, engines)) == 2
    assert cluster.status("my-cluster-2").state == "not running"
    assert not list(processes.path_of("my-cluster-2").parent.glob("*my-*"))


def test_an_engine_without_heartbeat_is_silent_and_so_is_its_cluster(one):
    pid = cluster.status("one").engines[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = cluster.status("one")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (found.state, states(found)) == ("silent", {0: "silent"})
    assert "Engine 0 does not answer" in found.note and "restart" in found.note
    wait_for(lambda: cluster.status("one").state == "running", 30)


def test_mpi_launches_ranks_in_order():
    try:
        processes.launcher_options("mpi")
    except RuntimeError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        allow_root(patch)
        with cluster.running(2, "mpi", name="by-mpi") as engines:
            ranks = engines.client[:].apply_sync(lambda: __import__("mpi4py.MPI").MPI.COMM_WORLD.Get_rank())
            assert ranks == [0, 1] == list(engines.ids)
            everything = processes_of("by-mpi")
            restarted = cluster.restart("by-mpi")
            # Not the ids of the earlier ones: the hub would take their work for lost and never for done.
            assert restarted.ids == (2, 3)
            assert engines.client[:].apply_sync(lambda: __import__("mpi4py.MPI").MPI.COMM_WORLD.Get_rank()) == [0, 1]
            everything += processes_of("by-mpi")
        assert not alive(everything)
